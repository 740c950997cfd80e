import { describe, expect, it } from 'vitest'
import type { SagaStore, SagaStoreError, SagaTransaction } from '../../index.js'
import type { Executor } from '../support/executors'
import { rejectionOf } from '../support/promises'
import { sharedStore } from '../support/stores'

type Operations = Pick<SagaStore | SagaTransaction, 'put' | 'putMany' | 'touch'>

const inAMinute = () => new Date(Date.now() + 60_000)
const text = (data: Buffer | undefined) => data?.toString()

function detached(bytes: number): Uint8Array {
  const data = new Uint8Array(bytes)
  structuredClone(data, { transfer: [data.buffer] })
  return data
}

function outOfBounds(): Uint8Array {
  const memory = new ArrayBuffer(100, { maxByteLength: 200 })
  const data = new Uint8Array(memory, 50, 10)
  memory.resize(20)
  return data
}

const REFUSED: [string, (on: Operations) => Promise<unknown>, RegExp][] = [
  ['a small buffer that was transferred', (on) => on.put('lost', detached(10)), /detached/],
  ['a large buffer that was transferred', (on) => on.put('lost', detached(100_000)), /detached/],
  ['one in a putMany', (on) => on.putMany([{ id: 'lost', data: detached(10) }]), /detached/],
  ['one whose memory is smaller than before', (on) => on.put('lost', outOfBounds()), /smaller than before/],
  ['seconds as expiry of a put', (on) => on.put('lost', Buffer.from('x'), new Date(Date.now() / 1000)), /milliseconds, not seconds/],
  ['a date before 2001', (on) => on.put('lost', Buffer.from('x'), new Date('2000-12-31T23:59:59.999Z')), /2000-12-31T23:59:59.999Z/],
  ['seconds in a putMany', (on) => on.putMany([{ id: 'lost', data: Buffer.from('x'), expiresAt: new Date(1.8e9) }]), /seconds/],
  ['seconds in a touch', (on) => on.touch('kept', new Date(1.8e9)), /seconds/],
]

/** Whether there are transactions: a server or a client without them refuses them. */
async function inTransaction(store: SagaStore, work: (tx: SagaTransaction) => Promise<void>): Promise<boolean> {
  let hasBegun = false
  try {
    await store.transaction((tx) => {
      hasBegun = true
      return work(tx)
    })
    return true
  } catch (error) {
    // MongoDB's client learns it from the server, by the first operation.
    const isWithout = (error as SagaStoreError).code === 'UNSUPPORTED' && (!hasBegun || store.backend === 'mongodb')
    if (!isWithout) throw error
    return false
  }
}

/** What is refused, and when arguments are read, the same on every backend and client. */
export function argumentBehavior(executor: Executor): void {
  let store: SagaStore
  sharedStore(executor, (opened) => {
    store = opened
  })

  it('refuses data that is gone, and seconds in place of milliseconds', async () => {
    await store.put('kept', Buffer.from('kept'), inAMinute())
    for (const [what, call, message] of REFUSED) {
      const error = await rejectionOf(call(store))
      expect(error, what).toMatchObject({ code: 'INVALID_ARGUMENT', backend: store.backend, retryable: false })
      expect(error.message, what).toMatch(message)
    }
    // The same there; the transaction has not ended for that.
    await inTransaction(store, async (tx) => {
      for (const [what, call] of REFUSED) expect(await rejectionOf(call(tx)), what).toMatchObject({ code: 'INVALID_ARGUMENT' })
    })
    expect(await store.has('lost')).toBe(false)
    expect(text(await store.get('kept'))).toBe('kept')
  })

  it('keeps a payload that was late at the put, from 2001 on', async () => {
    await store.put('late', Buffer.from('x'), new Date('2001-01-01T00:00:00.000Z'))
    expect(await store.has('late')).toBe(true)
  })

  it('keeps an empty payload', async () => {
    await store.put('empty', new Uint8Array(0))
    await store.put('empty view', new Uint8Array(100).subarray(7, 7))
    expect((await store.get('empty')).length + (await store.get('empty view')).length).toBe(0)
  })
}

/** That what is changed after a call changes nothing, whatever the call waits for. */
export function atTheCallBehavior(executor: Executor): void {
  let store: SagaStore
  sharedStore(executor, (opened) => {
    store = opened
  })

  describe('arguments are taken at the call', () => {
    it('the ids of a getMany', async () => {
      await store.putMany(['a', 'b', 'c'].map((id) => ({ id, data: Buffer.from(id) })))
      const ids = ['a', 'b', 'c']
      const found = store.getMany(ids)
      ids.reverse()
      ids.length = 2
      expect([...(await found)].map(([id, data]) => `${id}: ${data}`)).toEqual(['a: a', 'b: b', 'c: c'])
    })

    it('entries, dates, filters', async () => {
      const before = Array.from({ length: 3 }, () => store.put('dated', Buffer.from('before')))
      // Behind the puts of the same id.
      const date = inAMinute()
      const entry = { id: 'dated', data: Buffer.from('given'), expiresAt: date }
      const entries = [entry, { id: 'other', data: Buffer.from('other') }]
      const put = store.putMany(entries)
      const last = store.put('last', Buffer.from('last'), date)
      entries.reverse()
      entries.pop()
      entry.id = 'changed'
      entry.expiresAt = new Date(Number.NaN)
      const touched = store.touch('dated', date)
      date.setTime(Number.NaN)
      await Promise.all([...before, put, last])
      expect(await touched).not.toBe(false)
      expect([text(await store.get('dated')), text(await store.get('other')), text(await store.get('last'))]).toEqual([
        'given',
        'other',
        'last',
      ])
      expect(await store.has('changed')).toBe(false)
    })

    it('the metadata of a state', async () => {
      const timeoutExpiresAt = inAMinute()
      const state = { metadata: { sagaId: 's', timeoutExpiresAt }, items: [1] }
      const inserted = store.states.insert('Order', 'c', state)
      const updated = store.states.update('Order', state, 1)
      timeoutExpiresAt.setTime(Number.NaN)
      state.items.push(2)
      state.metadata.sagaId = 'changed'
      await Promise.all([inserted, updated])
      const found = await store.states.getById<typeof state>('Order', 's')
      expect(found?.items).toEqual([1])
      expect(found?.metadata.timeoutExpiresAt.getTime()).toBeGreaterThan(Date.now())
      const before = new Date(Date.now() - 1000)
      const removed = store.states.deleteCompletedBefore('Order', before)
      before.setTime(Number.NaN)
      expect(await removed).toBe(0)
    })

    it('in a transaction', async () => {
      const date = inAMinute()
      const ran = await inTransaction(store, async (tx) => {
        const puts = [tx.put('{1}x', Buffer.from('x'), date), tx.put('{1}y', Buffer.from('y'), date)]
        date.setTime(Number.NaN)
        await Promise.all(puts)
      })
      expect([...(await store.getMany(['{1}x', '{1}y'])).keys()]).toEqual(ran ? ['{1}x', '{1}y'] : [])
    })
  })
}
