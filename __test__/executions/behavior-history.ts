import { describe, expect, it } from 'vitest'
import { PayloadTooLargeError, type SagaExecutions } from '../../index.js'
import type { Executor } from '../support/executors'
import { rejectionOf } from '../support/promises'
import { sharedStore } from '../support/stores'
import { done, fresh, logOf, shortLog } from './fresh'

/** The log of an execution: entries, pages, steps, limits. */
export function historyBehavior(executor: Executor): void {
  let executions: SagaExecutions
  const share = () =>
    sharedStore(executor, (store) => {
      executions = store.executions
    })

  describe('history', () => {
    share()

    it('has each entry as it was given, with its time', async () => {
      const { id, name } = fresh()
      const before = Date.now() - 5_000
      const executedAt = new Date('2026-11-24T10:00:00.123Z')
      await executions.create(id, name, {})
      const entries = [
        { stepName: 'reserve', status: 'started' as const, stepId: 'r-1', attempt: 2, branch: 'left', details: 'text, é 😀' },
        {
          stepName: 'reserve',
          status: 'completed' as const,
          result: { items: [1, null], at: 'x' },
          details: { some: ['json'] },
          executedAt,
        },
        { stepName: 'pay', status: 'failed' as const, error: { reason: 'declined' }, details: '' },
        { stepName: 'ship', status: 'skipped' as const, result: null },
        { stepName: 'count', status: 'completed' as const, result: 0 },
        { stepName: 'flag', status: 'completed' as const, result: false },
        { stepName: 'reserve', status: 'compensated' as const },
        { stepName: 'pay', status: 'completed' as const, action: 'compensate' as const },
        { stepName: 'later', status: 'pending' as const },
      ]
      await executions.checkpoint(id, { steps: entries })
      const found = await logOf(executions, id)
      const actions = ['act', 'act', 'act', 'act', 'act', 'act', 'compensate', 'compensate', 'act']
      expect(found).toEqual(entries.map((entry, n) => ({ action: actions[n], ...entry, seq: n + 1, at: expect.any(Date) })))
      for (const { at } of found) {
        expect(at.getTime()).toBeGreaterThan(before)
        expect(at.getTime()).toBeLessThan(Date.now() + 5_000)
      }
    })

    it('keeps of an Error its name, message and code', async () => {
      const { id, name } = fresh()
      await executions.create(id, name, {})
      const error = Object.assign(new RangeError('too much \0'), { code: 'E_RANGE', more: 1n })
      await executions.updateStep(id, 'pay', { status: 'failed', error })
      await executions.logStep(id, 'pay', 'act', 'failed', { text: 'why' })
      const [first, second] = await logOf(executions, id)
      expect(first?.error).toEqual({ name: 'RangeError', message: 'too much \uFFFD', code: 'E_RANGE' })
      expect(second).toMatchObject({ details: { text: 'why' } })
      expect(second).not.toHaveProperty('error')
    })

    it('has an entry with an id once for each action and status', async () => {
      const { id, name } = fresh()
      await executions.create(id, name, {})
      const entry = done('pay', { stepId: 'p-1', result: 1 })
      expect(await executions.checkpoint(id, { steps: [entry] })).toEqual({ version: 2, firstSeq: 1 })
      expect(await executions.checkpoint(id, { steps: [{ ...entry, result: 2 }] })).toEqual({ version: 3, firstSeq: 1 })
      expect(await executions.updateStep(id, 'pay', { status: 'completed', stepId: 'p-1', result: 3 })).toBe(1)
      await executions.updateStep(id, 'pay', { status: 'failed', stepId: 'p-1' })
      await executions.updateStep(id, 'pay', { status: 'completed', action: 'compensate', stepId: 'p-1' })
      await executions.updateStep(id, 'pay', { status: 'completed', stepId: 'p-2' })
      const steps = [done('new'), { ...entry, result: 4 }, done('newer', { stepId: 'n' }), done('newer', { stepId: 'n' })]
      await executions.checkpoint(id, { steps })
      expect(await shortLog(executions, id)).toEqual([
        '1 pay act completed',
        '2 pay act failed',
        '3 pay compensate completed',
        '4 pay act completed',
        '5 new act completed',
        '6 newer act completed',
      ])
      expect((await logOf(executions, id))[0]?.result).toBe(1)
      expect(await executions.load(id)).toMatchObject({ entries: 6 })
    })

    it('has an entry with an id once, also where many write it at once', async () => {
      const { id, name } = fresh()
      await executions.create(id, name, {})
      const racers = Array.from({ length: 10 }, (_, racer) =>
        executions.checkpoint(id, { steps: [done('pay', { stepId: 'p', result: racer })] }),
      )
      for (const { firstSeq } of await Promise.all(racers)) expect(firstSeq).toBe(1)
      expect(await logOf(executions, id)).toHaveLength(1)
      expect(await executions.load(id)).toMatchObject({ entries: 1, version: 11 })
    })

    it('comes in pages, forwards and backwards, in the order of numbers', async () => {
      const { id, name } = fresh()
      await executions.create(id, name, {}, { steps: Array.from({ length: 5 }, (_, n) => done(`s-${n + 1}`)) })
      for (let n = 6; n <= 12; n += 1) await executions.logStep(id, `s-${n}`, 'act', 'completed')
      const numbers = async (options: object) => {
        const pages: number[][] = []
        let after: number | undefined
        do {
          const page = await executions.history(id, { ...options, ...(after !== undefined && { after }) })
          expect(page.entries.map(({ stepName, seq }) => stepName === `s-${seq}`)).not.toContain(false)
          pages.push(page.entries.map(({ seq }) => seq))
          after = page.cursor
        } while (after !== undefined)
        return pages
      }
      const all = Array.from({ length: 12 }, (_, n) => n + 1)
      expect(await numbers({})).toEqual([all])
      expect(await numbers({ limit: 12 })).toEqual([all])
      expect(await numbers({ limit: 5 })).toEqual([all.slice(0, 5), all.slice(5, 10), all.slice(10)])
      expect(await numbers({ reverse: true, limit: 7 })).toEqual([all.slice(5).reverse(), all.slice(0, 5).reverse()])
      expect((await executions.history(id, { after: 10 })).entries.map(({ seq }) => seq)).toEqual([11, 12])
      expect((await executions.history(id, { after: 3, reverse: true })).entries.map(({ seq }) => seq)).toEqual([2, 1])
      expect(await executions.history(id, { after: 12 })).toEqual({ entries: [] })
      for (const options of [{ limit: 0 }, { limit: 1_001 }, { after: -1 }, { after: 1.5 }, { maxBytes: 0 }, { reverse: 1 }, { from: 1 }]) {
        expect((await rejectionOf(executions.history(id, options as never))).code, JSON.stringify(options)).toBe('INVALID_ARGUMENT')
      }
    })

    it('comes in pages of so many bytes, whose entries may be large', async () => {
      const { id, name } = fresh()
      await executions.create(id, name, {})
      const large = 'x'.repeat(250_000)
      for (let n = 1; n <= 10; n += 1) await executions.updateStep(id, `s-${n}`, { status: 'completed', result: large })
      const first = await executions.history(id, { maxBytes: 600_000 })
      expect(first.entries.length).toBeGreaterThan(0)
      expect(first.entries.length).toBeLessThan(4)
      expect(first.cursor).toBe(first.entries.length)
      const single = await executions.history(id, { maxBytes: 1, reverse: true })
      expect(single.entries.map(({ stepName, result }) => [stepName, result])).toEqual([['s-10', large]])
      expect((await logOf(executions, id)).map(({ result }) => (result as string).length)).toEqual(Array(10).fill(250_000))
      expect((await executions.load(id)).bytes).toBeGreaterThan(2_500_000)
    }, 30_000)

    it('says at any time just what the record says', async () => {
      const { id, name } = fresh()
      await executions.create(id, name, {})
      let isDone = false
      const writing = (async () => {
        for (let n = 0; n < 40; n += 1) await executions.checkpoint(id, { steps: [done(`a-${n}`), done(`b-${n}`)] })
        isDone = true
      })()
      while (!isDone) {
        const { entries: before } = await executions.load(id)
        const seen = (await logOf(executions, id)).length
        const { entries: after } = await executions.load(id)
        expect(seen % 2).toBe(0)
        expect(seen).toBeGreaterThanOrEqual(before)
        expect(seen).toBeLessThanOrEqual(after)
      }
      await writing
      expect(await logOf(executions, id)).toHaveLength(80)
    })
  })

  describe('steps', () => {
    share()

    it('tell of each step what has become of it', async () => {
      const { id, name } = fresh()
      await executions.create(id, name, {})
      const step = (stepName: string, status: string, more: object = {}) => ({ stepName, status, ...more })
      await executions.checkpoint(id, {
        steps: [
          step('reserve', 'started'),
          step('reserve', 'completed', { result: { items: 2 } }),
          step('pay', 'started'),
          step('pay', 'failed', { error: { reason: 'declined' } }),
          step('pay', 'started'),
          step('pay', 'completed', { result: 'paid' }),
          step('ship', 'started'),
          step('ship', 'failed', { error: 'no truck' }),
          step('mail', 'skipped'),
          step('pay', 'started', { action: 'compensate' }),
          step('pay', 'failed', { action: 'compensate', error: 'bank down' }),
          step('pay', 'started', { action: 'compensate' }),
          step('pay', 'compensated'),
          step('invoice', 'pending'),
          step('split', 'completed', { branch: 'a', result: 1 }),
          step('split', 'completed', { branch: 'b', result: 2 }),
        ] as never,
      })
      const found = await executions.steps(id)
      const brief = found.map(({ stepName, status, attempts, result, error }) => ({ stepName, status, attempts, result, error }))
      expect(brief).toEqual([
        { stepName: 'reserve', status: 'completed', attempts: 1, result: { items: 2 } },
        { stepName: 'pay', status: 'compensated', attempts: 2, result: 'paid' },
        { stepName: 'ship', status: 'failed', attempts: 1, error: 'no truck' },
        { stepName: 'mail', status: 'skipped', attempts: 0 },
        { stepName: 'invoice', status: 'pending', attempts: 0 },
        { stepName: 'split', status: 'completed', attempts: 1, result: 1 },
        { stepName: 'split', status: 'completed', attempts: 1, result: 2 },
      ])
      expect(found[1]?.compensation).toMatchObject({ status: 'compensated', attempts: 2 })
      expect(found[1]?.compensation).not.toHaveProperty('error')
      expect(found[0]?.compensation).toBeNull()
      expect(found.map(({ branch }) => branch)).toEqual([undefined, undefined, undefined, undefined, undefined, 'a', 'b'])
      expect(found[0]?.startedAt).toBeInstanceOf(Date)
      expect(found[4]).toMatchObject({ startedAt: null, endedAt: null })
    })

    it('have the times and attempts that they were given', async () => {
      const { id, name } = fresh()
      await executions.create(id, name, {})
      const executedAt = new Date('2026-11-24T10:00:00.123Z')
      await executions.updateStep(id, 'pay', { status: 'completed', attempt: 3, executedAt, result: 1 })
      expect(await executions.steps(id)).toMatchObject([{ stepName: 'pay', attempts: 3, endedAt: executedAt }])
    })
  })

  describe('limits of the log', () => {
    const told: string[] = []
    const ignore = () => undefined
    const logger = { debug: ignore, info: ignore, error: ignore, warn: (message: string) => told.push(message) }
    let tight: SagaExecutions
    sharedStore(
      executor,
      (store) => {
        tight = store.executions
      },
      { maxHistoryEntries: 20, maxHistoryBytes: 20_000, logger },
    )

    it('refuse more entries, store nothing of what is refused, and warn once at a fifth', async () => {
      const { id, name } = fresh()
      await tight.create(id, name, { n: 1 })
      for (let n = 1; n <= 19; n += 1) {
        await tight.logStep(id, `s-${n}`, 'act', 'completed')
        expect(told.filter((message) => message.includes(id))).toHaveLength(n < 4 ? 0 : 1)
      }
      expect(told.find((message) => message.includes(id))).toMatch(/4 entries, of at most 20/)
      const error = await rejectionOf(tight.checkpoint(id, { context: { n: 2 }, steps: [done('x'), done('y')] }))
      expect(error).toBeInstanceOf(PayloadTooLargeError)
      expect(error).toMatchObject({ code: 'PAYLOAD_TOO_LARGE', id, limit: 20, size: 21 })
      expect(await tight.load(id)).toMatchObject({ version: 1, context: { n: 1 }, entries: 19 })
      await tight.logStep(id, 's-20', 'act', 'completed')
      expect((await rejectionOf(tight.logStep(id, 's-21', 'act', 'completed'))).code).toBe('PAYLOAD_TOO_LARGE')
      expect(await logOf(tight, id)).toHaveLength(20)
      // It can still end.
      await tight.updateStatus(id, 'failed')
    })

    it('refuse more bytes', async () => {
      const { id, name } = fresh()
      await tight.create(id, name, {})
      const result = 'x'.repeat(9_000)
      await tight.updateStep(id, 'a', { status: 'completed', result })
      expect(told.filter((message) => message.includes(id))).toHaveLength(1)
      await tight.updateStep(id, 'b', { status: 'completed', result })
      const error = await rejectionOf(tight.updateStep(id, 'c', { status: 'completed', result }))
      expect(error).toMatchObject({ code: 'PAYLOAD_TOO_LARGE', id, limit: 20_000 })
      expect(await logOf(tight, id)).toHaveLength(2)
      const whole = tight.create(fresh().id, name, {}, { steps: [done('a', { result: 'x'.repeat(21_000) })] })
      expect((await rejectionOf(whole)).code).toBe('PAYLOAD_TOO_LARGE')
    })
  })
}
