import { setTimeout as sleep } from 'node:timers/promises'
import { expect, it } from 'vitest'
import { type Claim, InvalidStateError, type SagaOutbox, type SagaStore } from '../../index.js'
import type { Executor } from '../support/executors'
import { eventually, rejectionOf } from '../support/promises'
import { sharedStore } from '../support/stores'
import { claim, claimed, fresh, kill, lostOf, numbers } from './fresh'

/** Tests that count all events of a store: one after the other, each removes its own. */
export function keptBehavior(executor: Executor): void {
  let store: SagaStore
  let outbox: SagaOutbox
  const options = { retryBackoffMs: 50, maxRetries: 0, retainSentMs: 1_500, retainDeadMs: 1_500 }
  sharedStore(
    executor,
    (opened) => {
      store = opened
      outbox = opened.outbox
    },
    { outbox: options },
  )

  it('counts events by what they wait for', async () => {
    const names = fresh()
    const { event, key, id } = names
    const none = { ready: 0, claimed: 0, waiting: 0, dead: 0, sent: 0, blockedKeys: 0, oldestReadyMs: null }
    expect(await outbox.statistics()).toEqual(none)
    expect(await outbox.pendingCount()).toBe(0)
    await outbox.insert([event(1, { partitionKey: key }), event(2, { partitionKey: key }), event(3), event(4), event(5)])
    await outbox.insert(event(6, { availableAt: new Date(Date.now() + 3_600_000) }))
    await sleep(20)
    const [one, , three, ...others] = (await claim(outbox, names)) as [Claim, Claim, Claim, Claim, Claim]
    await outbox.fail(one, { error: 'no' })
    await outbox.ack(three)
    await outbox.release(others)
    const counts = await outbox.statistics()
    expect(counts).toEqual({ ready: 3, claimed: 0, waiting: 1, dead: 1, sent: 1, blockedKeys: 1, oldestReadyMs: expect.any(Number) })
    expect(counts.oldestReadyMs).toBeGreaterThanOrEqual(10)
    expect(await outbox.pendingCount()).toBe(4)
    const rest = await claim(outbox, names)
    expect(numbers(rest)).toEqual([4, 5])
    expect(await outbox.statistics()).toMatchObject({ ready: 1, claimed: 2, waiting: 1, dead: 1, sent: 1 })
    await outbox.ack(rest)
    await outbox.discard([id(1)])
    for (const n of [2, 6]) await outbox.updateStatus(id(n), 'sent')
    expect(await outbox.statistics()).toEqual({ ...none, sent: 5 })
    expect(await outbox.archive({ olderThanMs: 0 })).toBe(5)
    expect(await outbox.statistics()).toEqual(none)
  })

  it('gives whatever there is to claims that name no type', async () => {
    const [a, b] = [fresh(), fresh()]
    await outbox.insert([a.event(1), b.event(2, { partitionKey: b.key }), a.event(3), b.event(4, { partitionKey: b.key }), a.event(5)])
    const first = await outbox.claim({ workerId: 'w', batchSize: 2 })
    expect(numbers(first)).toHaveLength(2)
    const rest = await outbox.claim({ workerId: 'w' })
    expect((numbers([...first, ...rest]) as number[]).toSorted().slice(0, 3)).toEqual([1, 2, 3])
    await outbox.ack([...first, ...rest])
    for (const one of await outbox.claim({ workerId: 'w' })) await outbox.ack(one)
    expect(await outbox.statistics()).toMatchObject({ ready: 0, claimed: 0, sent: 5 })
    expect(await outbox.archive({ olderThanMs: 0 })).toBe(5)
  })

  it('keeps what was sent apart, and never gives it out again', async () => {
    const names = fresh()
    const { event, id } = names
    const given = event(1, { sagaId: id('saga'), headers: { a: 1 }, payload: Buffer.from('one'), routingKey: 'x', partitionKey: names.key })
    await outbox.insert([given, event(2, { sagaId: id('saga'), partitionKey: names.key })])
    const [one] = (await claim(outbox, names, { batchSize: 1 })) as [Claim]
    await outbox.ack(one)
    const { claimedAt: _, workerId: __, token: ___, ...rest } = one
    const sent = await outbox.get(id(1))
    expect(sent).toStrictEqual({ ...rest, status: 'sent', sentAt: expect.any(Date) })
    expect(Math.abs((sent?.sentAt?.getTime() ?? 0) - Date.now())).toBeLessThan(60_000)
    expect((await outbox.list({ status: 'sent' })).events).toEqual([sent])
    expect(numbers((await outbox.bySaga(id('saga'))).events.slice(1))).toEqual([2])
    expect((await outbox.list()).events[0]).toEqual(sent)
    expect(await claimed(outbox, names)).toEqual([2])
    expect((await lostOf(outbox.ack(one))).lost).toEqual([id(1)])
    expect(await rejectionOf(outbox.insert(event(1)))).toMatchObject({ code: 'ALREADY_EXISTS', id: id(1) })
    expect(await outbox.insert(event(1), { onDuplicate: 'ignore' })).toEqual([])
    expect([await outbox.requeue([id(1)]), await outbox.discard([id(1)])]).toEqual([0, 0])
    const error = await rejectionOf(outbox.updateStatus(id(1), 'pending'))
    expect(error).toBeInstanceOf(InvalidStateError)
    expect(error).toMatchObject({ code: 'INVALID_STATE', id: id(1) })
    await outbox.updateStatus(id(1), 'sent')
    expect(await outbox.get(id(1))).toEqual(sent)
    await outbox.updateStatus(id(2), 'sent')
    expect(await outbox.archive({ olderThanMs: 0 })).toBe(2)
    expect(await outbox.get(id(1))).toBeNull()
  })

  it('removes old events of the statuses that it is told, as many as it may', async () => {
    const names = fresh()
    const { event, id } = names
    await outbox.insert(Array.from({ length: 8 }, (_, n) => event(n)))
    for (const n of [0, 1, 2]) await outbox.updateStatus(id(n), 'sent')
    for (const n of [3, 4]) await outbox.updateStatus(id(n), 'dead_letter')
    const [held] = (await claim(outbox, names, { batchSize: 1 })) as [Claim]
    const both = ['sent', 'dead_letter'] as const
    expect(await outbox.archive({ olderThanMs: 3_600_000, statuses: both })).toBe(0)
    expect(await outbox.archive({ olderThanMs: 0, limit: 2 })).toBe(2)
    expect(await outbox.statistics()).toMatchObject({ sent: 1, dead: 2 })
    expect(await outbox.archive({ olderThanMs: 0, statuses: ['dead_letter'] })).toBe(2)
    expect(await outbox.archive({ olderThanMs: 0, statuses: both })).toBe(1)
    expect(await outbox.statistics()).toMatchObject({ sent: 0, dead: 0, ready: 2, claimed: 1 })
    await outbox.ack([held, ...(await claim(outbox, names))])
    expect(await outbox.archive({ olderThanMs: 0 })).toBe(3)
  })

  it('takes events back from workers that have had them for too long', async () => {
    const names = fresh()
    const { event, id } = names
    await outbox.insert([event(1), event(2), event(3)])
    const claims = (await claim(outbox, names, { batchSize: 2, workerId: 'stuck' })) as [Claim, Claim]
    expect(await outbox.findStuck({ olderThanMs: 3_600_000 })).toEqual([])
    expect(await outbox.releaseStuck({ olderThanMs: 3_600_000 })).toBe(0)
    const stuck = await outbox.findStuck({ olderThanMs: 0 })
    expect(stuck).toMatchObject([
      { eventId: id(1), workerId: 'stuck', status: 'claimed', deliveries: 1 },
      { eventId: id(2), workerId: 'stuck' },
    ])
    expect(stuck[0]).not.toHaveProperty('token')
    expect(await outbox.findStuck({ olderThanMs: 0, limit: 1 })).toHaveLength(1)
    expect(await outbox.releaseStuck({ olderThanMs: 0 })).toBe(2)
    expect(await outbox.get(id(1))).toMatchObject({ status: 'pending', deliveries: 1 })
    expect((await lostOf(outbox.ack(claims))).lost?.toSorted()).toEqual([id(1), id(2)])
    const again = await claim(outbox, names)
    expect(again.map(({ deliveries }) => deliveries)).toEqual([2, 2, 1])
    await outbox.ack(again)
    expect(await outbox.archive({ olderThanMs: 0 })).toBe(3)
  })

  it('brings all dead letters back, if none is named', async () => {
    const names = fresh()
    await outbox.insert(Array.from({ length: 3 }, (_, n) => names.event(n)))
    for (let n = 0; n < 3; n += 1) await kill(outbox, names)
    expect((await outbox.deadLetters()).events).toHaveLength(3)
    expect(await outbox.requeue({})).toBe(3)
    const again = await claim(outbox, names)
    expect(numbers(again)).toEqual([0, 1, 2])
    await outbox.ack(again)
    expect(await outbox.archive({ olderThanMs: 0 })).toBe(3)
  })

  it('removes what was kept for long enough, and nothing that was not sent', async () => {
    const names = fresh()
    const { event, id } = names
    await outbox.insert([1, 2, 3, 4].map((n) => event(n)))
    await outbox.updateStatus(id(1), 'sent')
    await outbox.updateStatus(id(2), 'dead_letter')
    const [held] = (await claim(outbox, names, { batchSize: 1, leaseMs: 1 })) as [Claim]
    await store.purgeExpired()
    expect(await outbox.get(id(1))).toMatchObject({ status: 'sent' })
    expect(await outbox.get(id(2))).toMatchObject({ status: 'dead_letter' })
    await eventually('both are gone', async () => {
      await store.purgeExpired()
      return (await outbox.get(id(1))) === null && (await outbox.get(id(2))) === null
    })
    await outbox.insert([event(1), event(2)])
    await outbox.ack(held)
    expect(await claimed(outbox, names)).toEqual([4, 1, 2])
  })
}
