import { describe, expect, it } from 'vitest'
import { cqrsSagaStorage, openStore, type SagaStore } from '../../index.js'
import { rejectionOf } from '../support/promises'
import { missing, openTarget, type Target, targets } from '../support/targets'
import { fresh, shortLog } from './fresh'

const on = targets.filter(({ name }) => ['memory', 'sqlite', 'postgres', 'redis'].includes(name))
const open = (target: Target): Promise<SagaStore> => openTarget(target)

for (const target of on) {
  describe.skipIf(missing(target))(`${target.name}, as a storage of python-cqrs`, () => {
    it('does what its engine asks of it', async () => {
      await using store = await open(target)
      const storage = cqrsSagaStorage(store)
      const { id, name } = fresh()
      await storage.createSaga(id, name, { n: 1 })
      expect(await storage.loadSagaState(id)).toEqual(['pending', { n: 1 }, 1])
      await storage.updateStatus(id, 'running')
      await storage.logStep(id, 'Pay', 'act', 'started')
      await storage.updateContext(id, { n: 2 }, 2)
      await storage.logStep(id, 'Pay', 'act', 'completed', 'in time')
      await storage.logStep(id, 'Ship', 'act', 'failed', null)
      expect(await storage.loadSagaState(id)).toEqual(['running', { n: 2 }, 3])
      expect((await rejectionOf(storage.updateContext(id, { n: 3 }, 2))).code).toBe('CONCURRENCY_CONFLICT')
      const history = await storage.getStepHistory(id)
      expect(history).toEqual([
        { sagaId: id, stepName: 'Pay', action: 'act', status: 'started', timestamp: expect.any(Date), details: null },
        { sagaId: id, stepName: 'Pay', action: 'act', status: 'completed', timestamp: expect.any(Date), details: 'in time' },
        { sagaId: id, stepName: 'Ship', action: 'act', status: 'failed', timestamp: expect.any(Date), details: null },
      ])
      expect(await storage.getStepHistory(`no-${id}`)).toEqual([])
      expect((await rejectionOf(storage.loadSagaState(`no-${id}`))).code).toBe('NOT_FOUND')
      expect(await storage.getSagasForRecovery(10, 5, undefined, name)).toEqual([id])
      expect(await storage.getSagasForRecovery(10, 5, 60, name)).toEqual([])
      await storage.incrementRecoveryAttempts(id, 'compensating')
      await storage.setRecoveryAttempts(id, 5)
      expect(await storage.getSagasForRecovery(10, 5, 0, name)).toEqual([])
      expect(await storage.getSagasForRecovery(10, 6, 0, name)).toEqual([id])
      await storage.updateStatus(id, 'failed')
      expect((await rejectionOf(storage.updateStatus(id, 'running'))).code).toBe('INVALID_STATE')
    })

    it('stores what a run has changed at its commit, in one write for each saga', async () => {
      await using store = await open(target)
      const storage = cqrsSagaStorage(store)
      const { id, name, other } = fresh()
      {
        await using run = storage.createRun()
        const context = { n: 1 }
        await run.createSaga(id, name, context)
        context.n = 2
        await run.updateStatus(id, 'running')
        await run.logStep(id, 'Pay', 'act', 'started')
        expect(await run.loadSagaState(id)).toEqual(['running', { n: 1 }, 2])
        expect(await run.getStepHistory(id)).toMatchObject([{ stepName: 'Pay', status: 'started' }])
        expect(await store.executions.find(id)).toBeNull()
        await run.commit()
        expect(await storage.loadSagaState(id)).toEqual(['running', { n: 1 }, 1])
        await run.updateContext(id, { n: 3 }, 1)
        await run.updateContext(id, { n: 4 }, 2)
        expect((await rejectionOf(run.updateContext(id, { n: 5 }, 2))).code).toBe('CONCURRENCY_CONFLICT')
        await run.logStep(id, 'Pay', 'act', 'completed', 'ok')
        expect(await run.getStepHistory(id)).toHaveLength(2)
        await run.commit()
        await run.commit()
        expect(await run.loadSagaState(id)).toEqual(['running', { n: 4 }, 2])
        await run.updateStatus(id, 'failed')
        await run.rollback()
        expect(await run.loadSagaState(id)).toEqual(['running', { n: 4 }, 2])
        await run.createSaga(other, name, {})
      }
      expect(await store.executions.find(other)).toBeNull()
      expect(await shortLog(store.executions, id)).toEqual(['1 Pay act started', '2 Pay act completed'])
    })

    it('is told at the commit that another one was quicker, and stores nothing', async () => {
      await using store = await open(target)
      const storage = cqrsSagaStorage(store)
      const { id, name, other } = fresh()
      await storage.createSaga(id, name, { n: 1 })
      const run = storage.createRun()
      await run.updateContext(id, { n: 2 }, 1)
      await run.logStep(id, 'Pay', 'act', 'completed')
      await run.createSaga(other, name, {})
      await storage.updateContext(id, { n: 9 })
      expect((await rejectionOf(run.commit())).code).toBe('CONCURRENCY_CONFLICT')
      expect(await storage.loadSagaState(id)).toEqual(['pending', { n: 9 }, 2])
      expect(await storage.getStepHistory(id)).toEqual([])
      expect(await store.executions.find(other)).toBeNull()
    })
  })
}

describe('cqrsSagaStorage', () => {
  it('takes a store or a transaction, and nothing else', async () => {
    await using store = openStore('memory://')
    expect(cqrsSagaStorage(store)).toHaveProperty('createRun')
    await store.transaction(async (tx) => {
      const storage = cqrsSagaStorage(tx)
      await storage.createSaga('saga-1', 'Order', {})
    })
    expect(await store.executions.find('saga-1')).not.toBeNull()
    for (const wrong of [undefined, null, {}, store.executions]) {
      expect(() => cqrsSagaStorage(wrong as never)).toThrow(expect.objectContaining({ code: 'INVALID_ARGUMENT' }))
    }
  })

  it('changes no status to nothing', async () => {
    await using store = openStore('memory://')
    const storage = cqrsSagaStorage(store)
    await storage.createSaga('saga-1', 'Order', {})
    for (const saga of [storage, storage.createRun()]) {
      for (const wrong of [undefined, null] as never[]) {
        expect((await rejectionOf(saga.updateStatus('saga-1', wrong))).code).toBe('INVALID_ARGUMENT')
      }
      expect(await saga.loadSagaState('saga-1')).toEqual(['pending', {}, 1])
    }
  })
})
