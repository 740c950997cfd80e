import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { openStore, type SagazState, type SagazStep, sagazStorage } from '../../index.js'
import { rejectionOf } from '../support/promises'
import { missing, openTarget, targets } from '../support/targets'
import { fresh } from './fresh'

const on = targets.filter(({ name }) => ['memory', 'sqlite', 'postgres', 'redis'].includes(name))

const STEPS: SagazStep[] = [
  { name: 'reserve', status: 'completed', result: { items: 2 }, error: null, executedAt: '2026-11-24T10:00:00.123Z', retryCount: 1 },
  { name: 'pay', status: 'executing', result: null, error: null, executedAt: null, timeout: 30 },
  { name: 'ship', status: 'pending' },
  { name: 'mail', status: 'tainted', compensatedAt: '2026-11-24T10:00:00.123Z' },
]

for (const target of on) {
  describe.skipIf(missing(target))(`${target.name}, as a storage of sagaz`, () => {
    it('keeps a saga as it was saved', async () => {
      await using store = await openTarget(target)
      const storage = sagazStorage(store)
      const { id, name } = fresh()
      expect(await storage.loadSagaState(id)).toBeNull()
      await storage.saveSagaState(id, name, 'executing', STEPS, { order: 1 }, { version: 'x' })
      const first = (await storage.loadSagaState(id)) as SagazState
      expect(first).toMatchObject({ sagaId: id, sagaName: name, status: 'executing', context: { order: 1 }, metadata: { version: 'x' } })
      expect(first.steps).toEqual([
        STEPS[0],
        { name: 'pay', status: 'executing', result: null, error: null, timeout: 30 },
        STEPS[2],
        STEPS[3],
      ])
      await sleep(5)
      await storage.saveSagaState(id, name, 'rolled_back', STEPS.slice(0, 1), {})
      const second = (await storage.loadSagaState(id)) as SagazState
      expect(second).toMatchObject({
        status: 'rolled_back',
        steps: STEPS.slice(0, 1),
        context: {},
        metadata: {},
        createdAt: first.createdAt,
      })
      expect(second.updatedAt > first.updatedAt).toBe(true)
      expect((await rejectionOf(storage.saveSagaState(id, name, 'executing', [], {}))).code).toBe('INVALID_STATE')
      expect(await storage.deleteSagaState(id)).toBe(true)
      expect(await storage.deleteSagaState(id)).toBe(false)
      for (const wrong of ['running', 'done', 'toString']) {
        expect((await rejectionOf(storage.saveSagaState(id, name, wrong as never, [], {}))).code).toBe('INVALID_ARGUMENT')
        const steps = [{ name: 'a', status: wrong as never }]
        expect((await rejectionOf(storage.saveSagaState(id, name, 'pending', steps, {}))).code).toBe('INVALID_ARGUMENT')
      }
    })

    it('changes a step', async () => {
      await using store = await openTarget(target)
      const storage = sagazStorage(store)
      const { id, name } = fresh()
      await storage.saveSagaState(id, name, 'executing', STEPS, {})
      const executedAt = new Date('2026-11-24T11:00:00.000Z')
      await storage.updateStepState(id, 'pay', 'failed', { error: 'declined', executedAt })
      await storage.updateStepState(id, 'reserve', 'compensating')
      const steps = (await storage.loadSagaState(id))?.steps
      expect(steps?.map((step) => `${step.name} ${step.status}`)).toEqual([
        'reserve compensating',
        'pay failed',
        'ship pending',
        'mail tainted',
      ])
      expect(steps?.[1]).toEqual({
        name: 'pay',
        status: 'failed',
        result: null,
        error: 'declined',
        executedAt: '2026-11-24T11:00:00.000Z',
        timeout: 30,
      })
      expect(steps?.[0]).toMatchObject({ retryCount: 1, executedAt: '2026-11-24T10:00:00.123Z', result: null })
      expect((await rejectionOf(storage.updateStepState(id, 'no', 'failed'))).code).toBe('NOT_FOUND')
      expect((await rejectionOf(storage.updateStepState(`no-${id}`, 'pay', 'failed'))).code).toBe('NOT_FOUND')
    })

    it('lists, counts, cleans up, and hands over to another one', async () => {
      await using store = await openTarget(target)
      const storage = sagazStorage(store)
      const statuses = ['executing', 'failed', 'partially_committed', 'pending', 'forward_recovery', 'completed'] as const
      for (const [n, status] of statuses.entries()) {
        await storage.saveSagaState(`s-${n}`, n % 2 === 0 ? 'OrderSaga' : 'MailSaga', status, STEPS, { n })
        await sleep(3)
      }
      const ids = async (filter?: object) => (await storage.listSagas(filter)).map(({ sagaId }) => sagaId)
      expect(await ids()).toEqual(['s-5', 's-4', 's-3', 's-2', 's-1', 's-0'])
      expect(await ids({ limit: 2, offset: 1 })).toEqual(['s-4', 's-3'])
      expect(await ids({ sagaName: 'order' })).toEqual(['s-4', 's-2', 's-0'])
      for (const [n, status] of statuses.entries()) expect(await ids({ status })).toEqual([`s-${n}`])
      expect((await storage.listSagas({ status: 'executing' }))[0]).toMatchObject({ status: 'executing', stepCount: 4, completedSteps: 1 })
      expect(await storage.count()).toBe(6)
      const { totalSagas, byStatus } = await storage.getSagaStatistics()
      expect([totalSagas, byStatus]).toEqual([6, { executing: 1, failed: 2, pending: 2, completed: 1 }])
      await using copy = openStore('memory://')
      const copied = sagazStorage(copy)
      for await (const state of storage.exportAll()) await copied.importRecord(JSON.parse(JSON.stringify(state)))
      expect(await copied.count()).toBe(6)
      const { createdAt: _, updatedAt: __, ...state } = (await storage.loadSagaState('s-2')) as SagazState
      expect(await copied.loadSagaState('s-2')).toMatchObject(state)
      await sleep(10)
      expect(await storage.cleanupCompletedSagas(new Date(Date.now() - 60_000))).toBe(0)
      expect(await storage.cleanupCompletedSagas(new Date())).toBe(1)
      expect(await storage.cleanupCompletedSagas(new Date(), ['failed'])).toBe(2)
      expect(await storage.healthCheck()).toMatchObject({ status: 'healthy', isHealthy: true, latencyMs: expect.any(Number) })
    })
  })
}

describe('sagazStorage', () => {
  it('takes a store, and nothing else', () => {
    for (const wrong of [undefined, null, {}, 'memory://']) {
      expect(() => sagazStorage(wrong as never)).toThrow(expect.objectContaining({ code: 'INVALID_ARGUMENT' }))
    }
  })

  it('takes nothing that it does not know, and says so with a code', async () => {
    await using store = openStore('memory://')
    const storage = sagazStorage(store)
    await storage.saveSagaState('s', 'Order', 'executing', STEPS, {})
    const before = await storage.loadSagaState('s')
    const attempts: [() => Promise<unknown>, string][] = [
      [() => storage.updateStepState('s', 'pay', 'completed', { rsult: 8 } as never), "unknown option 'rsult'"],
      [() => storage.updateStepState('s', 'pay', 'completed', { executedAt: 'now' as never }), "option 'executedAt' must be a valid Date"],
      [() => storage.listSagas({ sagaNme: 'Order' } as never), "unknown option 'sagaNme'"],
      [() => storage.listSagas({ sagaName: 5 as never }), "option 'sagaName' must be text"],
      [() => storage.listSagas({ limit: -1 }), "option 'limit' must be"],
      [() => storage.listSagas({ offset: null as never }), "option 'offset' must be"],
      [() => storage.cleanupCompletedSagas('2024-01-01' as never), 'olderThan must be a valid Date'],
      [() => storage.cleanupCompletedSagas(new Date(Number.NaN)), 'olderThan must be a valid Date'],
      [() => storage.cleanupCompletedSagas(new Date(), 5 as never), 'statuses must be an iterable'],
      [() => storage.saveSagaState('t', 'Order', 'pending', undefined as never, {}), 'steps must be an iterable'],
      [() => storage.importRecord({ sagaId: 't', sagaName: 'Order', status: 'pending', stps: [] } as never), "unknown option 'stps'"],
    ]
    for (const [attempt, message] of attempts) {
      const error = await rejectionOf(attempt())
      expect(error.code, message).toBe('INVALID_ARGUMENT')
      expect(error.message).toContain(message)
    }
    expect(await storage.loadSagaState('s')).toEqual(before)
    expect(await storage.count()).toBe(1)
  })
})
