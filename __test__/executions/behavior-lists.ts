import { beforeAll, describe, expect, it } from 'vitest'
import type { ExecutionStatus, ListOptions, SagaExecutions } from '../../index.js'
import type { Executor } from '../support/executors'
import { rejectionOf } from '../support/promises'
import { ownStore, sharedStore } from '../support/stores'
import { done, fresh, startAndDie } from './fresh'

/** Lists, counts, figures. */
export function listBehavior(executor: Executor): void {
  let executions: SagaExecutions

  describe('lists', () => {
    sharedStore(executor, (store) => {
      executions = store.executions
    })
    const { name, other } = fresh()
    const id = (n: number) => `${name}-${String(n).padStart(2, '0')}`
    const statuses: ExecutionStatus[] = ['pending', 'running', 'compensating', 'completed', 'compensated', 'failed']
    const all = Array.from({ length: 12 }, (_, n) => n)

    // Two of each status; later ones are younger; 3 and 9 have ended last.
    beforeAll(async () => {
      for (const n of all) {
        const tags = [n % 2 === 0 ? 'even' : 'odd', ...(n > 8 ? ['late'] : [])]
        await executions.create(id(n), name, { secret: n }, { status: statuses[n % 6] as ExecutionStatus, tags, metadata: { n } })
        await new Promise((resolve) => setTimeout(resolve, 3))
      }
      await executions.create(other, other, {}, { tags: ['even'] })
      for (const n of [3, 9]) {
        await executions.checkpoint(id(n), { steps: [done('audit')] })
        await new Promise((resolve) => setTimeout(resolve, 3))
      }
    })

    const ids = async (options: ListOptions) => (await executions.list(options)).items.map(({ sagaId }) => sagaId)
    const paged = async (options: ListOptions) => {
      const pages: string[][] = []
      let cursor: string | undefined
      do {
        const page = await executions.list({ ...options, ...(cursor !== undefined && { cursor }) })
        pages.push(page.items.map(({ sagaId }) => sagaId))
        cursor = page.cursor
      } while (cursor !== undefined)
      return pages
    }
    const byCreation = [...all].reverse().map(id)
    const byChange = [9, 3, 11, 10, 8, 7, 6, 5, 4, 2, 1, 0].map(id)

    it('have the latest change first, or the latest creation', async () => {
      expect(await ids({ name })).toEqual(byChange)
      expect(await ids({ name, order: 'updated' })).toEqual(byChange)
      expect(await ids({ name, order: 'created' })).toEqual(byCreation)
    })

    it('have all of an execution but its context', async () => {
      const { items } = await executions.list({ name, limit: 1 })
      const { context, ...rest } = await executions.load<{ secret: number }>(id(9))
      expect(context).toEqual({ secret: 9 })
      expect(items).toEqual([rest])
    })

    it('come in pages', async () => {
      for (const [order, expected] of [
        ['updated', byChange],
        ['created', byCreation],
      ] as const) {
        expect((await paged({ name, order, limit: 5 })).flat()).toEqual(expected)
        expect((await paged({ name, order, limit: 12 })).flat()).toEqual(expected)
        expect((await paged({ name, order, limit: 1 })).flat()).toEqual(expected)
      }
    })

    it('are by name, status, tag, and all of these', async () => {
      const having = (keep: (n: number) => boolean) => [9, 3, 11, 10, 8, 7, 6, 5, 4, 2, 1, 0].filter(keep).map(id)
      for (const [index, status] of statuses.entries()) {
        expect(await ids({ name, status })).toEqual(having((n) => n % 6 === index))
        expect(await executions.count({ name, status })).toBe(2)
      }
      expect(await ids({ name, tag: 'even' })).toEqual(having((n) => n % 2 === 0))
      expect(await ids({ name, tag: 'late' })).toEqual(having((n) => n > 8))
      expect(await ids({ name, tag: 'late', status: 'failed' })).toEqual([id(11)])
      expect((await paged({ name, tag: 'odd', limit: 2 })).flat()).toEqual(having((n) => n % 2 === 1))
      expect(await ids({ name, tag: 'nobody' })).toEqual([])
      expect(await ids({ name: `${name}x` })).toEqual([])
      expect(await ids({ name, parked: true })).toEqual([])
      expect(await ids({ name, parked: false })).toEqual(byChange)
      expect(await ids({ name: other, tag: 'even' })).toEqual([other])
      expect(await executions.count({ name })).toBe(12)
      expect(await executions.count({ name, tag: 'even' })).toBe(6)
      expect(await executions.count({ name, tag: 'late', status: 'failed' })).toBe(1)
      expect(await executions.count({ name, parked: true })).toBe(0)
    })

    it('are by no name as well', async () => {
      const found = (await paged({ tag: 'even', limit: 3 })).flat().filter((one) => one.startsWith(name) || one === other)
      expect([...found].sort()).toEqual([...all.filter((n) => n % 2 === 0).map(id), other].sort())
      expect(await executions.count({})).toBeGreaterThanOrEqual(13)
      expect(await executions.count()).toBeGreaterThanOrEqual(13)
    })

    it('follow a change of status and of tags', async () => {
      const { id: changed, name: own } = fresh()
      await executions.create(changed, own, {}, { tags: ['a', 'b'] })
      await executions.checkpoint(changed, { status: 'running', tags: ['b', 'c'] })
      expect(await executions.count({ name: own, status: 'pending' })).toBe(0)
      expect(await ids({ name: own, status: 'running', tag: 'c' })).toEqual([changed])
      expect(await ids({ name: own, tag: 'a' })).toEqual([])
      await executions.delete(changed)
      expect(await ids({ name: own })).toEqual([])
      expect(await executions.count({ name: own, tag: 'b' })).toBe(0)
    })

    it('refuse options that are none', async () => {
      for (const options of [
        { limit: 0 },
        { limit: 1_001 },
        { limit: 1.5 },
        { cursor: 'x' },
        { cursor: 5 },
        { status: 'done' },
        { order: 'name' },
        { parked: 1 },
        { tag: 5 },
        { offset: 1 },
      ]) {
        expect((await rejectionOf(executions.list(options as never))).code, JSON.stringify(options)).toBe('INVALID_ARGUMENT')
      }
      expect((await rejectionOf(executions.count({ limit: 1 } as never))).code).toBe('INVALID_ARGUMENT')
    })
  })

  describe('figures', () => {
    ownStore(executor, (store) => {
      executions = store.executions
    })

    it('count executions by status, those that are leased, and the bytes of their logs', async () => {
      const none = { pending: 0, running: 0, compensating: 0, completed: 0, compensated: 0, failed: 0 }
      expect(await executions.statistics()).toEqual({ total: 0, byStatus: none, parked: 0, leased: 0, bytes: 0, oldestDueAt: null })
      const { name, id } = fresh()
      const dueAt = new Date(Date.now() - 60_000)
      await executions.create(`${id}-1`, name, {}, { steps: [done('a', { result: 'x'.repeat(500) })] })
      await executions.create(`${id}-2`, name, {}, { dueAt })
      await executions.create(`${id}-3`, name, {}, { status: 'failed' })
      await startAndDie(executions, { id: `${id}-4`, name }, { leaseMs: 60_000 })
      const { bytes, ...rest } = await executions.statistics()
      expect(rest).toEqual({
        total: 4,
        byStatus: { ...none, pending: 2, failed: 1, running: 1 },
        parked: 0,
        leased: 1,
        oldestDueAt: dueAt,
      })
      expect(bytes).toBeGreaterThan(500)
      expect(bytes).toBeLessThan(2_000)
    })
  })
}
