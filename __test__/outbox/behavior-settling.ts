import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { type Claim, LeaseLostError, type SagaOutbox } from '../../index.js'
import { rejectionOf } from '../support/promises'
import { claim, claimed, fresh, lostOf } from './fresh'

/** What becomes of events that a worker has. */
export function settlingBehavior(use: () => SagaOutbox): void {
  describe('what is acknowledged', () => {
    it('is sent, and removed', async () => {
      const names = fresh()
      const { event, id } = names
      await use().insert([event(1), event(2), event(3)])
      const claims = (await claim(use(), names)) as [Claim, Claim, Claim]
      expect(await use().ack(claims[1])).toEqual({ acked: 1, lost: [] })
      expect(await use().get(id(2))).toBeNull()
      expect(await use().ack(new Set([claims[0], claims[2], claims[0]]))).toEqual({ acked: 2, lost: [] })
      expect(await claimed(use(), names)).toEqual([])
      // Its id is free again.
      await use().insert(event(2))
      expect(await claimed(use(), names)).toEqual([2])
    })

    it('is lost to a worker that does not have it, which fails no other', async () => {
      const names = fresh()
      const { event, id } = names
      await use().insert([event(1), event(2), event(3)])
      const [first, second] = (await claim(use(), names, { batchSize: 2 })) as [Claim, Claim]
      const wrong = { eventId: id(2), token: 'x' }
      const pending = { eventId: id(3), token: first.token }
      const unknown = { eventId: id(4), token: first.token }
      const { acked, lost } = await use().ack([wrong, first, pending, unknown])
      expect([acked, lost.toSorted()]).toEqual([1, [id(2), id(3), id(4)]])
      const error = await lostOf(use().ack([wrong, pending, unknown]))
      expect(error).toBeInstanceOf(LeaseLostError)
      expect(error.lost?.toSorted()).toEqual([id(2), id(3), id(4)])
      expect(await lostOf(use().ack(first))).toMatchObject({ id: id(1), lost: [id(1)], operation: 'outbox.ack' })
      expect(await use().get(id(4))).toBeNull()
      expect(await use().ack({ eventId: second.eventId, token: second.token })).toEqual({ acked: 1, lost: [] })
      expect(await claimed(use(), names)).toEqual([3])
    })

    it('may be given with two claims: the earlier one is lost', async () => {
      const names = fresh()
      const { event, id } = names
      await use().insert([event(1), event(2)])
      const [earlier, other] = (await claim(use(), names)) as [Claim, Claim]
      await use().updateStatus(id(1), 'pending')
      const [later] = (await claim(use(), names)) as [Claim]
      expect(later.eventId).toBe(earlier.eventId)
      expect(await use().extend([earlier, later, other], 60_000)).toEqual({ extended: 2, lost: [id(1)] })
      expect(await use().ack([earlier, other, later, earlier])).toEqual({ acked: 2, lost: [id(1)] })
      expect((await lostOf(use().release([later, earlier]))).lost).toEqual([id(1), id(1)])
      expect(await claimed(use(), names)).toEqual([])
    })

    it('may be told of by calls at the same time, each of which has its own answer', async () => {
      const names = fresh()
      const { event, id } = names
      await use().insert(Array.from({ length: 9 }, (_, n) => event(n)))
      const claims = await claim(use(), names)
      const of = (n: number) => claims.find(({ eventId }) => eventId === id(n)) as Claim
      const calls = await Promise.allSettled([
        ...[0, 1, 2].map((n) => use().ack(of(n))),
        use().ack({ eventId: id(3), token: 'x' }),
        use().ack([{ eventId: id(4), token: 'x' }, of(5)]),
        use().ack([of(6), of(7)]),
        use().ack(of(0)),
      ])
      const answers = calls.map((call) => (call.status === 'fulfilled' ? call.value : (call.reason as LeaseLostError).lost))
      expect(answers.slice(1, 6)).toEqual([
        { acked: 1, lost: [] },
        { acked: 1, lost: [] },
        [id(3)],
        { acked: 1, lost: [id(4)] },
        { acked: 2, lost: [] },
      ])
      // One of them was first.
      expect([answers[0], answers[6]]).toContainEqual({ acked: 1, lost: [] })
      expect([answers[0], answers[6]]).toContainEqual([id(0)])
      expect(await use().release([3, 4, 8].map(of))).toEqual({ released: 3, lost: [] })
      expect(await claimed(use(), names)).toEqual([3, 4, 8])
    })

    it('may be nothing', async () => {
      expect(await use().ack([])).toEqual({ acked: 0, lost: [] })
      expect(await use().fail([], { error: 'none' })).toEqual({ failed: 0, lost: [] })
      expect(await use().release([])).toEqual({ released: 0, lost: [] })
      expect(await use().extend([], 5)).toEqual({ extended: 0, lost: [] })
    })

    it('is refused if it is no claim', async () => {
      const names = fresh()
      await use().insert(names.event(1))
      const [one] = (await claim(use(), names)) as [Claim]
      const { eventId, token } = one
      for (const call of [
        () => use().ack(undefined as never),
        () => use().ack(eventId as never),
        () => use().ack([null as never]),
        () => use().ack([{ eventId } as never]),
        () => use().ack([{ eventId: '', token }]),
        () => use().fail(one, undefined as never),
        () => use().fail(one, {} as never),
        () => use().fail(one, { error: 'x', retryAt: 5 as never }),
        () => use().fail(one, { error: 'x', retryAt: new Date(Number.NaN) }),
        () => use().fail(one, { error: 'x', retry: true } as never),
        () => use().extend(one, undefined as never),
        () => use().extend(one, 0),
        () => use().extend(one, 604_800_001),
      ]) {
        expect((await rejectionOf(call())).code, String(call)).toBe('INVALID_ARGUMENT')
      }
      expect(await use().ack(one)).toEqual({ acked: 1, lost: [] })
    })
  })

  describe('what has failed', () => {
    it('is pending again, and says why', async () => {
      const names = fresh()
      const { event, id } = names
      await use().insert([event(1), event(2)])
      const [first, second] = (await claim(use(), names)) as [Claim, Claim]
      const retryAt = new Date(Date.now() + 3_600_000)
      expect(await use().fail(first, { error: new TypeError('no broker'), retryAt })).toEqual({ failed: 1, lost: [] })
      const found = await use().get(id(1))
      expect(found).toMatchObject({ status: 'pending', retryCount: 1, deliveries: 1, lastError: 'no broker' })
      expect(found).not.toHaveProperty('workerId')
      expect(found).not.toHaveProperty('claimedAt')
      expect((await lostOf(use().ack(first))).lost).toEqual([id(1)])
      await use().fail(second, { error: 'at once', retryAt: new Date(0) })
      expect(await claim(use(), names)).toMatchObject([{ eventId: id(2), retryCount: 1, deliveries: 2, lastError: 'at once' }])
    })

    it('may say why in any way', async () => {
      const names = fresh()
      const cycle: { self?: object } = {}
      cycle.self = cycle
      const given: [unknown, string | RegExp][] = [
        ['text', 'text'],
        [new Error('ä€😀'), 'ä€😀'],
        [new RangeError(), 'RangeError'],
        [{ code: 5 }, '{"code":5}'],
        [undefined, 'undefined'],
        [null, 'null'],
        [5n, '5'],
        [cycle, /.+/],
        ['a\0b\ud800c', 'a\ufffdb\ufffdc'],
        ['ä'.repeat(5_000), 'ä'.repeat(4_096)],
      ]
      await use().insert(given.map((_, n) => names.event(n)))
      const claims = await claim(use(), names)
      for (const [n, [error]] of given.entries()) await use().fail(claims[n] as Claim, { error })
      for (const [n, [, expected]] of given.entries()) {
        const { lastError } = (await use().get(names.id(n))) ?? {}
        if (typeof expected === 'string') expect(lastError).toBe(expected)
        else expect(lastError).toMatch(expected)
      }
    })

    it('is a dead letter after maxRetries, and is claimed no more', async () => {
      const names = fresh()
      await use().insert([names.event(1), names.event(2)])
      for (let failure = 1; failure <= 3; failure += 1) {
        const [one] = (await claim(use(), names, { batchSize: 1 })) as [Claim]
        expect(one).toMatchObject({ eventId: names.id(1), retryCount: failure - 1, deliveries: failure })
        await use().fail(one, { error: `failure ${failure}`, retryAt: new Date(0) })
      }
      expect(await use().get(names.id(1))).toMatchObject({ status: 'dead_letter', retryCount: 3, deliveries: 3, lastError: 'failure 3' })
      expect(await claimed(use(), names)).toEqual([2])
      // Its id is taken.
      expect(await rejectionOf(use().insert(names.event(1)))).toMatchObject({ code: 'ALREADY_EXISTS', id: names.id(1) })
    })
  })

  describe('what is handed back', () => {
    it('is pending at once in its old place, and was not delivered', async () => {
      const names = fresh()
      const { event, id } = names
      await use().insert([1, 2, 3].map((n) => event(n)))
      const claims = (await claim(use(), names)) as [Claim, Claim, Claim]
      expect(await use().release([claims[1], claims[0]])).toEqual({ released: 2, lost: [] })
      expect(await use().get(id(1))).toMatchObject({ status: 'pending', deliveries: 0, retryCount: 0 })
      expect((await lostOf(use().release(claims[0]))).lost).toEqual([id(1)])
      expect(await claim(use(), names)).toMatchObject([
        { eventId: id(1), deliveries: 1 },
        { eventId: id(2), deliveries: 1 },
      ])
      // However often.
      for (let n = 0; n < 5; n += 1) await use().release(n === 0 ? [claims[2]] : await claim(use(), names))
      expect(await use().get(id(3))).toMatchObject({ status: 'pending', deliveries: 0 })
    })
  })

  describe('when time passes', () => {
    it.concurrent('what has failed waits for its pause, which doubles', async () => {
      const names = fresh()
      await use().insert(names.event(1))
      const [first] = (await claim(use(), names)) as [Claim]
      await use().fail(first, { error: 'first' })
      await sleep(120)
      const [second] = (await claim(use(), names)) as [Claim]
      expect(second).toMatchObject({ deliveries: 2 })
      const began = performance.now()
      await use().fail(second, { error: 'second' })
      const early = await claimed(use(), names)
      if (performance.now() - began < 85) expect(early).toEqual([])
      await sleep(200)
      expect([...early, ...(await claimed(use(), names))]).toEqual([1])
    })

    it.concurrent('a pause of the caller’s holds', async () => {
      const names = fresh()
      await use().insert(names.event(1))
      const [one] = (await claim(use(), names)) as [Claim]
      await use().fail(one, { error: 'later', retryAt: new Date(Date.now() + 1_000) })
      await sleep(300)
      expect(await claimed(use(), names)).toEqual([])
      await sleep(900)
      expect(await claimed(use(), names)).toEqual([1])
    })
  })
}
