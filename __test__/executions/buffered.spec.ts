import { afterEach, describe, expect, it } from 'vitest'
import { type AnyStoreOptions, openStore, type SagaStore } from '../../index.js'
import { rejectionOf } from '../support/promises'
import { missing, randomName, type Target, targets } from '../support/targets'
import { done, fresh, logOf, shortLog } from './fresh'

const closers: (() => unknown)[] = []

afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close()
})

/** A store, and another one on the same data, whose operations join no transaction of the first. */
async function open(target: Target): Promise<{ store: SagaStore; other: SagaStore }> {
  // In a Cluster all keys of a transaction are in one slot: those of executions by themselves.
  const options = {
    ...target.options(),
    ...(target.name === 'redis cluster' && { keyPrefix: `test:{${randomName()}}` }),
  } as AnyStoreOptions
  const [store, other] = [openStore(options), openStore(options)]
  closers.push(
    () => store.close(),
    () => other.close(),
  )
  await store.initialize()
  return { store, other }
}

for (const target of targets.filter(({ name }) => ['redis', 'redis cluster', 'dynamodb'].includes(name))) {
  describe.skipIf(missing(target))(`${target.name}, executions in a transaction that is sent at its end`, () => {
    it('are stored together, or not at all', async () => {
      const { store } = await open(target)
      const { id, name } = fresh()
      await store.executions.create(id, name, { n: 1 }, { steps: [done('a')] })
      await store.transaction(async (tx) => {
        await tx.executions.checkpoint(id, { context: { n: 2 }, status: 'running', steps: [done('b'), done('c')] })
      })
      expect(await store.executions.load(id)).toMatchObject({ version: 2, context: { n: 2 }, status: 'running', entries: 3 })
      expect(await shortLog(store.executions, id)).toEqual(['1 a act completed', '2 b act completed', '3 c act completed'])
      const failed = store.transaction(async (tx) => {
        await tx.executions.checkpoint(id, { context: { n: 3 }, steps: [done('d')] })
        throw new RangeError('no')
      })
      await expect(failed).rejects.toThrow(RangeError)
      expect(await store.executions.load(id)).toMatchObject({ version: 2, entries: 3 })
    })

    it('are changed by a run once, however often the transaction runs', async () => {
      const { store, other } = await open(target)
      const { name } = fresh()
      // Of one bucket, so that a Cluster has them in one slot.
      const [id, another] = [`{${name}}-1`, `{${name}}-2`]
      await store.executions.create(another, name, {})
      const run = await store.executions.start(id, name, { total: 0 }, { workerId: 'a' })
      let attempts = 0
      await store.transaction(async (tx) => {
        attempts += 1
        await tx.executions.checkpoint(another, { context: { attempts } })
        if (attempts === 1) await other.executions.updateContext(another, {})
        await run.checkpoint({ context: { total: run.context.total + 10 }, expectedVersion: run.version })
      })
      expect(attempts).toBe(2)
      expect(await store.executions.load(id)).toMatchObject({ version: 2, context: { total: 10 } })
      expect([run.version, run.context]).toEqual([2, { total: 10 }])
    })

    it('take one change of each saga: a second one is refused, and harms no run', async () => {
      const { store } = await open(target)
      const { id, name } = fresh()
      const run = await store.transaction(async (tx) => {
        const started = await tx.executions.start(id, name, {}, { workerId: 'a' })
        const error = await rejectionOf(Promise.resolve(started.logStep('charge', 'act', 'started')))
        expect(error).toMatchObject({ code: 'INVALID_ARGUMENT', message: expect.stringContaining('one change of each saga') })
        return started
      })
      expect(run.signal.aborted).toBe(false)
      expect(await run.checkpoint({ steps: [done('charge')] })).toEqual({ version: 2, firstSeq: 1 })
    })

    it('are created, and a run is started, with the end', async () => {
      const { store } = await open(target)
      const { id, name, other } = fresh()
      await store.transaction((tx) => tx.executions.create(id, name, {}, { status: 'running', steps: [done('a')] }))
      const run = await store.transaction((tx) => tx.executions.start(other, name, { n: 1 }, { workerId: 'a', leaseMs: 60_000 }))
      await run.checkpoint({ steps: [done('b')] })
      expect(await store.executions.count({ name, status: 'running' })).toBe(2)
      expect(await store.executions.load(other)).toMatchObject({ workerId: 'a', leased: true, entries: 1 })
      await store.transaction((tx) => tx.executions.delete(id))
      expect(await store.executions.find(id)).toBeNull()
      await run.complete()
    })

    it('tell at the call what is wrong, and nothing is stored', async () => {
      const { store } = await open(target)
      const { id, name, other } = fresh()
      await store.executions.create(id, name, {}, { status: 'completed' })
      for (const [call, code] of [
        [(tx: SagaStore) => tx.executions.create(id, name, {}), 'ALREADY_EXISTS'],
        [(tx: SagaStore) => tx.executions.checkpoint(other, { context: {} }), 'NOT_FOUND'],
        [(tx: SagaStore) => tx.executions.updateStatus(id, 'running'), 'INVALID_STATE'],
        [(tx: SagaStore) => tx.executions.checkpoint(id, { token: 'x', context: {} }), 'LEASE_LOST'],
        [(tx: SagaStore) => tx.executions.checkpoint(id, { expectedVersion: 7, context: {} }), 'CONCURRENCY_CONFLICT'],
      ] as const) {
        const refused = store.transaction(async (tx): Promise<unknown> => await call(tx as unknown as SagaStore))
        expect((await rejectionOf(refused)).code).toBe(code)
      }
      expect(await store.executions.load(id)).toMatchObject({ version: 1, entries: 0 })
    })

    it('run again, or fail, where the execution has changed meanwhile', async () => {
      const { store, other } = await open(target)
      const { id, name } = fresh()
      await store.executions.create(id, name, {})
      let runs = 0
      await store.transaction(async (tx) => {
        runs += 1
        await tx.executions.checkpoint(id, { steps: [done(`run-${runs}`)] })
        if (runs === 1) await other.executions.logStep(id, 'between', 'act', 'completed')
      })
      expect(runs).toBe(2)
      expect((await logOf(store.executions, id)).map(({ stepName }) => stepName)).toEqual(['between', 'run-2'])
      const late = store.transaction(async (tx) => {
        await tx.executions.checkpoint(id, { expectedVersion: 2, steps: [done('late')] })
        await other.executions.updateContext(id, { quick: true })
      })
      expect((await rejectionOf(late)).code).toBe('CONCURRENCY_CONFLICT')
      expect(await logOf(store.executions, id)).toHaveLength(2)
    })

    it('are UNSUPPORTED where an answer is needed', async () => {
      const { store } = await open(target)
      const { id, name } = fresh()
      await store.executions.create(id, name, {})
      for (const call of [
        (tx: SagaStore) => tx.executions.load(id),
        (tx: SagaStore) => tx.executions.find(id),
        (tx: SagaStore) => tx.executions.history(id),
        (tx: SagaStore) => tx.executions.list({ name }),
        (tx: SagaStore) => tx.executions.count({ name }),
        (tx: SagaStore) => tx.executions.statistics(),
        (tx: SagaStore) => tx.executions.findRecoverable({ limit: 1 }),
        (tx: SagaStore) => tx.executions.claim({ workerId: 'a' }),
        (tx: SagaStore) => tx.executions.heartbeat([{ sagaId: id, token: 'x', leaseMs: 5 }]),
        (tx: SagaStore) => tx.executions.redrive([id]),
        (tx: SagaStore) => tx.executions.cleanup({ olderThanMs: 0 }),
      ]) {
        const refused = store.transaction(async (tx): Promise<unknown> => await call(tx as unknown as SagaStore))
        expect((await rejectionOf(refused)).code).toBe('UNSUPPORTED')
      }
    })
  })
}
