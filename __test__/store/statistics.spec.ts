import { afterEach, describe, expect, it, vi } from 'vitest'
import { MemorySagaStore, openStore } from '../../index.js'
import { eventually, rejectionOf } from '../support/promises'
import { missing, targets } from '../support/targets'

describe.each(targets)('$name: statistics', (target) => {
  it.skipIf(missing(target))('counts sagas; without counting it tells connections and latencies', async () => {
    await using store = openStore(target.options())
    // Nothing is there yet to count, and nothing is asked.
    expect(Object.keys(await store.statistics({ count: false })).sort()).toEqual(['backend', 'operations', 'pool'])
    await store.initialize()
    for (const n of [1, 2, 3]) await store.states.insert('Orders', `order-${n}`, { metadata: { sagaId: `saga-${n}` } })
    await store.put('a', Buffer.alloc(5))
    // Some servers estimate, and learn of what is new a moment later.
    await eventually('the sagas are counted', async () => ((await store.statistics()).states?.count ?? 0) >= 1)
    expect((await store.statistics({ count: true })).payloads).toMatchObject({ count: 1 })
    const { operations, pool } = await store.statistics({ count: false })
    expect(operations['states.insert']).toMatchObject({ count: 3, errors: 0, recent: { count: 3, errors: 0 } })
    expect(operations.put?.recent.maxMs).toBeGreaterThan(0)
    expect(pool === null).toBe(['memory', 'dynamodb'].includes(store.backend))
  })
})

describe('statistics', () => {
  it('refuses what it does not know', async () => {
    const store = new MemorySagaStore()
    expect(await rejectionOf(store.statistics({ counts: false } as never))).toMatchObject({ code: 'INVALID_ARGUMENT' })
    expect((await rejectionOf(store.statistics({ count: 'no' as never }))).message).toMatch(/'count' must be true or false/)
    await store.close()
    expect(await rejectionOf(store.statistics({ count: false }))).toMatchObject({ code: 'CLOSED', operation: 'statistics' })
  })
})

describe('where timers and Date are fake', () => {
  afterEach(() => void vi.useRealTimers())

  it('operations come to their end, and the store keeps its own time', async () => {
    vi.useFakeTimers()
    await using store = new MemorySagaStore()
    await store.initialize()
    await store.put('a', Buffer.from('x'), new Date(Date.now() + 60_000))
    await store.states.insert('Orders', 'order-1', { metadata: { sagaId: 'saga-1', timeoutExpiresAt: new Date(Date.now() + 60_000) } })
    expect(await store.transaction((tx) => tx.has('a'))).toBe(true)

    vi.advanceTimersByTime(3_600_000)
    expect(await store.has('a')).toBe(true)
    // The time of a list is that of JavaScript, unless it is given.
    expect(await store.states.findTimedOut()).toHaveLength(1)
    expect(await store.states.findTimedOut({ now: new Date(Date.now() - 3_600_000) })).toHaveLength(0)
    expect(await store.states.modify('Orders', 'saga-1', (state) => state)).toMatchObject({ metadata: { version: 2 } })
  })
})
