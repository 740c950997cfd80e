import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { ConcurrencyError, type SagaState, type SagaStates, type SagaStore } from '../../index.js'
import type { Executor } from '../support/executors'
import { rejectionOf } from '../support/promises'

interface OrderMetadata {
  sagaId: string
  version: number
  createdAt: Date
  updatedAt: Date
  isCompleted: boolean
  archivedAt?: Date | null
  timeoutExpiresAt?: Date | null
  traceParent?: string | null
}

interface Order {
  metadata: OrderMetadata
  total?: number
  steps?: string[]
  [more: string]: unknown
}

const NAME = 'OrderSaga'

function order(sagaId: string, more: Partial<OrderMetadata> = {}, rest: object = {}): Order {
  const createdAt = new Date('2026-11-24T10:00:00.123Z')
  return { metadata: { sagaId, version: 1, createdAt, updatedAt: createdAt, isCompleted: false, ...more }, total: 12.5, ...rest }
}

/** The rules of saga state, the same on every backend. */
export function stateBehavior(executor: Executor): void {
  let store: SagaStore
  let states: SagaStates
  const others: SagaStore[] = []

  const another = async (more: object) => {
    const other = await executor.open(more)
    others.push(other)
    return other.states
  }

  /** Both ways to a saga lead to the same, or to nothing. */
  const consistent = async (id: string, correlationId: string): Promise<Order | null> => {
    const [byId, byCorrelation] = [await states.getById<Order>(NAME, id), await states.getByCorrelationId<Order>(NAME, correlationId)]
    expect(byId).toEqual(byCorrelation)
    return byId
  }

  beforeEach(async () => {
    store = await executor.open()
    states = store.states
  })

  afterEach(async () => {
    await store.close()
    for (const other of others.splice(0)) await other.close()
  })

  describe('insert and get', () => {
    it('finds a saga by both ids, with the dates of its metadata as Dates', async () => {
      const timeoutExpiresAt = new Date('2026-11-24T12:00:00.001Z')
      const state = order('s-1', { timeoutExpiresAt, traceParent: '00-abc-01', archivedAt: null }, { steps: ['reserve', 'pay'] })
      await states.insert(NAME, 'order-1', state)
      expect(await consistent('s-1', 'order-1')).toEqual(state)
      expect((await states.findById<Order>(NAME, 's-1'))?.metadata.timeoutExpiresAt).toBeInstanceOf(Date)
      expect(await states.findByCorrelationId(NAME, 'order-1')).toEqual(state)
    })

    it('finds nothing under other ids and other names', async () => {
      await states.insert(NAME, 'order-1', order('s-1'))
      expect(await states.getById(NAME, 'order-1')).toBeNull()
      expect(await states.getByCorrelationId(NAME, 's-1')).toBeNull()
      expect(await states.getById('Other', 's-1')).toBeNull()
      expect(await states.getByCorrelationId('Other', 'order-1')).toBeNull()
    })

    it('answers each of many lookups that are called at once', async () => {
      await Promise.all(Array.from({ length: 8 }, (_, n) => states.insert(NAME, `order-${n}`, order(`s-${n}`, {}, { total: n }))))
      await states.insert('OtherSaga', 'order-0', order('s-0', {}, { total: 100 }))
      const asked = Array.from({ length: 45 }, (_, n) => n % 9)
      const found = await Promise.all(
        asked.flatMap((n) => [
          states.getById<Order>(NAME, `s-${n}`),
          states.getByCorrelationId<Order>(NAME, `order-${n}`),
          states.getById<Order>('OtherSaga', `s-${n}`),
        ]),
      )
      const expected = asked.flatMap((n) => [n < 8 ? n : undefined, n < 8 ? n : undefined, n === 0 ? 100 : undefined])
      expect(found.map((state) => state?.total)).toEqual(expected)
    })

    it('fills in what the metadata lacks', async () => {
      const before = Date.now()
      await states.insert(NAME, 'order-1', { metadata: { sagaId: 's-1' } })
      const found = await states.getById<Order>(NAME, 's-1')
      expect(found?.metadata).toMatchObject({ sagaId: 's-1', version: 1, isCompleted: false })
      expect(found?.metadata.createdAt.getTime()).toBeGreaterThanOrEqual(before)
    })

    it('keeps what JSON keeps: unicode, large numbers, depth, a megabyte', async () => {
      let deep: unknown = 'bottom'
      for (let depth = 0; depth < 500; depth += 1) deep = depth % 2 === 0 ? { deep } : [deep]
      const megabyte = store.backend === 'dynamodb' ? 'x'.repeat(300_000) : 'ä€😀 "\\'.repeat(120_000)
      for (const [name, value] of Object.entries({
        replacement: '\ufffd',
        unicode: { 'ключ "x"': 'naïve 東京 😀\u2028\t\n\u0001"\\/' },
        numbers: [0, -1, 2 ** 53 + 2, 2 ** 60, 1e308, 5e-324, 0.1, -123456.789e-7, 12345678901234567890n.toString()],
        empties: [{}, [], '', null, false, { a: null }],
        deep,
        megabyte,
        date: '2026-11-24T10:00:00.000Z',
      })) {
        const state = order(name, {}, { value })
        await states.insert(NAME, `order-${name}`, state)
        expect(await states.getById(NAME, name)).toEqual(state)
      }
    })

    it('refuses what JSON cannot keep, and says what of it', async () => {
      const cycle: Record<string, unknown> = {}
      cycle.itself = { again: [cycle] }
      for (const [rest, path] of [
        [{ order: { items: [1, { price: 10n }] } }, 'order.items[1].price'],
        [{ cycle }, 'cycle.itself.again[0]'],
        [{ text: ['a', 'b\0'] }, 'text[1]'],
        [{ text: '\ud800' }, 'text'],
        [{ map: { '\udc00': 1 } }, 'map.\udc00'],
      ] as const) {
        const error = await rejectionOf(states.insert(NAME, 'order-1', order('s-1', {}, rest)))
        expect(error).toMatchObject({ code: 'SERIALIZATION', path, id: 's-1', retryable: false })
      }
      expect(await consistent('s-1', 'order-1')).toBeNull()
      // A backslash is not an escape of JSON's.
      await states.insert(NAME, 'order-1', order('s-1', {}, { text: '\\u0000 \\ud800' }))
      expect(await states.getById(NAME, 's-1')).toMatchObject({ text: '\\u0000 \\ud800' })
    })

    it('refuses ids and names that some backend could not keep', async () => {
      for (const [name, correlationId, sagaId] of [
        ['', 'c', 's'],
        ['a:b', 'c', 's'],
        ['a#b', 'c', 's'],
        ['n'.repeat(129), 'c', 's'],
        [NAME, '', 's'],
        [NAME, 'idx:id:s', 's'],
        [NAME, 'c'.repeat(513), 's'],
        [NAME, 'c', ''],
        [NAME, 'c', 's'.repeat(513)],
        [NAME, '\ud800', 's'],
        ['a\ud800', 'c', 's'],
        [NAME, 7, 's'],
        [NAME, 'c', 7],
      ] as [string, string, string][]) {
        const error = await rejectionOf(states.insert(name, correlationId, order(sagaId)))
        expect(error).toMatchObject({ code: 'INVALID_ARGUMENT', retryable: false })
      }
      for (const id of ['a\0', 'a\udc00b']) expect((await rejectionOf(states.getById(NAME, id))).code).toBe('INVALID_ARGUMENT')
      const unpaired = states.insert(NAME, 'c', order('s\ud800'))
      expect(await rejectionOf(unpaired)).toMatchObject({ code: 'SERIALIZATION', path: 'metadata.sagaId' })
      const without = states.insert(NAME, 'c', {} as Order)
      expect(await rejectionOf(without)).toMatchObject({ code: 'INVALID_ARGUMENT', message: expect.stringContaining('metadata') })
      const version = states.insert(NAME, 'c', order('s', { version: 1.5 }))
      expect(await rejectionOf(version)).toMatchObject({ code: 'INVALID_ARGUMENT', message: expect.stringContaining('metadata.version') })
      const date = states.insert(NAME, 'c', order('s', { updatedAt: 'now' as never }))
      expect(await rejectionOf(date)).toMatchObject({ code: 'INVALID_ARGUMENT', message: expect.stringContaining('updatedAt') })
      expect(await states.countByName(NAME)).toBe(0)
    })

    it('refuses metadata that could not be read again, however it is stored', async () => {
      await states.insert(NAME, 'order-1', order('s-1'))
      for (const name of ['createdAt', 'updatedAt', 'archivedAt', 'timeoutExpiresAt'] as const) {
        for (const value of ['soon', '2026-11-24T10:00:00.000Z', 1_795_000_000_000, new Date(Number.NaN), {}, false]) {
          const wrong = { [name]: value } as never
          const calls = {
            insert: () => states.insert(NAME, 'order-2', order('s-2', wrong)),
            update: () => states.update(NAME, order('s-1', wrong), 1),
            save: () => states.save(NAME, order('s-1', wrong)),
            'save a new one': () => states.save(NAME, order('s-2', { version: undefined as never, ...(wrong as object) })),
            modify: () =>
              states.modify<Order>(NAME, 's-1', (state) => ({ ...state, metadata: { ...state.metadata, ...(wrong as object) } })),
          }
          for (const [call, run] of Object.entries(calls)) {
            const message = expect.stringContaining(`metadata.${name} must be a valid Date`)
            expect(await rejectionOf(run()), `${call} with ${name} ${value}`).toMatchObject({ code: 'INVALID_ARGUMENT', message })
          }
        }
      }
      for (const wrong of [
        { version: '1' },
        { version: Number.NaN },
        { isCompleted: 'yes' },
        { isCompleted: null },
        { sagaId: { id: 's-2' } },
      ]) {
        expect((await rejectionOf(states.insert(NAME, 'order-2', order('s-2', wrong as never)))).code).toBe('INVALID_ARGUMENT')
      }
      for (const state of [
        { ...order('s-2'), toJSON: () => 'text' },
        { ...order('s-2'), toJSON: () => null },
        { metadata: { ...order('s-2').metadata, toJSON: () => ({}) } },
      ]) {
        expect((await rejectionOf(states.insert(NAME, 'order-2', state))).code).toBe('SERIALIZATION')
      }
      expect(await states.findByName(NAME)).toEqual({ items: [order('s-1')] })
    })

    it('keeps dates of any year', async () => {
      const [first, last] = [new Date('0001-01-01T00:00:00Z'), new Date(8.64e15)]
      const state = order('s-1', { createdAt: first, updatedAt: last, archivedAt: last, timeoutExpiresAt: last })
      await states.insert(NAME, 'order-1', state)
      expect(await consistent('s-1', 'order-1')).toEqual(state)
      expect((await states.findByName(NAME)).items).toEqual([state])
      expect(await states.findTimedOut({ sagaName: NAME })).toEqual([])
    })

    it('keeps both ids unique among the sagas of a name', async () => {
      await states.insert(NAME, 'order-1', order('s-1'))
      const sameId = await rejectionOf(states.insert(NAME, 'order-2', order('s-1', {}, { total: 0 })))
      expect(sameId).toMatchObject({ code: 'ALREADY_EXISTS', sagaName: NAME, sagaId: 's-1', id: 's-1', retryable: false })
      expect(sameId.message).toContain('already exists')
      const sameCorrelation = await rejectionOf(states.insert(NAME, 'order-1', order('s-2')))
      expect(sameCorrelation).toMatchObject({ code: 'ALREADY_EXISTS', correlationId: 'order-1', id: 's-2' })
      expect((await rejectionOf(states.insert(NAME, 'order-1', order('s-1')))).code).toBe('ALREADY_EXISTS')
      expect(await consistent('s-1', 'order-1')).toEqual(order('s-1'))
      expect(await consistent('s-2', 'order-2')).toBeNull()
      await states.insert('Other', 'order-1', order('s-1'))
      expect(await states.countByName(NAME)).toBe(1)
    })
  })

  describe('update', () => {
    it('stores the next version, and leaves the state that it was given alone', async () => {
      await states.insert(NAME, 'order-1', order('s-1'))
      const changed = order('s-1', { updatedAt: new Date(Date.now() + 3_600_000) }, { total: 99 })
      await states.update(NAME, changed, 1)
      expect(changed.metadata.version).toBe(1)
      expect(await consistent('s-1', 'order-1')).toEqual({ ...changed, metadata: { ...changed.metadata, version: 2 } })
    })

    it('is dated by the present, unless the state is from the future', async () => {
      await states.insert(NAME, 'order-1', order('s-1'))
      const before = Date.now()
      const given = await states.getById<Order>(NAME, 's-1')
      await states.update(NAME, { ...given, total: 1 } as Order, 1)
      const updated = (await states.getById<Order>(NAME, 's-1'))?.metadata as OrderMetadata
      expect(updated.updatedAt.getTime()).toBeGreaterThanOrEqual(before)
      expect(updated.createdAt).toEqual(given?.metadata.createdAt)
      // By the clock of another machine.
      const ahead = new Date(Date.now() + 60_000)
      await states.update(NAME, order('s-1', { updatedAt: ahead }), 2)
      await states.update(NAME, { ...((await states.getById<Order>(NAME, 's-1')) as Order), total: 3 }, 3)
      expect((await states.getById<Order>(NAME, 's-1'))?.metadata).toMatchObject({ updatedAt: ahead, version: 4 })
      await states.update(NAME, { metadata: { sagaId: 's-1', updatedAt: null as never } }, 4)
      expect((await states.getById<Order>(NAME, 's-1'))?.metadata.updatedAt.getTime()).toBeGreaterThanOrEqual(before)
    })

    it('refuses another version than the expected one, and tells both', async () => {
      await states.insert(NAME, 'order-1', order('s-1', { version: 4 }))
      for (const expected of [3, 5, 0]) {
        const error = await rejectionOf(states.update(NAME, order('s-1', {}, { total: 0 }), expected))
        expect(error).toBeInstanceOf(ConcurrencyError)
        expect(error).toMatchObject({ code: 'CONCURRENCY_CONFLICT', sagaId: 's-1', expectedVersion: expected, actualVersion: 4 })
        expect(error.message).toContain('Optimistic concurrency conflict')
      }
      expect(await consistent('s-1', 'order-1')).toEqual(order('s-1', { version: 4 }))
    })

    it('is NOT_FOUND where there is no such saga', async () => {
      const missing = await rejectionOf(states.update(NAME, order('s-1'), 1))
      expect(missing).toMatchObject({ code: 'NOT_FOUND', id: 's-1', message: expect.stringContaining('not found') })
      await states.insert('Other', 'order-1', order('s-1'))
      expect((await rejectionOf(states.update(NAME, order('s-1'), 1))).code).toBe('NOT_FOUND')
    })

    it('refuses a version that is none', async () => {
      for (const version of [-1, 1.5, Number.NaN, '1', undefined] as number[]) {
        expect((await rejectionOf(states.update(NAME, order('s-1'), version))).code).toBe('INVALID_ARGUMENT')
      }
    })

    it('has one winner among updates that expect the same version', async () => {
      await states.insert(NAME, 'order-1', order('s-1'))
      const racers = Array.from({ length: 20 }, (_, racer) => states.update(NAME, order('s-1', {}, { racer }), 1))
      const settled = await Promise.allSettled(racers)
      const winners = settled.flatMap(({ status }, racer) => (status === 'fulfilled' ? [racer] : []))
      expect(winners).toHaveLength(1)
      for (const { reason } of settled.filter((result) => result.status === 'rejected') as PromiseRejectedResult[]) {
        expect(reason).toMatchObject({ code: 'CONCURRENCY_CONFLICT', expectedVersion: 1, actualVersion: 2 })
      }
      expect(await consistent('s-1', 'order-1')).toMatchObject({ racer: winners[0], metadata: { version: 2 } })
    })

    it('answers each of many updates that are called at once', async () => {
      const ids = Array.from({ length: 30 }, (_, n) => `s-${String(n).padStart(2, '0')}`)
      for (const id of ids) await states.insert(NAME, `o-${id}`, order(id))
      const outcome = (error?: { code: string }) => error?.code ?? 'updated'
      const update = (id: string, n: number) => states.update(NAME, order(n % 5 === 4 ? `no-${id}` : id, {}, { n }), n % 5 === 3 ? 7 : 1)
      const outcomes = await Promise.all(ids.map((id, n) => update(id, n).then(() => outcome(), outcome)))
      expect(outcomes).toEqual(ids.map((_, n) => (n % 5 === 4 ? 'NOT_FOUND' : n % 5 === 3 ? 'CONCURRENCY_CONFLICT' : 'updated')))
      for (const [n, id] of ids.entries()) {
        const found = await states.getById<Order>(NAME, id)
        expect(found?.n).toBe(n % 5 < 3 ? n : undefined)
        expect(found?.metadata.version).toBe(n % 5 < 3 ? 2 : 1)
      }
    })

    it('has one winner among inserts with the same correlation id, and among those with the same saga id', async () => {
      const byCorrelation = Array.from({ length: 15 }, (_, racer) => states.insert(NAME, 'order-1', order(`s-${racer}`)))
      const byId = Array.from({ length: 15 }, (_, racer) => states.insert(NAME, `order-x${racer}`, order('s-x')))
      const [correlation, id] = await Promise.all([Promise.allSettled(byCorrelation), Promise.allSettled(byId)])
      for (const settled of [correlation, id]) {
        expect(settled.filter(({ status }) => status === 'fulfilled')).toHaveLength(1)
        for (const result of settled) if (result.status === 'rejected') expect(result.reason.code).toBe('ALREADY_EXISTS')
      }
      const winner = correlation.findIndex(({ status }) => status === 'fulfilled')
      expect(await consistent(`s-${winner}`, 'order-1')).not.toBeNull()
      expect(await consistent('s-x', `order-x${id.findIndex(({ status }) => status === 'fulfilled')}`)).not.toBeNull()
      expect(await states.countByName(NAME)).toBe(2)
    })
  })

  describe('modify and save', () => {
    it('loses nothing under contention', async () => {
      await states.insert(NAME, 'order-1', order('s-1', {}, { total: 0 }))
      const add = (state: Order) => ({ ...state, total: (state.total ?? 0) + 1 })
      const workers = Array.from({ length: 10 }, async () => {
        for (let round = 0; round < 3; round += 1) await states.modify<Order>(NAME, 's-1', add, { maxRetries: 1_000, retryDelayMs: 1 })
      })
      await Promise.all(workers)
      expect(await consistent('s-1', 'order-1')).toMatchObject({ total: 30, metadata: { version: 31 } })
    })

    it('answers the state as it is stored, with the present as updatedAt', async () => {
      await states.insert(NAME, 'order-1', order('s-1'))
      const before = Date.now()
      const changed = await states.modify<Order>(NAME, 's-1', (state) => {
        state.total = 1
        return state
      })
      expect(changed).toEqual(await states.getById(NAME, 's-1'))
      expect(changed).toMatchObject({ total: 1, metadata: { version: 2 } })
      expect(changed.metadata.updatedAt.getTime()).toBeGreaterThanOrEqual(before)
    })

    it('keeps the updatedAt that the function sets, whatever it is', async () => {
      await states.insert(NAME, 'order-1', order('s-1'))
      const past = new Date('2020-02-02T02:02:02.020Z')
      const set = await states.modify<Order>(NAME, 's-1', (state) => ({ ...state, metadata: { ...state.metadata, updatedAt: past } }))
      expect(set.metadata).toMatchObject({ updatedAt: past, version: 2 })
      expect(set).toEqual(await states.getById(NAME, 's-1'))
      const before = Date.now()
      // A copy has other Dates; one that is frozen cannot be written to.
      for (const copy of [structuredClone, Object.freeze, ({ metadata: { updatedAt: _, ...metadata } }: Order) => ({ metadata })]) {
        const copied = await states.modify<Order>(NAME, 's-1', (state) => {
          Object.freeze(state.metadata)
          return copy(state) as Order
        })
        expect(copied).toEqual(await states.getById(NAME, 's-1'))
        expect(copied.metadata.updatedAt.getTime()).toBeGreaterThanOrEqual(before)
        await states.modify<Order>(NAME, 's-1', (state) => ({ ...state, metadata: { ...state.metadata, updatedAt: past } }))
      }
    })

    it('tells a missing saga, a function that throws, and conflicts without end', async () => {
      expect(await rejectionOf(states.modify(NAME, 's-1', (state) => state))).toMatchObject({ code: 'NOT_FOUND', id: 's-1' })
      await states.insert(NAME, 'order-1', order('s-1'))
      const thrown = states.modify(NAME, 's-1', () => {
        throw new RangeError('no')
      })
      await expect(thrown).rejects.toThrow(RangeError)
      expect((await rejectionOf(states.modify(NAME, 's-1', () => ({}) as Order))).code).toBe('INVALID_ARGUMENT')
      expect((await rejectionOf(states.modify(NAME, 's-1', (state) => state, { maxRetries: -1 }))).code).toBe('INVALID_ARGUMENT')
    })

    it('saves a new saga, and one that it has saved', async () => {
      const first = await states.save(NAME, { id: 's-1', correlationId: 'order-1', total: 1 })
      expect(first).toMatchObject({ metadata: { sagaId: 's-1', version: 1, isCompleted: false } })
      const second = await states.save(NAME, { ...first, total: 2 })
      expect(second).toMatchObject({ metadata: { version: 2 } })
      expect(await consistent('s-1', 'order-1')).toEqual(second)
      expect((await rejectionOf(states.save(NAME, first))).code).toBe('CONCURRENCY_CONFLICT')
      await states.save(NAME, { metadata: { sagaId: 's-2' } })
      expect(await states.getByCorrelationId(NAME, 's-2')).not.toBeNull()
    })

    it('answers a saved state as it is stored, and leaves the one that it was given alone', async () => {
      const given = Object.freeze({ correlationId: 'order-1', metadata: Object.freeze({ sagaId: 's-1' }) })
      const first = await states.save<SagaState>(NAME, given)
      expect(first).toEqual(await consistent('s-1', 'order-1'))
      const before = Date.now()
      const second = await states.save<SagaState>(NAME, { ...first, metadata: { ...first.metadata, updatedAt: new Date(0) } })
      expect(second).toEqual(await consistent('s-1', 'order-1'))
      expect(second.metadata.updatedAt?.getTime()).toBeGreaterThanOrEqual(before)
    })

    it('does not save a saga again that has been deleted', async () => {
      const saved = await states.save(NAME, { metadata: { sagaId: 's-1' }, correlationId: 'order-1', total: 1 })
      await states.delete(NAME, 's-1')
      for (const state of [saved, { ...saved, metadata: { sagaId: 's-1', version: 0 } }]) {
        const error = await rejectionOf(states.save(NAME, state))
        expect(error).toMatchObject({ code: 'NOT_FOUND', id: 's-1', message: expect.stringContaining('not found') })
      }
      expect(await consistent('s-1', 'order-1')).toBeNull()
      expect(await states.countByName(NAME)).toBe(0)
      const { metadata: _, ...rest } = saved
      const anew = await states.save<Order>(NAME, { id: 's-1', ...rest } as never)
      expect(await consistent('s-1', 'order-1')).toEqual(anew)
      expect((await rejectionOf(states.save(NAME, { id: 's-1', ...rest }))).code).toBe('ALREADY_EXISTS')
    })
  })

  describe('delete', () => {
    it('removes by either id, and is content where there is nothing', async () => {
      await states.insert(NAME, 'order-1', order('s-1'))
      await states.insert(NAME, 'order-2', order('s-2'))
      await states.delete(NAME, 's-1')
      await states.deleteByCorrelationId(NAME, 'order-2')
      expect(await consistent('s-1', 'order-1')).toBeNull()
      expect(await consistent('s-2', 'order-2')).toBeNull()
      await states.delete(NAME, 's-1')
      await states.deleteByCorrelationId(NAME, 'order-2')
      expect(await states.countByName(NAME)).toBe(0)
    })

    it('makes room for another saga under either id', async () => {
      await states.insert(NAME, 'order-1', order('s-1'))
      await states.delete(NAME, 's-1')
      await states.insert(NAME, 'order-1', order('s-2'))
      await states.insert(NAME, 'order-2', order('s-1'))
      expect(await consistent('s-2', 'order-1')).not.toBeNull()
      expect(await consistent('s-1', 'order-2')).not.toBeNull()
    })
  })

  describe('lists', () => {
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

  describe('claims of timed out sagas', () => {
    const due = (minutes: number) => new Date(Date.now() + minutes * 60_000)
    const claim = async (workerId: string, more: object = {}) =>
      (await states.claimTimedOut<Order>({ workerId, leaseMs: 60_000, ...more })).map(({ state }) => state.metadata.sagaId)
    const seen = async () => (await states.findTimedOut<Order>()).map(({ state }) => state.metadata.sagaId)

    it('gives each to one worker, the longest overdue first, and not again while the lease lives', async () => {
      for (const n of [3, 1, 2]) await states.insert(NAME, `o-${n}`, order(`s-${n}`, { timeoutExpiresAt: due(n - 10) }, { n }))
      await states.insert('Other', 'o-4', order('s-4', { timeoutExpiresAt: due(-20) }))
      await states.insert(NAME, 'o-5', order('s-5', { timeoutExpiresAt: due(5) }))
      await states.insert(NAME, 'o-6', order('s-6', { timeoutExpiresAt: due(-5), isCompleted: true }))
      await states.insert(NAME, 'o-7', order('s-7'))
      const before = Date.now()
      const [first] = await states.claimTimedOut<Order>({ workerId: 'a', leaseMs: 60_000, limit: 1, sagaName: NAME })
      expect(first).toMatchObject({ sagaName: NAME, workerId: 'a', state: { n: 1, metadata: { sagaId: 's-1', version: 1 } } })
      const left = (first?.leasedUntil.getTime() ?? 0) - before
      expect(left).toBeGreaterThanOrEqual(60_000)
      expect(left).toBeLessThanOrEqual(60_000 + Date.now() - before)
      expect(await claim('b', { limit: 2 })).toEqual(['s-4', 's-2'])
      expect(await claim('a')).toEqual(['s-3'])
      expect(await claim('a')).toEqual([])
      expect(await claim('b', { sagaName: NAME })).toEqual([])
      expect(await claim('b', { now: due(6) })).toEqual(['s-5'])
      expect(await seen()).toEqual(['s-4', 's-1', 's-2', 's-3'])
    })

    it('leaves state and version alone: the holder updates as ever, and that ends the matter', async () => {
      const state = order('s-1', { timeoutExpiresAt: due(-1) })
      await states.insert(NAME, 'o-1', state)
      await states.insert(NAME, 'o-2', order('s-2', { timeoutExpiresAt: due(-2) }))
      expect(await claim('a')).toEqual(['s-2', 's-1'])
      expect(await consistent('s-1', 'o-1')).toEqual(state)
      // Given more time, which is over as well: anybody may have it now.
      await states.update(NAME, order('s-1', { timeoutExpiresAt: due(-3) }), 1)
      expect(await claim('b')).toEqual(['s-1'])
      await states.update(NAME, order('s-1', { timeoutExpiresAt: null }), 2)
      await states.update(NAME, order('s-2', { isCompleted: true, timeoutExpiresAt: due(-2) }), 1)
      expect(await claim('b')).toEqual([])
      expect(await seen()).toEqual([])
    })

    it('gives a saga to another worker when the lease has ended', async () => {
      await states.insert(NAME, 'o-1', order('s-1', { timeoutExpiresAt: due(-1) }))
      expect(await claim('a', { leaseMs: 700 })).toEqual(['s-1'])
      await sleep(1_000)
      expect(await claim('b')).toEqual(['s-1'])
      expect(await claim('a')).toEqual([])
    })

    it('finds sagas behind many that are leased, also of one moment', async () => {
      const timeoutExpiresAt = due(-1)
      const ids = Array.from({ length: 130 }, (_, n) => `s-${String(n).padStart(3, '0')}`)
      await Promise.all(ids.map((id) => states.insert(NAME, `o-${id}`, order(id, { timeoutExpiresAt }))))
      const found: string[] = []
      for (let round = 0; round < 4; round += 1) found.push(...(await claim(`w-${round}`, { limit: 40 })))
      expect([...found].sort()).toEqual(ids)
      expect(await claim('late')).toEqual([])
    })

    it('refuses options that are none', async () => {
      for (const options of [
        undefined,
        {},
        { workerId: 'a' },
        { workerId: '', leaseMs: 1 },
        { workerId: 'a'.repeat(257), leaseMs: 1 },
        { workerId: 'a', leaseMs: 0 },
        { workerId: 'a', leaseMs: 1.5 },
        { workerId: 'a', leaseMs: 604_800_001 },
        { workerId: 'a', leaseMs: 1, limit: 0 },
        { workerId: 'a', leaseMs: 1, limit: 1_001 },
        { workerId: 'a', leaseMs: 1, now: 5 },
        { workerId: 'a', leaseMs: 1, sagaName: 'a:b' },
      ]) {
        expect((await rejectionOf(states.claimTimedOut(options as never))).code).toBe('INVALID_ARGUMENT')
      }
      const misspelt = states.claimTimedOut({ workerId: 'a', leaseMs: 1, lease: 5 } as never)
      expect(await rejectionOf(misspelt)).toMatchObject({ code: 'INVALID_ARGUMENT', message: expect.stringMatching(/'lease'.*leaseMs/) })
    })
  })

  describe('time to live', () => {
    it('keeps a saga that has ended for completedTtlMs, and is in nobody’s way afterwards', async () => {
      states = await another({ completedTtlMs: 1_200 })
      await states.insert(NAME, 'order-1', order('s-1'))
      await states.insert(NAME, 'order-2', order('s-2', { isCompleted: true }))
      await states.update(NAME, order('s-1', { isCompleted: true }), 1)
      await states.insert(NAME, 'order-3', order('s-3'))
      expect(await consistent('s-1', 'order-1')).not.toBeNull()
      await sleep(1_500)
      expect(await consistent('s-1', 'order-1')).toBeNull()
      expect(await consistent('s-2', 'order-2')).toBeNull()
      expect(await states.countByName(NAME)).toBe(1)
      expect((await states.findByName(NAME)).items).toHaveLength(1)
      expect((await rejectionOf(states.update(NAME, order('s-1'), 2))).code).toBe('NOT_FOUND')
      await states.insert(NAME, 'order-1', order('s-2'))
      await states.insert(NAME, 'order-2', order('s-1'))
      expect(await consistent('s-2', 'order-1')).not.toBeNull()
      expect(await consistent('s-1', 'order-2')).not.toBeNull()
      expect(await consistent('s-3', 'order-3')).not.toBeNull()
    })

    it('keeps every saga for defaultTtlMs from its last change on, unless it is opened again', async () => {
      states = await another({ defaultTtlMs: 1_500 })
      await states.insert(NAME, 'order-1', order('s-1'))
      await states.insert(NAME, 'order-2', order('s-2'))
      await sleep(900)
      await states.update(NAME, order('s-1'), 1)
      await sleep(900)
      expect(await consistent('s-1', 'order-1')).not.toBeNull()
      expect(await consistent('s-2', 'order-2')).toBeNull()
      await sleep(900)
      expect(await consistent('s-1', 'order-1')).toBeNull()
    })

    it('keeps a saga for good that is opened again', async () => {
      states = await another({ completedTtlMs: 1_000 })
      await states.insert(NAME, 'order-1', order('s-1', { isCompleted: true }))
      await states.update(NAME, order('s-1', { isCompleted: false }), 1)
      await sleep(1_300)
      expect(await consistent('s-1', 'order-1')).not.toBeNull()
      expect(await states.countByName(NAME, { completed: false })).toBe(1)
    })
  })
}
