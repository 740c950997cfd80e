import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import type { SagaStates, SagaStore } from '../../index.js'
import type { Executor } from '../support/executors'
import { rejectionOf } from '../support/promises'
import { ownStore, sharedStore } from '../support/stores'
import { asRead, bothWays, NAME, type Order, order } from './orders'

/** What time does to a saga: claims of those that have timed out, and the time to live. */
export function timeBehavior(executor: Executor): void {
  let states: SagaStates
  const use = (store: SagaStore) => {
    states = store.states
  }
  const due = (minutes: number) => new Date(Date.now() + minutes * 60_000)
  const consistent = (id: string, correlationId: string) => bothWays(states, NAME, id, correlationId)

  describe('claims of timed out sagas', () => {
    ownStore(executor, use)

    const claim = async (workerId: string, more: object = {}) =>
      (await states.claimTimedOut<Order>({ workerId, leaseMs: 60_000, ...more })).map(({ state }) => state.metadata.sagaId)
    const seen = async () => (await states.findTimedOut<Order>()).map(({ state }) => state.metadata.sagaId)

    it('gives each to one worker, the longest overdue first, and not again while the lease lives', async () => {
      for (const n of [3, 1, 2]) await states.insert(NAME, `o-${n}`, order(`s-${n}`, { timeoutExpiresAt: due(n - 10) }, { n }))
      await states.insert('Other', 'o-4', order('s-4', { timeoutExpiresAt: due(-20) }))
      await states.insert(NAME, 'o-5', order('s-5', { timeoutExpiresAt: due(5) }))
      await states.insert(NAME, 'o-6', order('s-6', { timeoutExpiresAt: due(-5), isCompleted: true }))
      await states.insert(NAME, 'o-7', order('s-7'))
      const before = Date.now()
      const [first] = await states.claimTimedOut<Order>({ workerId: 'a', leaseMs: 60_000, limit: 1, sagaName: NAME })
      expect(first).toMatchObject({ sagaName: NAME, workerId: 'a', state: { n: 1, metadata: { sagaId: 's-1', version: 1 } } })
      const left = (first?.leasedUntil.getTime() ?? 0) - before
      expect(left).toBeGreaterThanOrEqual(60_000)
      expect(left).toBeLessThanOrEqual(60_000 + Date.now() - before)
      expect(await claim('b', { limit: 2 })).toEqual(['s-4', 's-2'])
      expect(await claim('a')).toEqual(['s-3'])
      expect(await claim('a')).toEqual([])
      expect(await claim('b', { sagaName: NAME })).toEqual([])
      expect(await claim('b', { now: due(6) })).toEqual(['s-5'])
      expect(await seen()).toEqual(['s-4', 's-1', 's-2', 's-3'])
    })

    it('leaves state and version alone: the holder updates as ever, and that ends the matter', async () => {
      const state = order('s-1', { timeoutExpiresAt: due(-1) })
      await states.insert(NAME, 'o-1', state)
      await states.insert(NAME, 'o-2', order('s-2', { timeoutExpiresAt: due(-2) }))
      expect(await claim('a')).toEqual(['s-2', 's-1'])
      expect(await consistent('s-1', 'o-1')).toEqual(asRead(state, 'o-1'))
      // Given more time, which is over as well: anybody may have it now.
      await states.update(NAME, order('s-1', { timeoutExpiresAt: due(-3) }), 1)
      expect(await claim('b')).toEqual(['s-1'])
      await states.update(NAME, order('s-1', { timeoutExpiresAt: null }), 2)
      await states.update(NAME, order('s-2', { isCompleted: true, timeoutExpiresAt: due(-2) }), 1)
      expect(await claim('b')).toEqual([])
      expect(await seen()).toEqual([])
    })

    it('finds sagas behind many that are leased, also of one moment', async () => {
      const timeoutExpiresAt = due(-1)
      const ids = Array.from({ length: 130 }, (_, n) => `s-${String(n).padStart(3, '0')}`)
      await Promise.all(ids.map((id) => states.insert(NAME, `o-${id}`, order(id, { timeoutExpiresAt }))))
      const found: string[] = []
      for (let round = 0; round < 4; round += 1) found.push(...(await claim(`w-${round}`, { limit: 40 })))
      expect([...found].sort()).toEqual(ids)
      expect(await claim('late')).toEqual([])
    })

    it('refuses options that are none', async () => {
      for (const options of [
        undefined,
        {},
        { workerId: 'a' },
        { workerId: '', leaseMs: 1 },
        { workerId: 'a'.repeat(257), leaseMs: 1 },
        { workerId: 'a', leaseMs: 0 },
        { workerId: 'a', leaseMs: 1.5 },
        { workerId: 'a', leaseMs: 604_800_001 },
        { workerId: 'a', leaseMs: 1, limit: 0 },
        { workerId: 'a', leaseMs: 1, limit: 1_001 },
        { workerId: 'a', leaseMs: 1, now: 5 },
        { workerId: 'a', leaseMs: 1, sagaName: 'a:b' },
      ]) {
        expect((await rejectionOf(states.claimTimedOut(options as never))).code).toBe('INVALID_ARGUMENT')
      }
      const misspelt = states.claimTimedOut({ workerId: 'a', leaseMs: 1, lease: 5 } as never)
      expect(await rejectionOf(misspelt)).toMatchObject({ code: 'INVALID_ARGUMENT', message: expect.stringMatching(/'lease'.*leaseMs/) })
    })
  })

  // These wait for a time to pass: they do it together, each in a store of its own.
  describe('when time has passed', () => {
    let leased: SagaStates
    let briefly: SagaStates
    let sinceChange: SagaStates
    let again: SagaStates
    sharedStore(
      executor,
      ({ states }) => {
        leased = states
      },
      {},
    )
    sharedStore(
      executor,
      ({ states }) => {
        briefly = states
      },
      { completedTtlMs: 1_200 },
    )
    sharedStore(
      executor,
      ({ states }) => {
        sinceChange = states
      },
      { defaultTtlMs: 2_000 },
    )
    sharedStore(
      executor,
      ({ states }) => {
        again = states
      },
      { completedTtlMs: 1_000 },
    )

    it.concurrent('gives a saga to another worker when the lease has ended', async () => {
      const claim = async (workerId: string, leaseMs: number) =>
        (await leased.claimTimedOut<Order>({ workerId, leaseMs })).map(({ state }) => state.metadata.sagaId)
      await leased.insert(NAME, 'o-1', order('s-1', { timeoutExpiresAt: due(-1) }))
      expect(await claim('a', 700)).toEqual(['s-1'])
      await sleep(1_000)
      expect(await claim('b', 60_000)).toEqual(['s-1'])
      expect(await claim('a', 60_000)).toEqual([])
    })

    it.concurrent('keeps a saga that has ended for completedTtlMs, and is in nobody’s way afterwards', async () => {
      await briefly.insert(NAME, 'order-1', order('s-1'))
      await briefly.insert(NAME, 'order-2', order('s-2', { isCompleted: true }))
      await briefly.update(NAME, order('s-1', { isCompleted: true }), 1)
      await briefly.insert(NAME, 'order-3', order('s-3'))
      expect(await bothWays(briefly, NAME, 's-1', 'order-1')).not.toBeNull()
      await sleep(1_500)
      // What is over is not there any more: it is not counted.
      expect(await briefly.deleteCompletedBefore(NAME, new Date(Date.now() + 60_000))).toBe(0)
      expect(await bothWays(briefly, NAME, 's-1', 'order-1')).toBeNull()
      expect(await bothWays(briefly, NAME, 's-2', 'order-2')).toBeNull()
      expect(await briefly.countByName(NAME)).toBe(1)
      expect((await briefly.findByName(NAME)).items).toHaveLength(1)
      expect((await rejectionOf(briefly.update(NAME, order('s-1'), 2))).code).toBe('NOT_FOUND')
      await briefly.insert(NAME, 'order-1', order('s-2'))
      await briefly.insert(NAME, 'order-2', order('s-1'))
      expect(await bothWays(briefly, NAME, 's-2', 'order-1')).not.toBeNull()
      expect(await bothWays(briefly, NAME, 's-1', 'order-2')).not.toBeNull()
      expect(await bothWays(briefly, NAME, 's-3', 'order-3')).not.toBeNull()
    })

    it.concurrent('keeps every saga for defaultTtlMs from its last change on, unless it is opened again', async () => {
      await sinceChange.insert(NAME, 'order-1', order('s-1'))
      await sinceChange.insert(NAME, 'order-2', order('s-2'))
      await sleep(1_100)
      await sinceChange.update(NAME, order('s-1'), 1)
      await sleep(1_100)
      expect(await bothWays(sinceChange, NAME, 's-1', 'order-1')).not.toBeNull()
      expect(await bothWays(sinceChange, NAME, 's-2', 'order-2')).toBeNull()
      await sleep(1_100)
      expect(await bothWays(sinceChange, NAME, 's-1', 'order-1')).toBeNull()
    })

    it.concurrent('keeps a saga for good that is opened again', async () => {
      await again.insert(NAME, 'order-1', order('s-1', { isCompleted: true }))
      await again.update(NAME, order('s-1', { isCompleted: false }), 1)
      await sleep(1_300)
      expect(await bothWays(again, NAME, 's-1', 'order-1')).not.toBeNull()
      expect(await again.countByName(NAME, { completed: false })).toBe(1)
    })
  })
}
