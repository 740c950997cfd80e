import { inspect } from 'node:util'
import { MongoClient, type MongoClientOptions } from 'mongodb'
import { afterEach, describe, expect, it } from 'vitest'
import { MongoSagaStore, openStore, type SagaStore } from '../../../index.js'
import { startPeer } from '../../support/mongodb-peer'
import { freePort } from '../../support/ports'
import { rejectionOf } from '../../support/promises'
import { missing, targets, temporaryCollection } from '../../support/targets'

const url = process.env.MONGODB_URL ?? ''
const isMissing = missing(targets.find(({ name }) => name === 'mongodb') as (typeof targets)[number])
const closers: (() => unknown)[] = []

afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close()
})

function clientOf(at: string, options: MongoClientOptions = {}): MongoClient {
  const client = new MongoClient(at, options)
  closers.push(() => client.close())
  return client
}

function kept<T extends SagaStore>(store: T): T {
  closers.push(() => store.close())
  return store
}

describe.skipIf(isMissing)('beside a store with a URL', () => {
  const decodings: MongoClientOptions[] = [
    {},
    { promoteBuffers: true, ignoreUndefined: true },
    { promoteValues: false, promoteLongs: false },
    { useBigInt64: true },
    { raw: true },
  ]
  it.each(decodings)('has the same records and answers, with %o', async (options) => {
    const collectionName = temporaryCollection()
    const client = clientOf(url, options)
    // The URL's database is `sagas` where it names none, and the driver's `test`.
    const database = 'sagas'
    const own = kept(new MongoSagaStore({ url: new URL(`/${database}`, url).href, collectionName }))
    for (const store of [
      kept(new MongoSagaStore({ client, database, collectionName })),
      kept(openStore({ client: client.db(database), collectionName })),
    ]) {
      await store.initialize()
      await own.initialize()
      expect(store.capabilities).toEqual(own.capabilities)
      const at = new Date(Date.now() + 3_600_001)
      for (const data of [Buffer.alloc(0), Buffer.from([0, 255, 128]), Buffer.alloc(3_000_000, 7)]) {
        await store.put('ü', new Uint8Array(data), at)
        expect((await own.get('ü')).equals(data)).toBe(true)
        await own.put('ü', data)
        expect((await store.get('ü')).equals(data)).toBe(true)
      }
      await own.putMany([{ id: 'a', data: Buffer.from('a'), expiresAt: at }])
      expect(await store.getMany(['b', 'a'])).toEqual(await own.getMany(['a']))
      expect((await store.statistics()).payloads).toEqual((await own.statistics()).payloads)
      const { status, details } = await own.health()
      const { clockOffsetMs, ...rest } = details
      expect(await store.health()).toMatchObject({ status, backend: 'mongodb', details: rest })
      expect(typeof clockOffsetMs).toBe('number')
      expect([await store.delete('a'), await store.delete('a'), await own.find('a')]).toEqual([true, false, null])
    }
  })

  it('is in the database that is named, or in that of the Db or of the URL', async () => {
    const collectionName = temporaryCollection()
    const client = clientOf(url)
    const other = `${client.db().databaseName}_other`
    const named = kept(new MongoSagaStore({ client, database: other, collectionName }))
    const ofDb = kept(new MongoSagaStore({ client: client.db(other), collectionName }))
    const plain = kept(new MongoSagaStore({ client, collectionName }))
    await named.initialize()
    await named.put('a', Buffer.from('x'))
    expect([await ofDb.has('a'), await plain.has('a')]).toEqual([true, false])
    await client.db(other).dropDatabase()
  })

  it('opens no connection of its own over 10,000 operations, and closes nothing', async () => {
    let opened = 0
    const client = clientOf(url, { maxPoolSize: 4, monitorCommands: true })
    client.on('connectionCreated', () => {
      opened += 1
    })
    let commands = 0
    client.on('commandStarted', () => {
      commands += 1
    })
    const store = kept(openStore({ client, collectionName: temporaryCollection() }))
    await store.initialize()
    for (let round = 0; round < 50; round++) {
      await Promise.all(Array.from({ length: 100 }, (_, n) => store.put(`id-${n}`, Buffer.from('x'))))
      await Promise.all(Array.from({ length: 100 }, (_, n) => store.has(`id-${n}`)))
    }
    await store.close()
    // Each went through the client, over its own few connections.
    expect(commands).toBeGreaterThanOrEqual(10_000)
    expect(opened).toBeLessThanOrEqual(4)
    expect(await client.db().command({ ping: 1 })).toMatchObject({ ok: 1 })
  })
})

describe('what goes wrong', () => {
  it('nobody there, a client that is closed', async () => {
    const away = clientOf(`mongodb://127.0.0.1:${await freePort()}/sagas`, { serverSelectionTimeoutMS: 300 })
    const store = kept(new MongoSagaStore({ client: away }))
    expect(await rejectionOf(store.put('id', Buffer.from('secret')))).toMatchObject({
      code: 'CONNECTION',
      retryable: true,
      cause: { name: expect.stringMatching(/ServerSelection|TopologyClosed/) },
    })
    expect(await store.health()).toMatchObject({ status: 'unhealthy' })
    await using peer = await startPeer()
    const client = clientOf(peer.url)
    const closed = kept(new MongoSagaStore({ client }))
    await closed.put('id', Buffer.from('x'))
    await client.close()
    expect(await rejectionOf(closed.put('id', Buffer.from('x')))).toMatchObject({ code: expect.stringMatching(/CONNECTION|BACKEND/) })
  })

  it('a server that never answers', async () => {
    await using peer = await startPeer((name) => (name === 'update' ? { hangUp: true } : undefined))
    const store = kept(new MongoSagaStore({ client: clientOf(peer.url), retry: { attempts: 2, baseMs: 1, maxMs: 1 } }))
    const error = await rejectionOf(store.put('id', Buffer.from('secret')))
    expect(error).toMatchObject({ code: 'CONNECTION', backend: 'mongodb', id: 'id' })
    expect(inspect(error)).not.toContain('secret')
  })

  it('errors within an answer are errors', async () => {
    const replies = [
      { ok: 1, n: 0, writeErrors: [{ index: 0, code: 11000, errmsg: 'E11000' }] },
      { ok: 1, n: 1, writeConcernError: { code: 64, errmsg: 'waiting for replication timed out' } },
      { ok: 0, code: 13, errmsg: 'not authorized on sagas to execute command', codeName: 'Unauthorized' },
    ]
    await using peer = await startPeer((name) => (name === 'update' ? replies.shift() : undefined))
    const store = kept(new MongoSagaStore({ client: clientOf(peer.url), retry: { attempts: 1 } }))
    expect(await rejectionOf(store.put('id', Buffer.from('x')))).toMatchObject({ code: 'BACKEND' })
    expect(await rejectionOf(store.put('id', Buffer.from('x')))).toMatchObject({ code: 'TIMEOUT' })
    expect(await rejectionOf(store.put('id', Buffer.from('x')))).toMatchObject({ code: 'BACKEND', retryable: false })
    await store.put('id', Buffer.from('x'))
  })

  it('the write concern is the client’s, and majority without one', async () => {
    await using peer = await startPeer()
    for (const [options, expected] of [
      [{}, { w: 'majority' }],
      [{ writeConcern: { w: 1, journal: true } }, { w: 1, j: true }],
      [
        { w: 2, wtimeoutMS: 500 },
        { w: 2, wtimeout: 500 },
      ],
    ] as const) {
      await kept(new MongoSagaStore({ client: clientOf(peer.url, options) })).put('id', Buffer.from('x'))
      expect(peer.commands.at(-1)).toMatchObject({ update: 'saga_store', $db: 'sagas', writeConcern: expected })
    }
    const careless = kept(new MongoSagaStore({ client: clientOf(peer.url, { writeConcern: { w: 0 } }) }))
    expect(await rejectionOf(careless.put('id', Buffer.from('x')))).toMatchObject({ code: 'INVALID_ARGUMENT' })
  })

  it('refuses what it does not know', () => {
    const client = new MongoClient('mongodb://127.0.0.1:1')
    const invalid = expect.objectContaining({ code: 'INVALID_ARGUMENT' })
    expect(() => new MongoSagaStore({ client, colectionName: 'x' } as never)).toThrow(/colectionName/)
    expect(() => new MongoSagaStore({ client, url: 'mongodb://host' } as never)).toThrow(invalid)
    expect(() => new MongoSagaStore({ client, collectionName: 'a$b' })).toThrow(/collectionName/)
    expect(() => new MongoSagaStore({ client, database: 'a b' })).toThrow(invalid)
    expect(() => new MongoSagaStore({ client: client.db().collection('x') as never })).toThrow(/mongodb \(MongoClient, Db\)/)
  })
})
