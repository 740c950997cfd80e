import { inspect } from 'node:util'
import { Binary, type Collection } from 'mongodb'
import { describe, expect, it } from 'vitest'
import { MongoSagaStore, openStore } from '../../../index.js'
import { clockOffset, startMongo } from '../../../scripts/services/servers.mjs'
import { initializesFromEightProcesses, survivesFreeze, survivesKill } from '../../support/faults'
import { connectionsTo, freePort } from '../../support/ports'
import { runProgram } from '../../support/programs'
import { eventually, rejectionOf } from '../../support/promises'
import { missing, targets, temporaryCollection, withMongo } from '../../support/targets'

interface Payload {
  _id: string
  [field: string]: unknown
}

const target = targets.find(({ name }) => name === 'mongodb') as (typeof targets)[number]
const isMissing = missing(target)
const url = process.env.MONGODB_URL ?? ''

/** Asks for the payloads directly, as another program would. */
const withPayloads = <T>(collection: string, ask: (payloads: Collection<Payload>) => Promise<T>) =>
  withMongo(url, (database) => ask(database.collection<Payload>(collection)))

// What FerretDB cannot do is tried where MONGODB_URL names a replica set; what is sent to one is
// checked against a scripted server by the tests in src/backends/mongodb.
const hello = isMissing ? undefined : await withMongo(url, (database) => database.admin().command({ hello: 1 }))
const isReplicaSet = hello?.setName !== undefined
if (!isMissing && !isReplicaSet) {
  console.warn('SKIPPED: removal by the TTL index, its repair, majority (MONGODB_URL is no replica set; docker compose has one)')
}

/** A logger that keeps what it is told. */
function recorder() {
  const warnings: string[] = []
  const ignore = () => undefined
  return { warnings, logger: { debug: ignore, info: ignore, error: ignore, warn: (...args: unknown[]) => warnings.push(inspect(args)) } }
}

describe('the connection string', () => {
  it('is checked by the constructor, and never shown with its secrets', () => {
    for (const [bad, message] of [
      ['mongodb://app:hunter2@host:port/', /cannot be read/],
      ['mongodb://app:hunter2@host/?retryWrite=true', /did you mean 'retryWrites'/],
      ['mongodb://app:hunter2@host/?w=0', /'w'/],
      ['mongodb://app:hunter2@host/?readPreference=secondary', /primary/],
    ] as const) {
      const open = () => new MongoSagaStore(bad)
      expect(open).toThrow(message)
      expect(open).toThrow(expect.objectContaining({ code: 'INVALID_ARGUMENT', message: expect.not.stringContaining('hunter2') }))
    }
    expect(() => new MongoSagaStore({ url: 'mongodb://host', collectionName: 'a$b' })).toThrow(/collectionName/)
    expect(() => new MongoSagaStore({ url: 'mongodb://host', tableName: 'x' } as never)).toThrow(/accepted: .*collectionName/)
  })

  it('may name several hosts, or a record in the DNS, which is not asked for at once', async () => {
    await using several = new MongoSagaStore('mongodb://app:hunter2@a.invalid:1,b.invalid:2/orders?replicaSet=rs0')
    expect(inspect(several)).toContain('mongodb://app:***@a.invalid:1,b.invalid:2/orders')
    await using service = new MongoSagaStore({ url: 'mongodb+srv://app:hunter2@cluster.invalid/orders', connectTimeoutMs: 1500 })
    const error = await rejectionOf(service.get('id'))
    expect(error).toMatchObject({ code: 'CONNECTION' })
    expect(inspect(error, { depth: 10 })).not.toContain('hunter2')
  })
})

describe.skipIf(isMissing)('the format', () => {
  it('is { _id, data: BinData, expiresAt: Date } in saga_store, with an index on the expiry', async () => {
    const collectionName = temporaryCollection()
    await using store = openStore({ url, collectionName })
    await store.initialize()
    const at = new Date('2036-02-03T04:05:06.789Z')
    await store.put('a', Buffer.from([0, 255]), at)
    await store.put('b', Buffer.alloc(0))
    await withPayloads(collectionName, async (payloads) => {
      expect(await payloads.find().sort({ _id: 1 }).toArray()).toEqual([
        { _id: 'a', data: new Binary(Buffer.from([0, 255]), 0), expiresAt: at },
        { _id: 'b', data: new Binary(Buffer.alloc(0), 0) },
      ])
      const index = (await payloads.indexes()).find(({ key }) => JSON.stringify(key) === '{"expiresAt":1}')
      expect(index).toBeDefined()
      if (isReplicaSet) expect(index?.expireAfterSeconds).toBe(0)
      // A put replaces the whole document.
      await payloads.updateOne({ _id: 'a' }, { $set: { more: 1 } })
      await store.put('a', Buffer.from('x'))
      expect(await payloads.findOne({ _id: 'a' })).toEqual({ _id: 'a', data: new Binary(Buffer.from('x'), 0) })
    })
  })

  it('is read as other programs write it', async () => {
    const collectionName = temporaryCollection()
    await using store = openStore({ url, collectionName })
    await store.initialize()
    const bytes = Buffer.from('written by another program')
    await withPayloads(collectionName, (payloads) =>
      payloads.insertMany([
        { _id: 'buffer', data: bytes },
        { _id: 'null', data: new Binary(bytes), expiresAt: null, routingSlip: { id: 7 } },
        { _id: 'subtype', data: new Binary(bytes, 0x80), expiresAt: new Date(Date.now() + 60_000) },
        { _id: 'over', data: new Binary(bytes), expiresAt: new Date(Date.now() - 1) },
      ]),
    )
    const found = await store.getMany(['buffer', 'null', 'subtype', 'over'])
    expect([...found.keys()]).toEqual(['buffer', 'null', 'subtype'])
    for (const payload of found.values()) expect(payload.equals(bytes)).toBe(true)
  })

  it('a document that is no payload is CORRUPT_DATA, with the id, and harms no other', async () => {
    const collectionName = temporaryCollection()
    await using store = openStore({ url, collectionName })
    await store.initialize()
    await store.put('good', Buffer.from('good'))
    await withPayloads(collectionName, (payloads) =>
      payloads.insertMany([
        { _id: 'no data' },
        { _id: 'text', data: 'aGVsbG8=' },
        { _id: 'iso', data: new Binary(Buffer.from('x')), expiresAt: '2036-01-01T00:00:00.000Z' },
        { _id: 'seconds', data: new Binary(Buffer.from('x')), expiresAt: 1_784_555_238 },
      ]),
    )
    const wrong = { 'no data': /no 'data'/, text: /'data' is a string/, iso: /'expiresAt' is a string/, seconds: /'expiresAt' is/ }
    for (const [id, message] of Object.entries(wrong)) {
      const [good, error] = await Promise.all([store.get('good'), rejectionOf(store.get(id))])
      expect(good.toString()).toBe('good')
      expect(error).toMatchObject({ code: 'CORRUPT_DATA', id, retryable: false, name: 'CorruptDataError' })
      expect(error.message).toMatch(message)
      await store.put(id, Buffer.from('repaired'))
      expect((await store.get(id)).toString()).toBe('repaired')
    }
  })
})

describe.skipIf(isMissing)('initialize', () => {
  it('says in one warning what the server lacks, and so do the capabilities', async () => {
    const { warnings, logger } = recorder()
    await using store = openStore({ url, collectionName: temporaryCollection(), logger })
    await store.initialize()
    if (isReplicaSet) {
      expect(warnings).toEqual([])
      expect(store.capabilities).toMatchObject({ transactions: 'interactive', expiry: 'server' })
    } else {
      expect(warnings).toHaveLength(1)
      expect(warnings[0]).toMatch(/no TTL indexes.*cleanup\(\).*no transactions/s)
      expect(store.capabilities).toMatchObject({ transactions: 'none', expiry: 'cleanup' })
    }
  })

  it('is missed by health(), which names the index', async () => {
    const collectionName = temporaryCollection()
    await using store = openStore({ url, collectionName })
    expect(await store.health()).toMatchObject({ status: 'degraded', message: expect.stringContaining('initialize()') })
    await store.put('id', Buffer.from('x'))
    expect(await store.health()).toMatchObject({ status: 'degraded', message: expect.stringContaining('expiresAt') })
    await store.initialize()
    const health = await store.health()
    expect(health).toMatchObject({ status: 'healthy', details: { expiry: isReplicaSet ? 'server' : 'cleanup' } })
    expect(health.serverVersion).toMatch(/^\d+\.\d+/)
  })

  it('from eight processes at once', async () => {
    for (let round = 0; round < 2; round++) {
      const collectionName = temporaryCollection()
      await initializesFromEightProcesses({ url, collectionName })
      await withPayloads(collectionName, async (payloads) => {
        expect(await payloads.countDocuments()).toBe(8)
        expect(await payloads.indexes()).toHaveLength(2)
      })
    }
  })

  it.skipIf(!isReplicaSet).each([{ expireAfterSeconds: 3600 }, {}, { expireAfterSeconds: 0, partialFilterExpression: { x: 1 } }])(
    'repairs an index with the options %o',
    async (options) => {
      const collectionName = temporaryCollection()
      await withPayloads(collectionName, (payloads) => payloads.createIndex({ expiresAt: 1 }, { name: 'theirs', ...options }))
      const program = 'const store = sagastore.openStore(args); await store.initialize(); await store.close()'
      await Promise.all(Array.from({ length: 4 }, () => runProgram(program, { url, collectionName })))
      await withPayloads(collectionName, async (payloads) => {
        const index = (await payloads.indexes()).find(({ key }) => JSON.stringify(key) === '{"expiresAt":1}')
        expect(index).toMatchObject({ expireAfterSeconds: 0 })
        expect(index).not.toHaveProperty('partialFilterExpression')
      })
    },
  )
})

describe.skipIf(isMissing)('what has expired', () => {
  it('is removed by cleanup() in batches, with no payload lost that has got another expiry', async () => {
    const collectionName = temporaryCollection()
    await using store = openStore({ url, collectionName })
    await store.initialize()
    const soon = new Date(Date.now() + 50)
    await store.putMany(Array.from({ length: 2500 }, (_, n) => ({ id: `old-${n}`, data: Buffer.from('x'), expiresAt: soon })))
    await store.put('kept', Buffer.from('x'), soon)
    await store.put('kept', Buffer.from('x'), new Date(Date.now() + 60_000))
    await eventually('all are over', () => Date.now() > soon.getTime() + 10)
    await store.cleanup()
    expect(await withPayloads(collectionName, (payloads) => payloads.countDocuments())).toBe(1)
    expect((await store.statistics()).payloads).toEqual({ count: 1, bytes: 1, expired: 0 })
  })

  it.skipIf(!isReplicaSet)(
    'is removed by the server within 90 s',
    async () => {
      const collectionName = temporaryCollection()
      await using store = openStore({ url, collectionName })
      await store.initialize()
      await store.put('short', Buffer.from('x'), new Date(Date.now() + 500))
      await store.put('long', Buffer.from('x'), new Date(Date.now() + 600_000))
      await withPayloads(collectionName, (payloads) =>
        eventually('the server removes it', async () => (await payloads.countDocuments()) === 1, 90_000),
      )
      expect(await store.has('long')).toBe(true)
    },
    120_000,
  )

  it.each([
    ['+1h', -3_600_000],
    ['-1h', 3_600_000],
  ])('is judged by one clock when ours is off by %s', async (offset, behind) => {
    const collectionName = temporaryCollection()
    await using store = openStore({ url, collectionName, lateRetentionMs: 2500 })
    await store.initialize()
    const program = `
      const store = sagastore.openStore({ ...args, lateRetentionMs: 2500 })
      await store.put('late', Buffer.from('to compensate'), new Date(Date.now() - 1000))
      await store.put('soon', Buffer.from('x'), new Date(Date.now() + 700))
      await store.put('in half an hour', Buffer.from('x'), new Date(Date.now() + 1_800_000))
      const all = ['late', 'soon', 'in half an hour']
      const first = [...(await store.getMany(all)).keys()]
      const touched = await store.touch('in half an hour', new Date(Date.now() + 1_700_000))
      await new Promise((resume) => setTimeout(resume, 1200))
      const second = [...(await store.getMany(all)).keys()]
      const purged = await store.purgeExpired()
      console.log(JSON.stringify({ first, touched, second, purged, details: (await store.health()).details }))
      await store.close()`
    const { first, touched, second, purged, details } = JSON.parse(
      await runProgram(program, { url, collectionName }, { env: await clockOffset(offset) }),
    )
    expect({ first, touched, second }).toEqual({
      first: ['late', 'soon', 'in half an hour'],
      touched: true,
      second: ['late', 'in half an hour'],
    })
    // A TTL index may have been quicker.
    expect(isReplicaSet ? [0, 1] : [1]).toContain(purged)
    expect(Math.abs(details.clockOffsetMs - behind)).toBeLessThan(5000)
    // A process whose clock is right agrees.
    expect(await store.has('in half an hour')).toBe(true)
    const stored = await withPayloads(collectionName, (payloads) => payloads.findOne({ _id: 'in half an hour' }))
    expect(Math.abs(Number(stored?.expiresAt) - Date.now() - 1_700_000)).toBeLessThan(10_000)
  })
})

describe.skipIf(!isReplicaSet)('a replica set', () => {
  it('acknowledges a put when the majority has it, and knows each repetition', async () => {
    const collectionName = temporaryCollection()
    await using store = openStore({ url, collectionName })
    await store.initialize()
    await Promise.all(Array.from({ length: 500 }, (_, n) => store.put(`id-${n}`, Buffer.alloc(1000))))
    expect(await Promise.all(Array.from({ length: 500 }, (_, n) => store.delete(`id-${n}`)))).toEqual(Array(500).fill(true))
    await withMongo(url, async (database) => {
      const read = database.collection(collectionName, { readConcern: { level: 'majority' } })
      await store.put('seen', Buffer.from('x'))
      expect(await read.countDocuments()).toBe(1)
    })
  })

  it('refuses a write concern that it cannot fulfil', async () => {
    const more = `${url}${url.includes('?') ? '&' : '?'}w=9&wTimeoutMS=500`
    await using store = openStore({ url: more, collectionName: temporaryCollection(), retry: { attempts: 1 } })
    expect((await rejectionOf(store.put('id', Buffer.from('x')))).code).toMatch(/BACKEND|TIMEOUT/)
  })
})

describe('ways in that fail', () => {
  it('a wrong password is said at once, is not retryable, and is not shown', async () => {
    await using server = await startMongo()
    await using store = openStore(`mongodb://app:hunter2@127.0.0.1:${server.port}/?authSource=admin`)
    const began = performance.now()
    const error = await rejectionOf(store.put('id', Buffer.from('x')))
    expect(error).toMatchObject({ code: 'CONNECTION', retryable: false })
    expect(error.message).toContain('authentication failed')
    expect(inspect(error, { depth: 10 })).not.toContain('hunter2')
    expect(performance.now() - began).toBeLessThan(3000)
  })

  it('a server that is not there is reported within connectTimeoutMs', async () => {
    await using store = openStore({ url: `mongodb://127.0.0.1:${await freePort()}`, connectTimeoutMs: 1000 })
    const began = performance.now()
    expect(await rejectionOf(store.put('id', Buffer.from('x')))).toMatchObject({ code: 'CONNECTION', retryable: true })
    expect(performance.now() - began).toBeLessThan(1600)
    expect(await store.health()).toMatchObject({ status: 'unhealthy' })
  })
})

describe('a bad day', () => {
  it('killed and started again with 64 puts in flight', async () => {
    await using server = await startMongo()
    await using store = openStore({ url: server.url, operationTimeoutMs: 5000, connectTimeoutMs: 3000 })
    await store.initialize()
    await survivesKill(store, server)
  })

  it('frozen, then awake again', async () => {
    await using server = await startMongo()
    await using store = openStore({ url: server.url, operationTimeoutMs: 700, connectTimeoutMs: 700 })
    await store.initialize()
    await survivesFreeze(store, server)
  })

  it('close() ends the connections, also while the server is frozen', async () => {
    await using server = await startMongo()
    const store = openStore({ url: server.url, operationTimeoutMs: 1000, connectTimeoutMs: 1000 })
    await store.put('id', Buffer.from('x'))
    expect((await store.statistics()).pool?.open).toBeGreaterThan(0)
    await store.close()
    await eventually('all connections are closed', () => connectionsTo(server.port) === 0)
    const another = openStore({ url: server.url, operationTimeoutMs: 1000, connectTimeoutMs: 1000 })
    await another.get('id')
    await server.pause()
    const began = performance.now()
    await another.close()
    expect(performance.now() - began).toBeLessThan(3500)
    await server.resume()
    await eventually('all connections are closed', () => connectionsTo(server.port) === 0)
  })
})
