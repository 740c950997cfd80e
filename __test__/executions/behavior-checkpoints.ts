import { describe, expect, it } from 'vitest'
import { ConcurrencyError, type SagaExecutions } from '../../index.js'
import type { Executor } from '../support/executors'
import { rejectionOf } from '../support/promises'
import { sharedStore } from '../support/stores'
import { done, fresh, logOf, shortLog } from './fresh'

/** Checkpoints: all of it or nothing, versions, repetitions. */
export function checkpointBehavior(executor: Executor): void {
  let executions: SagaExecutions
  const share = () =>
    sharedStore(executor, (store) => {
      executions = store.executions
    })

  describe('checkpoint', () => {
    share()

    it('changes everything together', async () => {
      const { id, name } = fresh()
      await executions.create(id, name, { n: 1 }, { steps: [done('a')] })
      const before = await executions.load(id)
      const dueAt = new Date(Date.now() + 60_000)
      const change = { context: { n: 2 }, status: 'running' as const, subStatus: 'paying', metadata: [1], tags: ['eu'], dueAt }
      const answer = await executions.checkpoint(id, { ...change, lastError: 'declined', steps: [done('b'), done('c')] })
      expect(answer).toEqual({ version: 2, firstSeq: 2 })
      const after = await executions.load(id)
      expect(after).toMatchObject({ ...change, lastError: 'declined', version: 2, entries: 3, createdAt: before.createdAt })
      expect(after.updatedAt.getTime()).toBeGreaterThanOrEqual(before.updatedAt.getTime())
      expect(await shortLog(executions, id)).toEqual(['1 a act completed', '2 b act completed', '3 c act completed'])
    })

    it('leaves alone what it is not given, and clears what is null', async () => {
      const { id, name } = fresh()
      const all = { subStatus: 'x', metadata: { m: 1 }, tags: ['eu'], dueAt: new Date(Date.now() + 60_000) }
      await executions.create(id, name, { n: 1 }, { status: 'running', ...all })
      expect(await executions.checkpoint(id, { lastError: new Error('declined') })).toEqual({ version: 2, firstSeq: null })
      expect(await executions.load(id)).toMatchObject({ status: 'running', context: { n: 1 }, ...all, lastError: 'declined' })
      await executions.checkpoint(id, { subStatus: null, metadata: null, tags: [], dueAt: null, lastError: null })
      expect(await executions.load(id)).toMatchObject({
        status: 'running',
        context: { n: 1 },
        subStatus: null,
        metadata: null,
        tags: [],
        lastError: null,
        version: 3,
      })
      await executions.checkpoint(id, { context: null })
      expect((await executions.load(id)).context).toBeNull()
    })

    it('counts the version, and moves updatedAt, with each change but of the log alone', async () => {
      const { id, name } = fresh()
      await executions.create(id, name, {})
      expect(await executions.updateContext(id, { n: 1 })).toBe(2)
      expect(await executions.updateContext(id, { n: 2 }, 2)).toBe(3)
      expect(await executions.updateStatus(id, 'running', { expectedVersion: 3, subStatus: 'x' })).toBe(4)
      const { updatedAt } = await executions.load(id)
      await new Promise((resolve) => setTimeout(resolve, 5))
      expect(await executions.logStep(id, 'pay', 'act', 'started')).toBe(1)
      expect(await executions.updateStep(id, 'pay', { status: 'completed', result: { paid: 12 } })).toBe(2)
      const found = await executions.load(id)
      expect(found).toMatchObject({ version: 4, entries: 2, context: { n: 2 }, status: 'running', subStatus: 'x' })
      expect(found.updatedAt.getTime()).toBeGreaterThan(updatedAt.getTime())
      expect(await shortLog(executions, id)).toEqual(['1 pay act started', '2 pay act completed'])
    })

    it('refuses another version than the expected one, tells both, and leaves nothing behind', async () => {
      const { id, name } = fresh()
      await executions.create(id, name, { n: 1 })
      await executions.updateContext(id, { n: 2 })
      for (const expected of [1, 3, 0]) {
        const change = { expectedVersion: expected, context: { n: 9 }, status: 'running' as const, tags: ['no'], steps: [done('no')] }
        const error = await rejectionOf(executions.checkpoint(id, change))
        expect(error).toBeInstanceOf(ConcurrencyError)
        expect(error).toMatchObject({ code: 'CONCURRENCY_CONFLICT', id, sagaId: id, expectedVersion: expected, actualVersion: 2 })
        expect(error.message).toContain('Optimistic concurrency conflict')
        expect(await rejectionOf(executions.updateContext(id, { n: 9 }, expected))).toMatchObject({ code: 'CONCURRENCY_CONFLICT' })
        const status = executions.updateStatus(id, 'running', { expectedVersion: expected })
        expect(await rejectionOf(status)).toMatchObject({ code: 'CONCURRENCY_CONFLICT' })
      }
      expect(await executions.load(id)).toMatchObject({ version: 2, context: { n: 2 }, status: 'pending', tags: [], entries: 0 })
      expect(await logOf(executions, id)).toEqual([])
    })

    it('has one winner among those that expect the same version; none of the others’ entries is there', async () => {
      const { id, name } = fresh()
      await executions.create(id, name, {})
      for (let version = 1; version < 7; version += 1) await executions.updateContext(id, { version })
      const racers = Array.from({ length: 15 }, (_, racer) =>
        executions.checkpoint(id, { expectedVersion: 7, context: { racer }, steps: [done(`${racer}-a`), done(`${racer}-b`)] }),
      )
      const settled = await Promise.allSettled(racers)
      const winners = settled.flatMap(({ status }, racer) => (status === 'fulfilled' ? [racer] : []))
      expect(winners).toHaveLength(1)
      for (const result of settled) {
        if (result.status === 'rejected') {
          expect(result.reason).toMatchObject({ code: 'CONCURRENCY_CONFLICT', expectedVersion: 7, actualVersion: 8 })
        }
      }
      expect(await executions.load(id)).toMatchObject({ version: 8, context: { racer: winners[0] }, entries: 2 })
      expect(await shortLog(executions, id)).toEqual([`1 ${winners[0]}-a act completed`, `2 ${winners[0]}-b act completed`])
    })

    it('loses nothing where many write to one execution at once: numbers have no ties and no gaps', async () => {
      const { id, name } = fresh()
      await executions.create(id, name, {})
      const answers = await Promise.all(
        Array.from({ length: 30 }, (_, n) =>
          n % 3 === 0
            ? executions.logStep(id, `s-${n}`, 'act', 'completed')
            : executions.checkpoint(id, { steps: [done(`s-${n}`), done(`t-${n}`)] }),
        ),
      )
      const log = await logOf(executions, id)
      expect(log).toHaveLength(50)
      for (const [n, answer] of answers.entries()) {
        const seq = typeof answer === 'number' ? answer : (answer.firstSeq as number)
        expect(log[seq - 1]?.stepName).toBe(`s-${n}`)
        if (n % 3 !== 0) expect(log[seq]?.stepName).toBe(`t-${n}`)
      }
      expect(await executions.load(id)).toMatchObject({ version: 21, entries: 50 })
      const versions = answers.flatMap((answer) => (typeof answer === 'number' ? [] : [answer.version]))
      expect(versions.sort((a, b) => a - b)).toEqual(Array.from({ length: 20 }, (_, n) => n + 2))
    })

    it('answers each of many executions that are written to at once', async () => {
      const { name } = fresh()
      const ids = Array.from({ length: 25 }, (_, n) => `${name}-${n}`)
      await Promise.all(ids.map((id, n) => executions.create(id, name, { n })))
      const outcome = (error?: { code: string }) => error?.code ?? 'stored'
      const write = (id: string, n: number) =>
        executions.checkpoint(n % 5 === 4 ? `no-${id}` : id, {
          expectedVersion: n % 5 === 3 ? 7 : 1,
          context: { n: -n },
          steps: [done('a')],
        })
      const outcomes = await Promise.all(ids.map((id, n) => write(id, n).then(() => outcome(), outcome)))
      expect(outcomes).toEqual(ids.map((_, n) => (n % 5 === 4 ? 'NOT_FOUND' : n % 5 === 3 ? 'CONCURRENCY_CONFLICT' : 'stored')))
      for (const [n, id] of ids.entries()) {
        const isStored = n % 5 < 3
        expect(await executions.load(id)).toMatchObject({ version: isStored ? 2 : 1, entries: isStored ? 1 : 0 })
      }
    })

    it('stores a hundred and fifty steps as a whole, or refuses them before it sends any', async () => {
      const { id, name } = fresh()
      await executions.create(id, name, {})
      const steps = Array.from({ length: 150 }, (_, n) => done(`s-${n}`, { result: { n } }))
      const stored = await executions.checkpoint(id, { steps, context: { all: true } }).then(
        () => true,
        ({ code }) => {
          expect(code).toBe('PAYLOAD_TOO_LARGE')
          return false
        },
      )
      expect(await logOf(executions, id)).toHaveLength(stored ? 150 : 0)
      expect(await executions.load(id)).toMatchObject({ version: stored ? 2 : 1, entries: stored ? 150 : 0 })
    })

    it('refuses options that are none', async () => {
      const { id, name } = fresh()
      await executions.create(id, name, {})
      for (const change of [
        { expectedVersion: 1.5 },
        { expectedVersion: '1' },
        { expectedVersion: -1 },
        { token: 5 },
        { force: 'yes' },
        { operationId: 5 },
        { operationId: '' },
        { version: 1 },
        'running',
      ]) {
        expect((await rejectionOf(executions.checkpoint(id, change as never))).code, JSON.stringify(change)).toBe('INVALID_ARGUMENT')
      }
      const misspelt = executions.updateStatus(id, 'running', { expected: 1 } as never)
      expect(await rejectionOf(misspelt)).toMatchObject({
        code: 'INVALID_ARGUMENT',
        message: expect.stringMatching(/'expected'.*expectedVersion/),
      })
      expect(await executions.load(id)).toMatchObject({ version: 1 })
    })
  })

  describe('a checkpoint that is repeated', () => {
    share()

    it('is the same success, and stores nothing twice', async () => {
      const { id, name } = fresh()
      await executions.create(id, name, {})
      const change = { operationId: 'op-1', expectedVersion: 1, context: { n: 1 }, steps: [done('a'), done('b')] }
      const first = await executions.checkpoint(id, change)
      expect(first).toEqual({ version: 2, firstSeq: 1 })
      expect(await executions.checkpoint(id, change)).toEqual(first)
      expect(await executions.load(id)).toMatchObject({ version: 2, entries: 2 })
      expect(await shortLog(executions, id)).toEqual(['1 a act completed', '2 b act completed'])
      // Another caller, who expects the same version, is told.
      const other = executions.checkpoint(id, { ...change, operationId: 'op-2' })
      expect(await rejectionOf(other)).toMatchObject({ code: 'CONCURRENCY_CONFLICT', actualVersion: 2 })
      expect(await executions.checkpoint(id, { ...change, expectedVersion: 2, operationId: 'op-3' })).toEqual({ version: 3, firstSeq: 3 })
    })

    it('is the same success where it has ended the execution', async () => {
      const { id, name } = fresh()
      await executions.create(id, name, {})
      const change = { operationId: 'end', status: 'completed' as const, steps: [done('last')] }
      const first = await executions.checkpoint(id, change)
      expect(await executions.checkpoint(id, change)).toEqual(first)
      expect(await executions.load(id)).toMatchObject({ status: 'completed', version: 2, entries: 1 })
    })

    it('happens once among many that are called at once', async () => {
      const { id, name } = fresh()
      await executions.create(id, name, {})
      const change = { operationId: 'op', steps: [done('a')] }
      const answers = await Promise.all(Array.from({ length: 8 }, () => executions.checkpoint(id, change)))
      for (const answer of answers) expect(answer).toEqual({ version: 2, firstSeq: 1 })
      expect(await logOf(executions, id)).toHaveLength(1)
    })
  })
}
