import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import vm from 'node:vm'
import { afterEach, describe, expect, it } from 'vitest'
import type { SagaStore } from '../../index.js'
import type { Executor } from '../support/executors'
import { rejectionOf } from '../support/promises'
import { ownStore, sharedStore } from '../support/stores'
import { payloadListBehavior } from './behavior-lists'

const inAMinute = () => new Date(Date.now() + 60_000)

/** The rules of the claim check, the same on every backend. */
export function payloadBehavior(executor: Executor): void {
  let store: SagaStore
  const others: SagaStore[] = []

  const use = (opened: SagaStore) => {
    store = opened
  }
  const another = async (more: object) => {
    const other = await executor.open(more)
    others.push(other)
    return other
  }

  afterEach(async () => {
    for (const other of others.splice(0)) await other.close()
  })

  payloadListBehavior(executor)

  describe('put and get', () => {
    sharedStore(executor, use)

    it('gives back what was put, byte for byte', async () => {
      const slip = randomBytes(300_000)
      await store.put('slip-1', slip, inAMinute())
      expect(Buffer.compare(await store.get('slip-1'), slip)).toBe(0)
    })

    it.each([0, 1, 255, 4095, 4096, 4097, 8191, 8192, 8193, 65_536, 1_000_000])('keeps a payload of %i bytes', async (size) => {
      const data = randomBytes(size)
      if (size > store.capabilities.maxPayloadBytes) {
        expect(await rejectionOf(store.put('sized', data))).toMatchObject({ code: 'PAYLOAD_TOO_LARGE', size })
        return
      }
      await store.put('sized', data)
      const found = await store.get('sized')
      expect(found).toBeInstanceOf(Buffer)
      expect(found.length).toBe(size)
      expect(Buffer.compare(found, data)).toBe(0)
    })

    it('keeps a payload of 64 MB, or the largest that the backend can hold', async () => {
      const data = randomBytes(Math.min(64 * 1024 * 1024, store.capabilities.maxPayloadBytes))
      // Where the record as a whole is limited, the largest payload is the one with the shortest id.
      await store.put('l', data, inAMinute())
      const found = await store.get('l')
      expect(found.length).toBe(data.length)
      expect(found.equals(data)).toBe(true)
      expect(await store.delete('l')).toBe(true)
    })

    it('refuses a payload that the backend cannot hold before it is sent', async () => {
      const { maxPayloadBytes } = store.capabilities
      if (maxPayloadBytes > 64 * 1024 * 1024) return
      const error = await rejectionOf(store.put('m', Buffer.alloc(maxPayloadBytes + 1)))
      expect(error).toMatchObject({
        code: 'PAYLOAD_TOO_LARGE',
        size: maxPayloadBytes + 1,
        limit: maxPayloadBytes,
        id: 'm',
        retryable: false,
      })
      expect(await store.has('m')).toBe(false)
    })

    it('takes a Uint8Array, a view with an offset, shared and resizable memory', async () => {
      const whole = new Uint8Array(randomBytes(50_000))
      const shared = new Uint8Array(new SharedArrayBuffer(20_000)).fill(7)
      const resizable = new Uint8Array(new ArrayBuffer(20_000, { maxByteLength: 40_000 })).fill(8)
      await store.putMany([
        { id: 'small view', data: whole.subarray(100, 200) },
        { id: 'large view', data: whole.subarray(1000, 40_000) },
        { id: 'shared', data: shared },
        { id: 'resizable', data: resizable },
      ])
      expect(new Uint8Array(await store.get('small view'))).toEqual(whole.slice(100, 200))
      expect((await store.get('large view')).equals(whole.slice(1000, 40_000))).toBe(true)
      expect((await store.get('shared')).equals(Buffer.alloc(20_000, 7))).toBe(true)
      expect((await store.get('resizable')).equals(Buffer.alloc(20_000, 8))).toBe(true)
    })

    it('leaves the caller its buffer once the promise has settled, and hands out buffers of its own', async () => {
      for (const size of [100, 100_000]) {
        const data = Buffer.alloc(size, 1)
        await store.put('mine', data)
        data.fill(2)
        const found = await store.get('mine')
        expect(found.equals(Buffer.alloc(size, 1))).toBe(true)
        found.fill(3)
        const [again, twice] = await Promise.all([store.get('mine'), store.get('mine')])
        again?.fill(4)
        expect(twice?.equals(Buffer.alloc(size, 1))).toBe(true)
        expect((await store.get('mine')).equals(Buffer.alloc(size, 1))).toBe(true)
      }
    })

    it.each([
      `quotes ' " \` and \\ backslash`,
      'colons:and:{braces}:[brackets]*?',
      'ümläute ß 漢字 🙂',
      'percent %s $1 ?1 :id',
      'line\nbreak\ttab',
      ' spaces around ',
      'x'.repeat(1024),
      'ü'.repeat(512),
      '\uFFFD replacement character',
    ])('keeps ids apart: %s', async (id) => {
      await store.put(id, Buffer.from(id))
      await store.put(`${[...id].slice(0, -1).join('')}~`, Buffer.from('other'))
      expect((await store.get(id)).toString()).toBe(id)
      expect((await store.getMany([id])).get(id)?.toString()).toBe(id)
      expect(await store.delete(id)).toBe(true)
      expect(await store.has(id)).toBe(false)
    })
  })

  describe('find, has, delete, getMany', () => {
    sharedStore(executor, use)

    it('answers for what is there and for what is not', async () => {
      await store.put('there', Buffer.from('data'))
      expect((await store.find('there'))?.toString()).toBe('data')
      expect(await store.find('not there')).toBeNull()
      expect(await store.has('there')).toBe(true)
      expect(await store.has('not there')).toBe(false)
      expect(await store.delete('not there')).toBe(false)
      expect(await store.delete('there')).toBe(true)
      expect(await store.delete('there')).toBe(false)
      expect(await store.find('there')).toBeNull()
    })

    it('rejects a get of a missing id with NOT_FOUND, which carries the id', async () => {
      const error = await rejectionOf(store.get('missing'))
      expect(error).toMatchObject({ code: 'NOT_FOUND', id: 'missing', operation: 'get', backend: store.backend, retryable: false })
      expect(error.name).toBe('NotFoundError')
      expect(error.message).toContain('missing')
    })

    it('puts and gets many at once', async () => {
      const entries = Array.from({ length: 300 }, (_, index) => ({
        id: `many-${index}`,
        data: Buffer.from(`payload ${index}`),
        ...(index % 2 === 0 ? { expiresAt: inAMinute() } : {}),
      }))
      await store.putMany(entries)
      const found = await store.getMany([...entries.map((entry) => entry.id), 'many-none', 'many-0'])
      expect(found.size).toBe(300)
      for (const entry of entries) expect(found.get(entry.id)?.equals(entry.data)).toBe(true)
      expect(await store.getMany([])).toEqual(new Map())
      await store.putMany([])
    })

    it('keeps the last of several puts of one id in putMany', async () => {
      await store.putMany(Array.from({ length: 20 }, (_, index) => ({ id: 'same', data: Buffer.from(String(index)) })))
      expect((await store.get('same')).toString()).toBe('19')
    })

    it('sends nothing of a putMany with an invalid entry', async () => {
      const entries = [
        { id: 'valid', data: Buffer.from('x') },
        { id: '', data: Buffer.from('x') },
      ]
      expect(await rejectionOf(store.putMany(entries))).toMatchObject({ code: 'INVALID_ARGUMENT', operation: 'putMany' })
      expect(await store.has('valid')).toBe(false)
    })
  })

  describe('expiry', () => {
    let late: SagaStore
    sharedStore(executor, use)
    sharedStore(
      executor,
      (opened) => {
        late = opened
      },
      { lateRetentionMs: 900 },
    )

    // These wait for a time to pass: they do it together.
    it.concurrent('never returns an expired payload, removed or not', async () => {
      await store.put('short', Buffer.from('data'), new Date(Date.now() + 900))
      await store.put('long', Buffer.from('data'), inAMinute())
      expect(await store.has('short')).toBe(true)
      await sleep(1_000)
      expect(await rejectionOf(store.get('short'))).toMatchObject({ code: 'NOT_FOUND' })
      expect(await store.find('short')).toBeNull()
      expect(await store.has('short')).toBe(false)
      expect(await store.touch('short', inAMinute())).toBe(false)
      expect([...(await store.getMany(['short', 'long'])).keys()]).toEqual(['long'])
      expect(await store.delete('short')).toBe(false)
    })

    it.concurrent('keeps a payload that was late already at the put for lateRetentionMs from now', async () => {
      const anHourAgo = new Date(Date.now() - 3_600_000)
      await late.put('late', Buffer.from('to compensate'), anHourAgo)
      await store.put('late by default', Buffer.from('to compensate'), anHourAgo)
      expect((await late.get('late')).toString()).toBe('to compensate')
      expect((await store.get('late by default')).toString()).toBe('to compensate')
      await sleep(1_000)
      expect(await late.find('late')).toBeNull()
    })

    it.concurrent('moves an expiry with touch', async () => {
      await store.put('touched', Buffer.from('data'), new Date(Date.now() + 900))
      expect(await store.touch('touched', inAMinute())).toBe(true)
      await sleep(1_000)
      expect(await store.has('touched')).toBe(true)
      expect(await store.touch('touched', new Date(Date.now() + 700))).toBe(true)
      await sleep(800)
      expect(await store.has('touched')).toBe(false)
      expect(await store.touch('never there', inAMinute())).toBe(false)
      await store.put('eternal', Buffer.from('data'))
      expect(await store.touch('eternal', new Date(Date.now() - 5))).toBe(true)
      expect(await store.has('eternal')).toBe(true)
    })

    it.concurrent('replaces data and expiry together', async () => {
      await store.put('replaced', Buffer.from('first'), new Date(Date.now() + 700))
      await store.put('replaced', Buffer.from('second'))
      await sleep(800)
      expect((await store.get('replaced')).toString()).toBe('second')
      await store.put('replaced', Buffer.from('third'), new Date(Date.now() + 700))
      await sleep(800)
      expect(await store.find('replaced')).toBeNull()
    })

    it('refuses a late put with lateRetentionMs 0', async () => {
      const strict = await another({ lateRetentionMs: 0 })
      await strict.put('id', Buffer.from('before'))
      const error = await rejectionOf(strict.put('id', Buffer.from('data'), new Date(Date.now() - 1)))
      expect(error).toMatchObject({ code: 'ALREADY_EXPIRED', id: 'id', operation: 'put' })
      expect((await strict.get('id')).toString()).toBe('before')
      expect(await rejectionOf(strict.touch('id', new Date(Date.now() - 1)))).toMatchObject({ code: 'ALREADY_EXPIRED' })
    })

    it('takes dates of other realms and of the far future', async () => {
      const foreign = vm.runInNewContext('new Date(Date.now() + 60000)') as Date
      await store.put('foreign', Buffer.from('data'), foreign)
      await store.put('year 9999', Buffer.from('data'), new Date('9999-12-31T23:59:59.999Z'))
      await store.put('end of time', Buffer.from('data'), new Date(8_640_000_000_000_000))
      expect((await store.getMany(['foreign', 'year 9999', 'end of time'])).size).toBe(3)
    })
  })

  describe('many at once', () => {
    sharedStore(executor, use)

    it('stores thousands of payloads put at once', async () => {
      const ids = Array.from({ length: executor.burst ?? 2000 }, (_, index) => `burst-${index}`)
      await Promise.all(ids.map((id) => store.put(id, Buffer.from(id), inAMinute())))
      const found = await Promise.all(ids.map((id) => store.get(id)))
      expect(found.map(String)).toEqual(ids)
    })

    it('lets the last of 200 puts of one id win', async () => {
      for (let round = 0; round < (executor.burst === undefined ? 5 : 1); round++) {
        await Promise.all(Array.from({ length: 200 }, (_, index) => store.put('contended', Buffer.from(`${round}/${index}`))))
        expect((await store.get('contended')).toString()).toBe(`${round}/199`)
      }
    })

    it('keeps the order of puts and deletes of one id', async () => {
      const removed = Promise.all([
        store.put('ordered', Buffer.from('1')),
        store.delete('ordered'),
        store.put('ordered', Buffer.from('2')),
        store.touch('ordered', inAMinute()),
        store.delete('ordered'),
      ])
      expect(await removed).toEqual([undefined, true, undefined, true, true])
      expect(await store.has('ordered')).toBe(false)
    })

    it('keeps the order of puts of one id under concurrent load on others', async () => {
      const work: Promise<void>[] = []
      for (let index = 0; index < 500; index++) {
        work.push(store.put(`noise-${index % 50}`, Buffer.from(`noise ${index}`)))
        if (index % 5 === 0) work.push(store.put('watched', Buffer.from(String(index))))
        if (index % 50 === 0) await new Promise(setImmediate)
      }
      await Promise.all(work)
      expect((await store.get('watched')).toString()).toBe('495')
      expect((await store.get('noise-49')).toString()).toBe('noise 499')
    })
  })

  describe('bad input', () => {
    sharedStore(executor, use)

    it.each<[string, (store: SagaStore) => Promise<unknown>]>([
      ['an empty id', (s) => s.put('', Buffer.from('x'))],
      ['a number as id', (s) => s.put(7 as never, Buffer.from('x'))],
      ['no id', (s) => s.get(undefined as never)],
      ['an id of 1,025 bytes', (s) => s.put('x'.repeat(1025), Buffer.from('x'))],
      ['an id of 513 umlauts', (s) => s.find('ü'.repeat(513))],
      ['an id with NUL', (s) => s.has('a\0b')],
      ['an id with an unpaired surrogate', (s) => s.delete('\uD800')],
      ['a string as data', (s) => s.put('id', 'text' as never)],
      ['no data', (s) => s.put('id', undefined as never)],
      ['an ArrayBuffer as data', (s) => s.put('id', new ArrayBuffer(3) as never)],
      ['a Float64Array as data', (s) => s.put('id', new Float64Array(2) as never)],
      ['an invalid Date', (s) => s.put('id', Buffer.from('x'), new Date('soon'))],
      ['a number as Date', (s) => s.put('id', Buffer.from('x'), Date.now() as never)],
      ['a touch without Date', (s) => s.touch('id', undefined as never)],
      ['a string for getMany', (s) => s.getMany('abc')],
      ['null in putMany', (s) => s.putMany([null as never])],
      ['no entries', (s) => s.putMany(undefined as never)],
      ['a number in getMany', (s) => s.getMany([1 as never])],
    ])('refuses %s', async (_, call) => {
      const error = await rejectionOf(call(store))
      expect(error).toMatchObject({ code: 'INVALID_ARGUMENT', backend: store.backend, retryable: false })
      expect(await store.has('id')).toBe(false)
    })

    it('refuses a payload above maxPayloadBytes before it is sent', async () => {
      const small = await another({ maxPayloadBytes: 1000 })
      await small.put('fits', Buffer.alloc(1000))
      const error = await rejectionOf(small.put('too large', Buffer.alloc(1001)))
      expect(error).toMatchObject({ code: 'PAYLOAD_TOO_LARGE', size: 1001, limit: 1000, backend: small.backend, id: 'too large' })
      expect(await small.has('too large')).toBe(false)
    })
  })

  describe('the store itself', () => {
    ownStore(executor, use)

    it('removes expired payloads in bounded batches where the server does not', async () => {
      const soon = new Date(Date.now() + 50)
      await store.putMany(Array.from({ length: 25 }, (_, index) => ({ id: `old-${index}`, data: Buffer.from('x'), expiresAt: soon })))
      await store.put('kept', Buffer.from('x'), inAMinute())
      await store.put('eternal', Buffer.from('x'))
      await sleep(120)
      if (store.capabilities.expiry === 'server') {
        // Redis leaves nothing to do; others may leave it for a while, and do it at this very moment.
        expect(await store.purgeExpired()).toBeLessThanOrEqual(25)
      } else {
        expect((await store.statistics()).payloads).toMatchObject({ count: 27, expired: 25 })
        expect(await store.purgeExpired({ limit: 10 })).toBe(10)
        expect(await store.purgeExpired()).toBe(15)
        expect((await store.statistics()).payloads).toMatchObject({ count: 2, bytes: 2, expired: 0 })
      }
      await store.cleanup()
      expect([...(await store.getMany(['old-1', 'kept', 'eternal'])).keys()]).toEqual(['kept', 'eternal'])
      expect(await rejectionOf(store.purgeExpired({ limit: 0 }))).toMatchObject({ code: 'INVALID_ARGUMENT' })
    })

    it('may be initialized again, by several at once', async () => {
      await Promise.all([store.initialize(), store.initialize(), store.initialize()])
      await store.put('id', Buffer.from('x'))
      await store.initialize()
      expect(await store.has('id')).toBe(true)
    })

    it('is healthy, and counts', async () => {
      await store.putMany([
        { id: 'a', data: Buffer.alloc(10) },
        { id: 'b', data: Buffer.alloc(20) },
      ])
      await store.get('a')
      await store.get('none').catch(() => undefined)
      const health = await store.health()
      expect(health).toMatchObject({ status: 'healthy', backend: store.backend })
      expect(health.latencyMs).toBeGreaterThanOrEqual(0)
      const statistics = await store.statistics()
      expect(statistics.payloads).toEqual({ count: 2, bytes: 30, expired: 0 })
      expect(statistics.operations.get?.count).toBe(2)
      expect(statistics.operations.get?.errors).toBe(0)
      expect(statistics.operations.putMany?.count).toBe(1)
    })

    it('settles what was not awaited before close, and is closed afterwards', async () => {
      const puts = Array.from({ length: 50 }, (_, index) => store.put(`late-${index}`, Buffer.alloc(10_000)))
      const closed = store.close()
      const results = await Promise.allSettled(puts)
      expect(results).toHaveLength(50)
      await closed
      await store.close()
      for (const call of [
        () => store.put('id', Buffer.from('x')),
        () => store.get('id'),
        () => store.initialize(),
        () => store.purgeExpired(),
        () => store.statistics(),
      ]) {
        expect(await rejectionOf(call())).toMatchObject({ code: 'CLOSED' })
      }
      expect(await store.health()).toMatchObject({ status: 'unhealthy' })
    })
  })

  describe('compression', () => {
    sharedStore(executor, use)

    const slip = (bytes: number) => {
      const step = '{"step":"charge","orderId":"o-17","amount":1299},'
      return Buffer.from(step.repeat(Math.ceil(bytes / step.length))).subarray(0, bytes)
    }
    const header = Buffer.from('\x89SagaZ\x1a', 'latin1')

    it('stores fewer bytes, and gives back what was put', async () => {
      const zstd = await another({ compression: 'zstd' })
      const given = [
        ['slip', slip(200_000)],
        ['small', slip(100)],
        ['noise', randomBytes(50_000)],
        ['empty', Buffer.alloc(0)],
        ['looks compressed', Buffer.concat([header, Buffer.from([1]), slip(20_000)])],
        ['only begins like it', header],
      ] as const
      await zstd.putMany(given.map(([id, data]) => ({ id, data, expiresAt: inAMinute() })))
      const found = await zstd.getMany(given.map(([id]) => id))
      for (const [id, data] of given) {
        expect(found.get(id)?.equals(data), id).toBe(true)
        expect((await zstd.get(id)).equals(data), id).toBe(true)
        expect((await zstd.find(id))?.equals(data), id).toBe(true)
      }
      const { payloads } = await zstd.statistics()
      expect(payloads?.count ?? given.length).toBe(given.length)
      expect(payloads?.bytes ?? 0).toBeLessThan(60_000)
    })

    it('keeps what begins like a compressed payload without it, too', async () => {
      for (const tail of [Buffer.alloc(0), Buffer.from([0]), Buffer.concat([Buffer.from([1]), slip(50_000)])]) {
        const data = Buffer.concat([header, tail])
        await store.put('looks compressed', data)
        expect((await store.get('looks compressed')).equals(data)).toBe(true)
      }
    })

    it('keeps the order of writes, however long they take', async () => {
      const zstd = await another({ compression: { algorithm: 'zstd', level: 3, minBytes: 500 } })
      const sizes = [300_000, 10, 100_000, 499, 501, 200_000, 20]
      for (let round = 0; round < 3; round += 1) {
        await Promise.all(sizes.map((size) => zstd.put('ordered', slip(size))))
        expect((await zstd.get('ordered')).length).toBe(20)
      }
      const [, deleted] = await Promise.all([zstd.put('deleted', slip(300_000)), zstd.delete('deleted').catch(() => true)])
      expect(deleted).toBe(true)
    })

    it('limits what is stored, not what is given', async () => {
      const zstd = await another({ compression: 'zstd', maxPayloadBytes: 5_000 })
      await zstd.put('slip', slip(100_000))
      expect((await zstd.get('slip')).length).toBe(100_000)
      const noise = randomBytes(6_000)
      expect(await rejectionOf(zstd.put('noise', noise))).toMatchObject({
        code: 'PAYLOAD_TOO_LARGE',
        size: 6_000,
        limit: 5_000,
        id: 'noise',
        retryable: false,
      })
      expect(await zstd.has('noise')).toBe(false)
      expect((await zstd.get('slip')).length).toBe(100_000)
    })

    it('leaves the caller its buffer once the promise has settled', async () => {
      const zstd = await another({ compression: 'zstd' })
      const data = slip(100_000)
      await zstd.put('mine', data)
      data.fill(2)
      const found = await zstd.get('mine')
      expect(found.equals(slip(100_000))).toBe(true)
      found.fill(3)
      expect((await zstd.get('mine')).equals(slip(100_000))).toBe(true)
    })

    it('refuses what would become larger than maxDecompressedBytes', async () => {
      const careful = await another({ compression: 'zstd', maxDecompressedBytes: 10_000 })
      const bomb = Buffer.alloc(100_000)
      await careful.put('as it is', bomb)
      expect((await careful.get('as it is')).equals(bomb)).toBe(true)
      await careful.put('compressed', slip(10_000))
      expect((await careful.get('compressed')).equals(slip(10_000))).toBe(true)
    })
  })
}
