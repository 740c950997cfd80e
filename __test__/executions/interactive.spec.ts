import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, describe, expect, it } from 'vitest'
import { type SagaRun, type SagaStore, withTransaction } from '../../index.js'
import { rejectionOf } from '../support/promises'
import { missing, openTarget, type Target, targets } from '../support/targets'
import { claimed, done, fresh, logOf, QUICK } from './fresh'

const INTERACTIVE = ['memory', 'sqlite', 'postgres', 'mongodb']
const opened: SagaStore[] = []

afterEach(async () => {
  for (const store of opened.splice(0)) await store.close()
})

async function open(target: Target, more: object = QUICK): Promise<SagaStore> {
  const store = await openTarget(target, more)
  opened.push(store)
  return store
}

for (const target of targets.filter(({ name }) => INTERACTIVE.includes(name))) {
  describe.skipIf(missing(target))(`${target.name}, executions in transactions`, () => {
    /** Servers without transactions have none to test. */
    const openWith = async (context: { skip(): void }): Promise<SagaStore> => {
      const store = await open(target)
      if (store.capabilities.transactions !== 'interactive') context.skip()
      return store
    }

    it('are stored with payload and state, or not at all', async (context) => {
      const store = await openWith(context)
      const { id, name, other } = fresh()
      await store.transaction(async (tx) => {
        await tx.put(id, Buffer.from('slip'))
        await tx.executions.create(id, name, { n: 1 }, { status: 'running', steps: [done('a')] })
        await tx.executions.checkpoint(id, { context: { n: 2 }, steps: [done('b')] })
        expect(await tx.executions.load(id)).toMatchObject({ version: 2, context: { n: 2 }, entries: 2 })
        expect((await tx.executions.history(id)).entries).toHaveLength(2)
      })
      expect(await store.has(id)).toBe(true)
      const before = await store.executions.load(id)
      const failed = store.transaction(async (tx) => {
        await tx.executions.checkpoint(id, { status: 'failed', context: { n: 3 }, steps: [done('c')] })
        await tx.executions.create(other, name, {})
        await tx.executions.logStep(other, 'x', 'act', 'completed')
        await tx.executions.delete(id)
        throw new RangeError('no')
      })
      await expect(failed).rejects.toThrow(RangeError)
      expect(await store.executions.load(id)).toEqual(before)
      expect(await store.executions.find(other)).toBeNull()
      expect(await logOf(store.executions, id)).toHaveLength(2)
      expect(await store.executions.count({ name })).toBe(1)
    })

    it('go on after an error that was caught, and join through the store itself', async (context) => {
      const store = await openWith(context)
      const { id, name } = fresh()
      await store.executions.create(id, name, {}, { status: 'completed' })
      await store.transaction(async () => {
        expect((await rejectionOf(store.executions.create(id, name, {}))).code).toBe('ALREADY_EXISTS')
        expect((await rejectionOf(store.executions.updateStatus(id, 'running'))).code).toBe('INVALID_STATE')
        const conflict = store.executions.checkpoint(id, { expectedVersion: 7, steps: [done('no')] })
        expect((await rejectionOf(conflict)).code).toBe('CONCURRENCY_CONFLICT')
        await store.executions.checkpoint(id, { steps: [done('yes')] })
      })
      expect((await logOf(store.executions, id)).map(({ stepName }) => stepName)).toEqual(['yes'])
    })

    it('are started and claimed with the transaction; the run goes on afterwards', async (context) => {
      const store = await openWith(context)
      const { id, name, other } = fresh()
      await store.executions.create(other, name, {}, { status: 'running' })
      const failed = store.transaction(async (tx) => {
        expect(await claimed(tx.executions, name)).toEqual([other])
        throw new RangeError('no')
      })
      await expect(failed).rejects.toThrow(RangeError)
      expect(await store.executions.load(other)).toMatchObject({ attempts: 0, leased: false })
      const run = await store.transaction(async (tx) => {
        const started: SagaRun = await tx.executions.start(id, name, { n: 1 }, { workerId: 'a', leaseMs: 1_200 })
        await started.checkpoint({ steps: [done('inside')] })
        return started
      })
      await run.checkpoint({ steps: [done('outside')] })
      await sleep(1_500)
      expect(await claimed(store.executions, name)).toEqual([other])
      await run.complete()
      expect(await store.executions.load(id)).toMatchObject({ status: 'completed', entries: 2 })
    })

    it('are what they were to a run whose transaction has not happened', async (context) => {
      const store = await openWith(context)
      const { id, name } = fresh()
      const run = await store.executions.start(id, name, { n: 1 }, { workerId: 'a', leaseMs: 1_200 })
      const failed = store.transaction(async () => {
        await run.checkpoint({ context: { n: 2 }, status: 'compensating' })
        await run.complete({ n: 3 })
        throw new RangeError('no')
      })
      await expect(failed).rejects.toThrow(RangeError)
      expect([run.version, run.status, run.context]).toEqual([1, 'running', { n: 1 }])
      // It is renewed as before.
      await sleep(1_500)
      expect(run.signal.aborted).toBe(false)
      expect(await claimed(store.executions, name)).toEqual([])
      await run.checkpoint({ context: { n: 4 }, expectedVersion: run.version })
      await store.transaction(() => run.complete())
      expect([run.version, run.status]).toEqual([3, 'completed'])
    })

    it.runIf(['postgres', 'sqlite'].includes(target.name))('are kept from others by forUpdate', async (context) => {
      const store = await openWith(context)
      const { id, name } = fresh()
      await store.executions.create(id, name, { n: 0 })
      const add = () =>
        store.transaction(async (tx) => {
          const { context } = await tx.executions.load<{ n: number }>(id, { forUpdate: true })
          await sleep(5)
          await tx.executions.updateContext(id, { n: context.n + 1 })
        })
      await Promise.all(Array.from({ length: 5 }, add))
      expect((await store.executions.load(id)).context).toEqual({ n: 5 })
    })

    it('have one winner among transactions that expect the same version', async (context) => {
      const store = await openWith(context)
      const { id, name } = fresh()
      await store.executions.create(id, name, {})
      const race = (racer: number) =>
        store.transaction(async (tx) => {
          await tx.put(`${id}-${racer}`, Buffer.from('slip'))
          await tx.executions.checkpoint(id, { expectedVersion: 1, context: { racer }, steps: [done('a')] })
        })
      const settled = await Promise.allSettled(Array.from({ length: 6 }, (_, racer) => race(racer)))
      const winners = settled.flatMap(({ status }, racer) => (status === 'fulfilled' ? [racer] : []))
      expect(winners).toHaveLength(1)
      expect(await store.executions.load(id)).toMatchObject({ version: 2, context: { racer: winners[0] }, entries: 1 })
      const stored = await store.getMany(settled.map((_, racer) => `${id}-${racer}`))
      expect([...stored.keys()]).toEqual([`${id}-${winners[0]}`])
    })
  })
}

describe('executions outside of a transaction', () => {
  it('are refused with requireTransaction, but renewed', async () => {
    const [memory] = targets as [Target]
    const store = await open(memory, { requireTransaction: true })
    const { id, name } = fresh()
    expect((await rejectionOf(store.executions.create(id, name, {}))).code).toBe('INVALID_ARGUMENT')
    const run = await store.transaction((tx) => tx.executions.start(id, name, {}, { workerId: 'a', leaseMs: 1_200 }))
    await sleep(1_500)
    expect(await store.transaction((tx) => claimed(tx.executions, name))).toEqual([])
    expect((await rejectionOf(run.complete())).code).toBe('INVALID_ARGUMENT')
    await store.transaction(() => run.complete())
  })

  it('are no transaction of withTransaction where that is another kind of database', async () => {
    const [memory] = targets as [Target]
    const store = await open(memory)
    const { id, name } = fresh()
    await withTransaction([], () => store.executions.create(id, name, {}))
    expect(await store.executions.find(id)).not.toBeNull()
  })
})
