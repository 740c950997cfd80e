import { spawnSync } from 'node:child_process'
import { createServer } from 'node:net'
import { inspect } from 'node:util'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import {
  ConnectionError,
  DynamoDBSagaStore,
  InvalidArgumentError,
  MemorySagaStore,
  MongoSagaStore,
  openStore,
  PostgresSagaStore,
  RedisSagaStore,
  SagaStoreError,
  SqliteSagaStore,
} from '../../index.js'
import { freePort } from '../support/ports'
import { entry } from '../support/programs'

function refusal(open: () => unknown): SagaStoreError {
  try {
    open()
  } catch (error) {
    expect(error).toBeInstanceOf(SagaStoreError)
    return error as SagaStoreError
  }
  throw new Error('it was accepted')
}

// Connections are accepted by the kernel, and nobody answers: as a host that swallows packets.
const silent = createServer(() => undefined)
let silentPort = 0
beforeAll(async () => {
  await new Promise<void>((listening) => silent.listen(0, '127.0.0.1', listening))
  silentPort = (silent.address() as { port: number }).port
})
afterAll(() => {
  silent.close()
})

describe('the scheme chooses the class', () => {
  it.each([
    ['memory://', MemorySagaStore, 'memory'],
    ['memory://orders', MemorySagaStore, 'memory'],
    ['sqlite:///tmp/orders.db', SqliteSagaStore, 'sqlite'],
    ['sqlite:orders.db', SqliteSagaStore, 'sqlite'],
    ['sqlite::memory:', SqliteSagaStore, 'sqlite'],
    ['postgres://app@127.0.0.1:1/orders', PostgresSagaStore, 'postgres'],
    ['postgresql://app@127.0.0.1:1/orders?sslmode=require', PostgresSagaStore, 'postgres'],
    ['redis://127.0.0.1:1/3', RedisSagaStore, 'redis'],
    ['rediss://user:pass@127.0.0.1:1', RedisSagaStore, 'redis'],
    ['redis-cluster://127.0.0.1:1?node=127.0.0.1:2', RedisSagaStore, 'redis'],
    ['redis-sentinel://127.0.0.1:1?sentinelServiceName=mymaster', RedisSagaStore, 'redis'],
    ['mongodb://user:pass@127.0.0.1:1,127.0.0.1:2/orders', MongoSagaStore, 'mongodb'],
    ['mongodb+srv://cluster.invalid/orders', MongoSagaStore, 'mongodb'],
    ['dynamodb://eu-west-1/orders?endpoint=http://127.0.0.1:1', DynamoDBSagaStore, 'dynamodb'],
  ])('%s', (url, storeClass, backend) => {
    const store = openStore(url)
    expect(store).toBeInstanceOf(storeClass)
    expect(store.backend).toBe(backend)
    expect(openStore({ url })).toBeInstanceOf(storeClass)
  })

  it('gives a memory store without any argument', async () => {
    await using store = new MemorySagaStore()
    await store.put('id', Buffer.from('x'))
    await using other = new MemorySagaStore({ lateRetentionMs: 5 })
    expect(await other.find('id')).toBeNull()
  })
})

describe('refused by the constructor, with what is accepted', () => {
  it.each<[string, () => unknown, RegExp]>([
    ['an unknown scheme', () => openStore('mysql://root:hunter2@db/x'), /unknown scheme 'mysql:'; accepted: memory:, sqlite:, postgres:/],
    ['no scheme', () => openStore('localhost'), /no scheme; accepted: memory:/],
    ['no URL', () => openStore(undefined as never), /connection string/],
    ['an empty URL', () => openStore(''), /connection string/],
    ['a misspelt option', () => openStore({ url: 'memory://', lateRetentionMS: 1 } as never), /did you mean 'lateRetentionMs'\?/],
    ['another backend’s option', () => openStore({ url: 'memory://', keyPrefix: 'x' } as never), /unknown option 'keyPrefix'; accepted: /],
    [
      'a misspelt retry option',
      () => openStore({ url: 'memory://', retry: { retries: 3 } } as never),
      /'retry\.retries'.*attempts, baseMs, maxMs/,
    ],
    [
      'a misspelt option of the outbox',
      () => openStore({ url: 'memory://', outbox: { maxRetry: 3 } } as never),
      /'outbox\.maxRetry' \(did you mean 'maxRetries'\?\)/,
    ],
    ['an outbox that is none', () => openStore({ url: 'memory://', outbox: 5 } as never), /'outbox'/],
    ['a wrong onDeadLetter', () => openStore({ url: 'memory://', outbox: { onDeadLetter: 'wait' as never } }), /'block' or 'skip'/],
    ['no delivery at all', () => openStore({ url: 'memory://', outbox: { maxDeliveries: 0 } }), /'outbox\.maxDeliveries' must be/],
    ['a negative timeout', () => openStore({ url: 'memory://', operationTimeoutMs: -1 }), /'operationTimeoutMs' must be a whole number/],
    ['NaN', () => openStore({ url: 'memory://', connectTimeoutMs: Number.NaN }), /'connectTimeoutMs' must be/],
    ['a function as option', () => openStore({ url: 'memory://', keyPrefix: () => 'x' } as never), /keyPrefix/],
    ['a logger without methods', () => openStore({ url: 'memory://', logger: {} as never }), /'logger' must have the methods/],
    ['a URL of another backend', () => new PostgresSagaStore('redis://localhost'), /takes postgres:, postgresql:/],
    [
      'a table name with a quote',
      () => new PostgresSagaStore({ url: 'postgres://h/d', tableName: 'a"; drop table x' }),
      /letters, digits and underscores/,
    ],
    ['a schema with a dot', () => new PostgresSagaStore({ url: 'postgres://h/d', schema: 'a.b' }), /letters, digits and underscores/],
    ['a table name of SQLite', () => new SqliteSagaStore({ url: 'sqlite:x.db', tableName: "x'y" }), /letters, digits and underscores/],
    ['a wrong durability', () => new SqliteSagaStore({ url: 'sqlite:x.db', durability: 'half' as never }), /'full' or 'normal'/],
    ['a key prefix with a space', () => new RedisSagaStore({ url: 'redis://h', keyPrefix: 'my app' }), /keyPrefix/],
    ['a PostgreSQL URL parameter that does not exist', () => new PostgresSagaStore('postgres://h/d?sslmod=require'), /sslmod/],
    ['a wrong sslmode', () => new PostgresSagaStore('postgres://h/d?sslmode=maybe'), /sslmode|connection string|URL/i],
    ['a database number that is none', () => new RedisSagaStore('redis://h:6379/orders'), /database/],
    ['a port that is none', () => new RedisSagaStore('redis://h:port'), /URL|port/],
    ['a database number with Cluster', () => new RedisSagaStore('redis-cluster://h:6379/2'), /[Cc]luster/],
    ['an SQLite URL with parameters', () => new SqliteSagaStore('sqlite:x.db?mode=ro'), /parameter/],
    ['an SQLite URL without a path', () => new SqliteSagaStore('sqlite:'), /path|file/],
  ])('%s', (_, open, message) => {
    const error = refusal(open)
    expect(error).toBeInstanceOf(InvalidArgumentError)
    expect(error.code).toBe('INVALID_ARGUMENT')
    expect(error.message).toMatch(message)
    expect(inspect(error)).not.toContain('hunter2')
  })

  it.each([
    'postgres:app:hunter2@h:1/db',
    'postgres:/app:hunter2@h:1/db',
    'postgresql:hunter2@h',
    'redis:app:hunter2@h:6379',
    'rediss-sentinel:/app:hunter2@h:6379?sentinelServiceName=m',
    'redis-cluster:hunter2@h',
    'mongodb:app:hunter2@h/db',
    'mongodb+srv:/app:hunter2@h/db',
    'dynamodb:hunter2@eu-west-1/sagas',
    // A password with a '/', '?' or '#' that is not encoded.
    'postgres://app:12/hunter2@h/db',
    'redis://app:12?hunter2@h',
    'mongodb://app:12#hunter2@h',
    'postgres://app:hunter2@[bad/x',
    'redis://app:hunter2@host:99999999',
    'hunter2',
    'postgres://app:hunter2@h/d?password=hunter2&foo=hunter2',
    'redis-sentinel://h:1?sentinelPassword=hunter2&foo=1',
    'rediss-cluster://:hunter2@h:x',
    'mysql://app:hunter2@h/d',
  ])('a password is in no error: %s', (url) => {
    const error = refusal(() => openStore(url))
    expect(error.code).toBe('INVALID_ARGUMENT')
    expect(inspect(error)).not.toContain('hunter2')
  })
})

/** DynamoDB has no password in the URL. */
const at = (url: string) => (url.startsWith('dynamodb:') ? { url, credentials: { accessKeyId: 'A', secretAccessKey: 'hunter2' } } : { url })
const dynamodb = (port: number) => `dynamodb://local?endpoint=http://127.0.0.1:${port}`

describe('a server that is not there', () => {
  it.each([
    ['redis', (port: number) => `redis://app:hunter2@127.0.0.1:${port}`],
    ['redis cluster', (port: number) => `redis-cluster://:hunter2@127.0.0.1:${port}`],
    ['redis sentinel', (port: number) => `redis-sentinel://app:hunter2@127.0.0.1:${port}?sentinelServiceName=mymaster`],
    ['postgres', (port: number) => `postgres://app:hunter2@127.0.0.1:${port}/orders`],
    ['mongodb', (port: number) => `mongodb://app:hunter2@127.0.0.1:${port}/orders`],
    ['dynamodb', dynamodb],
  ])('%s: CONNECTION within connectTimeoutMs, without the password', async (_, url) => {
    const began = performance.now()
    await using store = openStore({ ...at(url(await freePort())), connectTimeoutMs: 2000 })
    for (const call of [() => store.put('id', Buffer.from('x')), () => store.get('id'), () => store.initialize()]) {
      const started = performance.now()
      const error = await call().then(
        () => undefined,
        (reason: unknown) => reason,
      )
      expect(error).toBeInstanceOf(ConnectionError)
      expect(error).toMatchObject({ code: 'CONNECTION', retryable: true })
      expect(inspect(error, { depth: 10 })).not.toContain('hunter2')
      expect(performance.now() - started).toBeLessThan(2500)
    }
    const health = await store.health()
    expect(health.status).toBe('unhealthy')
    expect(inspect(health)).not.toContain('hunter2')
    expect(performance.now() - began).toBeLessThan(12_000)
  })

  it.each([
    ['redis', (port: number) => `redis://127.0.0.1:${port}`],
    ['postgres', (port: number) => `postgres://app:x@127.0.0.1:${port}/orders`],
    ['mongodb', (port: number) => `mongodb://app:x@127.0.0.1:${port}/orders`],
    ['dynamodb', dynamodb],
  ])('%s: a server that never answers is a CONNECTION error within connectTimeoutMs', async (_, url) => {
    await using store = openStore({ ...at(url(silentPort)), connectTimeoutMs: 700 })
    const began = performance.now()
    await expect(store.put('id', Buffer.from('x'))).rejects.toMatchObject({ code: 'CONNECTION' })
    expect(performance.now() - began).toBeLessThan(1500)
  })
})

describe('the store as an object', () => {
  it('shows no password when inspected or logged', () => {
    for (const url of [
      'postgres://app:hunter2@127.0.0.1/orders?sslmode=prefer',
      'redis://app:hunter2@127.0.0.1/1',
      'redis-sentinel://app:hunter2@127.0.0.1:1?sentinelServiceName=m&sentinelUsername=u&sentinelPassword=hunter2',
    ]) {
      const store = openStore({ url, logger: console })
      for (const shown of [inspect(store, { depth: 10, showHidden: true }), JSON.stringify(store), String(store)]) {
        expect(shown).not.toContain('hunter2')
      }
      expect(inspect(store)).toContain('***')
    }
  })

  it('does not keep the process alive, used or unused', () => {
    const program = `
      const { openStore } = require(${JSON.stringify(entry)})
      openStore('redis://127.0.0.1:1')
      const store = openStore('sqlite::memory:')
      store.initialize().then(() => store.put('id', Buffer.alloc(100000))).then(() => console.log('stored'))`
    const child = spawnSync(process.execPath, ['-e', program], { encoding: 'utf8', timeout: 10_000 })
    expect(child).toMatchObject({ status: 0, stdout: 'stored\n', signal: null })
  })
})
