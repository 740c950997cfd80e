import { createServer } from 'node:net'
import Redis from 'ioredis'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import {
  MemorySagaStore,
  MongoSagaStore,
  openStore,
  PostgresSagaStore,
  RedisSagaStore,
  type SagaStoreError,
  SqliteSagaStore,
  withTransaction,
} from '../../index.js'
import { freePort } from '../support/ports'
import { rejectionOf } from '../support/promises'
import { randomName } from '../support/targets'

/** What somebody does in the first five minutes, and what is said to it. */
function refusalOf(open: () => unknown): SagaStoreError {
  try {
    open()
  } catch (error) {
    return error as SagaStoreError
  }
  throw new Error('it was accepted')
}

const redis = new Redis({ lazyConnect: true })
const pool = new pg.Pool({ connectionString: 'postgres://nobody@127.0.0.1:1/none' })
afterAll(async () => {
  redis.disconnect()
  await pool.end()
})

describe('opening', () => {
  it.each<[string, () => unknown, RegExp]>([
    [
      'host and port',
      () => new RedisSagaStore({ host: 'h', port: 6379 } as never),
      /unknown option 'host', 'port': .*'url'.*redis:\/\/host:6379.*'client'/,
    ],
    ['{ redis }', () => new RedisSagaStore({ redis } as never), /unknown option 'redis': .*'url'.*'client'/],
    ['{ connection }', () => new PostgresSagaStore({ connection: {} } as never), /unknown option 'connection': .*'url'.*'client'/],
    ['{ pool } to openStore', () => openStore({ pool } as never), /unknown option 'pool': .*'url'.*'client'/],
    ['beside an option that is known', () => openStore({ namespace: 'a', host: 'h' } as never), /unknown option 'host': /],
    [
      'options without a place',
      () => new MongoSagaStore({ namespace: 'a' } as never),
      /neither 'url' nor 'client' is given.*mongodb:\/\/host/,
    ],
    ['a URL from nowhere', () => openStore({ url: process.env.SAGASTORE_NOT_SET } as never), /option 'url' is undefined/],
    ['a client from nowhere', () => new RedisSagaStore({ client: undefined } as never), /option 'client' is undefined/],
    ['an ioredis client', () => new RedisSagaStore(redis as never), /is a client \(ioredis\).*pass it as \{ client \}/],
    ['an ioredis client to openStore', () => openStore(redis as never), /is a client \(ioredis\).*pass it as \{ client \}/],
    ['a pg Pool', () => new PostgresSagaStore(pool as never), /is a client \(pg\).*pass it as \{ client \}/],
    ['an unset variable', () => openStore(process.env.SAGASTORE_NOT_SET as never), /takes a connection string, or options .*got undefined/],
    ['null', () => new SqliteSagaStore(null as never), /got null/],
    ['a number', () => new RedisSagaStore(6379 as never), /got a number/],
    ['an empty variable', () => openStore({ url: '' }), /'url' must be a connection string; got an empty one/],
    ['?family=6', () => openStore('redis://h?family=6'), /unknown query parameter 'family'; accepted: none/],
    [
      '?family=6 on Sentinel',
      () => openStore('redis-sentinel://h?sentinelServiceName=m&family=6'),
      /parameter 'family'; accepted: sentinelServiceName/,
    ],
    ['?family=6 on PostgreSQL', () => openStore('postgres://h/d?family=6'), /unknown parameter 'family'/],
    ['?family=6 on MongoDB', () => openStore('mongodb://h/d?family=6'), /unknown parameter 'family'/],
    [
      '?family=6 on DynamoDB',
      () => openStore('dynamodb://eu-west-1/orders?family=6'),
      /unknown query parameter 'family'; accepted: endpoint/,
    ],
    ['what is not the name of a parameter', () => openStore('redis://h?hunter%202'), /unknown query parameter; accepted: none/],
  ])('%s', (_, open, message) => {
    const error = refusalOf(open)
    expect(error).toMatchObject({ code: 'INVALID_ARGUMENT', retryable: false })
    expect(error.message).toMatch(message)
  })

  it('a client that is none of ours is taken for options, and its members are not opened', () => {
    class Connection {
      readonly host = 'h'
    }
    expect(refusalOf(() => openStore(new Connection() as never)).message).toMatch(/unknown option 'host'/)
  })
})

describe('connecting', () => {
  const soon = { retry: { attempts: 1 }, connectTimeoutMs: 2_000 }

  it.each<[string, (place: string) => string, RegExp]>([
    ['Redis', (place) => `redis://${place}`, /cannot connect to Redis \(127\.0\.0\.1:\d+: connection refused, nothing listens there\)/],
    ['Redis Cluster', (place) => `redis-cluster://${place}`, /cannot connect to Redis \(127\.0\.0\.1:\d+: connection refused/],
    ['Redis with TLS', (place) => `rediss://${place}`, /\(127\.0\.0\.1:\d+: connection refused/],
    ['PostgreSQL', (place) => `postgres://u@${place}/d`, /PostgreSQL refuses connections.* \(127\.0\.0\.1:\d+: connection refused/],
    ['MongoDB', (place) => `mongodb://${place}/d`, /no MongoDB server could be reached.* \(127\.0\.0\.1:\d+: connection refused/],
    [
      'DynamoDB',
      (place) => `dynamodb://eu-west-1/orders?endpoint=http://${place}`,
      /cannot connect to DynamoDB \(127\.0\.0\.1:\d+: connection refused/,
    ],
  ])('%s: nobody listens', async (_, urlOf, message) => {
    const url = urlOf(`127.0.0.1:${await freePort()}`)
    await using store = openStore({ url, ...soon, ...credentialsOf(url) } as never)
    const error = (await rejectionOf(store.get('a'))) as SagaStoreError
    expect(error).toMatchObject({ code: 'CONNECTION', retryable: true })
    expect(error.message).toMatch(message)
    // No debug output of Rust.
    for (let cause = error.cause as Error | undefined; cause !== undefined; cause = cause.cause as Error | undefined)
      if (error.backend === 'redis' || error.backend === 'postgres') expect(cause.message).not.toMatch(/kind: |code: \d/)
  })

  it.each<[string, string, RegExp]>([
    ['Redis', 'redis://no-such-host.invalid', /\(no-such-host\.invalid:6379: the name of the host cannot be resolved\)/],
    ['PostgreSQL', 'postgres://u@no-such-host.invalid/d', /\(no-such-host\.invalid:5432: the name of the host cannot be resolved\)/],
    ['MongoDB', 'mongodb://no-such-host.invalid/d', /\(no-such-host\.invalid:27017: the name of the host cannot be resolved\)/],
    [
      'DynamoDB',
      'dynamodb://eu-west-1/orders?endpoint=http://no-such-host.invalid:8000',
      /\(no-such-host\.invalid:8000: the name of the host/,
    ],
  ])('%s: the host is misspelt', async (_, url, message) => {
    await using store = openStore({ url, ...soon, ...credentialsOf(url) } as never)
    const error = (await rejectionOf(store.get('a'))) as SagaStoreError
    expect(error.code).toBe('CONNECTION')
    expect(error.message).toMatch(message)
  })

  function credentialsOf(url: string) {
    return url.startsWith('dynamodb:') ? { credentials: { accessKeyId: 'a', secretAccessKey: 'b' } } : {}
  }

  describe('TLS where none is spoken', () => {
    // As a Redis without TLS: it waits for the end of the line.
    const silent = createServer(() => undefined)
    let port = 0
    beforeAll(async () => {
      await new Promise<void>((listening) => silent.listen(0, '127.0.0.1', listening))
      port = (silent.address() as { port: number }).port
    })
    afterAll(() => void silent.close())

    it('asks whether the server speaks it', async () => {
      await using store = openStore({ url: `rediss://127.0.0.1:${port}`, ...soon })
      const error = await rejectionOf(store.get('a'))
      expect(error).toMatchObject({ code: 'CONNECTION' })
      expect((error as Error).message).toMatch(/does this server speak TLS\? .* redis:, not rediss: \(127\.0\.0\.1:\d+/)
    })
  })

  it.skipIf(process.env.REDIS_URL === undefined)('a password that the server does not have: another attempt does not help', async () => {
    const { host } = new URL(process.env.REDIS_URL as string)
    await using store = openStore(`redis://:hunter2@${host}`)
    const error = (await rejectionOf(store.get('a'))) as SagaStoreError
    expect(error).toMatchObject({ code: 'CONNECTION', retryable: false })
    expect(error.message).toMatch(/this Redis server has none: leave it out/)
    expect(error.message).not.toContain('hunter2')
  })

  it.skipIf(process.env.POSTGRES_URL === undefined)('PostgreSQL: what it says, without the line of its source', async () => {
    const url = new URL(process.env.POSTGRES_URL as string)
    url.pathname = `/${randomName('none')}`
    await using store = openStore(url.href)
    const error = (await rejectionOf(store.get('a'))) as SagaStoreError
    expect(error.message).toMatch(/the database does not exist \(.*:\d+\)/)
    expect((error.cause as Error).message).toMatch(/^database "none_\w+" does not exist$/)
  })
})

describe('a pool is no transaction', () => {
  it('names what is one', () => {
    expect(refusalOf(() => withTransaction(pool, () => undefined)).message).toMatch(
      /pass the client of pool\.connect\(\), after BEGIN on it/,
    )
    expect(refusalOf(() => withTransaction(redis, () => undefined)).message).toMatch(/pass what client\.multi\(\) gives/)
  })
})

describe('payloads', () => {
  const data = Buffer.from('x')

  it.each<[string, (store: MemorySagaStore) => Promise<unknown>, RegExp, string?]>([
    [
      'seconds in place of a time',
      (store) => store.put('a', data, 3600 as never),
      /must be a Date, such as new Date\(Date\.now\(\) \+ 3600_000\)/,
      'a',
    ],
    ['touch with seconds', (store) => store.touch('a', 3600 as never), /new Date\(Date\.now\(\) \+ 3600_000\)/, 'a'],
    ['a text', (store) => store.put('a', 'text' as never), /Buffer\.from\(text\)/, 'a'],
    ['an object', (store) => store.put('a', { slip: 1 } as never), /Buffer\.from\(JSON\.stringify\(object\)\)/, 'a'],
    [
      'pairs',
      (store) => store.putMany([['a', data]] as never),
      /entry 0 is an array; an entry is \{ id: string, data: Uint8Array, expiresAt\?: Date \}/,
    ],
    ['a Map', (store) => store.putMany(new Map([['a', data]]) as never), /entry 0 is an array/],
    ['one entry', (store) => store.putMany({ id: 'a', data } as never), /iterable of entries, each \{ id: string/],
    [
      'a text in the second',
      (store) =>
        store.putMany([
          { id: 'a', data },
          { id: 'b', data: 'x' as never },
        ]),
      /entry 1 .*Buffer\.from\(text\)/,
      'b',
    ],
    [
      'seconds in the second',
      (store) =>
        store.putMany([
          { id: 'a', data },
          { id: 'b', data, expiresAt: 60 as never },
        ]),
      /entry 1 .*new Date/,
      'b',
    ],
    ['no id in the second', (store) => store.putMany([{ id: 'a', data }, { data } as never]), /entry 1 has a wrong id/],
    [
      'another name for the expiry',
      (store) => store.putMany([{ id: 'a', data, expires: new Date() } as never]),
      /entry 0 has an unknown property 'expires'; accepted: id, data, expiresAt, routingSlipId/,
      'a',
    ],
  ])('%s', async (_, call, message, id) => {
    await using store = new MemorySagaStore()
    const error = await rejectionOf(call(store))
    expect(error).toMatchObject({ code: 'INVALID_ARGUMENT' })
    expect((error as SagaStoreError).id).toBe(id)
    expect((error as Error).message).toMatch(message)
    expect(await store.has('a')).toBe(false)
  })

  it('one that is gone may have expired', async () => {
    await using store = new MemorySagaStore()
    expect(((await rejectionOf(store.get('a'))) as Error).message).toMatch(/no payload has this id, or it has expired/)
  })
})

describe('saga state', () => {
  it('modify without a return', async () => {
    await using store = new MemorySagaStore()
    await store.states.insert('Orders', 'order-1', { metadata: { sagaId: 'saga-1' }, paid: false })
    const forgotten = await rejectionOf(
      store.states.modify<{ metadata: { sagaId: string }; paid: boolean }>('Orders', 'saga-1', ((state: { paid: boolean }) => {
        state.paid = true
      }) as never),
    )
    expect(forgotten).toMatchObject({ code: 'INVALID_ARGUMENT', operation: 'states.modify' })
    expect((forgotten as Error).message).toMatch(/did you forget to return the changed state\?/)
    const partly = await rejectionOf(store.states.modify('Orders', 'saga-1', () => ({ paid: true }) as never))
    expect((partly as Error).message).toMatch(/must return the state with its metadata/)
  })

  it('save twice with the first object', async () => {
    await using store = new MemorySagaStore()
    const order = { id: 'saga-1', correlationId: 'order-1', paid: false }
    const saved = await store.states.save('Orders', order)
    const again = await rejectionOf(store.states.save('Orders', order))
    expect(again).toMatchObject({ code: 'ALREADY_EXISTS', operation: 'states.save', sagaName: 'Orders', sagaId: 'saga-1', id: 'saga-1' })
    expect((again as Error).message).toMatch(/no metadata\.version.*save what an earlier save, or a read, has returned/)
    const taken = await rejectionOf(store.states.save('Orders', { ...order, id: 'saga-2' }))
    expect(taken).toMatchObject({ code: 'ALREADY_EXISTS', correlationId: 'order-1' })
    await store.states.save('Orders', { ...saved, paid: true })
    expect(await store.states.getById('Orders', 'saga-1')).toMatchObject({ paid: true, metadata: { version: 2 } })
  })
})
