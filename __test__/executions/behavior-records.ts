import { describe, expect, it } from 'vitest'
import { AlreadyExistsError, NotFoundError, type SagaExecutions, SerializationError } from '../../index.js'
import type { Executor } from '../support/executors'
import { rejectionOf } from '../support/promises'
import { sharedStore } from '../support/stores'
import { done, fresh, logOf, shortLog } from './fresh'

/** Executions one by one: what is kept, what is refused, what is removed. */
export function recordBehavior(executor: Executor): void {
  let executions: SagaExecutions
  const share = () =>
    sharedStore(executor, (store) => {
      executions = store.executions
    })
  const codeOf = async (call: Promise<unknown>) => (await rejectionOf(call)).code

  describe('create and load', () => {
    share()

    it('keeps what it was given, and has nothing besides', async () => {
      const { id, name } = fresh()
      const before = Date.now() - 5_000
      expect(await executions.create(id, name, { total: 12.5 })).toBe(1)
      const found = await executions.load(id)
      expect(found).toEqual({
        sagaId: id,
        name,
        status: 'pending',
        subStatus: null,
        context: { total: 12.5 },
        metadata: null,
        tags: [],
        version: 1,
        entries: 0,
        bytes: 0,
        attempts: 0,
        workerId: null,
        leased: false,
        dueAt: null,
        lastError: null,
        createdAt: expect.any(Date),
        updatedAt: found.createdAt,
        completedAt: null,
        parkedAt: null,
      })
      expect(found.createdAt.getTime()).toBeGreaterThan(before)
      expect(found.createdAt.getTime()).toBeLessThan(Date.now() + 5_000)
      expect(await executions.find(id)).toEqual(found)
      expect(await logOf(executions, id)).toEqual([])
    })

    it('keeps status, metadata, tags, entries and a time from the start', async () => {
      const { id, name } = fresh()
      const dueAt = new Date(Date.now() + 3_600_000)
      const steps = [done('reserve', { result: { items: [1, 2] } }), { stepName: 'pay', status: 'started' as const }]
      const metadata = { traceParent: '00-abc-01', nested: [null, { deep: true }] }
      await executions.create(id, name, undefined, { status: 'running', subStatus: 'paying', metadata, tags: ['eu', 'vip'], steps, dueAt })
      const found = await executions.load(id)
      expect(found).toMatchObject({ status: 'running', subStatus: 'paying', metadata, context: null, version: 1, entries: 2, dueAt })
      expect([...found.tags].sort()).toEqual(['eu', 'vip'])
      expect(found.bytes).toBeGreaterThan(0)
      expect(await shortLog(executions, id)).toEqual(['1 reserve act completed', '2 pay act started'])
    })

    it('ends at once where its status is terminal', async () => {
      const { id, name } = fresh()
      await executions.create(id, name, null, { status: 'completed' })
      const { completedAt, createdAt, dueAt } = await executions.load(id)
      expect([completedAt, dueAt]).toEqual([createdAt, null])
    })

    it('is ALREADY_EXISTS where the id is taken, whatever the name, and changes nothing', async () => {
      const { id, name, other } = fresh()
      await executions.create(id, name, { n: 1 })
      for (const taken of [name, other]) {
        const error = await rejectionOf(executions.create(id, taken, { n: 2 }, { steps: [done('x')] }))
        expect(error).toBeInstanceOf(AlreadyExistsError)
        expect(error).toMatchObject({ code: 'ALREADY_EXISTS', id })
      }
      const start = executions.start(id, name, { n: 3 }, { workerId: 'a' })
      expect(await codeOf(start)).toBe('ALREADY_EXISTS')
      expect(await executions.load(id)).toMatchObject({ name, context: { n: 1 }, version: 1, entries: 0, workerId: null })
      expect(await logOf(executions, id)).toEqual([])
    })

    it('has one winner among creations of the same id', async () => {
      const { id, name } = fresh()
      const racers = Array.from({ length: 12 }, (_, racer) => executions.create(id, name, { racer }, { steps: [done(`racer-${racer}`)] }))
      const settled = await Promise.allSettled(racers)
      const winners = settled.flatMap(({ status }, racer) => (status === 'fulfilled' ? [racer] : []))
      expect(winners).toHaveLength(1)
      expect(await executions.load(id)).toMatchObject({ context: { racer: winners[0] }, entries: 1 })
      expect(await shortLog(executions, id)).toEqual([`1 racer-${winners[0]} act completed`])
    })

    it('is NOT_FOUND, or null, where there is none', async () => {
      const { id } = fresh()
      const error = await rejectionOf(executions.load(id))
      expect(error).toBeInstanceOf(NotFoundError)
      expect(error).toMatchObject({ code: 'NOT_FOUND', id })
      expect(await executions.find(id)).toBeNull()
      expect(await codeOf(executions.history(id))).toBe('NOT_FOUND')
      expect(await codeOf(executions.steps(id))).toBe('NOT_FOUND')
    })
  })

  describe('contexts', () => {
    share()

    it('come back as JSON makes of them', async () => {
      const { name } = fresh()
      const contexts = [
        null,
        0,
        -1.5,
        1e21,
        '',
        'é 😀 "quoted" \\u0000 \t\n',
        true,
        [],
        {},
        [[1], { a: [] }],
        { 'a.b': 1, $set: { $inc: 2 }, __proto__x: 3, '': 4, 'ключ 😀': 5 },
        { deep: { deeper: { deepest: [{ end: null }] } } },
      ]
      for (const [n, context] of contexts.entries()) {
        await executions.create(`${name}-${n}`, name, context)
        expect((await executions.load(`${name}-${n}`)).context).toEqual(context)
      }
      await executions.create(`${name}-date`, name, { at: new Date(5), gone: undefined })
      expect((await executions.load(`${name}-date`)).context).toEqual({ at: '1970-01-01T00:00:00.005Z' })
    })

    it('keep a hundred kilobytes', async () => {
      const { id, name } = fresh()
      const context = { items: Array.from({ length: 1_000 }, (_, n) => ({ n, text: 'é'.repeat(45) })) }
      await executions.create(id, name, context)
      expect((await executions.load(id)).context).toEqual(context)
      await executions.checkpoint(id, { steps: [done('a')] })
      expect((await executions.load(id)).context).toEqual(context)
      await executions.updateContext(id, { small: true })
      expect((await executions.load(id)).context).toEqual({ small: true })
    })

    it('are copies: what is changed afterwards changes nothing', async () => {
      const { id, name } = fresh()
      const context = { items: [1] }
      await executions.create(id, name, context)
      context.items.push(2)
      const found = await executions.load<typeof context>(id)
      found.context.items.push(3)
      expect((await executions.load(id)).context).toEqual({ items: [1] })
    })

    it('are SERIALIZATION where JSON cannot keep them, with the path, and nothing is stored', async () => {
      const { id, name } = fresh()
      const cycle: Record<string, unknown> = {}
      cycle.self = cycle
      const throwing = () => {
        throw new Error('no JSON')
      }
      for (const [context, path] of [
        [{ order: { price: 1n } }, 'context.order.price'],
        [{ a: ['x', 'nul \0'] }, 'context.a[1]'],
        [{ a: '\ud800' }, 'context.a'],
        [cycle, 'context.self'],
        [{ order: { toJSON: throwing } }, 'context.order'],
        ['\0', 'context'],
        [() => 1, 'context'],
      ] as const) {
        const error = await rejectionOf(executions.create(id, name, context))
        expect(error).toBeInstanceOf(SerializationError)
        expect(error).toMatchObject({ code: 'SERIALIZATION', path, id })
      }
      expect(await executions.find(id)).toBeNull()
      await executions.create(id, name, {})
      for (const [change, path] of [
        [{ context: { a: 1n } }, 'context.a'],
        [{ metadata: { a: '\0' } }, 'metadata.a'],
        [{ steps: [done('a', { result: { x: '\0' } })] }, 'steps[0].result.x'],
        [{ steps: [done('a'), done('b', { error: { y: 1n } })] }, 'steps[1].error.y'],
        [{ steps: [done('a', { details: 'nul \0' })] }, 'steps[0].details'],
        [{ steps: [done('a', { details: { z: '\udfff' } })] }, 'steps[0].details.z'],
      ] as const) {
        expect(await rejectionOf(executions.checkpoint(id, change as never))).toMatchObject({ code: 'SERIALIZATION', path })
      }
      expect(await codeOf(executions.updateContext(id, undefined))).toBe('SERIALIZATION')
      expect(await executions.load(id)).toMatchObject({ version: 1, entries: 0 })
    })
  })

  describe('arguments', () => {
    share()

    it('are INVALID_ARGUMENT where they are none, and nothing is stored', async () => {
      const { id, name } = fresh()
      for (const wrong of ['', 'x'.repeat(513), 'a\0b', '\ud800', 5, undefined, null] as string[]) {
        expect(await codeOf(executions.create(wrong, name))).toBe('INVALID_ARGUMENT')
        expect(await codeOf(executions.load(wrong))).toBe('INVALID_ARGUMENT')
        expect(await codeOf(executions.checkpoint(wrong, { status: 'running' }))).toBe('INVALID_ARGUMENT')
      }
      for (const wrong of ['', 'x'.repeat(129), 'a\0b', '\ud800', 5, undefined] as string[]) {
        expect(await codeOf(executions.create(id, wrong))).toBe('INVALID_ARGUMENT')
      }
      for (const options of [
        { status: 'done' },
        { status: 5 },
        { subStatus: 5 },
        { subStatus: '\ud800' },
        { tags: 'eu' },
        { tags: ['eu', 5] },
        { tags: ['\ud800'] },
        { tags: Array.from({ length: 9 }, (_, n) => `t${n}`) },
        { tags: ['t'.repeat(65)] },
        { tags: [''] },
        { dueAt: 5 },
        { dueAt: new Date(Number.NaN) },
        { steps: {} },
        { steps: [5] },
        { steps: [{ stepName: '', status: 'completed' }] },
        { steps: [{ stepName: 'a', status: 'done' }] },
        { steps: [{ stepName: 'a', status: 'completed', action: 'undo' }] },
        { steps: [{ stepName: '\ud800', status: 'completed' }] },
        { steps: [{ stepName: 'a', status: 'completed', stepId: '\ud800' }] },
        { steps: [{ stepName: 'a', status: 'completed', attempt: -1 }] },
        { steps: [{ stepName: 'a', status: 'completed', executedAt: 5 }] },
        { steps: [{ stepName: 'a', status: 'completed', results: 5 }] },
        { stat: 'running' },
        [],
      ]) {
        expect(await codeOf(executions.create(id, name, {}, options as never)), JSON.stringify(options)).toBe('INVALID_ARGUMENT')
      }
      expect(await executions.find(id)).toBeNull()
    })

    it('may be as long as that', async () => {
      const id = `${fresh().id}${'é'.repeat(200)}`.padEnd(300, 'x')
      const name = `${fresh().name}${'é'.repeat(50)}`
      const tags = Array.from({ length: 8 }, (_, n) => `${n}${'t'.repeat(63)}`)
      await executions.create(id, name, {}, { tags, steps: [done('s'.repeat(200), { stepId: 'i'.repeat(200) })] })
      expect((await executions.load(id)).tags.sort()).toEqual(tags)
      expect(await logOf(executions, id)).toHaveLength(1)
    })
  })

  describe('delete and save', () => {
    share()

    it('delete leaves nothing: the id can be used again', async () => {
      const { id, name } = fresh()
      await executions.create(id, name, { n: 1 }, { tags: ['eu'], steps: Array.from({ length: 30 }, (_, n) => done(`s-${n}`)) })
      await executions.checkpoint(id, { steps: [done('more', { stepId: 'once' })] })
      expect(await executions.delete(id)).toBe(true)
      expect(await executions.delete(id)).toBe(false)
      expect(await executions.find(id)).toBeNull()
      expect(await codeOf(executions.history(id))).toBe('NOT_FOUND')
      expect(await executions.count({ name })).toBe(0)
      expect(await executions.create(id, name, { n: 2 })).toBe(1)
      expect(await logOf(executions, id)).toEqual([])
      expect(await executions.logStep(id, 'more', 'act', 'completed')).toBe(1)
      await executions.checkpoint(id, { steps: [done('more', { stepId: 'once' })] })
      expect(await executions.load(id)).toMatchObject({ entries: 2 })
    })

    it('a deleted one stays deleted, whatever is written meanwhile', async () => {
      const { id, name } = fresh()
      await executions.create(id, name, {})
      const writes = Array.from({ length: 10 }, (_, n) => executions.checkpoint(id, { context: { n }, steps: [done(`s-${n}`)] }))
      const [deleted, ...settled] = await Promise.allSettled([executions.delete(id), ...writes])
      expect(deleted).toMatchObject({ status: 'fulfilled', value: true })
      for (const result of settled) if (result.status === 'rejected') expect(result.reason.code).toBe('NOT_FOUND')
      expect(await executions.find(id)).toBeNull()
      expect(await codeOf(executions.checkpoint(id, { status: 'running' }))).toBe('NOT_FOUND')
      expect(await codeOf(executions.history(id))).toBe('NOT_FOUND')
      expect(await executions.count({ name })).toBe(0)
    })

    it('save inserts, and replaces as a whole; createdAt stays', async () => {
      const { id, name } = fresh()
      const first = await executions.save({ sagaId: id, name, status: 'running', context: { n: 1 }, steps: [done('a'), done('b')] })
      expect(first).toEqual({ version: 1, firstSeq: 1 })
      const before = await executions.load(id)
      expect(before).toMatchObject({ status: 'running', context: { n: 1 }, entries: 2 })
      await executions.checkpoint(id, { subStatus: 'x', tags: ['eu'], metadata: { m: 1 }, steps: [done('c')] })
      const { version } = await executions.save({
        sagaId: id,
        name,
        status: 'compensating',
        context: { n: 2 },
        metadata: { m: 2 },
        steps: [done('z', { result: 1 })],
      })
      expect(version).toBe(3)
      const after = await executions.load(id)
      expect(after).toMatchObject({ status: 'compensating', context: { n: 2 }, metadata: { m: 2 }, version, subStatus: null, tags: [] })
      expect(after).toMatchObject({ entries: 1, createdAt: before.createdAt })
      const log = await executions.history(id)
      expect(log.entries.map(({ stepName }) => stepName)).toEqual(['z'])
      expect(await executions.count({ name, tag: 'eu' })).toBe(0)
      expect(await executions.count({ name, status: 'compensating' })).toBe(1)
      for (const wrong of [undefined, {}, { sagaId: id, name }, { sagaId: id, name, status: 'running', step: [] }]) {
        expect(await codeOf(executions.save(wrong as never))).toBe('INVALID_ARGUMENT')
      }
    })
  })
}
