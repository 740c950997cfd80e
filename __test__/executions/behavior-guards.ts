import { describe, expect, it } from 'vitest'
import { type ExecutionStatus, InvalidStateError, LeaseLostError, NotFoundError, type SagaExecutions } from '../../index.js'
import type { Executor } from '../support/executors'
import { rejectionOf } from '../support/promises'
import { sharedStore } from '../support/stores'
import { cannotClaim } from './backends'
import { claimed, done, fresh, logOf, QUICK } from './fresh'

const TERMINAL: ExecutionStatus[] = ['completed', 'compensated', 'failed']
const OPEN: ExecutionStatus[] = ['pending', 'running', 'compensating']

/** What keeps a change out: the end of an execution, somebody else's lease. */
export function guardBehavior(executor: Executor): void {
  const claiming = it.skipIf(cannotClaim(executor))
  let executions: SagaExecutions
  const share = () =>
    sharedStore(
      executor,
      (store) => {
        executions = store.executions
      },
      QUICK,
    )

  describe('statuses', () => {
    share()

    it('lead from any that is not terminal to any other', async () => {
      for (const from of OPEN) {
        for (const to of [...OPEN, ...TERMINAL]) {
          const { id, name } = fresh()
          await executions.create(id, name, {}, { status: from })
          await executions.updateStatus(id, to)
          const found = await executions.load(id)
          expect(found.status).toBe(to)
          expect(found.completedAt !== null).toBe(TERMINAL.includes(to))
        }
      }
    })

    it('lead nowhere from a terminal one: INVALID_STATE, with the status', async () => {
      for (const status of TERMINAL) {
        const { id, name } = fresh()
        await executions.create(id, name, { n: 1 }, { status: 'running' })
        await executions.updateStatus(id, status)
        const before = await executions.load(id)
        for (const to of [...OPEN, ...TERMINAL].filter((other) => other !== status)) {
          const error = await rejectionOf(executions.updateStatus(id, to))
          expect(error).toBeInstanceOf(InvalidStateError)
          expect(error).toMatchObject({ code: 'INVALID_STATE', id, status })
          const change = executions.checkpoint(id, { status: to, context: { n: 2 }, steps: [done('late')] })
          expect((await rejectionOf(change)).code).toBe('INVALID_STATE')
        }
        expect((await rejectionOf(executions.incrementRecoveryAttempts(id, 'running'))).code).toBe('INVALID_STATE')
        expect(await executions.load(id)).toEqual(before)
        expect(await logOf(executions, id)).toEqual([])
      }
    })

    it('let what changes none of them pass', async () => {
      const { id, name } = fresh()
      await executions.create(id, name, {}, { status: 'completed' })
      const { completedAt } = await executions.load(id)
      await executions.updateStatus(id, 'completed')
      await executions.checkpoint(id, { context: { audit: true }, steps: [done('audit')] })
      expect(await executions.load(id)).toMatchObject({ status: 'completed', context: { audit: true }, entries: 1, completedAt })
    })

    claiming('lead back with force', async () => {
      const { id, name } = fresh()
      await executions.create(id, name, {}, { status: 'failed' })
      await executions.updateStatus(id, 'running', { force: true })
      expect(await executions.load(id)).toMatchObject({ status: 'running', completedAt: null })
      expect(await claimed(executions, name)).toEqual([id])
    })

    claiming('never bring back what failed before its first step', async () => {
      const { id, name } = fresh()
      await executions.create(id, name, {}, { status: 'running' })
      await executions.checkpoint(id, { status: 'compensating', steps: [{ stepName: 'a', status: 'failed' }] })
      await executions.updateStatus(id, 'failed')
      expect(await claimed(executions, name)).toEqual([])
      expect(await executions.findRecoverable({ limit: 100, name })).toEqual([])
      expect((await executions.load(id)).dueAt).toBeNull()
    })
  })

  describe('leases as a guard', () => {
    share()

    it('keep out who has no token, once it was leased, but not with force', async () => {
      const { id, name } = fresh()
      const run = await executions.start(id, name, { n: 1 }, { workerId: 'a', leaseMs: 60_000, renew: false })
      const attempts = [
        () => executions.checkpoint(id, { context: { n: 2 }, steps: [done('no')] }),
        () => executions.updateContext(id, { n: 2 }),
        () => executions.updateStatus(id, 'completed'),
        () => executions.logStep(id, 'no', 'act', 'completed'),
        () => executions.updateStep(id, 'no', { status: 'completed' }),
        () => executions.save({ sagaId: id, name, status: 'running', context: {}, steps: [] }),
      ]
      for (const attempt of attempts) {
        const error = await rejectionOf(attempt())
        expect(error).toBeInstanceOf(LeaseLostError)
        expect(error).toMatchObject({ code: 'LEASE_LOST', id })
      }
      expect(await logOf(executions, id)).toEqual([])
      await executions.checkpoint(id, { token: run.token, steps: [done('mine')] })
      await executions.checkpoint(id, { force: true, steps: [done('forced')] })
      expect(await executions.load(id)).toMatchObject({ context: { n: 1 }, entries: 2, workerId: 'a', leased: true })
      await run.release()
      // It is nobody's now, and still no token is no token.
      expect((await rejectionOf(executions.updateContext(id, {}))).code).toBe('LEASE_LOST')
      await executions.updateContext(id, { n: 3 }, { force: true })
    })

    it('keep out another token, also of the same worker, and one where there was never a lease', async () => {
      const { id, name, other } = fresh()
      const run = await executions.start(id, name, {}, { workerId: 'a', renew: false })
      for (const token of ['', 'x', `${run.token}x`, run.token.toUpperCase() + run.token.toLowerCase()]) {
        expect((await rejectionOf(executions.checkpoint(id, { token, steps: [done('no')] }))).code).toBe('LEASE_LOST')
      }
      await executions.create(other, name, {})
      expect((await rejectionOf(executions.checkpoint(other, { token: run.token, steps: [done('no')] }))).code).toBe('LEASE_LOST')
      expect(await executions.load(other)).toMatchObject({ version: 1, entries: 0 })
    })

    it('are judged behind NOT_FOUND, and before the status and the version', async () => {
      const { id, name, other } = fresh()
      const wrong = { token: 'x', status: 'running' as const, expectedVersion: 99 }
      const missing = await rejectionOf(executions.checkpoint(other, wrong))
      expect(missing).toBeInstanceOf(NotFoundError)
      const run = await executions.start(id, name, {}, { workerId: 'a', renew: false })
      await run.complete()
      expect((await rejectionOf(executions.checkpoint(id, wrong))).code).toBe('LEASE_LOST')
      await executions.create(other, name, {}, { status: 'completed' })
      const { token: _, ...ended } = wrong
      expect((await rejectionOf(executions.checkpoint(other, ended))).code).toBe('INVALID_STATE')
      const late = { expectedVersion: 99, status: 'completed' as const }
      expect((await rejectionOf(executions.checkpoint(other, late))).code).toBe('CONCURRENCY_CONFLICT')
    })

    it('are no matter of delete', async () => {
      const { id, name } = fresh()
      const run = await executions.start(id, name, {}, { workerId: 'a', renew: false })
      expect(await executions.delete(id)).toBe(true)
      expect((await rejectionOf(run.checkpoint({ steps: [done('late')] }))).code).toBe('NOT_FOUND')
      expect(run.signal.aborted).toBe(true)
      expect(await executions.find(id)).toBeNull()
    })
  })

  describe('arguments that are left out', () => {
    share()

    it('are INVALID_ARGUMENT where they matter, and so is null as an option: nothing is written without its guard', async () => {
      const { id, name, other } = fresh()
      await executions.create(id, name, { n: 1 }, { status: 'running' })
      const run = await executions.start(other, name, { n: 1 }, { workerId: 'a', renew: false })
      const before = [await executions.load(id), await executions.load(other)]
      const no = null as never
      const table: [() => Promise<unknown>, string][] = [
        ...([undefined, null, 5] as never[]).flatMap((wrong): [() => Promise<unknown>, string][] => [
          [() => executions.updateStatus(id, wrong), 'status must be one of'],
          [() => run.updateStatus(wrong), 'status must be one of'],
          [() => run.waitUntil(wrong), 'the date must be a valid Date'],
        ]),
        [() => executions.incrementRecoveryAttempts(id, no), 'status must be one of'],
        [() => run.release({ retryAt: 5 as never }), "option 'retryAt' must be a valid Date"],
        [() => run.release({ retryAt: no }), "option 'retryAt' must not be null"],
        [() => executions.checkpoint(id, { expectedVersion: no, token: no }), "option 'expectedVersion' must not be null"],
        [() => executions.checkpoint(id, { token: no, context: { n: 2 } }), "option 'token' must not be null"],
        [() => executions.checkpoint(id, { status: no }), "option 'status' must not be null"],
        [() => executions.checkpoint(id, { operationId: no }), "option 'operationId' must not be null"],
        [() => executions.updateContext(id, {}, { expectedVersion: no }), "option 'expectedVersion' must not be null"],
        [() => executions.updateStatus(id, 'failed', { token: no }), "option 'token' must not be null"],
        [() => executions.updateStep(id, 'a', { status: 'completed', token: no }), "option 'token' must not be null"],
        [() => executions.create(`${id}-new`, name, {}, { tags: no }), "option 'tags' must not be null"],
        [() => executions.save({ sagaId: id, name: no, status: 'running' }), "option 'name' must not be null"],
        [() => executions.load(id, { forUpdate: no }), "option 'forUpdate' must not be null"],
        [() => executions.history(id, { limit: no }), "option 'limit' must not be null"],
        [() => executions.list({ name: no }), "option 'name' must not be null"],
        [() => executions.parked({ cursor: no }), "option 'cursor' must not be null"],
        [() => executions.count({ status: no }), "option 'status' must not be null"],
        [() => executions.cleanup({ olderThanMs: 0, statuses: no }), "option 'statuses' must not be null"],
        [() => executions.claim({ workerId: 'w', names: no }), "option 'names' must not be null"],
        [() => executions.findRecoverable({ limit: 1, name: no }), "option 'name' must not be null"],
        [() => executions.redrive([id], { resetAttempts: no }), "option 'resetAttempts' must not be null"],
        [() => run.checkpoint({ expectedVersion: no }), "option 'expectedVersion' must not be null"],
        [() => run.history({ after: no }), "option 'after' must not be null"],
      ]
      for (const [attempt, message] of table) {
        const error = await rejectionOf(attempt())
        expect(error.code, message).toBe('INVALID_ARGUMENT')
        expect(error.message).toContain(message)
      }
      expect([await executions.load(id), await executions.load(other)]).toEqual(before)
      expect(await executions.find(`${id}-new`)).toBeNull()
    })
  })
}
