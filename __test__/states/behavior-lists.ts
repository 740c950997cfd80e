import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import type { SagaStates, SagaStore } from '../../index.js'
import type { Executor } from '../support/executors'
import { rejectionOf } from '../support/promises'
import { ownStore } from '../support/stores'
import { bothWays, NAME, type Order, order } from './orders'

/** Lists, counts, and what is removed by the time at which it ended. */
export function listBehavior(executor: Executor): void {
  let states: SagaStates
  const use = (store: SagaStore) => {
    states = store.states
  }
  const consistent = (id: string, correlationId: string) => bothWays(states, NAME, id, correlationId)

  describe('lists', () => {
    ownStore(executor, use)

    const fill = async (count: number) => {
      const ids = Array.from({ length: count }, () => randomUUID()).sort()
      await Promise.all(ids.map((id, at) => states.insert(NAME, `o-${id}`, order(id, { isCompleted: at % 3 === 0 }))))
      await states.insert('Other', 'o', order('other'))
      return ids
    }

    const pages = async (options: { completed?: boolean; limit: number }) => {
      const found: string[] = []
      let cursor: string | undefined
      do {
        const page = await states.findByName<Order>(NAME, { ...options, ...(cursor !== undefined && { cursor }) })
        expect(page.items.length).toBeLessThanOrEqual(options.limit)
        found.push(...page.items.map((item) => item.metadata.sagaId))
        cursor = page.cursor
      } while (cursor !== undefined)
      return found
    }

    it('lists and counts the sagas of a name, all of them, open ones, ended ones', async () => {
      const ids = await fill(25)
      expect(await pages({ limit: 10 })).toEqual(ids)
      expect(await pages({ limit: 4, completed: true })).toEqual(ids.filter((_, at) => at % 3 === 0))
      expect(await pages({ limit: 100, completed: false })).toEqual(ids.filter((_, at) => at % 3 !== 0))
      expect(await states.countByName(NAME)).toBe(25)
      expect(await states.countByName(NAME, { completed: true })).toBe(9)
      expect(await states.countByName(NAME, { completed: false })).toBe(16)
      expect(await states.countByName('Nobody')).toBe(0)
      expect(await states.findByName('Nobody')).toEqual({ items: [] })
    })

    it('lists the names that sagas have, as long as there are some of them', async () => {
      expect(await states.names()).toEqual({ items: [] })
      const names = ['B', 'a', 'Order 1', 'Ünique', 'Z_1', 'Z%1']
      for (const name of names) {
        await states.insert(name, 'o-1', order('s-1', { isCompleted: name === 'a' }))
        await states.insert(name, 'o-2', order('s-2', { timeoutExpiresAt: new Date() }))
      }
      // In the order of their bytes.
      const sorted = ['B', 'Order 1', 'Z%1', 'Z_1', 'a', 'Ünique']
      expect(await states.names()).toEqual({ items: sorted })
      const [first, second] = [await states.names({ limit: 4 }), await states.names({ limit: 6 })]
      expect(first.items).toEqual(sorted.slice(0, 4))
      expect(await states.names({ limit: 4, cursor: first.cursor as string })).toEqual({ items: sorted.slice(4) })
      expect(await states.names({ limit: 4, cursor: second.cursor as string })).toEqual({ items: [] })
      for (const id of ['s-1', 's-2']) await states.delete('Z%1', id)
      await states.delete('B', 's-1')
      expect((await states.names()).items).toEqual(sorted.filter((name) => name !== 'Z%1'))
      const listed = await states.findByName('B', { limit: 1 })
      for (const options of [{ cursor: 'x' }, { cursor: listed.cursor as string }, { limit: 0 }, { limit: 1_001 }, { name: 'B' }]) {
        expect((await rejectionOf(states.names(options as object))).code).toBe('INVALID_ARGUMENT')
      }
    })

    it('finds open sagas that nobody has changed for a while', async () => {
      const ago = (minutes: number) => new Date(Date.now() - minutes * 60_000)
      const stale = async (options: object) => {
        const found: string[] = []
        let cursor: string | undefined
        do {
          const page = await states.findStale<Order>({ unchangedForMs: 3_600_000, limit: 3, ...options, ...(cursor && { cursor }) })
          expect(page.items.length).toBeLessThanOrEqual(3)
          found.push(...page.items.map(({ sagaName, state }) => `${sagaName} ${state.metadata.sagaId}`))
          cursor = page.cursor
        } while (cursor !== undefined)
        return found
      }
      expect(await stale({})).toEqual([])
      for (const name of ['A', 'C']) {
        for (let n = 0; n < 9; n += 1) {
          const updatedAt = ago(n % 3 === 0 ? 30 : 90)
          await states.insert(name, `o-${n}`, order(`s-${n}`, { updatedAt, isCompleted: n % 4 === 1 }))
        }
      }
      await states.insert('B', 'o-0', order('s-0', { updatedAt: ago(1) }))
      const ids = ['s-2', 's-4', 's-7', 's-8']
      expect(await stale({})).toEqual(['A', 'C'].flatMap((name) => ids.map((id) => `${name} ${id}`)))
      expect(await stale({ sagaName: 'C' })).toEqual(ids.map((id) => `C ${id}`))
      expect(await stale({ sagaName: 'B' })).toEqual([])
      expect(await stale({ sagaName: 'B', unchangedForMs: 0 })).toEqual(['B s-0'])
      // A change makes it young; it is found by its correlation id, too.
      await states.modify<Order>('C', 's-4', (state) => state)
      const [first] = (await states.findStale<Order>({ unchangedForMs: 3_600_000, limit: 2, sagaName: 'C' })).items
      expect(first?.state.metadata.correlationId).toBe('o-2')
      expect(await stale({ sagaName: 'C' })).toEqual(['C s-2', 'C s-7', 'C s-8'])
      const page = await states.findStale({ unchangedForMs: 3_600_000, limit: 1 })
      for (const options of [
        undefined,
        {},
        { unchangedForMs: -1 },
        { unchangedForMs: 1.5 },
        { unchangedForMs: '1' },
        { unchangedForMs: 1, limit: 0 },
        { unchangedForMs: 1, name: 'A' },
        { unchangedForMs: 1, sagaName: 'a:b' },
        { unchangedForMs: 1, sagaName: 'A', cursor: page.cursor },
        { unchangedForMs: 1, cursor: (await states.names({ limit: 1 })).cursor },
      ]) {
        expect((await rejectionOf(states.findStale(options as never))).code).toBe('INVALID_ARGUMENT')
      }
    })

    it('goes on behind a cursor whatever is inserted and deleted meanwhile', async () => {
      const ids = await fill(12)
      const first = await states.findByName<Order>(NAME, { limit: 5 })
      await states.insert(NAME, 'early', order('!first'))
      await states.insert(NAME, 'late', order('~last'))
      await states.delete(NAME, ids[4] as string)
      await states.delete(NAME, ids[7] as string)
      const rest = await states.findByName<Order>(NAME, { limit: 100, cursor: first.cursor as string })
      expect(rest.items.map((item) => item.metadata.sagaId)).toEqual([...ids.slice(5, 7), ...ids.slice(8), '~last'])
    })

    it('follows a saga that ends', async () => {
      await states.insert(NAME, 'order-1', order('s-1'))
      await states.update(NAME, order('s-1', { isCompleted: true }), 1)
      expect(await pages({ limit: 10, completed: false })).toEqual([])
      expect(await pages({ limit: 10, completed: true })).toEqual(['s-1'])
      await states.update(NAME, order('s-1', { isCompleted: false }), 2)
      expect(await pages({ limit: 10, completed: false })).toEqual(['s-1'])
      expect(await states.countByName(NAME, { completed: true })).toBe(0)
    })

    it('refuses limits and cursors that are none', async () => {
      for (const limit of [0, -1, 1.5, 1_001, Number.NaN]) {
        expect((await rejectionOf(states.findByName(NAME, { limit }))).code).toBe('INVALID_ARGUMENT')
        expect((await rejectionOf(states.findTimedOut({ limit }))).code).toBe('INVALID_ARGUMENT')
      }
      expect((await rejectionOf(states.findByName(NAME, { cursor: 5 as never }))).code).toBe('INVALID_ARGUMENT')
      expect((await rejectionOf(states.findByName(NAME, { completed: 'yes' as never }))).code).toBe('INVALID_ARGUMENT')
    })

    it('removes sagas that ended before a time, and no others', async () => {
      const at = (minute: number) => new Date(Date.UTC(2026, 10, 24, 10, minute))
      for (let minute = 0; minute < 8; minute += 1) {
        await states.insert(NAME, `o-${minute}`, order(`s-${minute}`, { isCompleted: minute !== 2, updatedAt: at(minute) }))
      }
      await states.insert('Other', 'o', order('s', { isCompleted: true, updatedAt: at(0) }))
      expect(await states.deleteCompletedBefore(NAME, at(5), { limit: 2 })).toBe(2)
      expect(await states.deleteCompletedBefore(NAME, at(5))).toBe(2)
      expect(await states.deleteCompletedBefore(NAME, at(5))).toBe(0)
      expect(await pages({ limit: 10 })).toEqual(['s-2', 's-5', 's-6', 's-7'])
      expect(await consistent('s-4', 'o-4')).toBeNull()
      expect(await states.countByName('Other')).toBe(1)
      expect((await rejectionOf(states.deleteCompletedBefore(NAME, 'now' as never))).code).toBe('INVALID_ARGUMENT')
      expect((await rejectionOf(states.deleteCompletedBefore(NAME, at(5), { limit: 0 }))).code).toBe('INVALID_ARGUMENT')
    })

    it('goes by the time at which a saga ended first, whatever its dates say', async () => {
      const day = 24 * 3_600_000
      const ago = (days: number) => new Date(Date.now() - days * day)
      const old = { createdAt: ago(90), updatedAt: ago(60) }
      const cut = ago(30)
      for (const id of ['s-1', 's-2', 's-3', 's-4', 's-5']) await states.insert(NAME, `o-${id}`, order(id, old))
      await states.insert(NAME, 'o-s-6', order('s-6', { ...old, isCompleted: true }))
      await states.insert(NAME, 'o-s-7', order('s-7', { ...old, isCompleted: true, updatedAt: new Date(Date.now() + day) }))
      // As the README does it; with an old time by intent; opened again and ended again; several at once.
      const read = (await states.getById<Order>(NAME, 's-1')) as Order
      await states.update(NAME, { ...read, metadata: { ...read.metadata, isCompleted: true } }, 1)
      await states.modify<Order>(NAME, 's-2', (state) => ({
        ...state,
        metadata: { ...state.metadata, isCompleted: true, updatedAt: ago(50) },
      }))
      const ended = order('s-0', { ...old, isCompleted: true })
      const endedOf = (id: string, more: object = {}) => ({ ...ended, metadata: { ...ended.metadata, sagaId: id, ...more } })
      await Promise.all(['s-3', 's-4'].map((id) => states.update(NAME, endedOf(id), 1)))
      expect(await states.deleteCompletedBefore(NAME, cut)).toBe(1)
      expect(await states.getById(NAME, 's-6')).toBeNull()
      expect(await pages({ limit: 10, completed: true })).toEqual(['s-1', 's-2', 's-3', 's-4', 's-7'])
      // Later changes of those that have ended do not make them younger.
      const before = new Date(Date.now() + 1)
      await sleep(5)
      await states.modify<Order>(NAME, 's-2', (state) => ({ ...state, touched: true }))
      await Promise.all(['s-3', 's-4'].map((id) => states.update(NAME, endedOf(id, { archivedAt: new Date() }), 2)))
      await states.update(NAME, order('s-4', { isCompleted: false }), 3)
      await states.update(NAME, endedOf('s-4'), 4)
      await states.update(NAME, endedOf('s-5'), 1)
      expect(await states.deleteCompletedBefore(NAME, before)).toBe(4)
      expect(await pages({ limit: 10 })).toEqual(['s-4', 's-5'])
      expect(await states.deleteCompletedBefore(NAME, new Date(Date.now() + 1_000))).toBe(2)
    })

    it('finds sagas whose timeout has passed, the longest overdue first', async () => {
      const due = (minutes: number) => new Date(Date.now() + minutes * 60_000)
      await states.insert(NAME, 'o-1', order('s-1', { timeoutExpiresAt: due(-5) }))
      await states.insert(NAME, 'o-2', order('s-2', { timeoutExpiresAt: due(-9) }))
      await states.insert(NAME, 'o-3', order('s-3', { timeoutExpiresAt: due(9) }))
      await states.insert(NAME, 'o-4', order('s-4', { timeoutExpiresAt: due(-9), isCompleted: true }))
      await states.insert('Other', 'o-5', order('s-5', { timeoutExpiresAt: due(-7) }))
      await states.insert(NAME, 'o-6', order('s-6'))
      const ids = async (options?: object) =>
        (await states.findTimedOut<Order>(options)).map(({ sagaName, state }) => [sagaName, state.metadata.sagaId])
      expect(await ids()).toEqual([
        [NAME, 's-2'],
        ['Other', 's-5'],
        [NAME, 's-1'],
      ])
      expect(await ids({ sagaName: NAME })).toEqual([
        [NAME, 's-2'],
        [NAME, 's-1'],
      ])
      expect(await ids({ limit: 1 })).toEqual([[NAME, 's-2']])
      expect(await ids({ now: due(10), sagaName: NAME })).toHaveLength(3)
      // It ends, or is given more time.
      await states.update(NAME, order('s-2', { isCompleted: true, timeoutExpiresAt: due(-9) }), 1)
      await states.update(NAME, order('s-1', { timeoutExpiresAt: due(5) }), 1)
      expect(await ids({ sagaName: NAME })).toEqual([])
    })
  })
}
