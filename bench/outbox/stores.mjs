// Outboxes: as a person would write one on each driver, queues that have an insertion within the application's transaction,
// and sagastore's. All of them have the same methods.

import { randomUUID } from 'node:crypto'
import { openStore } from '../../index.js'
import { BATCH, drained, LEASE_MS } from './events.mjs'
import { bullmq, graphileWorker, pgBoss } from './queues.mjs'

/** @typedef {import('./events.mjs').Event} Event @typedef {import('./events.mjs').Open} Open */

/** @type {Open} */
async function pgByHand(url, place, { keyed, listens }) {
  const { default: driver } = await import('pg')
  const pool = new driver.Pool({ connectionString: url, max: 10 })
  await pool.query(`create schema if not exists ${place}`)
  const t = `${place}.by_hand`
  await pool.query(`create table if not exists ${t}_orders (id text primary key)`)
  await pool.query(
    `create table if not exists ${t} (seq bigint generated always as identity primary key, id uuid not null unique, key text, payload text not null, token uuid, lease_until timestamptz)`,
  )
  await pool.query(`create index if not exists by_hand_key on ${t} (key, seq)`)
  const insert = `insert into ${t} (id, key, payload) select * from unnest($1::uuid[], $2::text[], $3::text[])`
  const rows = (/** @type {Event[]} */ events) => [
    events.map(({ id }) => id),
    events.map(({ key }) => key ?? null),
    events.map(({ payload }) => JSON.stringify(payload)),
  ]
  const head = keyed ? `and not exists (select 1 from ${t} b where b.key = a.key and b.seq < a.seq)` : ''
  const claim = `with c as materialized (select seq from ${t} a where (lease_until is null or lease_until < now()) ${head}
    order by seq limit ${BATCH} for update skip locked)
    update ${t} q set token = $1, lease_until = now() + interval '${LEASE_MS} ms' from c where q.seq = c.seq returning q.id, q.payload`
  const take = async () => {
    const token = randomUUID()
    const { rows: claimed } = await pool.query({ name: 'claim', text: claim, values: [token] })
    for (const { payload } of claimed) JSON.parse(payload)
    return { ids: claimed.map(({ id }) => id), token }
  }
  const ack = async (/** @type {{ ids: string[], token: string }} */ { ids, token }) => {
    const text = `delete from ${t} where id = any($1::uuid[]) and token = $2`
    if (ids.length > 0) await pool.query({ name: 'ack', text, values: [ids, token] })
  }
  return {
    async insert(events) {
      await pool.query({ name: 'insert', text: insert, values: rows(events) })
      if (listens) await pool.query(`select pg_notify('${place}', '')`)
    },
    async together(event) {
      const client = await pool.connect()
      try {
        await client.query('begin')
        await client.query({ name: 'order', text: `insert into ${t}_orders values ($1)`, values: [event.id] })
        await client.query({ name: 'insert', text: insert, values: rows([event]) })
        await client.query('commit')
      } finally {
        client.release()
      }
    },
    drain: drained(async () => {
      const taken = await take()
      await ack(taken)
      return taken.ids.length
    }),
    async listen(onEvent) {
      const client = new driver.Client({ connectionString: url })
      await client.connect()
      client.on('notification', async () => {
        const taken = await take()
        for (const id of taken.ids) onEvent(id)
        await ack(taken)
      })
      await client.query(`listen "${place}"`)
      return () => client.end()
    },
    close: () => pool.end(),
  }
}

/** @type {Open} */
async function betterSqlite3(_url, place, { durability = 'full', keyed }) {
  const { default: Database } = await import('better-sqlite3')
  const db = new Database(`${place}-by-hand.db`)
  db.pragma('journal_mode = wal')
  db.pragma(`synchronous = ${durability}`)
  db.exec('create table if not exists orders (id text primary key) without rowid')
  db.exec(
    'create table if not exists by_hand (seq integer primary key autoincrement, id text not null unique, key text, payload text not null, token text, lease_until integer)',
  )
  db.exec('create index if not exists by_hand_key on by_hand (key, seq)')
  const insertOne = db.prepare('insert into by_hand (id, key, payload) values (?, ?, ?)')
  const order = db.prepare('insert into orders values (?)')
  const head = keyed ? 'and not exists (select 1 from by_hand b where b.key = a.key and b.seq < a.seq)' : ''
  const claim = db.prepare(`update by_hand set token = ?, lease_until = ? where seq in
    (select seq from by_hand a where (lease_until is null or lease_until < ?) ${head} order by seq limit ${BATCH}) returning id, payload`)
  const remove = db.prepare('delete from by_hand where id = ? and token = ?')
  const insert = db.transaction((/** @type {Event[]} */ events) => {
    for (const { id, key, payload } of events) insertOne.run(id, key ?? null, JSON.stringify(payload))
  })
  const ack = db.transaction((/** @type {string[]} */ ids, /** @type {string} */ token) => {
    for (const id of ids) remove.run(id, token)
  })
  const together = db.transaction((/** @type {Event} */ event) => {
    order.run(event.id)
    insert([event])
  })
  return {
    insert: async (events) => insert.immediate(events),
    together: async (event) => together.immediate(event),
    drain: drained(async () => {
      const [token, now] = [randomUUID(), Date.now()]
      const claimed = /** @type {{ id: string, payload: string }[]} */ (claim.all(token, now + LEASE_MS, now))
      for (const { payload } of claimed) JSON.parse(payload)
      ack.immediate(
        claimed.map(({ id }) => id),
        token,
      )
      return claimed.length
    }),
    close: async () => db.close(),
  }
}

/** @type {Open} */
async function ioredis(url, place) {
  const { Redis } = await import('ioredis')
  const redis = new Redis(url)
  const [stream, group] = [`${place}:stream`, 'relay']
  await redis.xgroup('CREATE', stream, group, '0', 'MKSTREAM').catch((error) => {
    if (!error.message.includes('BUSYGROUP')) throw error
  })
  const add = (/** @type {any} */ pipeline, /** @type {Event[]} */ events) => {
    for (const { id, payload } of events) pipeline.xadd(stream, '*', 'id', id, 'payload', JSON.stringify(payload))
    return pipeline.exec()
  }
  const read = async (/** @type {any} */ client, /** @type {string[]} */ ...block) => {
    const found = await client.xreadgroup('GROUP', group, 'w', 'COUNT', BATCH, ...block, 'STREAMS', stream, '>')
    return /** @type {[string, string[]][]} */ (found?.[0]?.[1] ?? [])
  }
  const ack = async (/** @type {[string, string[]][]} */ entries) => {
    const ids = entries.map(([id]) => id)
    if (ids.length > 0)
      await redis
        .multi()
        .xack(stream, group, ...ids)
        .xdel(stream, ...ids)
        .exec()
  }
  return {
    insert: (events) => add(redis.multi(), events),
    together: (event) => add(redis.multi().set(`${place}:order:${event.id}`, '1'), [event]),
    drain: drained(async () => {
      const entries = await read(redis)
      for (const [, fields] of entries) JSON.parse(fields[3])
      await ack(entries)
      return entries.length
    }),
    async listen(onEvent) {
      const waiting = redis.duplicate()
      let isOver = false
      const reading = (async () => {
        while (!isOver) {
          const entries = await read(waiting, 'BLOCK', '100')
          for (const [, fields] of entries) onEvent(fields[1])
          await ack(entries)
        }
      })()
      return async () => {
        isOver = true
        await reading
        waiting.disconnect()
      }
    },
    close: () => redis.quit(),
  }
}

/** @type {Open} */
async function mongodb(url, place) {
  const { MongoClient } = await import('mongodb')
  const client = new MongoClient(url)
  const database = client.db()
  const events = database.collection(`${place}_by_hand`, { writeConcern: { w: 'majority' } })
  const orders = database.collection(`${place}_orders`)
  await events.createIndex({ leaseUntil: 1, at: 1 })
  // A server by itself has no transactions.
  const { setName } = await database.command({ hello: 1 })
  const documents = (/** @type {Event[]} */ some) =>
    some.map(({ id, key, payload }) => ({ _id: /** @type {any} */ (id), key, payload, leaseUntil: 0, at: Date.now() }))
  return {
    insert: (some) => events.insertMany(documents(some)),
    ...(setName !== undefined && {
      together: (event) =>
        client.withSession((session) =>
          session.withTransaction(async () => {
            await orders.insertOne({ _id: /** @type {any} */ (event.id) }, { session })
            await events.insertMany(documents([event]), { session })
          }),
        ),
    }),
    drain: drained(async () => {
      const [token, now] = [randomUUID(), Date.now()]
      const free = { leaseUntil: { $lt: now } }
      const found = await events.find(free, { projection: { _id: 1 }, sort: { leaseUntil: 1, at: 1 }, limit: BATCH }).toArray()
      await events.updateMany({ _id: { $in: found.map(({ _id }) => _id) }, ...free }, { $set: { token, leaseUntil: now + LEASE_MS } })
      const claimed = await events.find({ _id: { $in: found.map(({ _id }) => _id) }, token }).toArray()
      if (claimed.length > 0) await events.deleteMany({ _id: { $in: claimed.map(({ _id }) => _id) }, token })
      return claimed.length
    }),
    close: () => client.close(),
  }
}

/** @type {Open} */
async function awsSdk(url, place) {
  const sdk = await import('@aws-sdk/client-dynamodb')
  const { searchParams, hostname } = new URL(url)
  const client = new sdk.DynamoDBClient({
    region: hostname || 'local',
    ...(searchParams.has('endpoint') && { endpoint: /** @type {string} */ (searchParams.get('endpoint')) }),
    credentials: { accessKeyId: 'local', secretAccessKey: 'local' },
  })
  const TableName = `${place}_by_hand`
  const IndexName = 'due'
  await client
    .send(
      new sdk.CreateTableCommand({
        TableName,
        AttributeDefinitions: [
          { AttributeName: 'id', AttributeType: 'S' },
          { AttributeName: 'queue', AttributeType: 'S' },
          { AttributeName: 'at', AttributeType: 'N' },
        ],
        KeySchema: [{ AttributeName: 'id', KeyType: 'HASH' }],
        GlobalSecondaryIndexes: [
          {
            IndexName,
            KeySchema: [
              { AttributeName: 'queue', KeyType: 'HASH' },
              { AttributeName: 'at', KeyType: 'RANGE' },
            ],
            Projection: { ProjectionType: 'KEYS_ONLY' },
          },
        ],
        BillingMode: 'PAY_PER_REQUEST',
      }),
    )
    .catch((error) => {
      if (error.name !== 'ResourceInUseException') throw error
    })
  const put = (/** @type {Event} */ { id, payload }) => ({
    Put: {
      TableName,
      Item: { id: { S: id }, payload: { S: JSON.stringify(payload) }, queue: { S: 'q' }, at: { N: String(Date.now()) } },
    },
  })
  const transact = (/** @type {any[]} */ TransactItems) => client.send(new sdk.TransactWriteItemsCommand({ TransactItems }))
  const held = async (/** @type {string} */ id) => {
    const now = Date.now()
    try {
      const { Attributes } = await client.send(
        new sdk.UpdateItemCommand({
          TableName,
          Key: { id: { S: id } },
          UpdateExpression: 'set leaseUntil = :until, #token = :token',
          ConditionExpression: 'attribute_exists(id) and (attribute_not_exists(leaseUntil) or leaseUntil < :now)',
          ExpressionAttributeNames: { '#token': 'token' },
          ExpressionAttributeValues: { ':until': { N: String(now + LEASE_MS) }, ':token': { S: randomUUID() }, ':now': { N: String(now) } },
          ReturnValues: 'ALL_NEW',
        }),
      )
      return Attributes
    } catch (/** @type {any} */ error) {
      if (error.name === 'ConditionalCheckFailedException') return undefined
      throw error
    }
  }
  return {
    insert: (events) => transact(events.map(put)),
    together: (event) => transact([{ Put: { TableName, Item: { id: { S: `order-${event.id}` } } } }, put(event)]),
    drain: drained(async () => {
      const { Items = [] } = await client.send(
        new sdk.QueryCommand({
          TableName,
          IndexName,
          KeyConditionExpression: 'queue = :q',
          ExpressionAttributeValues: { ':q': { S: 'q' } },
          Limit: BATCH,
        }),
      )
      const claimed = (await Promise.all(Items.map(({ id }) => held(/** @type {string} */ (id.S))))).filter((item) => item !== undefined)
      await Promise.all(
        claimed.map(({ id, token }) =>
          client.send(
            new sdk.DeleteItemCommand({
              TableName,
              Key: { id },
              ConditionExpression: '#token = :token',
              ExpressionAttributeNames: { '#token': 'token' },
              ExpressionAttributeValues: { ':token': token },
            }),
          ),
        ),
      )
      return claimed.length
    }),
    close: async () => client.destroy(),
  }
}

/** @type {Open} */
async function sagastore(url, place, { durability }) {
  const scheme = url.slice(0, url.indexOf(':'))
  const credentials = { accessKeyId: 'local', secretAccessKey: 'local' }
  /** @type {Record<string, object>} */
  const more = {
    postgres: { schema: place },
    sqlite: { durability },
    dynamodb: { namespace: place, credentials },
  }
  const where = scheme === 'sqlite' ? { url: `sqlite://${place}-sagastore.db` } : { url }
  const store = openStore(/** @type {any} */ ({ ...where, ...(more[scheme] ?? { namespace: place }) }))
  await store.initialize()
  const { outbox } = store
  const isSql = scheme === 'sqlite' || scheme === 'postgres'
  const orders = scheme === 'postgres' ? `${place}.orders` : 'orders'
  if (isSql) await store.transaction((tx) => tx.query(`create table if not exists ${orders} (id text primary key)`))
  const given = (/** @type {Event} */ { id, key, payload }) => ({
    eventId: id,
    eventType: 'OrderPlaced',
    payload,
    ...(key !== undefined && { partitionKey: key }),
  })
  const insertOrder = `insert into ${orders} values (${scheme === 'postgres' ? '$1' : '?'})`
  return {
    insert: (events) => outbox.insert(events.map(given)),
    together: (event) =>
      store.transaction(async (tx) => {
        await (isSql ? tx.query(insertOrder, [event.id]) : tx.put(`order-${event.id}`, Buffer.from('1')))
        await tx.outbox.insert(given(event))
      }),
    drain: drained(async (worker) => {
      const claims = await outbox.claim({ workerId: `w-${worker}`, batchSize: BATCH, leaseMs: LEASE_MS })
      if (claims.length > 0) await outbox.ack(claims)
      return claims.length
    }),
    async listen(onEvent) {
      // Says at once where nothing can be claimed: there is nothing to hand out yet.
      await outbox.claim({ workerId: 'first', batchSize: 1 })
      const relay = outbox.relay(({ eventId }) => onEvent(eventId))
      return () => relay.stop()
    },
    close: () => store.close(),
  }
}

/** @type {Record<string, Open>} */
export const OUTBOXES = {
  pg: pgByHand,
  'pg-boss': pgBoss,
  'graphile-worker': graphileWorker,
  'better-sqlite3': betterSqlite3,
  ioredis,
  bullmq,
  mongodb,
  'aws-sdk': awsSdk,
  sagastore,
}
