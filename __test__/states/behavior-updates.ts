import { describe, expect, it } from 'vitest'
import { ConcurrencyError, type SagaState, type SagaStates } from '../../index.js'
import type { Executor } from '../support/executors'
import { rejectionOf } from '../support/promises'
import { asRead, bothWays, type Order, type OrderMetadata, order, type StatesUnderTest, withNames } from './orders'

/** Versions: who wins, who is told what. */
export function updateBehavior(executor: Executor): void {
  let states: SagaStates
  let sagaName: string
  let otherName: string
  const use = (current: StatesUnderTest) => {
    ;({ states, sagaName, otherName } = current)
  }
  const consistent = (id: string, correlationId: string) => bothWays(states, sagaName, id, correlationId)

  describe('update', () => {
    withNames(executor, use)

    it('stores the next version, and leaves the state that it was given alone', async () => {
      await states.insert(sagaName, 'order-1', order('s-1'))
      const changed = order('s-1', { updatedAt: new Date(Date.now() + 3_600_000) }, { total: 99 })
      await states.update(sagaName, changed, 1)
      expect(changed.metadata.version).toBe(1)
      expect(await consistent('s-1', 'order-1')).toEqual(asRead({ ...changed, metadata: { ...changed.metadata, version: 2 } }, 'order-1'))
    })

    it('is dated by the present, unless the state is from the future', async () => {
      await states.insert(sagaName, 'order-1', order('s-1'))
      const before = Date.now()
      const given = await states.getById<Order>(sagaName, 's-1')
      await states.update(sagaName, { ...given, total: 1 } as Order, 1)
      const updated = (await states.getById<Order>(sagaName, 's-1'))?.metadata as OrderMetadata
      expect(updated.updatedAt.getTime()).toBeGreaterThanOrEqual(before)
      expect(updated.createdAt).toEqual(given?.metadata.createdAt)
      // By the clock of another machine.
      const ahead = new Date(Date.now() + 60_000)
      await states.update(sagaName, order('s-1', { updatedAt: ahead }), 2)
      await states.update(sagaName, { ...((await states.getById<Order>(sagaName, 's-1')) as Order), total: 3 }, 3)
      expect((await states.getById<Order>(sagaName, 's-1'))?.metadata).toMatchObject({ updatedAt: ahead, version: 4 })
      await states.update(sagaName, { metadata: { sagaId: 's-1', updatedAt: null as never } }, 4)
      expect((await states.getById<Order>(sagaName, 's-1'))?.metadata.updatedAt.getTime()).toBeGreaterThanOrEqual(before)
    })

    it('refuses another version than the expected one, and tells both', async () => {
      await states.insert(sagaName, 'order-1', order('s-1', { version: 4 }))
      for (const expected of [3, 5, 0]) {
        const error = await rejectionOf(states.update(sagaName, order('s-1', {}, { total: 0 }), expected))
        expect(error).toBeInstanceOf(ConcurrencyError)
        expect(error).toMatchObject({ code: 'CONCURRENCY_CONFLICT', sagaId: 's-1', expectedVersion: expected, actualVersion: 4 })
        expect(error.message).toContain('Optimistic concurrency conflict')
      }
      expect(await consistent('s-1', 'order-1')).toEqual(asRead(order('s-1', { version: 4 }), 'order-1'))
    })

    it('is NOT_FOUND where there is no such saga', async () => {
      const missing = await rejectionOf(states.update(sagaName, order('s-1'), 1))
      expect(missing).toMatchObject({ code: 'NOT_FOUND', id: 's-1', message: expect.stringContaining('not found') })
      await states.insert(otherName, 'order-1', order('s-1'))
      expect((await rejectionOf(states.update(sagaName, order('s-1'), 1))).code).toBe('NOT_FOUND')
    })

    it('refuses a version that is none', async () => {
      for (const version of [-1, 1.5, Number.NaN, '1', undefined] as number[]) {
        expect((await rejectionOf(states.update(sagaName, order('s-1'), version))).code).toBe('INVALID_ARGUMENT')
      }
    })

    it('has one winner among updates that expect the same version', async () => {
      await states.insert(sagaName, 'order-1', order('s-1'))
      const racers = Array.from({ length: 20 }, (_, racer) => states.update(sagaName, order('s-1', {}, { racer }), 1))
      const settled = await Promise.allSettled(racers)
      const winners = settled.flatMap(({ status }, racer) => (status === 'fulfilled' ? [racer] : []))
      expect(winners).toHaveLength(1)
      for (const { reason } of settled.filter((result) => result.status === 'rejected') as PromiseRejectedResult[]) {
        expect(reason).toMatchObject({ code: 'CONCURRENCY_CONFLICT', expectedVersion: 1, actualVersion: 2 })
      }
      expect(await consistent('s-1', 'order-1')).toMatchObject({ racer: winners[0], metadata: { version: 2 } })
    })

    it('answers each of many updates that are called at once', async () => {
      const ids = Array.from({ length: 30 }, (_, n) => `s-${String(n).padStart(2, '0')}`)
      for (const id of ids) await states.insert(sagaName, `o-${id}`, order(id))
      const outcome = (error?: { code: string }) => error?.code ?? 'updated'
      const update = (id: string, n: number) =>
        states.update(sagaName, order(n % 5 === 4 ? `no-${id}` : id, {}, { n }), n % 5 === 3 ? 7 : 1)
      const outcomes = await Promise.all(ids.map((id, n) => update(id, n).then(() => outcome(), outcome)))
      expect(outcomes).toEqual(ids.map((_, n) => (n % 5 === 4 ? 'NOT_FOUND' : n % 5 === 3 ? 'CONCURRENCY_CONFLICT' : 'updated')))
      for (const [n, id] of ids.entries()) {
        const found = await states.getById<Order>(sagaName, id)
        expect(found?.n).toBe(n % 5 < 3 ? n : undefined)
        expect(found?.metadata.version).toBe(n % 5 < 3 ? 2 : 1)
      }
    })

    it('has one winner among inserts with the same correlation id, and among those with the same saga id', async () => {
      const byCorrelation = Array.from({ length: 15 }, (_, racer) => states.insert(sagaName, 'order-1', order(`s-${racer}`)))
      const byId = Array.from({ length: 15 }, (_, racer) => states.insert(sagaName, `order-x${racer}`, order('s-x')))
      const [correlation, id] = await Promise.all([Promise.allSettled(byCorrelation), Promise.allSettled(byId)])
      for (const settled of [correlation, id]) {
        expect(settled.filter(({ status }) => status === 'fulfilled')).toHaveLength(1)
        for (const result of settled) if (result.status === 'rejected') expect(result.reason.code).toBe('ALREADY_EXISTS')
      }
      const winner = correlation.findIndex(({ status }) => status === 'fulfilled')
      expect(await consistent(`s-${winner}`, 'order-1')).not.toBeNull()
      expect(await consistent('s-x', `order-x${id.findIndex(({ status }) => status === 'fulfilled')}`)).not.toBeNull()
      expect(await states.countByName(sagaName)).toBe(2)
    })
  })

  describe('modify and save', () => {
    withNames(executor, use)

    it('loses nothing under contention', async () => {
      await states.insert(sagaName, 'order-1', order('s-1', {}, { total: 0 }))
      const add = (state: Order) => ({ ...state, total: (state.total ?? 0) + 1 })
      const workers = Array.from({ length: 10 }, async () => {
        for (let round = 0; round < 3; round += 1) await states.modify<Order>(sagaName, 's-1', add, { maxRetries: 1_000, retryDelayMs: 1 })
      })
      await Promise.all(workers)
      expect(await consistent('s-1', 'order-1')).toMatchObject({ total: 30, metadata: { version: 31 } })
    })

    it('answers the state as it is stored, with the present as updatedAt', async () => {
      await states.insert(sagaName, 'order-1', order('s-1'))
      const before = Date.now()
      const changed = await states.modify<Order>(sagaName, 's-1', (state) => {
        state.total = 1
        return state
      })
      expect(changed).toEqual(await states.getById(sagaName, 's-1'))
      expect(changed).toMatchObject({ total: 1, metadata: { version: 2, correlationId: 'order-1' } })
      const without = ({ metadata: { correlationId: _, ...metadata } }: Order) => ({ metadata })
      expect(await states.modify<Order>(sagaName, 's-1', without)).toEqual(await consistent('s-1', 'order-1'))
      expect(changed.metadata.updatedAt.getTime()).toBeGreaterThanOrEqual(before)
    })

    it('keeps the updatedAt that the function sets, whatever it is', async () => {
      await states.insert(sagaName, 'order-1', order('s-1'))
      const past = new Date('2020-02-02T02:02:02.020Z')
      const set = await states.modify<Order>(sagaName, 's-1', (state) => ({ ...state, metadata: { ...state.metadata, updatedAt: past } }))
      expect(set.metadata).toMatchObject({ updatedAt: past, version: 2 })
      expect(set).toEqual(await states.getById(sagaName, 's-1'))
      const before = Date.now()
      // A copy has other Dates; one that is frozen cannot be written to.
      for (const copy of [structuredClone, Object.freeze, ({ metadata: { updatedAt: _, ...metadata } }: Order) => ({ metadata })]) {
        const copied = await states.modify<Order>(sagaName, 's-1', (state) => {
          Object.freeze(state.metadata)
          return copy(state) as Order
        })
        expect(copied).toEqual(await states.getById(sagaName, 's-1'))
        expect(copied.metadata.updatedAt.getTime()).toBeGreaterThanOrEqual(before)
        await states.modify<Order>(sagaName, 's-1', (state) => ({ ...state, metadata: { ...state.metadata, updatedAt: past } }))
      }
    })

    it('tells a missing saga, a function that throws, and conflicts without end', async () => {
      expect(await rejectionOf(states.modify(sagaName, 's-1', (state) => state))).toMatchObject({ code: 'NOT_FOUND', id: 's-1' })
      await states.insert(sagaName, 'order-1', order('s-1'))
      const thrown = states.modify(sagaName, 's-1', () => {
        throw new RangeError('no')
      })
      await expect(thrown).rejects.toThrow(RangeError)
      expect((await rejectionOf(states.modify(sagaName, 's-1', () => ({}) as Order))).code).toBe('INVALID_ARGUMENT')
      expect((await rejectionOf(states.modify(sagaName, 's-1', (state) => state, { maxRetries: -1 }))).code).toBe('INVALID_ARGUMENT')
    })

    it('saves a new saga, and one that it has saved', async () => {
      const first = await states.save(sagaName, { id: 's-1', correlationId: 'order-1', total: 1 })
      expect(first).toMatchObject({ metadata: { sagaId: 's-1', version: 1, isCompleted: false, correlationId: 'order-1' } })
      const second = await states.save(sagaName, { ...first, total: 2 })
      expect(second).toMatchObject({ metadata: { version: 2 } })
      expect(await consistent('s-1', 'order-1')).toEqual(second)
      expect((await rejectionOf(states.save(sagaName, first))).code).toBe('CONCURRENCY_CONFLICT')
      await states.save(sagaName, { metadata: { sagaId: 's-2' } })
      expect(await states.getByCorrelationId(sagaName, 's-2')).not.toBeNull()
      // What was read, and is to be a new saga, keeps its correlation id.
      await states.insert(sagaName, 'order-3', order('s-3'))
      const read = await states.getById(sagaName, 's-3')
      await states.delete(sagaName, 's-3')
      expect(await states.save(sagaName, { metadata: { ...read?.metadata, version: undefined } })).toEqual(
        await consistent('s-3', 'order-3'),
      )
    })

    it('answers a saved state as it is stored, and leaves the one that it was given alone', async () => {
      const given = Object.freeze({ correlationId: 'order-1', metadata: Object.freeze({ sagaId: 's-1' }) })
      const first = await states.save<SagaState>(sagaName, given)
      expect(first).toEqual(await consistent('s-1', 'order-1'))
      const before = Date.now()
      const second = await states.save<SagaState>(sagaName, { ...first, metadata: { ...first.metadata, updatedAt: new Date(0) } })
      expect(second).toEqual(await consistent('s-1', 'order-1'))
      expect(second.metadata.updatedAt?.getTime()).toBeGreaterThanOrEqual(before)
    })

    it('does not save a saga again that has been deleted', async () => {
      const saved = await states.save(sagaName, { metadata: { sagaId: 's-1' }, correlationId: 'order-1', total: 1 })
      await states.delete(sagaName, 's-1')
      for (const state of [saved, { ...saved, metadata: { sagaId: 's-1', version: 0 } }]) {
        const error = await rejectionOf(states.save(sagaName, state))
        expect(error).toMatchObject({ code: 'NOT_FOUND', id: 's-1', message: expect.stringContaining('not found') })
      }
      expect(await consistent('s-1', 'order-1')).toBeNull()
      expect(await states.countByName(sagaName)).toBe(0)
      const { metadata: _, ...rest } = saved
      const anew = await states.save<Order>(sagaName, { id: 's-1', ...rest } as never)
      expect(await consistent('s-1', 'order-1')).toEqual(anew)
      expect((await rejectionOf(states.save(sagaName, { id: 's-1', ...rest }))).code).toBe('ALREADY_EXISTS')
    })
  })
}
