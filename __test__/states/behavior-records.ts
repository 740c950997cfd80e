import { describe, expect, it } from 'vitest'
import type { SagaStates, SagaStore } from '../../index.js'
import type { Executor } from '../support/executors'
import { rejectionOf } from '../support/promises'
import { asRead, bothWays, type Order, order, type StatesUnderTest, withNames } from './orders'

/** Sagas one by one: what is kept, what is refused, what is removed. */
export function recordBehavior(executor: Executor): void {
  let store: SagaStore
  let states: SagaStates
  let sagaName: string
  let otherName: string
  const use = (current: StatesUnderTest) => {
    ;({ store, states, sagaName, otherName } = current)
  }
  const consistent = (id: string, correlationId: string) => bothWays(states, sagaName, id, correlationId)

  describe('insert and get', () => {
    withNames(executor, use)

    it('finds a saga by both ids, with the dates of its metadata as Dates', async () => {
      const timeoutExpiresAt = new Date('2026-11-24T12:00:00.001Z')
      const state = order('s-1', { timeoutExpiresAt, traceParent: '00-abc-01', archivedAt: null }, { steps: ['reserve', 'pay'] })
      await states.insert(sagaName, 'order-1', state)
      expect(await consistent('s-1', 'order-1')).toEqual(asRead(state, 'order-1'))
      expect((await states.findById<Order>(sagaName, 's-1'))?.metadata.timeoutExpiresAt).toBeInstanceOf(Date)
      expect(await states.findByCorrelationId(sagaName, 'order-1')).toEqual(asRead(state, 'order-1'))
    })

    it('tells the correlation id beside the saga id, whatever stands in the state that is stored', async () => {
      const timeoutExpiresAt = new Date(Date.now() - 1_000)
      const given = order('s-1', { correlationId: 'another', timeoutExpiresAt })
      await states.insert(sagaName, 'order-1', given)
      expect(await consistent('s-1', 'order-1')).toEqual(asRead(given, 'order-1'))
      const lists = async () => [
        (await states.findByName<Order>(sagaName)).items[0],
        (await states.findTimedOut<Order>({ sagaName }))[0]?.state,
        (await states.claimTimedOut<Order>({ sagaName, workerId: 'w', leaseMs: 60_000 }))[0]?.state,
      ]
      for (const found of await lists()) expect(found).toEqual(asRead(given, 'order-1'))
      // It is no part of what is compared or stored.
      const read = await states.getById<Order>(sagaName, 's-1')
      await states.update(sagaName, asRead(read as Order, 'yet-another'), 1)
      expect((await consistent('s-1', 'order-1'))?.metadata.version).toBe(2)
      expect(await states.getByCorrelationId(sagaName, 'yet-another')).toBeNull()
      for await (const record of store.exportAll({ kinds: ['states'] })) {
        if (record.kind === 'states' && record.sagaName === sagaName) expect(record.state).not.toContain('correlationId')
      }
    })

    it('finds nothing under other ids and other names', async () => {
      await states.insert(sagaName, 'order-1', order('s-1'))
      expect(await states.getById(sagaName, 'order-1')).toBeNull()
      expect(await states.getByCorrelationId(sagaName, 's-1')).toBeNull()
      expect(await states.getById(otherName, 's-1')).toBeNull()
      expect(await states.getByCorrelationId(otherName, 'order-1')).toBeNull()
    })

    it('answers each of many lookups that are called at once', async () => {
      await Promise.all(Array.from({ length: 8 }, (_, n) => states.insert(sagaName, `order-${n}`, order(`s-${n}`, {}, { total: n }))))
      await states.insert(otherName, 'order-0', order('s-0', {}, { total: 100 }))
      const asked = Array.from({ length: 45 }, (_, n) => n % 9)
      const found = await Promise.all(
        asked.flatMap((n) => [
          states.getById<Order>(sagaName, `s-${n}`),
          states.getByCorrelationId<Order>(sagaName, `order-${n}`),
          states.getById<Order>(otherName, `s-${n}`),
        ]),
      )
      const expected = asked.flatMap((n) => [n < 8 ? n : undefined, n < 8 ? n : undefined, n === 0 ? 100 : undefined])
      expect(found.map((state) => state?.total)).toEqual(expected)
    })

    it('fills in what the metadata lacks', async () => {
      const before = Date.now()
      await states.insert(sagaName, 'order-1', { metadata: { sagaId: 's-1' } })
      const found = await states.getById<Order>(sagaName, 's-1')
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
        await states.insert(sagaName, `order-${name}`, state)
        expect(await states.getById(sagaName, name)).toEqual(asRead(state, `order-${name}`))
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
        const error = await rejectionOf(states.insert(sagaName, 'order-1', order('s-1', {}, rest)))
        expect(error).toMatchObject({ code: 'SERIALIZATION', path, id: 's-1', retryable: false })
      }
      expect(await consistent('s-1', 'order-1')).toBeNull()
      // A backslash is not an escape of JSON's.
      await states.insert(sagaName, 'order-1', order('s-1', {}, { text: '\\u0000 \\ud800' }))
      expect(await states.getById(sagaName, 's-1')).toMatchObject({ text: '\\u0000 \\ud800' })
    })

    it('refuses ids and names that some backend could not keep', async () => {
      for (const [name, correlationId, sagaId] of [
        ['', 'c', 's'],
        ['a:b', 'c', 's'],
        ['a#b', 'c', 's'],
        ['n'.repeat(129), 'c', 's'],
        [sagaName, '', 's'],
        [sagaName, 'idx:id:s', 's'],
        [sagaName, 'c'.repeat(513), 's'],
        [sagaName, 'c', ''],
        [sagaName, 'c', 's'.repeat(513)],
        [sagaName, '\ud800', 's'],
        ['a\ud800', 'c', 's'],
        [sagaName, 7, 's'],
        [sagaName, 'c', 7],
      ] as [string, string, string][]) {
        const error = await rejectionOf(states.insert(name, correlationId, order(sagaId)))
        expect(error).toMatchObject({ code: 'INVALID_ARGUMENT', retryable: false })
      }
      for (const id of ['a\0', 'a\udc00b']) expect((await rejectionOf(states.getById(sagaName, id))).code).toBe('INVALID_ARGUMENT')
      const unpaired = states.insert(sagaName, 'c', order('s\ud800'))
      expect(await rejectionOf(unpaired)).toMatchObject({ code: 'SERIALIZATION', path: 'metadata.sagaId' })
      const without = states.insert(sagaName, 'c', {} as Order)
      expect(await rejectionOf(without)).toMatchObject({ code: 'INVALID_ARGUMENT', message: expect.stringContaining('metadata') })
      const version = states.insert(sagaName, 'c', order('s', { version: 1.5 }))
      expect(await rejectionOf(version)).toMatchObject({ code: 'INVALID_ARGUMENT', message: expect.stringContaining('metadata.version') })
      const date = states.insert(sagaName, 'c', order('s', { updatedAt: 'now' as never }))
      expect(await rejectionOf(date)).toMatchObject({ code: 'INVALID_ARGUMENT', message: expect.stringContaining('updatedAt') })
      expect(await states.countByName(sagaName)).toBe(0)
    })

    it('refuses metadata that could not be read again, however it is stored', async () => {
      await states.insert(sagaName, 'order-1', order('s-1'))
      for (const name of ['createdAt', 'updatedAt', 'archivedAt', 'timeoutExpiresAt'] as const) {
        for (const value of ['soon', '2026-11-24T10:00:00.000Z', 1_795_000_000_000, new Date(Number.NaN), {}, false]) {
          const wrong = { [name]: value } as never
          const calls = {
            insert: () => states.insert(sagaName, 'order-2', order('s-2', wrong)),
            update: () => states.update(sagaName, order('s-1', wrong), 1),
            save: () => states.save(sagaName, order('s-1', wrong)),
            'save a new one': () => states.save(sagaName, order('s-2', { version: undefined as never, ...(wrong as object) })),
            modify: () =>
              states.modify<Order>(sagaName, 's-1', (state) => ({ ...state, metadata: { ...state.metadata, ...(wrong as object) } })),
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
        expect((await rejectionOf(states.insert(sagaName, 'order-2', order('s-2', wrong as never)))).code).toBe('INVALID_ARGUMENT')
      }
      for (const state of [
        { ...order('s-2'), toJSON: () => 'text' },
        { ...order('s-2'), toJSON: () => null },
        { metadata: { ...order('s-2').metadata, toJSON: () => ({}) } },
      ]) {
        expect((await rejectionOf(states.insert(sagaName, 'order-2', state))).code).toBe('SERIALIZATION')
      }
      expect(await states.findByName(sagaName)).toEqual({ items: [asRead(order('s-1'), 'order-1')] })
    })

    it('keeps dates of any year', async () => {
      const [first, last] = [new Date('0001-01-01T00:00:00Z'), new Date(8.64e15)]
      const state = order('s-1', { createdAt: first, updatedAt: last, archivedAt: last, timeoutExpiresAt: last })
      await states.insert(sagaName, 'order-1', state)
      expect(await consistent('s-1', 'order-1')).toEqual(asRead(state, 'order-1'))
      expect((await states.findByName(sagaName)).items).toEqual([asRead(state, 'order-1')])
      expect(await states.findTimedOut({ sagaName })).toEqual([])
    })

    it('keeps both ids unique among the sagas of a name', async () => {
      await states.insert(sagaName, 'order-1', order('s-1'))
      const sameId = await rejectionOf(states.insert(sagaName, 'order-2', order('s-1', {}, { total: 0 })))
      expect(sameId).toMatchObject({ code: 'ALREADY_EXISTS', sagaName, sagaId: 's-1', id: 's-1', retryable: false })
      expect(sameId.message).toContain('already exists')
      const sameCorrelation = await rejectionOf(states.insert(sagaName, 'order-1', order('s-2')))
      expect(sameCorrelation).toMatchObject({ code: 'ALREADY_EXISTS', correlationId: 'order-1', id: 's-2' })
      expect((await rejectionOf(states.insert(sagaName, 'order-1', order('s-1')))).code).toBe('ALREADY_EXISTS')
      expect(await consistent('s-1', 'order-1')).toEqual(asRead(order('s-1'), 'order-1'))
      expect(await consistent('s-2', 'order-2')).toBeNull()
      await states.insert(otherName, 'order-1', order('s-1'))
      expect(await states.countByName(sagaName)).toBe(1)
    })
  })

  describe('delete', () => {
    withNames(executor, use)

    it('removes by either id, and is content where there is nothing', async () => {
      await states.insert(sagaName, 'order-1', order('s-1'))
      await states.insert(sagaName, 'order-2', order('s-2'))
      await states.delete(sagaName, 's-1')
      await states.deleteByCorrelationId(sagaName, 'order-2')
      expect(await consistent('s-1', 'order-1')).toBeNull()
      expect(await consistent('s-2', 'order-2')).toBeNull()
      await states.delete(sagaName, 's-1')
      await states.deleteByCorrelationId(sagaName, 'order-2')
      expect(await states.countByName(sagaName)).toBe(0)
    })

    it('makes room for another saga under either id', async () => {
      await states.insert(sagaName, 'order-1', order('s-1'))
      await states.delete(sagaName, 's-1')
      await states.insert(sagaName, 'order-1', order('s-2'))
      await states.insert(sagaName, 'order-2', order('s-1'))
      expect(await consistent('s-2', 'order-1')).not.toBeNull()
      expect(await consistent('s-1', 'order-2')).not.toBeNull()
    })
  })
}
