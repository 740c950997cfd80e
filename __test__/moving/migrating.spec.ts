import { describe, expect, it } from 'vitest'
import { ConcurrencyError, migrating, sagaBusStore, transfer } from '../../index.js'
import { BACKENDS, everything, fillPayloads, howMany, storeOn } from './stores'

interface Order {
  metadata: { sagaId: string; version?: number }
  total: number
}

describe.each(BACKENDS)('a live move on %s', (backend) => {
  async function both() {
    const [old, fresh] = [await storeOn(backend), await storeOn(backend)]
    return { old, fresh, store: migrating(old, fresh), move: () => transfer(old, fresh) }
  }

  it('reads the new store first, then the old one, and writes the new one', async () => {
    const { old, fresh, store, move } = await both()
    await old.put('a', Buffer.from('old'))
    await old.put('b', Buffer.from('old'))
    await store.put('b', Buffer.from('new'))
    expect((await store.get('a')).toString()).toBe('old')
    expect((await store.get('b')).toString()).toBe('new')
    expect([await fresh.has('a'), (await old.get('b')).toString()]).toEqual([false, 'old'])
    await expect(store.get('none')).rejects.toMatchObject({ code: 'NOT_FOUND', id: 'none' })
    expect(await store.find('none')).toBe(null)
    await move()
    expect((await store.get('b')).toString()).toBe('new')
    expect(await store.finish()).toBe(0)
  })

  it('does not bring back what was deleted', async () => {
    const { old, fresh, store, move } = await both()
    await fillPayloads(old, 100)
    const page = await everything(old)
    expect([await store.delete('p-000001'), await store.delete('p-000001'), await store.delete('none')]).toEqual([true, false, false])
    await store.put('own', Buffer.from('x'))
    expect([await store.delete('own'), await fresh.has('own')]).toEqual([true, false])
    // What the mover has read before.
    await fresh.importRecords(page as never)
    await move()
    expect(await store.delete('p-000002')).toBe(true)
    await move()
    expect([await store.has('p-000001'), await store.has('p-000002'), await store.has('p-000003')]).toEqual([false, false, true])
    expect(await store.touch('p-000001', new Date(Date.now() + 60_000))).toBe(false)
    await store.put('p-000002', Buffer.from('again'))
    expect((await store.get('p-000002')).toString()).toBe('again')
    expect(await store.finish()).toBe(1)
    expect([await fresh.has('p-000001'), await fresh.has('p-000002')]).toEqual([false, true])
    expect(await howMany(fresh)).toBe(99)
  })

  it('does not find again in the old store what is over in the new one', async () => {
    const { old, store } = await both()
    await old.put('a', Buffer.from('old'))
    await old.put('b', Buffer.from('old'))
    await store.put('a', Buffer.from('new'), new Date(Date.now() + 400))
    expect(await store.touch('b', new Date(Date.now() + 400))).toBe(true)
    expect((await store.get('b')).toString()).toBe('old')
    await new Promise((resolve) => setTimeout(resolve, 450))
    expect([await store.find('a'), await store.find('b')]).toEqual([null, null])
  })

  it('updates a saga that only the old store has, and keeps both of its ids', async () => {
    const { old, fresh, store, move } = await both()
    const { states } = store
    await old.states.insert<Order>('Order', 'c1', { metadata: { sagaId: 's1' }, total: 1 })
    await expect(states.insert('Order', 'c9', { metadata: { sagaId: 's1' } })).rejects.toMatchObject({
      code: 'ALREADY_EXISTS',
      sagaId: 's1',
    })
    await expect(states.insert('Order', 'c1', { metadata: { sagaId: 's9' } })).rejects.toMatchObject({
      code: 'ALREADY_EXISTS',
      correlationId: 'c1',
    })
    const found = await states.getByCorrelationId<Order>('Order', 'c1')
    expect(found?.total).toBe(1)
    await states.update('Order', { ...(found as Order), total: 2 }, 1)
    expect(await states.getById('Order', 's1')).toMatchObject({ total: 2, metadata: { version: 2 } })
    expect(await states.getByCorrelationId('Order', 'c1')).toMatchObject({ total: 2 })
    expect((await old.states.getById<Order>('Order', 's1'))?.total).toBe(1)
    await expect(states.update('Order', { ...(found as Order), total: 3 }, 1)).rejects.toBeInstanceOf(ConcurrencyError)
    await expect(states.update('Order', { metadata: { sagaId: 'none' } }, 1)).rejects.toMatchObject({ code: 'NOT_FOUND' })
    await move()
    expect(await fresh.states.getById('Order', 's1')).toMatchObject({ total: 2 })
    await old.states.insert<Order>('Order', 'c2', { metadata: { sagaId: 's2' }, total: 5 })
    expect(await states.modify<Order>('Order', 's2', (state) => ({ ...state, total: 6 }))).toMatchObject({
      total: 6,
      metadata: { version: 2 },
    })
    const saved = await states.save<Order>('Order', { metadata: { sagaId: 's3' }, total: 7 })
    expect(await states.save<Order>('Order', { ...saved, total: 8 })).toMatchObject({ total: 8, metadata: { version: 2 } })
  })

  it('does not bring back a saga that was deleted, and lets its ids be used again', async () => {
    const { old, fresh, store, move } = await both()
    const { states } = store
    for (const number of [1, 2, 3, 4])
      await old.states.insert<Order>('Order', `c${number}`, { metadata: { sagaId: `s${number}` }, total: number })
    const page = await everything(old)
    await states.delete('Order', 's1')
    await states.deleteByCorrelationId('Order', 'c2')
    await states.modify('Order', 's3', (state) => state)
    await states.delete('Order', 's3')
    await states.delete('Order', 'none')
    await fresh.importRecords(page as never)
    await move()
    for (const number of [1, 2, 3]) {
      expect(await states.getById('Order', `s${number}`)).toBe(null)
      expect(await states.getByCorrelationId('Order', `c${number}`)).toBe(null)
      for (const version of [1, 2, 2 ** 52]) {
        await expect(states.update('Order', { metadata: { sagaId: `s${number}` } }, version)).rejects.toMatchObject({ code: 'NOT_FOUND' })
      }
      await expect(states.modify('Order', `s${number}`, (state) => state)).rejects.toMatchObject({ code: 'NOT_FOUND' })
    }
    expect(await states.getById('Order', 's4')).toMatchObject({ total: 4 })
    // Another saga takes the correlation id of one that was deleted, and one its saga id.
    await states.insert<Order>('Order', 'c2', { metadata: { sagaId: 's9' }, total: 9 })
    await states.insert<Order>('Order', 'c10', { metadata: { sagaId: 's2' }, total: 10 })
    await expect(states.insert<Order>('Order', 'c11', { metadata: { sagaId: 's2' }, total: 11 })).rejects.toMatchObject({
      code: 'ALREADY_EXISTS',
    })
    await move()
    expect(await states.getByCorrelationId('Order', 'c2')).toMatchObject({ total: 9 })
    expect(await states.getById('Order', 's2')).toMatchObject({ total: 10, metadata: { version: 1 } })
    expect(await states.getByCorrelationId('Order', 'c10')).toMatchObject({ total: 10 })
    expect(await store.finish()).toBeGreaterThanOrEqual(1)
    expect(await fresh.states.getById('Order', 's3')).toBe(null)
    expect(await howMany(fresh, 'states')).toBe(3)
  })

  it('serves the bus', async () => {
    const { old, store } = await both()
    await old.states.insert<Order>('Order', 'c', { metadata: { sagaId: 's' }, total: 1 })
    const bus = sagaBusStore<Order>(store.states, { ConcurrencyError: Error as never })
    expect(await bus.getByCorrelationId('Order', 'c')).toMatchObject({ total: 1 })
    await bus.update('Order', { metadata: { sagaId: 's' }, total: 2 }, 1)
    expect(await bus.getById('Order', 's')).toMatchObject({ total: 2 })
  })

  it('loses nothing and brings nothing back under load, while a mover runs', async () => {
    const { old, fresh, store } = await both()
    const count = 600
    await fillPayloads(old, count)
    for (let number = 0; number < count; number += 1) {
      await old.states.insert<Order>('Order', `c${number}`, { metadata: { sagaId: `s${number}` }, total: 0 })
    }
    let isOver = false
    const mover = (async () => {
      while (!isOver) await transfer(old, fresh, { batchSize: 50, recordsPerSecond: 4_000 })
    })()
    const expected = new Map<string, string | null>()
    const totals = new Map<string, number | null>()
    const worker = async (lane: number) => {
      for (let round = 0; round < 150; round += 1) {
        const number = (Math.floor(Math.random() * (count / 4)) * 4 + lane) % count
        const id = `p-${String(number).padStart(6, '0')}`
        const sagaId = `s${number}`
        const roll = Math.random()
        if (roll < 0.3) {
          await store.delete(id)
          expected.set(id, null)
        } else if (roll < 0.6) {
          await store.put(id, Buffer.from(`${lane}-${round}`))
          expected.set(id, `${lane}-${round}`)
        } else if (roll < 0.8 && totals.get(sagaId) !== null) {
          const { total } = await store.states.modify<Order>('Order', sagaId, (state) => ({ ...state, total: state.total + 1 }))
          expect(total).toBe((totals.get(sagaId) ?? 0) + 1)
          totals.set(sagaId, total)
        } else if (totals.get(sagaId) !== null) {
          await store.states.delete('Order', sagaId)
          totals.set(sagaId, null)
        }
        const known = expected.get(id)
        if (known !== undefined) expect((await store.find(id))?.toString() ?? null).toBe(known)
        const total = totals.get(sagaId)
        if (total !== undefined) expect((await store.states.getById<Order>('Order', sagaId))?.total ?? null).toBe(total)
      }
    }
    await Promise.all([0, 1, 2, 3].map(worker))
    isOver = true
    await mover
    await transfer(old, fresh)
    await store.finish()
    for (const [id, value] of expected) expect((await fresh.find(id))?.toString() ?? null, id).toBe(value)
    for (const [sagaId, total] of totals) {
      expect((await fresh.states.getById<Order>('Order', sagaId))?.total ?? null, sagaId).toBe(total)
    }
    const gone = [...expected.values()].filter((value) => value === null).length
    expect(await howMany(fresh)).toBe(count - gone)
  })
})
