import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import type { ExecutionStatus, SagaExecutions } from '../../index.js'
import type { Executor } from '../support/executors'
import { rejectionOf } from '../support/promises'
import { ownStore, sharedStore } from '../support/stores'
import { cannotClaim } from './backends'
import { claimed, done, fresh, startAndDie } from './fresh'

/** How executions that have ended go away. */
export function cleanupBehavior(executor: Executor): void {
  let executions: SagaExecutions

  describe('cleanup', () => {
    ownStore(executor, (store) => {
      executions = store.executions
    })

    const fill = async (name: string, many: number, status: ExecutionStatus) => {
      const ids = Array.from({ length: many }, (_, n) => `${name}-${status}-${n}`)
      await Promise.all(ids.map((id) => executions.create(id, name, {}, { status, tags: ['t'], steps: [done('a'), done('b')] })))
      return ids
    }

    it('removes those that have ended long enough ago, and leaves nothing of them', async () => {
      const { name } = fresh()
      const ended = (await Promise.all((['completed', 'compensated', 'failed'] as const).map((status) => fill(name, 6, status)))).flat()
      const open = (await Promise.all((['pending', 'running', 'compensating'] as const).map((status) => fill(name, 3, status)))).flat()
      await sleep(20)
      expect(await executions.cleanup({ olderThanMs: 60_000 })).toBe(0)
      expect(await executions.cleanup({ olderThanMs: 0 })).toBe(18)
      expect(await executions.cleanup({ olderThanMs: 0 })).toBe(0)
      expect((await executions.list({ name })).items.map(({ sagaId }) => sagaId).sort()).toEqual([...open].sort())
      for (const id of ended.slice(0, 7)) {
        expect(await executions.find(id)).toBeNull()
        expect((await rejectionOf(executions.history(id))).code).toBe('NOT_FOUND')
      }
      expect(await executions.statistics()).toMatchObject({ total: 9, byStatus: { completed: 0, compensated: 0, failed: 0, running: 3 } })
      expect(await executions.count({ name, tag: 't' })).toBe(9)
      const [again] = ended as [string]
      expect(await executions.create(again, name, {})).toBe(1)
      expect((await executions.history(again)).entries).toEqual([])
    })

    it('removes at most so many, of these statuses', async () => {
      const { name } = fresh()
      await fill(name, 8, 'completed')
      await fill(name, 3, 'failed')
      await sleep(20)
      expect(await executions.cleanup({ olderThanMs: 0, limit: 5 })).toBe(5)
      expect(await executions.cleanup({ olderThanMs: 0, statuses: ['compensated'] })).toBe(0)
      const failed = await executions.count({ name, status: 'failed' })
      expect(await executions.cleanup({ olderThanMs: 0, statuses: ['failed'] })).toBe(failed)
      expect(await executions.count({ name })).toBe(6 - failed)
      for (const options of [
        undefined,
        {},
        { olderThanMs: -1 },
        { olderThanMs: 1.5 },
        { olderThanMs: 0, limit: 0 },
        { olderThanMs: 0, statuses: ['running'] },
        { olderThanMs: 0, statuses: 'failed' },
        { olderThan: 0 },
      ]) {
        expect((await rejectionOf(executions.cleanup(options as never))).code, JSON.stringify(options)).toBe('INVALID_ARGUMENT')
      }
    })

    it('never removes what was opened again, or is leased', async () => {
      const { name, id, other } = fresh()
      await executions.create(id, name, {}, { status: 'completed' })
      await executions.updateStatus(id, 'running', { force: true })
      await startAndDie(executions, { id: other, name })
      await sleep(20)
      expect(await executions.cleanup({ olderThanMs: 0 })).toBe(0)
      expect(await executions.count({ name })).toBe(2)
    })
  })

  describe('executionTtlMs', () => {
    sharedStore(
      executor,
      (store) => {
        executions = store.executions
      },
      { executionTtlMs: 1_200 },
    )

    it.concurrent('ends those that have ended, and nothing else', async () => {
      const { name } = fresh()
      const id = (n: number) => `${name}-${n}`
      for (const n of [1, 2, 3]) await executions.create(id(n), name, {}, { status: 'running', steps: [done('a')] })
      const run = await executions.start(id(4), name, {}, { workerId: 'a', leaseMs: 60_000, renew: false })
      await executions.updateStatus(id(1), 'completed')
      await executions.updateStatus(id(2), 'failed')
      await executions.updateStatus(id(2), 'running', { force: true })
      await run.complete()
      expect(await executions.count({ name })).toBe(4)
      expect(await executions.find(id(1))).not.toBeNull()
      await sleep(1_500)
      expect(await executions.find(id(1))).toBeNull()
      expect(await executions.find(id(4))).toBeNull()
      expect((await rejectionOf(executions.history(id(1)))).code).toBe('NOT_FOUND')
      expect((await rejectionOf(executions.checkpoint(id(1), { context: {} }))).code).toBe('NOT_FOUND')
      expect((await executions.list({ name })).items.map(({ sagaId }) => sagaId).sort()).toEqual([id(2), id(3)])
      if (!cannotClaim(executor)) expect((await claimed(executions, name)).sort()).toEqual([id(2), id(3)])
      // Whether it has been removed yet or not, its place is free.
      expect(await executions.create(id(1), name, { again: true })).toBe(1)
      expect((await executions.history(id(1))).entries).toEqual([])
    })
  })

  describe('what executionTtlMs has ended', () => {
    ownStore(
      executor,
      (store) => {
        executions = store.executions
      },
      { executionTtlMs: 1_200 },
    )

    it('is not counted by cleanup', async () => {
      const { name } = fresh()
      // One whose log is kept apart from it, where a backend does so.
      const long = Array.from({ length: 40 }, (_, n) => ({ ...done(`s${n}`), result: 'x'.repeat(400) }))
      for (const n of [1, 2]) await executions.create(`${name}-${n}`, name, {}, { status: 'completed', steps: [done('a')] })
      await executions.create(`${name}-3`, name, {}, { status: 'failed', steps: long })
      await sleep(1_500)
      expect(await executions.count({ name })).toBe(0)
      expect(await executions.cleanup({ olderThanMs: 0, statuses: ['failed'] })).toBe(0)
      expect(await executions.cleanup({ olderThanMs: 0 })).toBe(0)
      expect(await executions.create(`${name}-3`, name, {})).toBe(1)
      expect((await executions.history(`${name}-3`)).entries).toEqual([])
    })
  })
}
