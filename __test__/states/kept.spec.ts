import { describe, expect, it } from 'vitest'
import { MemorySagaStore, type SagaState } from '../../index.js'
import { rejectionOf } from '../support/promises'

class Money {
  constructor(readonly cents: number) {}
}

class Described {
  readonly seen = new Map([['a', 1]])

  toJSON() {
    return { seen: Object.fromEntries(this.seen) }
  }
}

const lost: [string, unknown, RegExp][] = [
  ['a Map', new Map([['a', 1]]), /is a Map.*Object\.fromEntries/],
  ['a Set', new Set([1]), /is a Set.*\[\.\.\.set\]/],
  ['NaN', Number.NaN, /is NaN/],
  ['Infinity', Number.NEGATIVE_INFINITY, /is -Infinity/],
  ['a Buffer', Buffer.from('x'), /is a Buffer.*base64/],
  ['bytes', new Uint8Array(2), /is binary/],
  ['no bytes', new Uint8Array(), /is binary/],
  ['an ArrayBuffer', new ArrayBuffer(2), /is binary/],
  ['an invalid Date', new Date(Number.NaN), /is an invalid Date/],
  ['a promise', Promise.resolve(1), /is a Promise.*await/],
  ['a regular expression', /a/, /is a RegExp/],
  ['an error', new Error('x'), /is an Error.*message/],
  ['a BigInt', 1n, /is a BigInt/],
]

const kept: [string, unknown, unknown][] = [
  ['null', null, null],
  ['an empty object', {}, {}],
  ['a Date', new Date(0), '1970-01-01T00:00:00.000Z'],
  ['a class', new Money(5), { cents: 5 }],
  ['what describes itself', new Described(), { seen: { a: 1 } }],
  ['what is left out of a list', [undefined], [null]],
  ['an error with fields', Object.assign(new Error('x'), { code: 'E' }), { code: 'E' }],
]

describe('what JSON cannot keep is refused, with its place', () => {
  it.each(lost)('%s', async (_, value, message) => {
    await using store = new MemorySagaStore()
    const metadata = { sagaId: 'saga-1' }
    const refused = { code: 'SERIALIZATION', path: 'order.items[1].price' }
    const state = { metadata, order: { items: [null, { price: value }] } }
    for (const call of [store.states.insert('Orders', 'order-1', state), store.states.save('Orders', state)]) {
      const error = await rejectionOf(call)
      expect(error).toMatchObject({ ...refused, id: 'saga-1' })
      expect(error.message).toMatch(message)
    }
    await store.states.insert('Orders', 'order-1', { metadata })
    const change = (stored: SagaState) => ({ ...stored, ...state, metadata: stored.metadata })
    expect(await rejectionOf(store.states.modify('Orders', 'saga-1', change))).toMatchObject(refused)
    expect(await store.states.getById('Orders', 'saga-1')).not.toHaveProperty('order')
  })

  it.each(lost)('%s in the metadata', async (_, value) => {
    await using store = new MemorySagaStore()
    const state = { metadata: { sagaId: 'saga-1', more: [value] } } as SagaState
    expect(await rejectionOf(store.states.insert('Orders', 'order-1', state))).toMatchObject({
      code: 'SERIALIZATION',
      path: 'metadata.more[0]',
    })
  })

  it.each(lost)('%s in an execution and in an event', async (_, value) => {
    await using store = new MemorySagaStore()
    const creating = store.executions.create('saga-1', 'Orders', { price: value })
    expect(await rejectionOf(creating)).toMatchObject({ code: 'SERIALIZATION', path: 'context.price' })
    const event = { eventType: 'OrderPaid', payload: { price: value } }
    expect(await rejectionOf(store.outbox.insert(event as never))).toMatchObject({ code: 'SERIALIZATION', path: 'payload.price' })
  })
})

describe('what JSON keeps is as JSON keeps it', () => {
  it.each(kept)('%s', async (_, value, stored) => {
    await using store = new MemorySagaStore()
    await store.states.insert('Orders', 'order-1', { metadata: { sagaId: 'saga-1', archivedAt: null }, value })
    expect(await store.states.getById('Orders', 'saga-1')).toMatchObject({ value: stored })
  })

  it('a state that is nested deeply', async () => {
    await using store = new MemorySagaStore()
    let nested: object = {}
    for (let depth = 0; depth < 500; depth += 1) nested = { nested, nothing: null }
    await store.states.insert('Orders', 'order-1', { metadata: { sagaId: 'saga-1' }, nested })
    expect(await store.states.getById('Orders', 'saga-1')).toMatchObject({ nested })
  })
})

describe('the sagas of one name', () => {
  interface Order {
    total: number
  }

  it('has the methods of store.states', async () => {
    await using store = new MemorySagaStore()
    const orders = store.states.of<Order>('Orders')
    const timeoutExpiresAt = new Date(Date.now() - 60_000)
    await orders.insert('order-1', { metadata: { sagaId: 'saga-1', timeoutExpiresAt }, total: 1 })
    await store.states.insert('Others', 'order-1', { metadata: { sagaId: 'saga-1', timeoutExpiresAt }, total: 9 })
    expect(orders.sagaName).toBe('Orders')
    expect(await orders.getById('saga-1')).toMatchObject({ total: 1 })
    expect(await orders.getByCorrelationId('order-1')).toMatchObject({ total: 1 })
    expect(await orders.modify('saga-1', (order) => ({ ...order, total: 2 }))).toMatchObject({ total: 2, metadata: { version: 2 } })
    await orders.update({ metadata: { sagaId: 'saga-1', timeoutExpiresAt }, total: 3 }, 2)
    expect(await orders.find()).toMatchObject({ items: [{ total: 3 }] })
    expect(await orders.count()).toBe(1)
    expect((await orders.findTimedOut()).map(({ sagaName }) => sagaName)).toEqual(['Orders'])
    expect((await orders.claimTimedOut({ workerId: 'w', leaseMs: 60_000 })).map(({ state }) => state.total)).toEqual([3])
    expect(await orders.save({ metadata: { sagaId: 'saga-2', isCompleted: true }, total: 4 } as never)).toMatchObject({ total: 4 })
    expect(await orders.deleteCompletedBefore(new Date(Date.now() + 60_000))).toBe(1)
    await orders.delete('saga-1')
    await orders.deleteByCorrelationId('none')
    expect([await orders.count(), await store.states.countByName('Others')]).toEqual([0, 1])
  })

  it('refuses what it cannot take', async () => {
    await using store = new MemorySagaStore()
    expect(() => store.states.of(5 as never)).toThrow(/name of sagas must be a string/)
    const orders = store.states.of('Orders')
    expect((await rejectionOf(orders.findTimedOut({ sagaName: 'Others' } as never))).message).toMatch(/these are the sagas 'Orders'/)
    expect((await rejectionOf(orders.findTimedOut([] as never))).code).toBe('INVALID_ARGUMENT')
    expect((await rejectionOf(orders.claimTimedOut(undefined as never))).code).toBe('INVALID_ARGUMENT')
    expect((await rejectionOf(orders.find({ offset: 1 } as never))).message).toMatch(/unknown option 'offset'/)
  })
})
