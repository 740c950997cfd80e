import { randomBytes } from 'node:crypto'
import { Cluster, Redis } from 'ioredis'
import { createClient, createSentinel } from 'redis'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { openStore, RedisSagaStore, type SagaStore } from '../../../index.js'
import { startRedis, startRedisCluster, startSentinel } from '../../../scripts/services/servers.mjs'
import { executionBehavior } from '../../executions/behavior'
import { inboxBehavior } from '../../inbox/behavior'
import { outboxBehavior } from '../../outbox/behavior'
import { payloadBehavior } from '../../payloads/behavior'
import { stateBehavior } from '../../states/behavior'
import { eventually, rejectionOf } from '../../support/promises'
import { addressOf, type OpenRedisLibrary, type RedisLibrary, redisLibraries } from '../../support/redis-libraries'
import { missing, prefixesInOneSlot, randomName, type Target, targets, temporaryPrefixes } from '../../support/targets'

const targetOf = ({ variable }: RedisLibrary) => targets.find((target) => target.variable === variable) as Target

const opened: OpenRedisLibrary[] = []

afterEach(async () => {
  for (const library of opened.splice(0)) await library.close()
})

async function open(library: RedisLibrary): Promise<OpenRedisLibrary> {
  const one = await library.open()
  opened.push(one)
  return one
}

function storeOn(library: OpenRedisLibrary, more: object = {}): SagaStore {
  return openStore({
    client: library.client,
    ...temporaryPrefixes(),
    ...more,
  } as never)
}

for (const library of redisLibraries) {
  describe.skipIf(missing(targetOf(library)))(`on ${library.name}`, () => {
    it('answers everything that the store’s own connection answers', async () => {
      const { client } = await open(library)
      const keyPrefix = `test:${randomName()}`
      const url = process.env[library.variable] as string
      await using own = openStore({ url, keyPrefix })
      await using store = new RedisSagaStore({ client: client as never, keyPrefix })
      await store.initialize()
      expect(store.capabilities).toEqual(own.capabilities)
      for (let n = 0; n < 50; n++) await store.put(`id ${n}`, Buffer.from('four'), new Date(Date.now() + 60_000))
      const [ours, theirs] = [await store.statistics(), await own.statistics()]
      expect(ours).toMatchObject({ backend: 'redis', payloads: { count: 50, bytes: 200 }, pool: null })
      expect(ours.payloads).toEqual(theirs.payloads)
      const health = await store.health()
      const { latencyMs: _, details, ...rest } = await own.health()
      expect(health).toMatchObject({ ...rest, status: 'healthy' })
      expect(Object.keys(health.details)).toEqual(Object.keys(details))
      expect(await store.purgeExpired()).toBe(0)
      await store.cleanup()
    })

    it('keeps bytes, and its records are those of a store with a URL', async () => {
      const one = await open(library)
      const keyPrefix = `test:${randomName()}`
      await using own = openStore({ url: process.env[library.variable] as string, keyPrefix })
      await using store = storeOn(one, { keyPrefix })
      const texts = ['', '\0', 'OK', 'QUEUED', 'nil', '\r\n$3\r\nfoo\r\n'].map((text) => Buffer.from(text))
      const binary = [Buffer.from([0xff, 0xfe, 0]), randomBytes(100_000), randomBytes(3_000_000)]
      for (const [n, data] of [...texts, ...binary].entries()) {
        const id = `slip ü ${n}`
        // A view into something larger, and no Buffer.
        const view = new Uint8Array([...Buffer.from('xx'), ...(data.length < 1000 ? data : [])]).subarray(2)
        await store.put(id, data.length < 1000 ? view : new Uint8Array(data))
        expect((await own.get(id)).equals(data), id).toBe(true)
        expect((await store.get(id)).equals(data), id).toBe(true)
        await own.put(id, Buffer.concat([data, data]))
        expect((await store.find(id))?.length).toBe(2 * data.length)
        expect([await store.delete(id), await store.delete(id), await own.find(id)]).toEqual([true, false, null])
      }
    })

    it('keeps the expiry, to the millisecond', async () => {
      const one = await open(library)
      const keyPrefix = `test:${randomName()}`
      await using store = storeOn(one, { keyPrefix })
      const at = new Date(Date.now() + 3_600_000)
      await store.put('a', Buffer.from('x'), at)
      const expiry = async () => Number(await one.command(`${keyPrefix}:a`, 'PEXPIRETIME', `${keyPrefix}:a`))
      // The client's own prefix is put before keys of the test's command.
      if (!library.name.startsWith('ioredis') || !library.name.includes('prefix')) expect(await expiry()).toBe(at.getTime())
      expect(await store.touch('a', new Date(Date.now() + 500))).toBe(true)
      expect(await store.has('a')).toBe(true)
      await eventually('it has gone', async () => !(await store.has('a')))
      expect(await store.touch('a', at)).toBe(false)
    })

    it('tells of a key that holds something else', async () => {
      const one = await open(library)
      if (library.name.includes('prefix')) return
      const keyPrefix = `test:${randomName()}`
      await using store = storeOn(one, { keyPrefix })
      await one.command(`${keyPrefix}:list`, 'LPUSH', `${keyPrefix}:list`, 'x')
      const error = await rejectionOf(store.get('list'))
      expect(error).toMatchObject({ code: 'CORRUPT_DATA', id: 'list', operation: 'get', backend: 'redis', retryable: false })
      expect((error.cause as Error).message).toContain('WRONGTYPE')
      expect(await store.statistics()).toMatchObject({ payloads: { count: 0 } })
    })

    it('opens no connection in 10,000 operations', async () => {
      // On servers of its own: on the others the connections of other tests come and go.
      await using server = await (library.variable === 'REDIS_URL' ? startRedis() : startRedisCluster({ nodes: 3 }))
      const one = await library.open(server.url)
      // Before its server goes.
      await using _ = { [Symbol.asyncDispose]: async () => void (await one.close()) }
      const store = storeOn(one)
      await store.put('warm', Buffer.from('x'), new Date(Date.now() + 60_000))
      await Promise.all(Array.from({ length: 200 }, (_, n) => store.put(`warm ${n}`, Buffer.from('x'))))
      const before = await connections(library, server.url)
      for (let done = 0; done < 10_000; done += 500) {
        await Promise.all(Array.from({ length: 250 }, (_, n) => store.put(`${done + n}`, Buffer.from(`${n}`))))
        await Promise.all(Array.from({ length: 250 }, (_, n) => store.get(`${done + n}`)))
      }
      expect(await connections(library, server.url)).toEqual(before)
      await store.close()
      expect(await connections(library, server.url), 'close() closes nothing of the application’s').toEqual(before)
      expect(await one.command('x', 'PING')).toEqual('PONG')
    })

    // The suite of all backends; as a target, and as an executor.
    describe('the rules of the claim check', () => {
      let shared: OpenRedisLibrary
      const suite = {
        name: library.name,
        available: true,
        variable: library.variable,
        options: () => ({ client: shared.client, ...temporaryPrefixes() }) as never,
        open: async (more: object = {}) => {
          const store = storeOn(shared, more)
          await store.initialize()
          return store
        },
      }
      beforeAll(async () => {
        shared = await library.open()
      })
      afterAll(async () => {
        await shared.close()
      })
      payloadBehavior(suite)
      describe('and those of saga state', () => stateBehavior(suite))
      describe('and those of executions', () => executionBehavior(suite))
      describe('and those of the outbox', () => outboxBehavior(suite))
      const inOneSlot = { ...suite, open: (more: object = {}) => suite.open({ ...prefixesInOneSlot(), ...more }) }
      describe('and those of the inbox', () => inboxBehavior(inOneSlot))
    })
  })
}

/** The ids of all connections, as each server knows them, but for those that ask. */
async function connections(library: RedisLibrary, url: string): Promise<string[]> {
  const ids: string[] = []
  for (const port of await portsOf(library, url)) {
    const asking = new Redis({ port, connectionName: 'asking' })
    const list = (await asking.client('LIST', 'TYPE', 'NORMAL')) as string
    const others = list.split('\n').filter((line) => line !== '' && !/ name=(?:asking|sagastore) /.test(line))
    ids.push(...others.map((line) => `${port} ${/^id=\d+/.exec(line)?.[0]}`))
    asking.disconnect()
  }
  return ids.sort()
}

async function portsOf({ variable }: RedisLibrary, url: string): Promise<Set<number>> {
  const { host, port } = addressOf(variable, url)
  if (variable === 'REDIS_URL') return new Set([port])
  const asking = new Redis({ host, port })
  const slots = (await asking.cluster('SLOTS')) as unknown as [number, number, [string, number]][]
  asking.disconnect()
  return new Set(slots.map(([, , [, primary]]) => primary))
}

describe('what is no client of Redis', () => {
  it('is not taken for one', () => {
    const close = () => undefined
    for (const client of [
      {},
      { multi: close, sendCommand: close },
      new Map(),
      { callBuffer: close, isPipeline: true },
      { status: 'ready' },
    ]) {
      expect(() => openStore({ client } as never)).toThrow(/ioredis \(Redis, Cluster\), redis \(node-redis/)
    }
  })

  it('a pipeline is no transaction and no client', async () => {
    const client = new Redis({ lazyConnect: true })
    expect(() => openStore({ client: client.pipeline() } as never)).toThrow(/pipeline\(\) is no transaction: use multi\(\)/)
    client.disconnect()
  })
})

describe.skipIf(missing(targets.find(({ variable }) => variable === 'REDIS_URL') as Target))('bad days', () => {
  it('nobody there', async () => {
    const client = new Redis({ port: 1, maxRetriesPerRequest: 1, retryStrategy: () => 10 })
    client.on('error', () => undefined)
    await using store = openStore({ client, retry: { attempts: 1 } })
    expect(await rejectionOf(store.put('a', Buffer.from('x')))).toMatchObject({ code: 'CONNECTION', retryable: true })
    expect(await store.health()).toMatchObject({ status: 'unhealthy', details: { code: 'CONNECTION' } })
    client.disconnect()

    const ended = new Redis({ port: 1, retryStrategy: () => null })
    ended.on('error', () => undefined)
    await eventually('it has ended', () => ended.status === 'end')
    await using third = openStore({ client: ended, retry: { attempts: 1 } })
    expect(await rejectionOf(third.get('a'))).toMatchObject({ code: 'CONNECTION' })

    const other = createClient({ socket: { port: 1, reconnectStrategy: false } })
    other.on('error', () => undefined)
    await using second = openStore({ client: other, retry: { attempts: 1 } })
    expect(await rejectionOf(second.get('a'))).toMatchObject({ code: 'CONNECTION' })
    await other.connect().catch(() => undefined)
    expect(await rejectionOf(second.put('a', Buffer.from('x'), new Date(Date.now() + 60_000)))).toMatchObject({ code: 'CONNECTION' })
  })

  it('a client that is in a MULTI which the store was not told of stores nothing, and says so', async () => {
    const client = new Redis(addressOf('REDIS_URL'))
    await using store = openStore({ client, keyPrefix: `test:${randomName()}`, statesKeyPrefix: `test:${randomName()}:` })
    await client.multi({ pipeline: false })
    expect(await rejectionOf(store.put('a', Buffer.from('x')))).toMatchObject({ code: 'BACKEND' })
    expect(await rejectionOf(store.has('a'))).toMatchObject({ code: 'BACKEND' })
    await client.discard()
    expect(await store.has('a')).toBe(false)
    client.disconnect()
  })

  it('a server that is full, a replica', async () => {
    await using server = await startRedis({ maxmemory: '8mb' })
    const client = new Redis(server.url)
    await using store = openStore({ client, retry: { attempts: 1 } })
    const filling = Array.from({ length: 60 }, (_, n) => store.put(`${n}`, Buffer.alloc(200_000)))
    const refused = (await Promise.allSettled(filling)).find((put) => put.status === 'rejected')
    expect(refused?.reason).toMatchObject({ code: 'BACKEND', retryable: true })
    expect(refused?.reason.message).toMatch(/out of memory/)
    await using replica = await startRedis({ replicaOf: server })
    const other = createClient({ url: replica.url })
    await other.connect()
    await using readOnly = openStore({ client: other, retry: { attempts: 1 } })
    expect(await rejectionOf(readOnly.put('id', Buffer.from('x')))).toMatchObject({ code: 'CONNECTION', retryable: true })
    other.destroy()
    client.disconnect()
  })

  it('a server that does not answer is a timeout, and is waited for no longer', async () => {
    await using server = await startRedis()
    const client = new Redis(server.url)
    await using store = openStore({ client, operationTimeoutMs: 300 })
    await store.put('before', Buffer.from('x'))
    await server.pause()
    expect(await rejectionOf(store.get('before'))).toMatchObject({ code: 'TIMEOUT', operation: 'get', id: 'before' })
    await server.resume()
    expect((await store.get('before')).toString()).toBe('x')
    client.disconnect()
  })
})

describe('other ways to connect', () => {
  it('Sentinel: ioredis and createSentinel', async () => {
    await using sentinel = await startSentinel()
    const { hostname, port, searchParams } = new URL(sentinel.url)
    const name = searchParams.get('sentinelServiceName') as string
    const [first] = [{ host: hostname, port: Number(port) }]
    const password = new URL(sentinel.url).password
    const client = new Redis({ sentinels: [first], name, ...(password && { password }) })
    const other = await createSentinel({
      name,
      sentinelRootNodes: [first],
      ...(password && { nodeClientOptions: { password } }),
    }).connect()
    await using one = openStore({ client })
    await using two = openStore({ client: other })
    await one.initialize()
    await two.initialize()
    await one.put('a', Buffer.from([0, 255]), new Date(Date.now() + 60_000))
    expect(await two.get('a')).toEqual(Buffer.from([0, 255]))
    await two.transaction(async (tx) => {
      await tx.put('b', Buffer.from('2'), new Date(Date.now() + 60_000))
      await tx.delete('a')
    })
    expect([await one.has('a'), await one.has('b')]).toEqual([false, true])
    other.destroy()
    client.disconnect()
  })

  it('a Cluster that lets replicas answer is still read consistently', async () => {
    await using cluster = await startRedisCluster({ nodes: 3, replicas: 1 })
    const nodes = cluster.nodes.map(({ port }: { port: number }) => ({ host: '127.0.0.1', port }))
    const client = new Cluster(nodes.slice(0, 3), { scaleReads: 'slave' })
    await eventually('ioredis knows a replica of every slot', async () => {
      await new Promise((done) => (client as unknown as { refreshSlotsCache(done: unknown): void }).refreshSlotsCache(done))
      const { slots } = client as unknown as { slots: string[][] }
      return slots.length === 16_384 && slots.every((nodes) => nodes.length === 2)
    })
    await using store = openStore({ client })
    for (let n = 0; n < 100; n++) {
      await store.put(`${n}`, Buffer.from(`${n}`), new Date(Date.now() + 60_000))
      expect((await store.get(`${n}`)).toString()).toBe(`${n}`)
    }
    let [asked, elsewhere] = [0, 0]
    for (const node of nodes) {
      const one = new Redis(node)
      const stats = (await one.info('commandstats')) as string
      const gets = Number(/cmdstat_get:calls=(\d+)/.exec(stats)?.[1] ?? 0)
      if (/role:slave/.test((await one.info('replication')) as string)) elsewhere += gets
      else asked += gets
      one.disconnect()
    }
    expect([asked, elsewhere]).toEqual([100, 0])
    client.disconnect()
  })
})
