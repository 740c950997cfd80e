import { describe, expect, it } from 'vitest'
import { AlreadyExistsError, type NewOutboxEvent, type SagaOutbox, SerializationError } from '../../index.js'
import { rejectionOf } from '../support/promises'
import { fresh, numbers } from './fresh'

/** What is stored comes back. */
export function eventBehavior(use: () => SagaOutbox): void {
  describe('an event', () => {
    it('comes back with every field as it was given', async () => {
      const { event, id } = fresh()
      const given: NewOutboxEvent = event('ä€😀:{}', {
        payload: { n: 1, list: [true, null, 'ä€😀'], nested: { deep: {} } },
        sagaId: `saga ${id(1)}`,
        aggregateType: 'Order ü',
        aggregateId: '47:11',
        headers: { traceparent: '00-1', tenant: { name: 'ß' } },
        routingKey: 'orders.placed',
        partitionKey: `customer ${id('key')}`,
        availableAt: new Date('2040-01-02T03:04:05.678Z'),
        occurredAt: new Date('1969-12-31T23:59:59.999Z'),
      })
      const before = structuredClone(given)
      const began = Date.now()
      expect(await use().insert(given)).toEqual([])
      const found = await use().get(given.eventId as string)
      const { createdAt, ...rest } = found as NonNullable<typeof found>
      expect(rest).toStrictEqual({ ...given, status: 'pending', retryCount: 0, deliveries: 0 })
      expect(Math.abs(createdAt.getTime() - began)).toBeLessThan(60_000)
      expect(given).toEqual(before)
    })

    it('has only the fields that it was given, and happened when it was stored', async () => {
      const { event, type, id } = fresh()
      await use().insert(event(1, { payload: null }))
      const found = await use().get(id(1))
      expect(found).toStrictEqual({
        eventId: id(1),
        eventType: type,
        payload: null,
        occurredAt: expect.any(Date),
        createdAt: expect.any(Date),
        status: 'pending',
        retryCount: 0,
        deliveries: 0,
      })
      expect(Math.abs((found?.occurredAt.getTime() ?? 0) - Date.now())).toBeLessThan(60_000)
      expect(await use().get(id(2))).toBeNull()
    })

    it('has a payload of any JSON, also of many bytes', async () => {
      const { event, id } = fresh()
      const payloads = [
        0,
        -1.5e300,
        true,
        '',
        'text',
        '"\\/\b\n\u2028',
        [],
        {},
        [[1], { a: null }],
        { '': { __proto__x: 1, $set: '.' } },
        'x'.repeat(100_000),
      ]
      await use().insert(payloads.map((payload, n) => event(n, { payload })))
      for (const [n, payload] of payloads.entries()) expect((await use().get(id(n)))?.payload).toEqual(payload)
    })

    it('has a payload of bytes, which come back as bytes, and are the caller’s own', async () => {
      const { event, id } = fresh()
      const bytes = Uint8Array.from({ length: 256 }, (_, n) => n)
      const payloads = [
        Buffer.alloc(0),
        Buffer.from('{"not":"JSON"}'),
        bytes,
        bytes.subarray(3, 9),
        bytes.buffer,
        new DataView(bytes.buffer, 8, 4),
        new Float64Array([1.5, -2]),
        Buffer.alloc(50_000, 7),
      ]
      await use().insert(payloads.map((payload, n) => event(n, { payload })))
      const expected = payloads
        .map((payload) =>
          ArrayBuffer.isView(payload) ? Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength) : Buffer.from(payload),
        )
        .map((view) => Buffer.from(view))
      bytes.fill(255)
      for (const [n, wanted] of expected.entries()) {
        const found = (await use().get<Buffer>(id(n)))?.payload as Buffer
        expect(found).toBeInstanceOf(Buffer)
        expect(found.equals(wanted)).toBe(true)
        found.fill(9)
        expect((await use().get<Buffer>(id(n)))?.payload.equals(wanted)).toBe(true)
      }
    })

    it('is given an id that sorts by its time, if it has none', async () => {
      const { type, id } = fresh()
      const sagaId = id('saga')
      const given = Array.from({ length: 20 }, (_, n) => ({ eventType: type, payload: { n }, sagaId }))
      for (const event of given.slice(0, 3)) await use().insert(event)
      await use().insert(given.slice(3))
      expect(Object.keys(given[0] as object)).toEqual(['eventType', 'payload', 'sagaId'])
      const { events } = await use().bySaga(sagaId)
      expect(numbers(events)).toEqual(given.map((_, n) => n))
      const ids = events.map(({ eventId }) => eventId)
      expect(ids.toSorted()).toEqual(ids)
      for (const eventId of ids) expect(eventId).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
    })
  })

  describe('an insertion', () => {
    it('stores all of its events, or none', async () => {
      const { event, id } = fresh()
      await use().insert(event(3))
      const error = await rejectionOf(use().insert([1, 2, 3, 4].map((n) => event(n, { payload: 'second' }))))
      expect(error).toBeInstanceOf(AlreadyExistsError)
      expect(error).toMatchObject({ code: 'ALREADY_EXISTS', id: id(3), operation: 'outbox.insert', retryable: false })
      for (const n of [1, 2, 4]) expect(await use().get(id(n))).toBeNull()
      expect((await use().get(id(3)))?.payload).toEqual({ n: 3 })
      const twice = await rejectionOf(use().insert([event(1), event(2), event(1)]))
      expect(twice).toMatchObject({ code: 'ALREADY_EXISTS', id: id(1) })
      expect(await use().get(id(2))).toBeNull()
    })

    it('leaves out what is there, where it is told to', async () => {
      const { event, id } = fresh()
      await use().insert([event(2), event(4)])
      const given = [1, 2, 3, 4, 1].map((n, at) => event(n, { payload: { at } }))
      expect(await use().insert(given, { onDuplicate: 'ignore' })).toEqual([])
      const found = await Promise.all([1, 2, 3, 4].map((n) => use().get(id(n))))
      expect(found.map((one) => one?.payload)).toEqual([{ at: 0 }, { n: 2 }, { at: 2 }, { n: 4 }])
      expect(await use().insert([event(1), event(2)], { onDuplicate: 'ignore' })).toEqual([])
    })

    it('is stored by calls at the same time, each of which has its own answer', async () => {
      const { event, id } = fresh()
      await use().insert([event('old'), event('older')])
      const calls = await Promise.allSettled([
        use().insert(event(1)),
        use().insert([event(2), event('old'), event(3)]),
        use().insert([event(4), event(5)]),
        use().insert([event('older'), event(6)], { onDuplicate: 'ignore' }),
        use().insert(event('older')),
        use().insert(event(7)),
      ])
      expect(calls.map((call) => (call.status === 'fulfilled' ? call.value : [call.reason.code, call.reason.id]))).toEqual([
        [],
        ['ALREADY_EXISTS', id('old')],
        [],
        [],
        ['ALREADY_EXISTS', id('older')],
        [],
      ])
      const found = await Promise.all([1, 2, 3, 4, 5, 6, 7, 'old', 'older'].map((n) => use().get(id(n))))
      expect(numbers(found.filter((one) => one !== null))).toEqual([1, 4, 5, 6, 7, 'old', 'older'])
    })

    it('has one winner among those of one id', async () => {
      const { event, id } = fresh()
      const racers = Array.from({ length: 8 }, (_, racer) => use().insert([event(1, { payload: { racer } }), event(`racer-${racer}`)]))
      const settled = await Promise.allSettled(racers)
      const winners = settled.flatMap(({ status }, racer) => (status === 'fulfilled' ? [racer] : []))
      expect(winners).toHaveLength(1)
      for (const one of settled) if (one.status === 'rejected') expect(one.reason).toMatchObject({ code: 'ALREADY_EXISTS', id: id(1) })
      expect((await use().get(id(1)))?.payload).toEqual({ racer: winners[0] })
      const others = await Promise.all(settled.map((_, racer) => use().get(id(`racer-${racer}`))))
      expect(others.flatMap((one, racer) => (one === null ? [] : [racer]))).toEqual(winners)
    })

    it('of nothing stores nothing', async () => {
      expect(await use().insert([])).toEqual([])
      expect(await use().insert(new Set<NewOutboxEvent>(), { claim: { workerId: 'w' } })).toEqual([])
    })

    it('refuses what is no event, and stores nothing', async () => {
      const { event, id } = fresh()
      const good = event('good')
      for (const bad of [
        undefined,
        null,
        5,
        'text',
        event('', { eventId: '' }),
        event('', { eventId: 'x'.repeat(513) }),
        event('', { eventId: 5 as never }),
        event('', { eventId: '\ud800' }),
        event(1, { eventType: '' }),
        event(1, { eventType: 'x'.repeat(256) }),
        event(1, { eventType: undefined as never }),
        event(1, { sagaId: '' }),
        event(1, { sagaId: 'x'.repeat(513) }),
        event(1, { sagaId: null as never }),
        event(1, { aggregateId: 5 as never }),
        event(1, { routingKey: 'x'.repeat(256) }),
        event(1, { routingKey: '\udc00' }),
        event(1, { partitionKey: '' }),
        event(1, { partitionKey: 'a\0b' }),
        event(1, { headers: [] as never }),
        event(1, { headers: 'text' as never }),
        event(1, { availableAt: new Date(Number.NaN) }),
        event(1, { occurredAt: '2040-01-01' as never }),
        { ...event(1), status: 'sent' },
      ]) {
        const error = await rejectionOf(use().insert([good, bad as never]))
        expect(error.code, JSON.stringify(bad)).toBe('INVALID_ARGUMENT')
      }
      for (const options of [
        null,
        { onDuplicate: 'replace' },
        { claim: {} },
        { claim: { workerId: 'w', leaseMs: 0 } },
        { claim: null },
        { lease: 5 },
      ]) {
        const error = await rejectionOf(use().insert(good, options as never))
        expect(error.code, JSON.stringify(options)).toBe('INVALID_ARGUMENT')
      }
      const many = Array.from({ length: 1_001 }, (_, n) => event(n))
      expect((await rejectionOf(use().insert(many))).code).toBe('INVALID_ARGUMENT')
      expect(await use().get(id('good'))).toBeNull()
    })

    it('says what JSON cannot keep, and of which event', async () => {
      const { event, id } = fresh()
      const cycle: { self?: object } = {}
      cycle.self = { cycle }
      for (const [bad, path] of [
        [{ payload: undefined }, 'payload'],
        [{ payload: () => 1 }, 'payload'],
        [{ payload: { order: { items: [1, 2n] } } }, 'payload.order.items[1]'],
        [{ payload: cycle }, 'payload.self.cycle'],
        [{ payload: { text: 'a\0b' } }, 'payload.text'],
        [{ headers: { number: 5n } }, 'headers.number'],
      ] as const) {
        const error = await rejectionOf(use().insert([event(1), event(2, bad as never)]))
        expect(error).toBeInstanceOf(SerializationError)
        expect(error).toMatchObject({ code: 'SERIALIZATION', path, id: id(2) })
      }
      expect(await use().get(id(1))).toBeNull()
    })

    it('refuses an event that is too large, and says how large it may be', async () => {
      const { event, id } = fresh()
      const error = await rejectionOf(use().insert([event(1), event(2, { payload: Buffer.alloc(16 * 1024 * 1024) })]))
      expect(error).toMatchObject({ code: 'PAYLOAD_TOO_LARGE', id: id(2), message: expect.stringMatching(/\d+ bytes; the limit is \d+/) })
      const headers = { text: 'x'.repeat(65_536) }
      expect((await rejectionOf(use().insert(event(3, { headers })))).code).toBe('PAYLOAD_TOO_LARGE')
      expect(await use().get(id(1))).toBeNull()
    })
  })
}
