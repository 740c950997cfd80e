// The execution log, as a person would write it on each driver, and sagastore's. All of them have the same methods.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openStore } from '../../index.js'

/**
 * @typedef {object} Log
 * @property {(id: string, due: boolean, finished?: boolean) => Promise<void>} create with a context; `due`: it may be claimed
 * @property {(id: string, expected: number, step: string, result: object) => Promise<boolean>} checkpoint one entry of the log and
 *   the next version; false on a conflict
 * @property {(limit: number) => Promise<string[]>} claim
 * @property {(id: string, steps: number) => Promise<void>} saga started, so many steps, completed: each a checkpoint with the end of a
 *   step and the start of the next
 * @property {(id: string, limit: number) => Promise<unknown>} [history] the newest entries
 * @property {() => Promise<void>} close
 *
 * @typedef {(url: string, place: string, options: { durability?: string }) => Promise<Log>} Open
 */

const NAME = 'OrderSaga'
const CONTEXT = {
  customer: 'c-1',
  lines: Array.from({ length: 20 }, (_, sku) => ({ sku, quantity: 2, price: 1999 })),
  note: 'x'.repeat(600),
}
const LEASE_MS = 60_000
/** What is claimed is due again at once: a benchmark of claims never comes to an end. */
const CLAIM_MS = 1

/** @param {Omit<Log, 'saga'>} log @returns {Log} */
function withSaga(log) {
  return {
    ...log,
    async saga(id, steps) {
      await log.create(id, false)
      for (let step = 1; step <= steps; step++) {
        if (!(await log.checkpoint(id, step, `step-${step}`, { ok: true, step }))) throw new Error('a checkpoint was refused')
      }
    },
  }
}

const CREATE_RUNS = (/** @type {string} */ t, /** @type {string} */ json) =>
  `create table if not exists ${t}_runs (id text primary key, name text not null, status text not null, context ${json}, version bigint not null, seq bigint not null, owner text, due_at bigint, updated_at bigint not null)`
const CREATE_LOG = (/** @type {string} */ t, /** @type {string} */ json) =>
  `create table if not exists ${t}_log (id text not null, seq bigint not null, step text not null, status text not null, body ${json}, at bigint not null, primary key (id, seq))`
const CLAIM = (/** @type {string} */ t) => `update ${t}_runs set owner = $1, due_at = $2, version = version + 1 where id in
  (select id from ${t}_runs where due_at <= $3 order by due_at limit $4 for update skip locked) returning id, context`

/** @param {boolean} isOne @returns {Open} */
const pg = (isOne) => async (url, place) => {
  const { default: driver } = await import('pg')
  const pool = new driver.Pool({ connectionString: url, max: 10 })
  await pool.query(`create schema if not exists ${place}`)
  const t = `${place}.by_hand`
  await pool.query(CREATE_RUNS(t, 'jsonb'))
  await pool.query(CREATE_LOG(t, 'jsonb'))
  await pool.query(`create index if not exists by_hand_due on ${t}_runs (due_at) where due_at is not null`)
  const update = `update ${t}_runs set version = version + 1, seq = seq + 1, updated_at = $1 where id = $2 and version = $3 returning seq`
  const insert = `insert into ${t}_log values ($1, $2, $3, 'completed', $4, $5)`
  const cte = `with head as (${update}) insert into ${t}_log select $4, seq, $5, 'completed', $6, $7 from head`
  return withSaga({
    async create(id, due, finished = false) {
      const text = `insert into ${t}_runs values ($1, $2, $3, $4, 1, 0, null, $5, $6)`
      const values = [id, NAME, finished ? 'completed' : 'running', JSON.stringify(CONTEXT), due ? Date.now() : null, Date.now()]
      await pool.query({ name: 'create', text, values })
    },
    async checkpoint(id, expected, step, result) {
      const [now, body] = [Date.now(), JSON.stringify({ result })]
      if (isOne) {
        const done = await pool.query({ name: 'checkpoint', text: cte, values: [now, id, expected, id, step, body, now] })
        return done.rowCount === 1
      }
      const client = await pool.connect()
      try {
        await client.query('begin')
        const { rows } = await client.query({ name: 'update', text: update, values: [now, id, expected] })
        if (rows.length === 1) await client.query({ name: 'insert', text: insert, values: [id, rows[0].seq, step, body, now] })
        await client.query('commit')
        return rows.length === 1
      } finally {
        client.release()
      }
    },
    async claim(limit) {
      const now = Date.now()
      const { rows } = await pool.query({ name: 'claim', text: CLAIM(t), values: ['w', now + CLAIM_MS, now, limit] })
      return rows.map(({ id }) => id)
    },
    close: () => pool.end(),
  })
}

/** @type {Open} */
async function betterSqlite3(_url, place, { durability = 'full' }) {
  const { default: Database } = await import('better-sqlite3')
  const path = `${place}-by-hand.db`
  const db = new Database(path)
  db.pragma('journal_mode = wal')
  db.pragma(`synchronous = ${durability}`)
  db.exec(CREATE_RUNS('by_hand', 'text'))
  db.exec(CREATE_LOG('by_hand', 'text').replace(/\)$/, ') without rowid'))
  db.exec('create index if not exists by_hand_due on by_hand_runs (due_at) where due_at is not null')
  const create = db.prepare('insert into by_hand_runs values (?, ?, ?, ?, 1, 0, null, ?, ?)')
  const update = db.prepare(
    'update by_hand_runs set version = version + 1, seq = seq + 1, updated_at = ? where id = ? and version = ? returning seq',
  )
  const insert = db.prepare("insert into by_hand_log values (?, ?, ?, 'completed', ?, ?)")
  const claim = db.prepare(
    'update by_hand_runs set owner = ?, due_at = ?, version = version + 1 where id in (select id from by_hand_runs where due_at <= ? order by due_at limit ?) returning id, context',
  )
  const checkpoint = db.transaction((id, expected, step, body) => {
    const now = Date.now()
    const head = /** @type {{ seq: number } | undefined} */ (update.get(now, id, expected))
    if (head !== undefined) insert.run(id, head.seq, step, body, now)
    return head !== undefined
  })
  return withSaga({
    async create(id, due, finished = false) {
      create.run(id, NAME, finished ? 'completed' : 'running', JSON.stringify(CONTEXT), due ? Date.now() : null, Date.now())
    },
    checkpoint: async (id, expected, step, result) => checkpoint.immediate(id, expected, step, JSON.stringify({ result })),
    async claim(limit) {
      const now = Date.now()
      return /** @type {{ id: string }[]} */ (claim.all('w', now + CLAIM_MS, now, limit)).map(({ id }) => id)
    },
    close: async () => void db.close(),
  })
}

// No lease, no repetition after a lost answer, no statuses, no limits, no indexes: less than sagastore's checkpoint does.
const LUA_CHECKPOINT = `
local version = redis.call('HGET', KEYS[1], 'version')
if version ~= ARGV[1] then return 0 end
redis.call('HINCRBY', KEYS[1], 'version', 1)
redis.call('HSET', KEYS[1], 'updated', ARGV[2])
redis.call('RPUSH', KEYS[2], ARGV[3])
return 1`
// Answers ids; sagastore's claim answers the executions with their contexts, and counts attempts.
const LUA_CLAIM = `
local ids = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', ARGV[1], 'LIMIT', 0, ARGV[3])
for _, id in ipairs(ids) do
  redis.call('ZADD', KEYS[1], ARGV[2], id)
  redis.call('HSET', ARGV[4] .. id, 'owner', 'w')
end
return ids`

/** @type {Open} */
async function ioredis(url, place) {
  const { Redis } = await import('ioredis')
  const redis = /** @type {any} */ (new Redis(url))
  redis.defineCommand('checkpoint', { numberOfKeys: 2, lua: LUA_CHECKPOINT })
  redis.defineCommand('claim', { numberOfKeys: 1, lua: LUA_CLAIM })
  const key = (/** @type {string} */ id) => `${place}run:${id}`
  return withSaga({
    async create(id, due, finished = false) {
      const multi = redis.multi()
      multi.hset(key(id), 'name', NAME, 'status', finished ? 'completed' : 'running', 'context', JSON.stringify(CONTEXT), 'version', 1)
      if (due) multi.zadd(`${place}due`, Date.now(), id)
      await multi.exec()
    },
    async checkpoint(id, expected, step, result) {
      const entry = JSON.stringify({ step, status: 'completed', result, at: Date.now() })
      return (await redis.checkpoint(key(id), `${place}log:${id}`, expected, Date.now(), entry)) === 1
    },
    claim: async (limit) => await redis.claim(`${place}due`, Date.now(), Date.now() + CLAIM_MS, limit, `${place}run:`),
    close: async () => void (await redis.quit()),
  })
}

/** @type {Open} */
async function mongodb(url, place) {
  const { MongoClient } = await import('mongodb')
  const client = new MongoClient(url)
  /** @type {import('mongodb').Collection<any>} */
  const runs = client.db().collection(`${place}by_hand`, { writeConcern: { w: 'majority' } })
  await runs.createIndex({ dueAt: 1 }, { sparse: true })
  return withSaga({
    async create(id, due, finished = false) {
      const dueAt = due ? { dueAt: new Date() } : {}
      await runs.insertOne({
        _id: id,
        name: NAME,
        status: finished ? 'completed' : 'running',
        context: CONTEXT,
        version: 1,
        log: [],
        ...dueAt,
      })
    },
    async checkpoint(id, expected, step, result) {
      const entry = { step, status: 'completed', result, at: new Date() }
      const change = { $inc: { version: 1 }, $set: { updatedAt: new Date() }, $push: { log: entry } }
      return (await runs.updateOne({ _id: id, version: expected }, change)).matchedCount === 1
    },
    async claim(limit) {
      const ids = []
      for (let n = 0; n < limit; n++) {
        const now = new Date()
        const found = await runs.findOneAndUpdate(
          { dueAt: { $lte: now } },
          { $set: { owner: 'w', dueAt: new Date(now.getTime() + CLAIM_MS) } },
          { sort: { dueAt: 1 } },
        )
        if (found === null) break
        ids.push(found._id)
      }
      return ids
    },
    close: () => client.close(),
  })
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
  const TableName = `${place}by_hand`
  await client
    .send(
      new sdk.CreateTableCommand({
        TableName,
        AttributeDefinitions: [{ AttributeName: 'id', AttributeType: 'S' }],
        KeySchema: [{ AttributeName: 'id', KeyType: 'HASH' }],
        BillingMode: 'PAY_PER_REQUEST',
      }),
    )
    .catch((error) => {
      if (error.name !== 'ResourceInUseException') throw error
    })
  return withSaga({
    async create(id, _due, finished = false) {
      const Item = {
        id: { S: id },
        name: { S: NAME },
        status: { S: finished ? 'completed' : 'running' },
        context: { S: JSON.stringify(CONTEXT) },
        version: { N: '1' },
        log: { L: [] },
      }
      await client.send(new sdk.PutItemCommand({ TableName, Item }))
    },
    async checkpoint(id, expected, step, result) {
      const entry = { M: { step: { S: step }, body: { S: JSON.stringify({ result }) }, at: { N: String(Date.now()) } } }
      try {
        await client.send(
          new sdk.UpdateItemCommand({
            TableName,
            Key: { id: { S: id } },
            UpdateExpression: 'set version = version + :one, #log = list_append(#log, :entry)',
            ConditionExpression: 'version = :expected',
            ExpressionAttributeNames: { '#log': 'log' },
            ExpressionAttributeValues: { ':one': { N: '1' }, ':entry': { L: [entry] }, ':expected': { N: String(expected) } },
          }),
        )
        return true
      } catch (/** @type {any} */ error) {
        if (error.name === 'ConditionalCheckFailedException') return false
        throw error
      }
    },
    claim: async () => [],
    close: async () => client.destroy(),
  })
}

/** @type {Open} An engine of its own kind: it runs workflows, and has no checkpoints that others could write. */
async function dbos(url, place) {
  const { DBOS } = await import('@dbos-inc/dbos-sdk')
  const database = new URL(url)
  database.pathname = `/${place.toLowerCase()}dbos`
  DBOS.setConfig({ name: 'bench', systemDatabaseUrl: database.href, logLevel: 'error', runAdminServer: false })
  const run = async (/** @type {number} */ steps, /** @type {object} */ _context) => {
    for (let step = 1; step <= steps; step++) await DBOS.runStep(async () => ({ ok: true, step }), { name: `step-${step}` })
  }
  const workflow = DBOS.registerWorkflow(run, { name: NAME })
  await DBOS.launch()
  return {
    create: async () => undefined,
    checkpoint: () => Promise.reject(new Error('not here')),
    claim: () => Promise.reject(new Error('not here')),
    saga: (_id, steps) => workflow(steps, CONTEXT),
    close: () => DBOS.shutdown(),
  }
}

/** @type {Open} */
async function sagastore(url, place, { durability }) {
  const scheme = url.slice(0, url.indexOf(':'))
  /** @type {Record<string, object>} */
  const names = {
    postgres: { schema: place },
    redis: { executionsKeyPrefix: place },
    mongodb: {
      collectionName: `${place}p`,
      statesCollectionName: `${place}s`,
      executionsCollectionName: `${place}e`,
      logCollectionName: `${place}l`,
    },
    dynamodb: {
      tableName: `${place}p`,
      statesTableName: `${place}s`,
      executionsTableName: `${place}e`,
      credentials: { accessKeyId: 'local', secretAccessKey: 'local' },
    },
    sqlite: { durability },
  }
  const store = openStore(
    /** @type {any} */ ({
      url: scheme === 'sqlite' ? `sqlite://${place}-sagastore.db` : url,
      ...names[scheme],
      recoveryBackoffMs: 0,
      maxHistoryEntries: 1_000_000,
    }),
  )
  await store.initialize()
  const { executions } = store
  const checkpoint = async (
    /** @type {string} */ id,
    /** @type {number} */ expected,
    /** @type {string} */ step,
    /** @type {object} */ result,
  ) => {
    try {
      await executions.checkpoint(id, {
        expectedVersion: expected,
        steps: [{ stepName: step, action: 'act', status: 'completed', result }],
      })
      return true
    } catch (/** @type {any} */ error) {
      if (error.code === 'CONCURRENCY_CONFLICT') return false
      throw error
    }
  }
  return {
    ...withSaga({
      async create(id, due, finished = false) {
        const status = finished ? 'completed' : due ? 'running' : 'pending'
        await executions.create(id, NAME, CONTEXT, { status })
      },
      checkpoint,
      async claim(limit) {
        const runs = await executions.claim({ workerId: 'w', leaseMs: CLAIM_MS, limit, maxRecoveryAttempts: 1_000_000, renew: false })
        return runs.map(({ sagaId }) => sagaId)
      },
      history: (id, limit) => executions.history(id, { limit, reverse: true }),
      close: () => store.close(),
    }),
    async saga(id, steps) {
      const run = await executions.start(id, NAME, CONTEXT, { workerId: 'w', leaseMs: LEASE_MS })
      for (let step = 1; step < steps; step++) {
        const ended = {
          stepName: `step-${step}`,
          action: /** @type {const} */ ('act'),
          status: /** @type {const} */ ('completed'),
          result: { ok: true, step },
        }
        const begun = { stepName: `step-${step + 1}`, action: /** @type {const} */ ('act'), status: /** @type {const} */ ('started') }
        await run.checkpoint({ steps: [ended, begun] })
      }
      await run.complete()
    },
  }
}

/** Where the files of SQLite are. */
export function placeOf(/** @type {string} */ backend, /** @type {string} */ run) {
  if (backend !== 'sqlite') return { place: run, clean: () => undefined }
  const directory = mkdtempSync(join(tmpdir(), 'sagastore-bench-'))
  return { place: join(directory, run), clean: () => rmSync(directory, { recursive: true, force: true }) }
}

/** @type {Record<string, Open>} */
export const LOGS = {
  'pg, one statement': pg(true),
  'pg, four statements': pg(false),
  'better-sqlite3': betterSqlite3,
  ioredis,
  mongodb,
  'aws-sdk': awsSdk,
  dbos,
  sagastore,
}
