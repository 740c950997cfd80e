import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import type { Claim } from '../../index.js'
import type { OutboxCounter } from '../../ts/kinds/outbox-feed'
import { OutboxRelay } from '../../ts/kinds/outbox-relay'
import type { OutboxSupport } from '../../ts/kinds/outbox-support'
import { Bell } from '../../ts/run/bell'
import { type EventHolder, type EventKeeper, EventLeases } from '../../ts/run/event-leases'
import { EventRenewals } from '../../ts/run/event-renewals'
import { eventually } from '../support/promises'

const away = () => Object.assign(new Error('the server is away'), { code: 'CONNECTION' })

/** A queue that can break, and what its calls were. */
class Queue implements OutboxCounter {
  isAway = false
  readonly calls: string[] = []
  readonly acked: string[] = []
  #events: Claim[]
  #claims = 0

  constructor(count: number) {
    this.#events = Array.from({ length: count }, (_, n) => ({ eventId: `e${n}`, payload: n }) as unknown as Claim)
  }

  claim<P>({ batchSize = 100 }): Promise<Claim<P>[]> {
    this.#call('claim')
    this.#claims += 1
    const token = `t${this.#claims}`
    return Promise.resolve(this.#events.splice(0, batchSize).map((event) => ({ ...event, token }) as Claim<P>))
  }

  async ack(claims: readonly { eventId: string }[]) {
    this.#call('ack')
    this.acked.push(...claims.map(({ eventId }) => eventId))
    return { lost: [] }
  }

  async fail() {
    this.#call('fail')
  }

  async release() {
    this.#call('release')
  }

  #call(name: string): void {
    this.calls.push(name)
    if (this.isAway) throw away()
  }
}

class Keeper implements EventKeeper {
  readonly asked: [string, string[]][] = []
  readonly dropped: [string, string[]][] = []
  #lose: ((ids: string[]) => void) | undefined

  keepEvents(token: string, ids: string[]): Promise<string[]> {
    this.asked.push([token, ids])
    return new Promise((resolve) => {
      this.#lose = resolve
    })
  }

  unkeepEvents(token: string, ids: string[]): void {
    this.dropped.push([token, ids])
  }

  lose(ids: string[]): void {
    this.#lose?.(ids)
  }
}

function supportOf(keeper: EventKeeper, warnings: string[] = []): OutboxSupport {
  return {
    apart: () => {
      throw new Error('nobody asks for it')
    },
    bell: new Bell(),
    leases: new EventLeases(keeper),
    isInTransaction: false,
    maxRetries: 10,
    whenStored: (done) => done(true),
    detached: (work) => work(),
    warn: (operation, message) => warnings.push(`${operation}: ${message}`),
  }
}

const TERMS = {
  workerId: 'w',
  concurrency: 1,
  batchSize: 10,
  leaseMs: 60_000,
  pollMs: 1_000,
  eventTypes: undefined,
  routingKeys: undefined,
  signal: undefined,
}

describe('a relay whose server goes away', () => {
  it('asks again, each time later, tells the logger once a second, and goes on once the server is back', async () => {
    const queue = new Queue(1)
    const warnings: string[] = []
    const handled: unknown[] = []
    queue.isAway = true
    const relay = new OutboxRelay(queue, supportOf(new Keeper(), warnings), ({ payload }) => handled.push(payload), TERMS)
    await sleep(1_400)
    const claims = queue.calls.length
    expect(claims).toBeGreaterThanOrEqual(3)
    expect(claims).toBeLessThanOrEqual(6)
    expect(warnings.length).toBeGreaterThanOrEqual(1)
    expect(warnings.length).toBeLessThanOrEqual(2)
    expect(warnings[0]).toBe('outbox.claim: the server is away')
    queue.isAway = false
    await eventually('it is handled', () => queue.acked.length === 1)
    expect(handled).toEqual([0])
    await relay.stop()
  })

  it('acknowledges what it has handled as soon as it can, and handles nothing twice', async () => {
    const queue = new Queue(3)
    const handled: unknown[] = []
    const relay = new OutboxRelay(
      queue,
      supportOf(new Keeper()),
      ({ payload }) => {
        queue.isAway = true
        handled.push(payload)
      },
      TERMS,
    )
    await eventually('it has tried', () => queue.calls.filter((name) => name === 'ack').length >= 3)
    queue.isAway = false
    await eventually('all are acknowledged', () => relay.stats.acked === 3)
    expect([...queue.acked].sort()).toEqual(['e0', 'e1', 'e2'])
    expect(handled).toEqual([0, 1, 2])
    await relay.stop()
  })

  it('says so no more once the leases are lost', async () => {
    const queue = new Queue(2)
    const keeper = new Keeper()
    const relay = new OutboxRelay(
      queue,
      supportOf(keeper),
      ({ payload }) => {
        queue.isAway = true
        if (payload === 1) throw new Error('failed')
      },
      TERMS,
    )
    await eventually('it has tried', () => queue.calls.includes('ack') && queue.calls.includes('fail'))
    keeper.lose(['e0', 'e1'])
    await relay.stop()
    expect(relay.stats).toMatchObject({ claimed: 2, acked: 0, failed: 0, lost: 2 })
  })
})

describe('the leases of events', () => {
  const holder = (): EventHolder & { lostIds: string[] } => {
    const lostIds: string[] = []
    return { lostIds, lost: (ids) => void lostIds.push(...ids) }
  }

  it('are asked for again where some are lost, for the others', async () => {
    const keeper = new Keeper()
    const leases = new EventLeases(keeper)
    const held = holder()
    leases.keep('t', ['a', 'b', 'c'], 1_000, held)
    leases.unkeep('t', ['a'])
    keeper.lose(['b'])
    await sleep(0)
    expect(held.lostIds).toEqual(['b'])
    expect(keeper.asked).toEqual([
      ['t', ['a', 'b', 'c']],
      ['t', ['c']],
    ])
    expect(keeper.dropped).toEqual([['t', ['a']]])
    leases.unkeep('t', ['c', 'unknown'])
    keeper.lose([])
    await sleep(0)
    expect([held.lostIds, keeper.asked.length]).toEqual([['b'], 2])
  })

  it('are lost where nobody renews them', async () => {
    const held = holder()
    new EventLeases({ keepEvents: () => Promise.reject(new Error('closed')), unkeepEvents: () => undefined }).keep('t', ['a'], 1, held)
    await sleep(0)
    expect(held.lostIds).toEqual(['a'])
  })

  it('are renewed from a timer on a client of the application, until they are let go of', async () => {
    const asked: [string, string][][] = []
    let lost: string[] = []
    const renewals = new EventRenewals(async (claims) => {
      asked.push(claims)
      return lost
    })
    const first = renewals.keepEvents('t', ['a', 'b'], 300)
    await sleep(250)
    expect(asked.length).toBeGreaterThan(0)
    expect(asked[0]).toEqual([
      ['a', 't'],
      ['b', 't'],
    ])
    lost = ['a']
    expect(await first).toEqual(['a'])
    lost = []
    const second = renewals.keepEvents('t', ['b'], 300)
    await sleep(200)
    expect(asked.at(-1)).toEqual([['b', 't']])
    renewals.unkeepEvents('t', ['b'])
    expect(await second).toEqual([])
    const third = renewals.keepEvents('u', ['c'], 60_000)
    renewals.stop()
    expect(await third).toEqual(['c'])
    expect(await renewals.keepEvents('u', ['d'], 60_000)).toEqual(['d'])
  })
})

describe('a bell', () => {
  it('wakes all who wait, and whoever asks what has rung before', async () => {
    const bell = new Bell()
    const waits = [bell.wait(bell.count, 60_000), bell.wait(bell.count, 60_000)]
    const before = bell.count
    bell.ring()
    expect(await Promise.all(waits.map(({ ended }) => ended))).toEqual([true, true])
    expect(await bell.wait(before, 60_000).ended).toBe(true)
    expect(await bell.wait(bell.count, 10).ended).toBe(false)
    const ended = bell.wait(bell.count, 60_000)
    ended.end(false)
    expect(await ended.ended).toBe(false)
  })

  it('listens once at a time, only while somebody waits', async () => {
    const listening: (() => void)[] = []
    const bell = new Bell(() => new Promise((resolve) => listening.push(resolve)))
    expect(listening).toHaveLength(0)
    const first = bell.wait(bell.count, 60_000)
    bell.wait(bell.count, 1)
    expect(listening).toHaveLength(1)
    listening[0]?.()
    expect(await first.ended).toBe(true)
    expect(listening).toHaveLength(1)
    const second = bell.wait(bell.count, 60_000)
    expect(listening).toHaveLength(2)
    second.end(false)
  })

  describe('behind the end of a transaction whose commit is somebody else’s', () => {
    beforeEach(() => void vi.useFakeTimers())
    afterEach(() => void vi.useRealTimers())

    it('rings twice', async () => {
      const bell = new Bell()
      const before = bell.count
      bell.ringSoon()
      const between = bell.count
      expect(between).toBeGreaterThan(before)
      vi.advanceTimersByTime(30)
      expect(bell.count).toBeGreaterThan(between)
    })
  })
})
