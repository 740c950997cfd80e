// Tests of code that uses a store, on a store in memory: the same rules as on a server, and nothing to start or to clean up.
//   npm test
import { AlreadyExistsError, MemorySagaStore } from 'sagastore'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { Orders } from './order.js'

let store: MemorySagaStore
let orders: Orders

beforeEach(async () => {
  store = new MemorySagaStore() // private: two tests never see each other
  await store.initialize()
  orders = new Orders(store)
})

afterEach(() => store.close())

describe('orders', () => {
  it('are placed and paid', async () => {
    await orders.place('4711', ['a pen'])
    expect(await orders.lines('4711')).toEqual(['a pen'])
    expect(await orders.pay('4711')).toMatchObject({ status: 'paid', metadata: { version: 2 } })
  })

  it('are placed once: nothing of the second attempt is stored', async () => {
    await orders.place('4711', ['a pen'])
    await expect(orders.place('4711', ['another pen'])).rejects.toThrow(AlreadyExistsError)
    expect(await orders.lines('4711')).toEqual(['a pen'])
  })
})
