import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import type { Claim, SagaOutbox } from '../../index.js'
import { eventually, rejectionOf } from '../support/promises'
import { claim, claimed, fresh, lapsed, lostOf, numbers } from './fresh'

/** Who is given which events. */
export function claimBehavior(use: () => SagaOutbox): void {
  describe('a claim', () => {
    it('gives events in the order of insertion, each to one worker', async () => {
      const names = fresh()
      const { event, id } = names
      await use().insert([event(1, { headers: { a: 1 } }), event(2, { payload: Buffer.from('two') })])
      await use().insert(event(3))
      const began = Date.now()
      const claims: Claim[] = await claim(use(), names, { workerId: 'w 1' })
      expect(claims.map(({ eventId }) => eventId)).toEqual([id(1), id(2), id(3)])
      expect(claims[0]).toMatchObject({
        payload: { n: 1 },
        headers: { a: 1 },
        status: 'claimed',
        workerId: 'w 1',
        deliveries: 1,
        retryCount: 0,
      })
      expect(claims[1]?.payload).toEqual(Buffer.from('two'))
      expect(Math.abs((claims[0]?.claimedAt.getTime() ?? 0) - began)).toBeLessThan(60_000)
      expect(claims[0]?.token).toMatch(/^.{16,}$/)
      expect(await claimed(use(), names)).toEqual([])
      const { token: _, ...seen } = claims[0] as Claim
      expect(await use().get(id(1))).toEqual(seen)
    })

    it('has at most batchSize events, and gives the next ones to the next claim', async () => {
      const names = fresh()
      await use().insert(Array.from({ length: 7 }, (_, n) => names.event(n)))
      expect(await claimed(use(), names, { batchSize: 3 })).toEqual([0, 1, 2])
      expect(await claimed(use(), names, { batchSize: 1 })).toEqual([3])
      expect(await claimed(use(), names, { batchSize: 1_000 })).toEqual([4, 5, 6])
      const tokens = new Set<string>()
      const again = fresh()
      await use().insert([again.event(1), again.event(2)])
      for (let n = 0; n < 2; n += 1) for (const { token } of await claim(use(), again, { batchSize: 1 })) tokens.add(token)
      expect(tokens.size).toBe(2)
    })

    it('takes only the types and routing keys that it names', async () => {
      const [a, b] = [fresh(), fresh()]
      const both = { type: a.type, eventTypes: [a.type, b.type] }
      await use().insert([
        a.event(1, { routingKey: 'x' }),
        b.event(2, { routingKey: 'y' }),
        a.event(3),
        b.event(4, { routingKey: 'x' }),
        a.event(5, { routingKey: 'y' }),
        a.event(6, { routingKey: 'z' }),
      ])
      expect(await claimed(use(), both, { eventTypes: both.eventTypes, routingKeys: ['x'] })).toEqual([1, 4])
      expect(await claimed(use(), a, { routingKeys: new Set(['z', 'y']) })).toEqual([5, 6])
      expect(await claimed(use(), a, { routingKeys: ['x'] })).toEqual([])
      expect(await claimed(use(), both, { eventTypes: both.eventTypes })).toEqual([2, 3])
    })

    it('never gives one event to two workers', async () => {
      const names = fresh()
      const all = Array.from({ length: 60 }, (_, n) => n)
      await Promise.all([0, 20, 40].map((from) => use().insert(all.slice(from, from + 20).map((n) => names.event(n)))))
      const workers = Array.from({ length: 6 }, (_, n) => claim(use(), names, { workerId: `w-${n}`, batchSize: 15 }))
      const given = await Promise.all(workers)
      for (const claims of given) expect(claims.length).toBeLessThanOrEqual(15)
      const rest = await claim(use(), names)
      const found = [...given.flat(), ...rest]
      expect((numbers(found) as number[]).toSorted((one, other) => one - other)).toEqual(all)
      expect(new Set(found.map(({ eventId }) => eventId)).size).toBe(60)
    })

    it('refuses options that are none', async () => {
      const names = fresh()
      await use().insert(names.event(1))
      const good = { workerId: 'w', eventTypes: [names.type] }
      for (const options of [
        undefined,
        {},
        { ...good, workerId: '' },
        { ...good, workerId: 'x'.repeat(257) },
        { ...good, workerId: '\ud800' },
        { ...good, batchSize: 0 },
        { ...good, batchSize: 1_001 },
        { ...good, batchSize: 1.5 },
        { ...good, leaseMs: 0 },
        { ...good, leaseMs: 604_800_001 },
        { ...good, leaseMs: null },
        { ...good, eventTypes: names.type },
        { ...good, eventTypes: [] },
        { ...good, eventTypes: [5] },
        { ...good, routingKeys: [''] },
        { ...good, routingKeys: 'x' },
        { ...good, olderThanMs: -1 },
        { ...good, limit: 5 },
      ]) {
        expect((await rejectionOf(use().claim(options as never))).code, JSON.stringify(options)).toBe('INVALID_ARGUMENT')
      }
      expect(await claimed(use(), names)).toEqual([1])
    })
  })

  describe('an insertion with a claim', () => {
    it('gives its events to the worker that inserts them, as a claim would', async () => {
      const names = fresh()
      const claims = await use().insert([names.event(1, { sagaId: names.id('saga') }), names.event(2)], { claim: { workerId: 'me' } })
      expect(numbers(claims)).toEqual([1, 2])
      expect(claims[0]).toMatchObject({ eventId: names.id(1), status: 'claimed', workerId: 'me', deliveries: 1, sagaId: names.id('saga') })
      expect(await use().get(names.id(2))).toMatchObject({ status: 'claimed', workerId: 'me' })
      expect(await claimed(use(), names)).toEqual([])
      expect(await use().ack(claims)).toEqual({ acked: 2, lost: [] })
      expect(await use().get(names.id(1))).toBeNull()
    })

    it('gives what is due, and what has nothing of its key before it', async () => {
      const names = fresh()
      const { event, key, other } = names
      await use().insert(event(0, { partitionKey: key }))
      const claims = await use().insert(
        [
          event(1, { partitionKey: key }),
          event(2, { partitionKey: other }),
          event(3, { availableAt: new Date(Date.now() + 3_600_000) }),
          event(4, { partitionKey: other }),
          event(5, { availableAt: new Date(0) }),
          event(6, { partitionKey: names.id('late'), availableAt: new Date(Date.now() + 3_600_000) }),
          event(7, { partitionKey: names.id('late') }),
        ],
        { claim: { workerId: 'me' } },
      )
      expect(numbers(claims)).toEqual([2, 4, 5])
      expect(await claimed(use(), names)).toEqual([0, 1])
      expect(await use().get(names.id(3))).toMatchObject({ status: 'pending', deliveries: 0 })
      expect(await use().get(names.id(7))).toMatchObject({ status: 'pending' })
    })

    it('gives only what it has stored', async () => {
      const names = fresh()
      const { event, id } = names
      await use().insert(event(1))
      const refused = use().insert([event(2), event(1)], { claim: { workerId: 'me' } })
      expect(await rejectionOf(refused)).toMatchObject({ code: 'ALREADY_EXISTS', id: id(1) })
      const claims = await use().insert([event(1), event(3)], { claim: { workerId: 'me' }, onDuplicate: 'ignore' })
      expect(numbers(claims)).toEqual([3])
      expect(await claimed(use(), names)).toEqual([1])
    })
  })

  // These wait for a time to pass: they do it together.
  describe('when time passes', () => {
    it.concurrent('an event that waits is claimed at its time, not before', async () => {
      const names = fresh()
      const { event } = names
      await use().insert([event(1, { availableAt: new Date(Date.now() + 900) }), event(2, { availableAt: new Date(0) }), event(3)])
      expect(await claimed(use(), names)).toEqual([2, 3])
      expect(await claimed(use(), names)).toEqual([])
      await sleep(1_000)
      expect(await claimed(use(), names)).toEqual([1])
    })

    it.concurrent('an event is left alone until it is as old as a claim asks for', async () => {
      const names = fresh()
      const began = performance.now()
      await use().insert(names.event(1))
      expect(await claimed(use(), names, { olderThanMs: 3_600_000 })).toEqual([])
      await eventually('it is old enough', async () => (await claim(use(), names, { olderThanMs: 500 })).length === 1)
      expect(performance.now() - began).toBeGreaterThan(450)
    })

    it.concurrent('an event whose worker has died is another one’s, and the first one is fenced off', async () => {
      const names = fresh()
      const { event, id } = names
      await use().insert([event(1), event(2)])
      const late = await lapsed(use(), names)
      // Under the same name, too.
      const taken = await claim(use(), names, { workerId: 'late', batchSize: 1 })
      expect(taken).toMatchObject([{ eventId: id(1), deliveries: 2, retryCount: 0 }])
      const before = await use().get(id(1))
      const [first] = late as [Claim, Claim]
      for (const call of [
        () => use().ack(first),
        () => use().fail(first, { error: 'late' }),
        () => use().extend(first, 60_000),
        () => use().release(first),
      ]) {
        expect((await lostOf(call())).lost).toEqual([id(1)])
      }
      expect(await use().get(id(1))).toEqual(before)
      // One that is lost does not fail the other, which nobody has taken.
      expect(await use().ack(late)).toEqual({ acked: 1, lost: [id(1)] })
      expect(await use().get(id(2))).toBeNull()
      expect(await use().ack(taken)).toEqual({ acked: 1, lost: [] })
    })

    it.concurrent('what a worker does late, and nobody has overtaken, counts', async () => {
      const names = fresh()
      const { event, id } = names
      await use().insert([1, 2, 3, 4].map((n) => event(n)))
      const [acked, failed, released, extended] = (await lapsed(use(), names)) as [Claim, Claim, Claim, Claim]
      expect(await use().extend(extended, 60_000)).toEqual({ extended: 1, lost: [] })
      expect(await use().ack(acked)).toEqual({ acked: 1, lost: [] })
      expect(await use().fail(failed, { error: 'slow', retryAt: new Date(Date.now() + 3_600_000) })).toEqual({ failed: 1, lost: [] })
      expect(await use().release(released)).toEqual({ released: 1, lost: [] })
      expect(await claimed(use(), names)).toEqual([3])
      expect(await use().get(id(4))).toMatchObject({ status: 'claimed', deliveries: 1 })
    })

    it.concurrent('a lease that is extended holds', async () => {
      const names = fresh()
      const { event } = names
      await use().insert([event(1), event(2)])
      const [kept] = (await claim(use(), names, { leaseMs: 1_500 })) as [Claim, Claim]
      for (let n = 0; n < 3; n += 1) {
        await sleep(600)
        expect(await use().extend([kept], 1_500)).toEqual({ extended: 1, lost: [] })
      }
      expect(await claimed(use(), names)).toEqual([2])
      await use().extend(kept, 1)
      await sleep(50)
      expect(await claimed(use(), names)).toEqual([1])
    })

    it.concurrent('an event that kills its workers becomes a dead letter, and counts no failure', async () => {
      const names = fresh()
      const { event, id } = names
      await use().insert([event('killer'), event('good', { availableAt: new Date(Date.now() + 1_000) })])
      for (let delivery = 1; delivery <= 3; delivery += 1) {
        const [given] = await lapsed(use(), names)
        expect(given).toMatchObject({ eventId: id('killer'), deliveries: delivery, retryCount: 0 })
      }
      await eventually('the good one is given', async () => (await claimed(use(), names)).includes('good'))
      expect(await use().get(id('killer'))).toMatchObject({
        status: 'dead_letter',
        deliveries: 3,
        retryCount: 0,
        lastError: 'it was claimed too often without an answer (maxDeliveries)',
      })
    })
  })
}

/** Where the server cannot keep two workers apart. */
export function unclaimedBehavior(use: () => SagaOutbox): void {
  it('gives no events to workers, and says why', async () => {
    const names = fresh()
    const { event, id } = names
    await use().insert(event(1))
    for (const call of [
      () => claim(use(), names),
      () => use().insert(event(2), { claim: { workerId: 'w' } }),
      () => use().ack({ eventId: id(1), token: 'x' }),
    ]) {
      expect(await rejectionOf(call())).toMatchObject({ code: 'UNSUPPORTED', message: expect.stringContaining('FerretDB 1') })
    }
    expect(await use().get(id(1))).toMatchObject({ status: 'pending', deliveries: 0 })
    expect(await use().get(id(2))).toBeNull()
  })
}
