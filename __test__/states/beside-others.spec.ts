import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { UpdateItemCommand } from '@aws-sdk/client-dynamodb'
import Database from 'better-sqlite3'
import { Redis } from 'ioredis'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { openStore, type SagaStore } from '../../index.js'
import { type TheirSaga, TheirTable, theirSaga } from '../support/store-postgres'
import {
  dynamoDB,
  dynamoDBCredentials,
  missing,
  randomName,
  sql,
  temporaryCollection,
  temporaryDirectory,
  temporarySchema,
  temporaryTable,
  withMongo,
} from '../support/targets'

const NAME = 'Order'
const past = (minutes: number) => new Date(Date.now() - minutes * 60_000)
const order = (sagaId: string, metadata: object = {}) => ({ metadata: { sagaId, ...metadata } })
const overdue = async (store: SagaStore) =>
  (await store.states.findTimedOut({ limit: 1_000 })).map(({ state }) => state.metadata.sagaId).sort()
const url = process.env.POSTGRES_URL as string
const without = (variable: string) => missing({ name: variable, available: process.env[variable] !== undefined, variable })

describe('a saga that other software has ended has not timed out', () => {
  it('on sqlite', async () => {
    const path = join(temporaryDirectory(), 'sagas.db')
    await using store = openStore(`sqlite://${path}`)
    await store.initialize()
    await store.states.insert(NAME, 'o-1', order('s-1', { timeoutExpiresAt: past(1) }))
    expect(await overdue(store)).toEqual(['s-1'])
    const database = new Database(path)
    database.exec('update saga_instances set is_completed = 1')
    database.close()
    expect(await overdue(store)).toEqual([])
    expect(await store.states.findTimedOut({ sagaName: NAME })).toEqual([])
  })

  it.skipIf(without('POSTGRES_URL'))('on postgres, also where no trigger could be made', async () => {
    const schema = temporarySchema()
    await using store = openStore({ url, schema })
    await store.initialize()
    await sql(`drop trigger saga_instances_keeper on "${schema}".saga_instances`)
    await store.states.insert(NAME, 'o-1', order('s-1', { timeoutExpiresAt: past(1) }))
    expect(await overdue(store)).toEqual(['s-1'])
    await sql(`update "${schema}".saga_instances set is_completed = true`)
    expect(await overdue(store)).toEqual([])
    expect(await store.states.findTimedOut({ sagaName: NAME })).toEqual([])
  })

  it.skipIf(without('REDIS_URL'))('on redis, whose sorted sets others leave as they are', async () => {
    const prefix = `test:${randomName()}:`
    const redis = new Redis(process.env.REDIS_URL as string)
    await using store = openStore({ url: process.env.REDIS_URL as string, statesKeyPrefix: prefix })
    await store.initialize()
    const timeoutExpiresAt = past(1)
    for (const id of ['1', '2', '3']) await store.states.insert(NAME, `o-${id}`, order(`s-${id}`, { timeoutExpiresAt }))
    const set = async (id: string, metadata: object) =>
      await redis.set(`${prefix}saga:${NAME}:o-${id}`, JSON.stringify({ metadata: { sagaId: `s-${id}`, version: 2, ...metadata } }))
    await set('1', { isCompleted: true, timeoutExpiresAt })
    await set('2', { isCompleted: false, timeoutExpiresAt: null })
    expect(await overdue(store)).toEqual(['s-3'])
    expect(await store.states.findTimedOut({ sagaName: NAME, limit: 1 })).toHaveLength(1)
    redis.disconnect()
  })

  it.skipIf(without('MONGODB_URL'))('on mongodb', async () => {
    const mongo = process.env.MONGODB_URL as string
    const statesCollectionName = temporaryCollection()
    await using store = openStore({ url: mongo, collectionName: temporaryCollection(), statesCollectionName })
    await store.initialize()
    await store.states.insert(NAME, 'o-1', order('s-1', { timeoutExpiresAt: past(1) }))
    expect(await overdue(store)).toEqual(['s-1'])
    await withMongo(mongo, (database) => database.collection(statesCollectionName).updateMany({}, { $set: { isCompleted: true } }))
    expect(await overdue(store)).toEqual([])
  })

  it.skipIf(without('DYNAMODB_URL'))('on dynamodb', async () => {
    const address = process.env.DYNAMODB_URL as string
    const table = temporaryTable()
    const names = {
      tableName: temporaryTable(),
      statesTableName: table,
      executionsTableName: temporaryTable(),
      outboxTableName: temporaryTable(),
      inboxTableName: temporaryTable(),
    }
    await using store = openStore({ url: address, ...names, ...dynamoDBCredentials(address) })
    await store.initialize()
    await store.states.insert(NAME, 'o-1', order('s-1', { timeoutExpiresAt: past(1) }))
    expect(await overdue(store)).toEqual(['s-1'])
    const client = dynamoDB()
    await client.send(
      new UpdateItemCommand({
        TableName: table,
        Key: { id: { S: `saga#${NAME}#s-1` } },
        UpdateExpression: 'SET endedAt = :at',
        ExpressionAttributeValues: { ':at': { N: '1' } },
      }),
    )
    client.destroy()
    expect(await overdue(store)).toEqual([])
  })
})

describe.skipIf(without('POSTGRES_URL'))('a table of @saga-bus/store-postgres', () => {
  let schema: string
  let theirs: TheirTable
  let opened: SagaStore[]

  beforeEach(async () => {
    schema = temporarySchema()
    theirs = new TheirTable(url, schema)
    opened = []
    await theirs.create()
  })

  afterEach(async () => {
    for (const store of opened) await store.close()
    await theirs.close()
  })

  const ours = async (more: object = {}) => {
    const warnings: string[] = []
    const nothing = () => undefined
    const logger = {
      debug: nothing,
      info: nothing,
      error: nothing,
      warn: (...said: unknown[]) => warnings.push(said.map(String).join(' ')),
    }
    const store = openStore({ url, schema, logger, ...more })
    opened.push(store)
    await store.initialize()
    return { store, warnings }
  }

  const columns = async () => {
    const rows = await sql(
      'select column_name, data_type from information_schema.columns where table_schema = $1 and table_name = $2 order by 1',
      [schema, 'saga_instances'],
    )
    return Object.fromEntries(rows.map((row) => [row.column_name, row.data_type]))
  }

  it('is brought up to date: timeouts, ends, long ids', async () => {
    await theirs.insert(NAME, 'o-1', theirSaga('late', { timeoutExpiresAt: past(5) }))
    await theirs.insert(NAME, 'o-2', theirSaga('early', { timeoutExpiresAt: past(-5) }))
    await theirs.insert(NAME, 'o-3', theirSaga('paid', { timeoutExpiresAt: past(5), isCompleted: true, updatedAt: past(60) }))
    await theirs.insert(NAME, 'o-4', theirSaga('none', { timeoutExpiresAt: null }))
    const { store, warnings } = await ours()
    expect(warnings).toEqual([])
    expect(await overdue(store)).toEqual(['late'])
    expect(await store.states.deleteCompletedBefore(NAME, past(30))).toBe(1)
    expect(await columns()).toMatchObject({ id: 'text', saga_name: 'text', correlation_id: 'text', version: 'integer' })
    await store.states.insert('n'.repeat(128), 'c'.repeat(512), order('i'.repeat(512)))
    expect(await store.states.getByCorrelationId('n'.repeat(128), 'c'.repeat(512))).toMatchObject(order('i'.repeat(512)))
    expect((await theirs.getById('n'.repeat(128), 'i'.repeat(512)))?.metadata.version).toBe(1)
  })

  it('follows what old workers do to sagas afterwards', async () => {
    const { store } = await ours()
    await theirs.insert(NAME, 'o-1', theirSaga('s-1', { timeoutExpiresAt: past(5) }))
    await store.states.insert(NAME, 'o-2', order('s-2', { timeoutExpiresAt: past(5) }))
    expect(await overdue(store)).toEqual(['s-1', 's-2'])
    // Given more time, and none at all.
    expect(await theirs.update(NAME, theirSaga('s-1', { version: 2, timeoutExpiresAt: past(-5) }), 1)).toBe(true)
    expect(await theirs.update(NAME, theirSaga('s-2', { version: 2, timeoutExpiresAt: null }), 1)).toBe(true)
    expect(await overdue(store)).toEqual([])
    await theirs.update(NAME, theirSaga('s-2', { version: 3, timeoutExpiresAt: past(5) }), 2)
    expect(await overdue(store)).toEqual(['s-2'])
    await theirs.update(NAME, theirSaga('s-2', { version: 4, timeoutExpiresAt: past(5), isCompleted: true, updatedAt: past(60) }), 3)
    expect(await overdue(store)).toEqual([])
    // Ended, and opened again.
    await theirs.update(NAME, theirSaga('s-1', { version: 3, isCompleted: true, updatedAt: past(60) }), 2)
    await theirs.update(NAME, theirSaga('s-1', { version: 4 }), 3)
    expect(await store.states.deleteCompletedBefore(NAME, past(30))).toBe(1)
    expect((await store.states.findByName(NAME)).items.map(({ metadata }) => metadata.sagaId)).toEqual(['s-1'])
  })

  it('takes times that are none for none, and never fails because of them', async () => {
    const { store } = await ours()
    const times = [
      'soon',
      '',
      'infinity',
      'now',
      '2026-02-30T00:00:00.000Z',
      '2026-13-01T00:00:00.000Z',
      '2025-01-01T00:00:00Z',
      '0000-01-01T00:00:00Z',
    ]
    for (const [n, timeoutExpiresAt] of times.entries()) await theirs.insert(NAME, `o-${n}`, theirSaga(`s-${n}`, { timeoutExpiresAt }))
    const rows = await sql(`select timeout_at from "${schema}".saga_instances order by id`)
    const found = rows.map((row) => (row.timeout_at as Date | null)?.toISOString() ?? null)
    expect(found).toEqual([null, null, null, null, '2026-03-02T00:00:00.000Z', null, '2025-01-01T00:00:00.000Z', null])
    expect(await store.states.countByName(NAME)).toBe(times.length)
  })

  it('is gone through to its end at a later initialize, if one was broken off', async () => {
    for (let n = 0; n < 5; n += 1) await theirs.insert(NAME, `o-${n}`, theirSaga(`s-${n}`, { timeoutExpiresAt: past(5) }))
    const { store } = await ours()
    expect(await overdue(store)).toHaveLength(5)
    // As if it had ended between the trigger and the rows.
    await sql(`alter table "${schema}".saga_instances disable trigger user; update "${schema}".saga_instances set timeout_at = null;
      alter table "${schema}".saga_instances enable trigger user;
      alter trigger saga_instances_keeper on "${schema}".saga_instances rename to saga_instances_keeper_filling`)
    expect(await overdue(store)).toEqual([])
    await store.initialize()
    expect(await overdue(store)).toHaveLength(5)
    const triggers = await sql(`select tgname from pg_trigger where tgrelid = '"${schema}".saga_instances'::regclass`)
    expect(triggers).toEqual([{ tgname: 'saga_instances_keeper' }])
  })

  it('is brought up to date by the statements of schemaSql() as well', async () => {
    for (let n = 0; n < 5; n += 1) await theirs.insert(NAME, `o-${n}`, theirSaga(`s-${n}`, { timeoutExpiresAt: past(5) }))
    const byHand = openStore({ url, schema })
    opened.push(byHand)
    await sql(byHand.schemaSql())
    const before = [await columns(), await sql(`select tgname from pg_trigger where tgrelid = '"${schema}".saga_instances'::regclass`)]
    await sql(byHand.schemaSql())
    const { store, warnings } = await ours()
    expect(warnings).toEqual([])
    expect([await columns(), await sql(`select tgname from pg_trigger where tgrelid = '"${schema}".saga_instances'::regclass`)]).toEqual(
      before,
    )
    expect(await overdue(store)).toHaveLength(5)
  })

  it('may belong to another role: then it is said what is missing', async () => {
    const role = randomName('role')
    await theirs.insert(NAME, 'o-1', theirSaga('s-1', { timeoutExpiresAt: past(5) }))
    await sql(`create table "${schema}".saga_store (id text primary key, data bytea not null, expires_at timestamptz);
      create index on "${schema}".saga_store (expires_at);
      create role "${role}" login password 'secret'; grant usage on schema "${schema}" to "${role}";
      grant select, insert, update, delete on all tables in schema "${schema}" to "${role}"`)
    try {
      const limited = new URL(url)
      Object.assign(limited, { username: role, password: 'secret' })
      const first = await ours({ url: limited.href })
      expect(first.warnings.join()).toMatch(/lacks column completed_at, column timeout_at.*schemaSql/)
      // Somebody has added the columns, and no trigger.
      await ours()
      await sql(`drop trigger saga_instances_keeper on "${schema}".saga_instances;
        alter table "${schema}".saga_instances alter column correlation_id type varchar(256);
        update "${schema}".saga_instances set timeout_at = null`)
      const second = await ours({ url: limited.href })
      expect(second.warnings.join()).toMatch(/correlation_id of table .* take no 512 bytes/)
      expect(second.warnings.join()).toMatch(/no trigger/)
      // What may be written has been brought up to date all the same.
      expect(await overdue(second.store)).toEqual(['s-1'])
    } finally {
      await sql(`drop owned by "${role}"; drop role "${role}"`)
    }
  })

  it('is kept by both at once: lists, counts, timeouts and deletes agree', async () => {
    for (let n = 0; n < 50; n += 1) await theirs.insert(NAME, `o-${n}`, theirSaga(`s-${n}`, { timeoutExpiresAt: past(n - 25) }))
    const until = Date.now() + Number(process.env.BESIDE_OTHERS_MS ?? 2_500)
    const random = (count: number) => Math.floor(Math.random() * count)
    const metadata = () => ({
      isCompleted: random(3) === 0,
      timeoutExpiresAt: random(3) === 0 ? null : past(random(20) - 10),
      updatedAt: past(random(100)),
    })
    const oldWorker = async () => {
      while (Date.now() < until) {
        const saga = await theirs.getById(NAME, `s-${random(50)}`)
        if (saga === null) continue
        const { version } = saga.metadata
        await theirs.update(NAME, { ...saga, metadata: { ...saga.metadata, ...metadata(), version: version + 1 } }, version)
      }
    }
    const old = [oldWorker(), oldWorker()]
    await sleep(300)
    // The new version arrives while the old one works.
    const { store } = await ours()
    const newWorker = async () => {
      while (Date.now() < until) {
        const saga = await store.states.getById<TheirSaga>(NAME, `s-${random(50)}`)
        if (saga === null) continue
        await store.states
          .update(NAME, { ...saga, metadata: { ...saga.metadata, ...metadata() } }, saga.metadata.version)
          .catch((error) => expect(error.code).toBe('CONCURRENCY_CONFLICT'))
      }
    }
    await Promise.all([...old, newWorker(), newWorker()])

    const ids = (sagas: { metadata: { sagaId: string } }[]) => sagas.map((saga) => saga.metadata.sagaId).sort()
    for (const completed of [undefined, true, false]) {
      const filter = completed === undefined ? {} : { completed }
      const listed = (await store.states.findByName(NAME, { ...filter, limit: 100 })).items
      const known = await theirs.findByName(NAME, completed)
      expect(ids(listed)).toEqual(ids(known))
      expect(await store.states.countByName(NAME, filter)).toBe(known.length)
    }
    const all = await theirs.findByName(NAME)
    const due = all.filter(({ metadata: { isCompleted, timeoutExpiresAt } }) => {
      return !isCompleted && timeoutExpiresAt != null && new Date(timeoutExpiresAt).getTime() <= Date.now()
    })
    expect(await overdue(store)).toEqual(ids(due))
    const ended = await theirs.findByName(NAME, true)
    expect(ended.length).toBeGreaterThan(0)
    expect(await store.states.deleteCompletedBefore(NAME, new Date())).toBe(ended.length)
    expect(await theirs.deleteCompletedBefore(NAME, new Date())).toBe(0)
    expect(await store.states.countByName(NAME)).toBe(all.length - ended.length)
  }, 120_000)
})
