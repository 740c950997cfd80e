import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { LeaseLostError, type SagaExecutions, SagaRun } from '../../index.js'
import type { Executor } from '../support/executors'
import { eventually, rejectionOf } from '../support/promises'
import { sharedStore } from '../support/stores'
import { cannotClaim } from './backends'
import { claimed, done, fresh, logOf, QUICK, startAndDie } from './fresh'

/** Who has an execution, and how it is handed over. Its own lease is shown to nobody else before it is over. */
export function leaseBehavior(executor: Executor): void {
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

  describe('a run', () => {
    share()

    claiming('has the execution from the start: nobody can claim it', async () => {
      const { id, name } = fresh()
      const run = await executions.start(id, name, { total: 1 }, { workerId: 'a', leaseMs: 60_000, tags: ['eu'], steps: [done('a')] })
      expect(await claimed(executions, name)).toEqual([])
      expect(run).toBeInstanceOf(SagaRun)
      expect(run).toMatchObject({ sagaId: id, name, workerId: 'a', status: 'running', version: 1, context: { total: 1 }, attempt: 0 })
      expect(run.token.length).toBeGreaterThan(15)
      expect(run.signal.aborted).toBe(false)
      const found = await executions.load(id)
      expect(found).toMatchObject({ status: 'running', workerId: 'a', leased: true, attempts: 0, tags: ['eu'], entries: 1 })
      expect(found).not.toHaveProperty('token')
      const left = (found.dueAt?.getTime() ?? 0) - Date.now()
      expect(left).toBeGreaterThan(50_000)
      expect(left).toBeLessThan(70_000)
      await run.release()
    })

    it('keeps its version, status and context up to date', async () => {
      const { id, name } = fresh()
      const run = await executions.start(id, name, { n: 1 }, { workerId: 'a' })
      expect(await run.checkpoint({ context: { n: 2 }, steps: [done('a')] })).toEqual({ version: 2, firstSeq: 1 })
      expect(run).toMatchObject({ version: 2, context: { n: 2 } })
      expect(await run.updateContext({ n: 3 })).toBe(3)
      expect(await run.updateStatus('compensating', 'undoing')).toBe(4)
      expect(await run.logStep('a', 'compensate', 'started')).toBe(2)
      expect(await run.updateStep('a', { status: 'compensated', result: 'undone' })).toBe(3)
      expect(run).toMatchObject({ version: 4, status: 'compensating', context: { n: 3 } })
      const expected = run.checkpoint({ expectedVersion: 3, steps: [done('no')] })
      expect(await rejectionOf(expected)).toMatchObject({ code: 'CONCURRENCY_CONFLICT', actualVersion: 4 })
      expect(run.signal.aborted).toBe(false)
      expect((await run.history()).entries.map(({ stepName }) => stepName)).toEqual(['a', 'a', 'a'])
      expect(await run.steps()).toMatchObject([{ stepName: 'a', status: 'compensated' }])
      expect(await executions.load(id)).toMatchObject({ version: 4, status: 'compensating', subStatus: 'undoing', context: { n: 3 } })
      await run.compensated()
    })

    it('ends it in one write, and the lease with it', async () => {
      for (const [end, status, more] of [
        [(run: SagaRun) => run.complete({ n: 9 }), 'completed', { context: { n: 9 }, lastError: null }],
        [(run: SagaRun) => run.compensated(), 'compensated', { context: { n: 1 }, lastError: null }],
        [(run: SagaRun) => run.fail(new Error('no more')), 'failed', { context: { n: 1 }, lastError: 'no more' }],
      ] as const) {
        const { id, name } = fresh()
        const run: SagaRun = await executions.start(id, name, { n: 1 }, { workerId: 'a', leaseMs: 300 })
        await end(run)
        expect(run).toMatchObject({ version: 2, status })
        expect(await executions.load(id)).toMatchObject({ status, version: 2, leased: false, dueAt: null, ...more })
        expect((await executions.load(id)).completedAt).not.toBeNull()
        expect((await rejectionOf(run.checkpoint({ steps: [done('late')] }))).code).toBe('LEASE_LOST')
        expect((await rejectionOf(run.complete())).code).toBe('LEASE_LOST')
        await run[Symbol.asyncDispose]()
        expect(run.signal.aborted).toBe(false)
        expect(await logOf(executions, id)).toEqual([])
      }
    })

    claiming('hands it back: another one has it at once, and that was no attempt', async () => {
      const { id, name } = fresh()
      const run = await executions.start(id, name, {}, { workerId: 'a' })
      await run.release()
      expect(await executions.load(id)).toMatchObject({ leased: false, attempts: 0, status: 'running' })
      const [next] = await executions.claim({ workerId: 'b', names: [name], renew: false })
      expect(next).toMatchObject({ sagaId: id, workerId: 'b', attempt: 1 })
      await next?.release()
      expect(await executions.load(id)).toMatchObject({ attempts: 0, workerId: null })
      expect((await rejectionOf(run.checkpoint({ steps: [done('late')] }))).code).toBe('LEASE_LOST')
    })

    claiming('hands it back by the end of its block, unless it has ended', async () => {
      const { id, name, other } = fresh()
      {
        await using run = await executions.start(id, name, {}, { workerId: 'a' })
        await run.checkpoint({ steps: [done('a')] })
        await using ended = await executions.start(other, name, {}, { workerId: 'a' })
        await ended.complete()
      }
      expect(await claimed(executions, name)).toEqual([id])
    })

    claiming('hands it back until a time, with an error or without', async () => {
      const { id, name } = fresh()
      const retryAt = new Date(Date.now() + 3_600_000)
      const run = await executions.start(id, name, {}, { workerId: 'a' })
      await run.release({ retryAt, error: new TypeError('not yet') })
      expect(await executions.load(id)).toMatchObject({ dueAt: retryAt, lastError: 'not yet', attempts: 1, leased: false })
      expect(await claimed(executions, name)).toEqual([])
      const { id: second, name: own } = fresh()
      const waiting = await executions.start(second, own, {}, { workerId: 'a' })
      await waiting.waitUntil(retryAt)
      expect(await executions.load(second)).toMatchObject({ dueAt: retryAt, attempts: 0, leased: false, status: 'running' })
      expect(await claimed(executions, own)).toEqual([])
      await executions.redrive([second])
      expect((await rejectionOf(waiting.checkpoint({ steps: [done('late')] }))).code).toBe('LEASE_LOST')
    })

    it('is told at its next write that it is another one’s, and its signal says so', async () => {
      const { id, name } = fresh()
      const run = await executions.start(id, name, {}, { workerId: 'a', leaseMs: 60_000 })
      await executions.updateStatus(id, 'failed', { force: true })
      const error = await rejectionOf(run.checkpoint({ steps: [done('late')] }))
      expect(error).toBeInstanceOf(LeaseLostError)
      expect(error).toMatchObject({ code: 'LEASE_LOST', id })
      expect(run.signal.aborted).toBe(true)
      expect(run.signal.reason).toBe(error)
      await run[Symbol.asyncDispose]()
      expect(await executions.load(id)).toMatchObject({ status: 'failed', entries: 0 })
    })

    it('refuses options that are none', async () => {
      const { id, name } = fresh()
      for (const options of [
        undefined,
        {},
        { workerId: '' },
        { workerId: 'a'.repeat(257) },
        { workerId: 5 },
        { workerId: '\ud800' },
        { workerId: 'a', leaseMs: 0 },
        { workerId: 'a', leaseMs: 1.5 },
        { workerId: 'a', leaseMs: 604_800_001 },
        { workerId: 'a', renew: 1 },
        { workerId: 'a', status: 'done' },
        { workerId: 'a', lease: 5 },
      ]) {
        const started = executions.start(id, name, {}, options as never)
        expect((await rejectionOf(started)).code, JSON.stringify(options)).toBe('INVALID_ARGUMENT')
      }
      for (const options of [
        undefined,
        {},
        { workerId: 'a', limit: 0 },
        { workerId: 'a', limit: 1_001 },
        { workerId: 'a', leaseMs: -1 },
        { workerId: 'a', names: name },
        { workerId: 'a', names: [5] },
        { workerId: 'a', names: [] },
        { workerId: 'a', statuses: ['completed'] },
        { workerId: 'a', statuses: [] },
        { workerId: 'a', maxRecoveryAttempts: -1 },
        { workerId: 'a', staleAfterMs: -1 },
        { workerId: 'a', now: new Date() },
      ]) {
        expect((await rejectionOf(executions.claim(options as never))).code, JSON.stringify(options)).toBe('INVALID_ARGUMENT')
      }
      expect(await executions.find(id)).toBeNull()
    })
  })

  describe('claims', () => {
    share()

    it.runIf(cannotClaim(executor))('are refused where the server cannot keep two apart', async () => {
      const { id, name } = fresh()
      await executions.create(id, name, {}, { status: 'running' })
      const error = await rejectionOf(executions.claim({ workerId: 'w', names: [name] }))
      expect(error).toMatchObject({ code: 'UNSUPPORTED', message: expect.stringContaining('FerretDB 1') })
      expect(await executions.load(id)).toMatchObject({ attempts: 0, leased: false })
    })

    claiming('never give one execution to two', async () => {
      const { name } = fresh()
      const ids = Array.from({ length: 24 }, (_, n) => `${name}-${String(n).padStart(2, '0')}`)
      await Promise.all(ids.map((id) => executions.create(id, name, {}, { status: 'running' })))
      const workers = Array.from({ length: 6 }, (_, n) => claimed(executions, name, { workerId: `w-${n}`, limit: 10 }))
      const first = (await Promise.all(workers)).flat()
      const rest = await claimed(executions, name)
      expect([...first, ...rest].sort()).toEqual(ids)
      expect(await claimed(executions, name)).toEqual([])
    })

    claiming('give one of two that have found the same id nothing', async () => {
      const { id, name } = fresh()
      await executions.create(id, name, {}, { status: 'compensating' })
      const found = await Promise.all([1, 2].map(() => executions.findRecoverable({ limit: 10, name })))
      expect(found).toEqual([[id], [id]])
      const runs = await Promise.all(['a', 'b'].map((workerId) => claimed(executions, name, { workerId })))
      expect(runs.flat()).toEqual([id])
    })

    claiming('give the longest due first, at most so many, of these names and statuses', async () => {
      const { name } = fresh()
      const ago = (seconds: number) => new Date(Date.now() - seconds * 1_000)
      for (const [n, seconds] of [30, 50, 10, 40, 20].entries()) {
        const status = n % 2 === 0 ? ('running' as const) : ('compensating' as const)
        await executions.create(`${name}-${n}`, name, { n }, { status, dueAt: ago(seconds) })
      }
      await executions.create(`${name}-5`, name, {}, { status: 'pending', dueAt: ago(60) })
      await executions.create(`${name}-6`, name, {}, { status: 'pending' })
      await executions.create(`${name}-7`, name, {}, { status: 'running', dueAt: ago(-60) })
      await executions.create(`${name}-8`, name, {}, { status: 'completed' })
      await executions.create(`${name}-9`, `${name}x`, {}, { status: 'running', dueAt: ago(60) })
      const [first] = await executions.claim<{ n: number }>({ workerId: 'w', names: [name], renew: false })
      expect(first).toMatchObject({ sagaId: `${name}-1`, context: { n: 1 }, status: 'compensating', attempt: 1, version: 1 })
      expect(await claimed(executions, name, { limit: 2, statuses: ['running'] })).toEqual([`${name}-0`, `${name}-4`])
      expect(await claimed(executions, name)).toEqual([`${name}-3`, `${name}-2`])
      expect(await claimed(executions, name)).toEqual([])
      expect(await claimed(executions, name, { statuses: ['pending', 'running'] })).toEqual([`${name}-5`])
      expect(await claimed(executions, `${name}y`, { names: [`${name}x`, `${name}y`] })).toEqual([`${name}-9`])
    })

    claiming('leave alone what has changed lately, where that is asked for', async () => {
      const { id, name } = fresh()
      await executions.create(id, name, {}, { status: 'running' })
      expect(await claimed(executions, name, { staleAfterMs: 60_000 })).toEqual([])
      expect(await claimed(executions, name)).toEqual([id])
    })
  })

  // These wait for a time to pass: they do it together.
  describe('when time passes', () => {
    share()

    claiming.concurrent('an execution whose worker has died is another one’s, and the first one is fenced off', async () => {
      const { id, name } = fresh()
      const late = await startAndDie(executions, { id, name })
      await sleep(350)
      // Under the same name, too.
      const [next] = await executions.claim({ workerId: 'dead', leaseMs: 60_000, names: [name], renew: false })
      expect(next).toMatchObject({ sagaId: id, attempt: 1, context: { total: 1 } })
      const before = await executions.load(id)
      expect(await executions.heartbeat([late])).toEqual({ lost: [id] })
      expect(late.signal.aborted).toBe(true)
      expect(late.signal.reason).toMatchObject({ code: 'LEASE_LOST', id })
      for (const write of [
        late.checkpoint({ context: { stolen: true }, steps: [done('late')] }),
        late.logStep('late', 'act', 'completed'),
        late.release(),
        late.waitUntil(new Date()),
        late.complete(),
        late.fail('late'),
      ]) {
        expect((await rejectionOf(write)).code).toBe('LEASE_LOST')
      }
      expect(await executions.load(id)).toEqual(before)
      expect(await logOf(executions, id)).toEqual([])
      await next?.checkpoint({ steps: [done('mine')] })
    })

    claiming.concurrent('a lease that is over and that nobody has taken can still be written with, and is renewed by that', async () => {
      const { id, name } = fresh()
      const run = await startAndDie(executions, { id, name }, { leaseMs: 500 })
      await sleep(600)
      await run.checkpoint({ steps: [done('a')] })
      expect(await claimed(executions, name)).toEqual([])
      expect(await executions.load(id)).toMatchObject({ leased: true, entries: 1 })
    })

    claiming.concurrent('a run renews its lease by itself', async () => {
      const { id, name } = fresh()
      const run = await executions.start(id, name, {}, { workerId: 'a', leaseMs: 1_500 })
      for (let n = 0; n < 4; n += 1) {
        await sleep(600)
        expect(await claimed(executions, name)).toEqual([])
      }
      expect(run.signal.aborted).toBe(false)
      await run.checkpoint({ steps: [done('a')] })
      await run.complete()
      await sleep(400)
      expect(run.signal.aborted).toBe(false)
    })

    claiming.concurrent('a run that was claimed renews its lease as well', async () => {
      const { id, name } = fresh()
      await executions.create(id, name, {}, { status: 'running' })
      const [run] = await executions.claim({ workerId: 'a', leaseMs: 1_500, names: [name] })
      await sleep(2_000)
      expect(await claimed(executions, name)).toEqual([])
      await run?.complete()
    })

    it.concurrent('a run whose execution was taken from it is told without writing', async () => {
      const { id, name, other } = fresh()
      const deleted = await executions.start(id, name, {}, { workerId: 'a', leaseMs: 600 })
      const ended = await executions.start(other, name, {}, { workerId: 'a', leaseMs: 600 })
      await executions.delete(id)
      await executions.updateStatus(other, 'failed', { force: true })
      await eventually('both signals are aborted', () => deleted.signal.aborted && ended.signal.aborted, 5_000)
      expect(deleted.signal.reason).toBeInstanceOf(LeaseLostError)
      expect(ended.signal.reason).toMatchObject({ code: 'LEASE_LOST', id: other })
    })

    claiming.concurrent('a heartbeat renews, as long as nobody else has it', async () => {
      const { id, name, other } = fresh()
      const kept = await startAndDie(executions, { id, name }, { leaseMs: 1_500 })
      await startAndDie(executions, { id: other, name }, { leaseMs: 1_500 })
      for (let n = 0; n < 3; n += 1) {
        await sleep(600)
        expect(await executions.heartbeat([kept])).toEqual({ lost: [] })
      }
      expect(await claimed(executions, name)).toEqual([other])
      const plain = { sagaId: id, token: kept.token, leaseMs: 60_000 }
      const wrong = { sagaId: other, token: 'x', leaseMs: 60_000 }
      expect(await executions.heartbeat([plain, wrong, { ...wrong, sagaId: `no-${id}` }])).toEqual({ lost: [other, `no-${id}`] })
      const left = ((await executions.load(id)).dueAt?.getTime() ?? 0) - Date.now()
      expect(left).toBeGreaterThan(50_000)
      expect(await executions.heartbeat([])).toEqual({ lost: [] })
    })

    claiming.concurrent('a wait is over at its time, not before, and is no attempt', async () => {
      const { id, name } = fresh()
      const run = await executions.start(id, name, {}, { workerId: 'a' })
      await run.waitUntil(new Date(Date.now() + 700))
      expect(await claimed(executions, name)).toEqual([])
      await sleep(900)
      const [next] = await executions.claim({ workerId: 'b', names: [name], renew: false })
      expect(next).toMatchObject({ sagaId: id, attempt: 1 })
    })

    claiming.concurrent('a pending one can be claimed when its time has come, by those who ask for pending ones', async () => {
      const { id, name } = fresh()
      await executions.create(id, name, {}, { dueAt: new Date(Date.now() + 500) })
      expect(await claimed(executions, name, { statuses: ['pending'] })).toEqual([])
      await sleep(700)
      expect(await claimed(executions, name)).toEqual([])
      const [run] = await executions.claim({ workerId: 'a', names: [name], statuses: ['pending'], renew: false })
      await run?.updateStatus('running')
      expect(await executions.load(id)).toMatchObject({ status: 'running', workerId: 'a', leased: true })
    })
  })
}
