import { setTimeout as sleep } from 'node:timers/promises'
import Database from 'better-sqlite3'
import { Redis } from 'ioredis'
import { MongoClient } from 'mongodb'
import pg from 'pg'
import { afterEach, describe, expect, it } from 'vitest'
import { type AnyStoreOptions, openStore, type SagaStore } from '../../index.js'
import { dynamoDBLibraries } from '../support/dynamodb-libraries'
import { addressOf } from '../support/redis-libraries'
import { missing, randomName, sql, type Target, targets, temporaryNamespace, temporarySchema, withMongo } from '../support/targets'

/** What `open` is refused with. */
function refusal(open: () => unknown): { code: string; message: string } {
  try {
    open()
  } catch (error) {
    return error as { code: string; message: string }
  }
  throw new Error('it was accepted')
}

const ends: (() => unknown)[] = []

afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end()
})

async function opened(options: object): Promise<SagaStore> {
  const store = openStore(options as AnyStoreOptions)
  ends.push(() => store.close())
  await store.initialize()
  return store
}

/** Of a target's options, those that say where its server is. */
function placeOf(target: Target): object {
  const isName = (option: string) => /(keyPrefix|collectionName|tableName)$/i.test(option)
  return Object.fromEntries(Object.entries(target.options()).filter(([option]) => !isName(option)))
}

const saga = (sagaId: string, more: object = {}) => ({ metadata: { sagaId, ...more }, of: sagaId })
const longAgo = new Date('2020-01-01')

/** Two namespaces in one database: what one does is nothing to the other. */
async function areApart(one: SagaStore, other: SagaStore): Promise<void> {
  const overdue = { timeoutExpiresAt: new Date(Date.now() - 1_000) }
  for (const [store, text] of [
    [one, 'one'],
    [other, 'other'],
  ] as const) {
    await store.put('slip', Buffer.from(text))
    await store.put('short', Buffer.from(text), new Date(Date.now() + 20))
    await store.states.insert('Order', 'order-1', saga('s-1', overdue))
    await store.states.insert('Order', 'order-2', saga('s-2', { isCompleted: true, updatedAt: longAgo }))
  }
  await one.states.insert('Order', 'order-3', saga('s-3'))
  await areExecutionsApart(one, other)
  expect((await one.get('slip')).toString()).toBe('one')
  expect((await other.get('slip')).toString()).toBe('other')
  expect(await one.states.countByName('Order')).toBe(3)
  expect(await other.states.countByName('Order')).toBe(2)
  expect(await other.states.getById('Order', 's-3')).toBeNull()
  expect(await other.states.findTimedOut()).toHaveLength(1)
  await sleep(50)
  const removed = await one.purgeExpired()
  expect(await one.states.deleteCompletedBefore('Order', new Date())).toBe(1)
  await one.states.delete('Order', 's-1')
  await one.delete('slip')
  expect(await other.purgeExpired()).toBe(removed)
  expect((await other.get('slip')).toString()).toBe('other')
  expect(await other.states.countByName('Order')).toBe(2)
  expect(await other.states.findTimedOut()).toHaveLength(1)
  expect(await other.states.getById('Order', 's-2')).toMatchObject({ of: 's-2' })
}

/** The same, of executions. */
async function areExecutionsApart({ executions: one }: SagaStore, { executions: other }: SagaStore): Promise<void> {
  await one.create('e-1', 'Order', { of: 'one' }, { status: 'running' })
  await one.logStep('e-1', 'charge', 'act', 'started')
  await other.create('e-1', 'Order', { of: 'other' }, { status: 'failed' })
  await one.create('e-2', 'Order')
  expect([await one.count(), await other.count()]).toEqual([2, 1])
  expect(await one.findRecoverable({ limit: 10 })).toEqual(['e-1'])
  expect(await other.findRecoverable({ limit: 10 })).toEqual([])
  expect((await other.history('e-1')).entries).toEqual([])
  expect(await one.delete('e-1')).toBe(true)
  expect((await other.load('e-1')).context).toEqual({ of: 'other' })
}

for (const target of targets.filter(({ name }) => !['sqlite, durability normal', 'sqlite::memory:'].includes(name))) {
  describe.skipIf(missing(target))(`namespaces on ${target.name}`, () => {
    it('do not see each other', async () => {
      const place = placeOf(target)
      await areApart(
        await opened({ ...place, namespace: temporaryNamespace() }),
        await opened({ ...place, namespace: temporaryNamespace() }),
      )
    })

    it('are not the default', async () => {
      const options = target.options()
      const store = await opened(options)
      await store.put('slip', Buffer.from('x'))
      const other = await opened({ ...placeOf(target), ...{ url: options.url }, namespace: temporaryNamespace() })
      expect(await other.has('slip')).toBe(false)
    })

    it.each(['', 'Orders', 'or-ders', '2orders', '_orders', 'or ders', 'a'.repeat(33), 5])('are not called %j', (namespace) => {
      const error = refusal(() => openStore({ ...placeOf(target), namespace } as never))
      expect(error).toMatchObject({ code: 'INVALID_ARGUMENT', message: expect.stringContaining("'namespace'") })
    })
  })
}

describe.skipIf(process.env.POSTGRES_URL === undefined)('namespaces on the clients of the application', () => {
  it('pg', async () => {
    const client = new pg.Pool({ connectionString: process.env.POSTGRES_URL as string })
    ends.push(() => client.end())
    const [schema, one, other] = [temporarySchema(), temporaryNamespace(), temporaryNamespace()]
    await areApart(await opened({ client, schema, namespace: one }), await opened({ client, schema, namespace: other }))
    const tables = await sql('select tablename from pg_tables where schemaname = $1 order by 1', [schema])
    const names = [one, other].flatMap((name) => [`${name}_payloads`, `${name}_sagas`, `${name}_executions`, `${name}_log`]).sort()
    expect(tables.map(({ tablename }) => tablename)).toEqual(expect.arrayContaining(names))
    expect(tables.every(({ tablename }) => `${tablename}`.startsWith(one) || `${tablename}`.startsWith(other))).toBe(true)
  })
})

describe('namespaces on the clients of the application', () => {
  it('better-sqlite3', async () => {
    const client = new Database(':memory:')
    ends.push(() => client.close())
    await areApart(await opened({ client, namespace: 'one' }), await opened({ client, namespace: 'other' }))
    const tables = client
      .prepare("select name from sqlite_schema where type = 'table' and name not like 'sqlite_%' order by name")
      .pluck()
      .all()
    const kinds = ['executions', 'inbox', 'log', 'outbox', 'outbox_kept', 'payloads', 'sagas']
    expect(tables).toEqual(['one', 'other'].flatMap((name) => kinds.map((kind) => `${name}_${kind}`)))
  })

  it.skipIf(process.env.REDIS_URL === undefined)('ioredis', async () => {
    const client = new Redis(addressOf('REDIS_URL'))
    ends.push(() => client.disconnect())
    const one = temporaryNamespace()
    await areApart(await opened({ client, namespace: one }), await opened({ client, namespace: temporaryNamespace() }))
    const store = await opened({ client, namespace: one })
    await store.put('slip', Buffer.from('x'))
    expect(await client.get(`${one}:payloads:slip`)).toBe('x')
    expect(await client.get(`${one}:sagas:saga:Order:idx:id:s-3`)).toBe('order-3')
  })

  it.skipIf(process.env.MONGODB_URL === undefined)('mongodb', async () => {
    const url = process.env.MONGODB_URL as string
    const client = new MongoClient(url)
    ends.push(() => client.close())
    const one = temporaryNamespace()
    const of = (namespace: string) => opened({ client, database: 'sagas', namespace })
    await areApart(await of(one), await of(temporaryNamespace()))
    const collections = await withMongo(url, async (database) => await database.listCollections().toArray())
    expect(collections.map(({ name }) => name)).toEqual(expect.arrayContaining([`${one}_payloads`, `${one}_sagas`]))
  })

  it.skipIf(process.env.DYNAMODB_URL === undefined)('DynamoDBClient', async () => {
    const { client, close } = (dynamoDBLibraries[0] as (typeof dynamoDBLibraries)[0]).open()
    ends.push(close)
    const namespaces = [temporaryNamespace(), temporaryNamespace()]
    const [one, other] = await Promise.all(namespaces.map((namespace) => opened({ client, namespace })))
    await areApart(one as SagaStore, other as SagaStore)
  })
})

describe('an option that names one kind alone', () => {
  it('goes before the namespace', async () => {
    const client = new Database(':memory:')
    ends.push(() => client.close())
    const store = await opened({ client, namespace: 'orders', tableName: 'saga_store' })
    await store.put('slip', Buffer.from('x'))
    const tables = client
      .prepare("select name from sqlite_schema where type = 'table' and name not like 'sqlite_%' order by name")
      .pluck()
      .all()
    expect(tables).toEqual([
      'orders_executions',
      'orders_inbox',
      'orders_log',
      'orders_outbox',
      'orders_outbox_kept',
      'orders_sagas',
      'saga_store',
    ])
  })

  it('is asked for where a DynamoDB URL names a table', () => {
    const url = 'dynamodb://eu-west-1/slips'
    expect(refusal(() => openStore({ url, namespace: 'orders' })).message).toContain("leave it out of the URL, or give option 'tableName'")
    expect(openStore({ url, namespace: 'orders', tableName: 'slips' })).toBeDefined()
  })
})

describe('one place for two kinds is refused', () => {
  const client = new Database(':memory:')
  it.each<[string, object]>([
    ['an SQLite table', { url: 'sqlite:x.db', tableName: 'saga_instances' }],
    ['an SQLite table, in capitals', { url: 'sqlite:x.db', tableName: 'Sagas', statesTableName: 'sagas' }],
    ['an SQLite table on a client', { client, tableName: 'x', statesTableName: 'x' }],
    ['an SQLite table, with a namespace', { url: 'sqlite:x.db', namespace: 'orders', statesTableName: 'orders_payloads' }],
    ['a PostgreSQL table', { url: 'postgres://h/d', statesTableName: 'saga_store' }],
    ['a PostgreSQL table, with a namespace', { url: 'postgres://h/d', namespace: 'orders', tableName: 'orders_sagas' }],
    ['a collection', { url: 'mongodb://h/d', collectionName: 'x', statesCollectionName: 'x' }],
    ['a collection, with a namespace', { url: 'mongodb://h/d', namespace: 'orders', collectionName: 'orders_sagas' }],
    ['a DynamoDB table', { url: 'dynamodb://eu-west-1/sagas', statesTableName: 'sagas' }],
    ['a DynamoDB table, with a namespace', { url: 'dynamodb://eu-west-1', namespace: 'orders', tableName: 'orders_sagas' }],
    ['keys', { url: 'redis://h', keyPrefix: 'x', statesKeyPrefix: 'x:' }],
    ['keys of a saga', { url: 'redis://h', keyPrefix: 'x:saga:Order', statesKeyPrefix: 'x:' }],
    ['keys of a cluster', { url: 'redis-cluster://h', keyPrefix: 'saga-bus' }],
    ['keys, with a namespace', { url: 'redis://h', namespace: 'orders', keyPrefix: 'orders' }],
    ['keys on a client', { client: new Redis({ lazyConnect: true }), keyPrefix: 'x', statesKeyPrefix: 'x:y:' }],
  ])('%s', (_, options) => {
    const error = refusal(() => openStore(options as never))
    expect(error).toMatchObject({ code: 'INVALID_ARGUMENT', message: expect.stringMatching(/same place|overlap/) })
  })

  it.skipIf(process.env.REDIS_URL === undefined)('but not what only looks alike', async () => {
    const app = randomName()
    const store = await opened({ url: process.env.REDIS_URL, keyPrefix: `${app}:payloads`, statesKeyPrefix: `${app}:` })
    await store.put('saga:Order:order-1', Buffer.from('a payload'))
    await store.states.insert('Order', 'order-1', saga('s-1'))
    expect((await store.get('saga:Order:order-1')).toString()).toBe('a payload')
    expect(await store.states.getById('Order', 's-1')).toMatchObject({ of: 's-1' })
  })
})
