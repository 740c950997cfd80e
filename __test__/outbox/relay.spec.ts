import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { type Claim, type OutboxEvent, type OutboxRelay, openStore, type SagaStore } from '../../index.js'
import { cannotClaim } from '../executions/backends'
import { eventually, rejectionOf } from '../support/promises'
import { missing, openTarget, targets } from '../support/targets'

/** Failed events are soon due again. */
const QUICK = { outbox: { retryBackoffMs: 20 } }

const block = (ms: number) => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms)

const numbered = (count: number, key?: (n: number) => string | undefined) =>
  Array.from({ length: count }, (_, n) => {
    const partitionKey = key?.(n)
    return { eventType: 'Numbered', payload: n, ...(partitionKey !== undefined && { partitionKey }) }
  })

/** In several insertions: DynamoDB has at most 100 items in one, and an event with a key is two. */
async function insertAll({ outbox }: SagaStore, events: ReturnType<typeof numbered>): Promise<void> {
  for (let at = 0; at < events.length; at += 50) await outbox.insert(events.slice(at, at + 50))
}

/** Handlers that wait until they are let go. */
function gate() {
  let open: () => void = () => undefined
  const opened = new Promise<void>((resolve) => {
    open = resolve
  })
  return { opened, open }
}

const isEmpty = async ({ outbox }: SagaStore) => {
  const { ready, claimed, waiting } = await outbox.statistics()
  return ready + claimed + waiting === 0
}

/** What a failed test tells: what the relay has done, and what is left. */
const stateOf = (relay: OutboxRelay<never> | OutboxRelay, store: SagaStore) => async () => ({
  stats: relay.stats,
  left: (await store.outbox.list()).events,
})

for (const target of targets) {
  // DynamoDB Local does one thing at a time: tests beside each other would run out of their leases.
  const test = target.name === 'dynamodb' ? it : it.concurrent
  describe.skipIf(missing(target) || cannotClaim(target))(`${target.name}, a relay`, () => {
    test('has each event handled and acknowledged, those of one key in their order, one after the other', async () => {
      await using store = await openTarget(target)
      const seen: Claim<number>[] = []
      const busy = new Set<string>()
      let running = 0
      let most = 0
      await using relay = store.outbox.relay<number>(
        async (event) => {
          running += 1
          most = Math.max(most, running)
          const { partitionKey } = event
          if (partitionKey !== undefined) {
            expect(busy).not.toContain(partitionKey)
            busy.add(partitionKey)
          }
          await sleep(Math.random() * 5)
          if (partitionKey !== undefined) busy.delete(partitionKey)
          running -= 1
          seen.push(event)
        },
        { concurrency: 6, batchSize: 40 },
      )
      await insertAll(
        store,
        numbered(200, (n) => (n % 4 === 3 ? undefined : `key-${n % 4}`)),
      )
      await eventually('all are handled', () => seen.length === 200, 20_000)
      await eventually('all are acknowledged', () => relay.stats.acked === 200)
      expect(await isEmpty(store)).toBe(true)
      expect(new Set(seen.map(({ payload }) => payload)).size).toBe(200)
      for (const key of ['key-0', 'key-1', 'key-2']) {
        const ofKey = seen.filter(({ partitionKey }) => partitionKey === key).map(({ payload }) => payload)
        expect(ofKey).toEqual(ofKey.toSorted((a, b) => a - b))
      }
      expect(most).toBeGreaterThan(1)
      expect(most).toBeLessThanOrEqual(6)
      expect(seen[0]).toMatchObject({ status: 'claimed', workerId: relay.workerId, deliveries: 1 })
      expect(relay.stats).toEqual({ claimed: 200, acked: 200, failed: 0, lost: 0, released: 0, inFlight: 0 })
    })

    test('claims no more than its handlers have room for, and one batch ahead', async () => {
      await using store = await openTarget(target)
      const { opened, open } = gate()
      await using relay = store.outbox.relay(() => opened, { concurrency: 3, batchSize: 5, pollMs: 20 })
      await store.outbox.insert(numbered(40))
      await eventually('its handlers run', () => relay.stats.inFlight === 3)
      await sleep(200)
      expect(relay.stats.claimed).toBeGreaterThan(3)
      expect(relay.stats.claimed).toBeLessThanOrEqual(8)
      expect((await store.outbox.statistics()).claimed).toBe(relay.stats.claimed)
      open()
      await eventually('all are acknowledged', () => relay.stats.acked === 40)
    })

    test('acknowledges together what has been handled meanwhile', async () => {
      await using store = await openTarget(target)
      await using relay = store.outbox.relay(() => undefined, { concurrency: 50, batchSize: 200 })
      await insertAll(store, numbered(400))
      await eventually('all are acknowledged', () => relay.stats.acked === 400)
      const { operations } = await store.statistics()
      expect(operations['outbox.ack']?.count).toBeLessThanOrEqual(40)
    })

    test('lets an event fail whose handler throws, and tries again', async () => {
      await using store = await openTarget(target, QUICK)
      const seen: Claim[] = []
      await using relay = store.outbox.relay((event) => {
        seen.push(event)
        if (seen.length < 3) throw new Error(`not the time number ${seen.length}`)
      })
      await store.outbox.insert({ eventId: 'e', eventType: 'A', payload: null })
      await eventually('it is acknowledged', () => relay.stats.acked === 1)
      expect(seen.map(({ retryCount, lastError }) => [retryCount, lastError])).toEqual([
        [0, undefined],
        [1, 'not the time number 1'],
        [2, 'not the time number 2'],
      ])
      expect(relay.stats).toMatchObject({ claimed: 3, failed: 2, lost: 0 })
    })

    test('handles nothing of a key behind an event that failed, before that one is published', async () => {
      await using store = await openTarget(target, QUICK)
      const seen: number[] = []
      await using relay = store.outbox.relay<number>(
        async ({ payload }) => {
          await sleep(2)
          seen.push(payload)
          if (payload === 1 && seen.filter((n) => n === 1).length < 3) throw new Error('again')
        },
        { concurrency: 4 },
      )
      await store.outbox.insert(numbered(5, () => 'k'))
      await eventually('all are acknowledged', () => relay.stats.acked === 5)
      expect(seen).toEqual([0, 1, 1, 1, 2, 3, 4])
      expect(relay.stats).toMatchObject({ failed: 2, lost: 0, released: relay.stats.claimed - 7 })
    })

    test('is not held up by events that nobody can publish', async () => {
      await using store = await openTarget(target, { outbox: { retryBackoffMs: 10, maxRetries: 2, onDeadLetter: 'skip' } })
      const published: number[] = []
      await using relay = store.outbox.relay<number>(
        ({ payload }) => {
          if (payload < 10) throw new Error('poison')
          published.push(payload)
        },
        { concurrency: 2, batchSize: 10 },
      )
      await store.outbox.insert(numbered(30))
      await eventually('the others are published', () => published.length === 20)
      await eventually('the poison is dead', async () => (await store.outbox.statistics()).dead === 10)
      await eventually('it knows', () => relay.stats.acked + relay.stats.failed === 50)
      expect(relay.stats).toMatchObject({ acked: 20, failed: 30, lost: 0 })
    })

    test('tells a handler whose lease is lost', async () => {
      await using store = await openTarget(target)
      const signals: AbortSignal[] = []
      const { opened, open } = gate()
      await using relay = store.outbox.relay(
        (_, { signal }) => {
          signals.push(signal)
          return opened
        },
        { leaseMs: 1_200, pollMs: 60_000 },
      )
      await store.outbox.insert({ eventId: 'e', eventType: 'A', payload: null })
      await eventually('the handler runs', () => signals.length === 1)
      await sleep(1_500)
      expect(signals[0]?.aborted).toBe(false)
      // The relay looks for events as well, and may be the first one to be given it again.
      await eventually('another worker has it', async () => {
        expect(await store.outbox.releaseStuck({ olderThanMs: 0 })).toBe(1)
        return (await store.outbox.claim({ workerId: 'other' })).length === 1
      })
      await eventually('the handler is told', () => signals[0]?.aborted === true)
      expect(signals[0]?.reason).toMatchObject({ message: "the lease of event 'e' is lost" })
      open()
      const areRefused = () => relay.stats.lost === relay.stats.claimed && relay.stats.inFlight === 0
      await eventually('its acknowledgement is refused', areRefused, 10_000, stateOf(relay, store))
      expect(relay.stats).toMatchObject({ acked: 0, failed: 0 })
      expect(await store.outbox.get('e')).toMatchObject({ status: 'claimed', workerId: 'other' })
    })

    test('acknowledges an event once that it was given twice', async () => {
      await using store = await openTarget(target)
      const { opened, open } = gate()
      const tokens = new Set<string>()
      await using relay = store.outbox.relay(
        ({ token }) => {
          tokens.add(token)
          return opened
        },
        { concurrency: 2 },
      )
      await store.outbox.insert({ eventType: 'A', payload: null })
      await eventually('its handler runs', () => tokens.size === 1)
      expect(await store.outbox.releaseStuck({ olderThanMs: 0 })).toBe(1)
      await eventually('it runs beside itself', () => tokens.size === 2)
      await store.outbox.insert({ eventType: 'B', payload: null })
      await eventually('there is another event', () => relay.stats.claimed === 3)
      // Both handlers have an answer in the same turn.
      open()
      await eventually('all have an answer', () => relay.stats.acked + relay.stats.lost === 3, 10_000, stateOf(relay, store))
      expect(relay.stats).toMatchObject({ claimed: 3, acked: 2, lost: 1 })
      expect(await store.outbox.list()).toEqual({ events: [] })
    })

    test('hands back what it was given twice', async () => {
      await using store = await openTarget(target)
      let running = 0
      const deaf = store.outbox.relay(
        () => {
          running += 1
          return new Promise(() => undefined)
        },
        { concurrency: 2 },
      )
      await store.outbox.insert({ eventType: 'A', payload: null })
      await eventually('its handler runs', () => running === 1)
      expect(await store.outbox.releaseStuck({ olderThanMs: 0 })).toBe(1)
      await eventually('it runs beside itself', () => running === 2)
      await deaf.stop({ timeoutMs: 50 })
      expect(await store.outbox.statistics()).toMatchObject({ ready: 1, claimed: 0 })
    })

    test('hands back at its end what it has not begun, and finishes what it has', async () => {
      await using store = await openTarget(target)
      const { opened, open } = gate()
      const relay = store.outbox.relay(() => opened, { concurrency: 2, batchSize: 10 })
      await store.outbox.insert(numbered(20))
      await eventually('its handlers run', () => relay.stats.inFlight === 2)
      const stopped = relay.stop()
      await sleep(50)
      open()
      await Promise.all([stopped, relay.stop(), relay.done])
      expect(relay.stats).toMatchObject({ acked: 2, inFlight: 0, lost: 0 })
      expect(relay.stats.released).toBe(relay.stats.claimed - 2)
      expect(await store.outbox.statistics()).toMatchObject({ ready: 18, claimed: 0 })
      const { events } = await store.outbox.list()
      expect(events.map(({ deliveries }: OutboxEvent) => deliveries)).toEqual(Array(18).fill(0))
    })

    test('aborts its handlers where its signal says so, and hands back what takes too long', async () => {
      await using store = await openTarget(target)
      const reasons: unknown[] = []
      const controller = new AbortController()
      const handler = (_: Claim, { signal }: { signal: AbortSignal }) =>
        new Promise((_, reject) => {
          signal.addEventListener('abort', () => {
            reasons.push(signal.reason)
            reject(signal.reason)
          })
        })
      const relay = store.outbox.relay(handler, { signal: controller.signal })
      await store.outbox.insert(numbered(3))
      await eventually('its handler runs', () => relay.stats.inFlight === 1)
      controller.abort('enough')
      await relay.done
      expect(reasons).toEqual(['enough'])
      expect(await store.outbox.statistics()).toMatchObject({ ready: 2, waiting: 1, claimed: 0 })

      const deaf = store.outbox.relay(() => new Promise(() => undefined))
      await eventually('its handler runs', () => deaf.stats.inFlight === 1)
      const began = performance.now()
      await deaf.stop({ timeoutMs: 100 })
      expect(performance.now() - began).toBeLessThan(2_000)
      expect(await store.outbox.statistics()).toMatchObject({ claimed: 0 })
    })

    test('is woken by an insertion of its process, and by the commit of one', async () => {
      await using store = await openTarget(target)
      let handledAt = 0
      await using _relay = store.outbox.relay(
        () => {
          handledAt = performance.now()
        },
        { pollMs: 60_000 },
      )
      const latency = async (insert: () => Promise<unknown>) => {
        // By then its pauses are longer than a second.
        await sleep(1_900)
        handledAt = 0
        await insert()
        const began = performance.now()
        await eventually('it is handled', () => handledAt > 0)
        return handledAt - began
      }
      expect(await latency(() => store.outbox.insert(numbered(1)))).toBeLessThan(1_000)
      if (store.capabilities.transactions === 'none') return
      expect(await latency(() => store.transaction((tx) => tx.outbox.insert(numbered(1))))).toBeLessThan(1_000)
      expect(await latency(() => store.transaction(() => store.outbox.insert(numbered(1))))).toBeLessThan(1_000)
    })

    test('outlives the transaction in which it is begun; within one it is refused', async () => {
      await using store = await openTarget(target)
      if (store.capabilities.transactions === 'none') return
      const relay = await store.transaction((tx) => {
        expect(() => tx.outbox.relay(() => undefined)).toThrow(expect.objectContaining({ code: 'UNSUPPORTED' }))
        expect(() => tx.outbox.subscribe()).toThrow(expect.objectContaining({ code: 'UNSUPPORTED' }))
        return { begun: store.outbox.relay(() => undefined) }
      })
      await store.outbox.insert(numbered(3))
      await eventually('all are acknowledged', () => relay.begun.stats.acked === 3)
      await relay.begun.stop()
    })

    test('ends with its store', async () => {
      const store = await openTarget(target)
      const signals: AbortSignal[] = []
      const relay = store.outbox.relay((_, { signal }) => {
        signals.push(signal)
        return new Promise((resolve) => signal.addEventListener('abort', resolve))
      })
      await store.outbox.insert(numbered(1))
      await eventually('its handler runs', () => signals.length === 1)
      await store.close()
      await relay.done
      expect(signals[0]?.aborted).toBe(true)
      expect(relay.stats).toMatchObject({ acked: 0, inFlight: 0 })
    })
  })

  describe.skipIf(missing(target) || cannotClaim(target))(`${target.name}, leases of a relay`, () => {
    // DynamoDB Local does one thing at a time, and other tests use it as well.
    const leaseMs = target.name === 'dynamodb' ? 5_000 : 2_500

    it('are not lost by an event loop that is blocked for twice as long', async () => {
      await using store = await openTarget(target)
      const seen: Claim<number>[] = []
      const others: Claim[] = []
      await using relay = store.outbox.relay<number>(
        async (event) => {
          seen.push(event)
          if (seen.length > 1) return
          block(2 * leaseMs)
          others.push(...(await store.outbox.claim({ workerId: 'other' })))
        },
        { leaseMs, batchSize: 2 },
      )
      await store.outbox.insert(numbered(2))
      await eventually('both are acknowledged', () => relay.stats.acked + relay.stats.lost >= 2, 40_000, stateOf(relay, store))
      expect(others).toEqual([])
      expect(seen.map(({ payload, deliveries }) => [payload, deliveries])).toEqual([
        [0, 1],
        [1, 1],
      ])
      expect(relay.stats).toMatchObject({ claimed: 2, acked: 2, lost: 0 })
    })
  })

  describe.skipIf(missing(target) || cannotClaim(target))(`${target.name}, a subscription`, () => {
    test('gives events as they come, and hands back at its end what is not settled', async () => {
      await using store = await openTarget(target)
      await store.outbox.insert(numbered(6))
      const seen: unknown[] = []
      for await (const event of store.outbox.subscribe({ batchSize: 4 })) {
        seen.push(event.payload)
        if (event.payload === 5) await store.outbox.insert(numbered(3))
        if (seen.length === 8) break
        await store.outbox.ack(event)
      }
      expect(seen).toEqual([0, 1, 2, 3, 4, 5, 0, 1])
      expect(await store.outbox.statistics()).toMatchObject({ ready: 2, claimed: 0 })
      const { events } = await store.outbox.list()
      expect(events.map(({ payload, deliveries }: OutboxEvent) => [payload, deliveries])).toEqual([
        [1, 0],
        [2, 0],
      ])
    })

    test('gives nothing of a key behind an event that failed', async () => {
      await using store = await openTarget(target, QUICK)
      await store.outbox.insert([...numbered(3, () => 'k'), { eventType: 'Last', payload: 9 }])
      const seen: unknown[] = []
      for await (const event of store.outbox.subscribe()) {
        seen.push(event.payload)
        if (seen.length === 1) await store.outbox.fail(event, { error: 'not yet' })
        else await store.outbox.ack(event)
        if (seen.length === 5) break
      }
      expect(seen).toEqual([0, 9, 0, 1, 2])
      expect(await isEmpty(store)).toBe(true)
    })

    test('renews the lease of what it has given, until that is settled', async () => {
      await using store = await openTarget(target)
      await store.outbox.insert(numbered(2))
      await using subscription = store.outbox.subscribe({ leaseMs: 1_200 })
      const { value: first } = (await subscription.next()) as { value: Claim }
      await sleep(1_500)
      expect(await store.outbox.claim({ workerId: 'other' })).toEqual([])
      expect(await store.outbox.ack(first)).toEqual({ acked: 1, lost: [] })
      await subscription.return()
      expect(await store.outbox.claim({ workerId: 'other' })).toHaveLength(1)
    })

    test('ends when its signal says so, also while it waits', async () => {
      await using store = await openTarget(target)
      const controller = new AbortController()
      const seen: unknown[] = []
      setTimeout(() => controller.abort(), 150)
      for await (const event of store.outbox.subscribe({ signal: controller.signal, pollMs: 60_000 })) seen.push(event)
      expect(seen).toEqual([])
      for await (const event of store.outbox.subscribe({ signal: controller.signal })) seen.push(event)
      expect(seen).toEqual([])
    })
  })
}

describe('options of a relay', () => {
  it('are closed, and checked at once', async () => {
    await using store = openStore('memory://')
    const relay = (options: object) => () => store.outbox.relay(() => undefined, options)
    const refused = (text: string) => expect.objectContaining({ code: 'INVALID_ARGUMENT', message: expect.stringContaining(text) })
    expect(relay({ batch: 1 })).toThrow(refused("unknown option 'batch'"))
    for (const name of ['concurrency', 'batchSize', 'leaseMs', 'pollMs']) {
      for (const value of [0, 1.5, -1, Number.NaN, '1', 1e12])
        expect(relay({ [name]: value })).toThrow(refused(`option '${name}' must be a whole number`))
      expect(relay({ [name]: null })).toThrow(refused(`option '${name}' must not be null`))
    }
    for (const workerId of ['', 'x'.repeat(257), 'a\0b', 1]) expect(relay({ workerId })).toThrow(refused('workerId'))
    expect(relay({ signal: {} })).toThrow(refused('signal'))
    expect(relay({ eventTypes: 'A' })).toThrow(refused('eventTypes'))
    expect(() => store.outbox.relay('handler' as never)).toThrow(refused('relay takes a function'))
    expect(() => store.outbox.subscribe({ concurrency: 1 } as never)).toThrow(refused("unknown option 'concurrency'"))
  })

  it('are those of its claims: what the database refuses ends the relay', async () => {
    await using store = openStore('memory://')
    const relay = store.outbox.relay(() => undefined, { eventTypes: [] })
    expect(await rejectionOf(relay.done)).toMatchObject({ code: 'INVALID_ARGUMENT' })
    await relay.stop()
  })

  it('choose events', async () => {
    await using store = openStore('memory://')
    const seen: unknown[] = []
    await using relay = store.outbox.relay(({ payload }) => seen.push(payload), { eventTypes: ['A'], routingKeys: ['x'] })
    await store.outbox.insert([
      { eventType: 'A', payload: 1, routingKey: 'x' },
      { eventType: 'A', payload: 2, routingKey: 'y' },
      { eventType: 'B', payload: 3, routingKey: 'x' },
      { eventType: 'A', payload: 4, routingKey: 'x' },
    ])
    await eventually('they are handled', () => relay.stats.acked === 2)
    expect(seen).toEqual([1, 4])
  })
})
