import { describe, expect, it } from 'vitest'
import type { Claim, SagaOutbox } from '../../index.js'
import { claim, claimed, type Fresh, fresh, kill, lapsed, lostOf, numbers } from './fresh'

const AT_ONCE = { error: 'no', retryAt: new Date(0) }

/** Stores events 1, 2, 3… of one key. */
async function insertKeyed(outbox: SagaOutbox, { event, key }: Fresh, count: number): Promise<void> {
  await outbox.insert(Array.from({ length: count }, (_, n) => event(n + 1, { partitionKey: key })))
}

/** Events of one key, in their order. */
export function orderBehavior(use: () => SagaOutbox): void {
  describe('events of one key', () => {
    it('go to one worker at a time, in order, and hold up nobody else', async () => {
      const names = fresh()
      const { event, key, other } = names
      await use().insert([
        event(1, { partitionKey: key }),
        event(2, { partitionKey: other }),
        event(3, { partitionKey: key }),
        event(4),
        event(5, { partitionKey: other }),
        event(6, { partitionKey: key }),
      ])
      const first = await claim(use(), names, { batchSize: 1 })
      expect(numbers(first)).toEqual([1])
      const second = await claim(use(), names, { batchSize: 2 })
      // Either what was stored next, or the run of a key: then 4 is left. Behind 2, 5 goes to nobody else.
      expect(numbers(second)).toHaveLength(2)
      expect(numbers(second)[0]).toBe(2)
      expect(await claimed(use(), names)).toEqual(numbers(second)[1] === 5 ? [4] : [])
      await use().ack(first)
      expect(await claimed(use(), names)).toEqual([3, 6])
    })

    it('go to the same worker in one claim, as many as it has room for', async () => {
      const names = fresh()
      await insertKeyed(use(), names, 5)
      const run = (await claim(use(), names, { batchSize: 3 })) as [Claim, Claim, Claim]
      expect(numbers(run)).toEqual([1, 2, 3])
      expect(await claimed(use(), names)).toEqual([])
      // Acknowledged in any order.
      expect(await use().ack([run[1], run[2]])).toEqual({ acked: 2, lost: [] })
      expect(await claimed(use(), names)).toEqual([])
      await use().ack(run[0])
      expect(await claimed(use(), names)).toEqual([4, 5])
    })

    it('never overtake one that has failed: those behind it in the claim are handed back, uncounted', async () => {
      const names = fresh()
      const { event, key, id } = names
      await use().insert([event(1, { partitionKey: key }), event(2, { partitionKey: key }), event(3)])
      const [one, two, free] = (await claim(use(), names)) as [Claim, Claim, Claim]
      await use().insert(event(4, { partitionKey: key }))
      await use().fail(one, { error: 'no', retryAt: new Date(Date.now() + 3_600_000) })
      expect((await lostOf(use().ack(two))).lost).toEqual([id(2)])
      expect(await use().get(id(2))).toMatchObject({ status: 'pending', deliveries: 0, retryCount: 0 })
      expect(await use().ack(free)).toEqual({ acked: 1, lost: [] })
      expect(await claimed(use(), names)).toEqual([])
      await use().updateStatus(id(1), 'pending')
      expect(await claim(use(), names)).toMatchObject([
        { eventId: id(1), retryCount: 1, deliveries: 2 },
        { eventId: id(2), retryCount: 0, deliveries: 1 },
        { eventId: id(4), deliveries: 1 },
      ])
    })

    it('fail one at a time: of those that fail together only the first one does', async () => {
      const names = fresh()
      const { id } = names
      await insertKeyed(use(), names, 3)
      const claims = await claim(use(), names)
      const { failed, lost } = await use().fail(claims.toReversed(), AT_ONCE)
      expect([failed, lost.toSorted()]).toEqual([1, [id(2), id(3)]])
      expect(await claim(use(), names)).toMatchObject([
        { eventId: id(1), retryCount: 1, deliveries: 2 },
        { eventId: id(2), retryCount: 0, deliveries: 1 },
        { eventId: id(3), retryCount: 0, deliveries: 1 },
      ])
    })

    it('are handed back with those behind them, and none of these is lost', async () => {
      const names = fresh()
      const { id } = names
      await insertKeyed(use(), names, 4)
      const [one, two, three, four] = (await claim(use(), names)) as [Claim, Claim, Claim, Claim]
      expect(await use().release([three, two])).toEqual({ released: 2, lost: [] })
      for (const n of [2, 3, 4]) expect(await use().get(id(n))).toMatchObject({ status: 'pending', deliveries: 0 })
      expect(await use().ack([one, four])).toEqual({ acked: 1, lost: [id(4)] })
      expect(await claimed(use(), names)).toEqual([2, 3, 4])
    })

    it('are held up by one that is not due, or that the claim does not want', async () => {
      const [names, alien] = [fresh(), fresh()]
      const { event, key, other, id } = names
      const late = new Date(Date.now() + 3_600_000)
      await use().insert([
        event(1, { partitionKey: key }),
        event(2, { partitionKey: key, availableAt: late }),
        event(3, { partitionKey: key }),
        event(4, { partitionKey: other }),
        alien.event(5, { partitionKey: other }),
        event(6, { partitionKey: other }),
      ])
      const claims = await claim(use(), names)
      expect(numbers(claims)).toEqual([1, 4])
      await use().ack(claims)
      expect(await claimed(use(), names)).toEqual([])
      await use().updateStatus(id(2), 'pending')
      expect(await claimed(use(), names)).toEqual([2, 3])
      await use().ack(await claim(use(), alien))
      expect(await claimed(use(), names)).toEqual([6])
    })

    it('are blocked by a dead letter, until somebody decides', async () => {
      const names = fresh()
      const { event, key, other, id } = names
      await use().insert([event(1, { partitionKey: key }), event(2, { partitionKey: other }), event(3)])
      for (let n = 0; n < 2; n += 1) await kill(use(), names)
      expect(await claimed(use(), names)).toEqual([3])
      await use().insert([event(4, { partitionKey: key }), event(5, { partitionKey: other })])
      expect(await claimed(use(), names)).toEqual([])
      const blocked = await use().blockedKeys()
      expect(blocked).toEqual(expect.arrayContaining([key, other]))
      expect(blocked).toEqual(blocked.toSorted())
      expect(await use().blockedKeys({ limit: 1 })).toHaveLength(1)
      expect(await use().requeue([id(1)])).toBe(1)
      expect(await use().discard([id(2)])).toBe(1)
      expect(await claimed(use(), names)).toEqual([1, 4, 5])
      expect((await use().blockedKeys()).filter((blockedKey) => [key, other].includes(blockedKey))).toEqual([])
    })

    it('are told apart, however alike their keys are', async () => {
      const names = fresh()
      const keys = ['a', 'A', 'a ', 'ä', 'a:b', 'a%', 'a_', '{a}', "a'b"].map((key) => `${key}${names.type}`)
      await use().insert(keys.map((partitionKey, n) => names.event(n, { partitionKey })))
      const given: unknown[] = []
      for (let n = 0; n < keys.length; n += 1) given.push(...(await claimed(use(), names, { batchSize: 1 })))
      expect(given).toEqual(keys.map((_, n) => n))
    })
  })

  describe('events of one key, when time passes', () => {
    it.concurrent('go to another worker together', async () => {
      const names = fresh()
      await insertKeyed(use(), names, 3)
      const late = (await lapsed(use(), names, { batchSize: 2 })) as [Claim, Claim]
      const claims = await claim(use(), names)
      expect(numbers(claims)).toEqual([1, 2, 3])
      expect((await lostOf(use().fail(late, AT_ONCE))).lost?.toSorted()).toEqual([names.id(1), names.id(2)])
      expect(await use().ack(claims)).toEqual({ acked: 3, lost: [] })
    })

    it.concurrent('stop where another worker still has one', async () => {
      const names = fresh()
      await insertKeyed(use(), names, 3)
      const [, second] = (await claim(use(), names, { batchSize: 2, leaseMs: 300 })) as [Claim, Claim]
      await use().extend(second, 60_000)
      await new Promise((resume) => setTimeout(resume, 450))
      expect(await claimed(use(), names)).toEqual([1])
      expect(await use().ack(second)).toEqual({ acked: 1, lost: [] })
    })

    it.concurrent('wait behind one that kills its workers, when it has become a dead letter', async () => {
      const names = fresh()
      await insertKeyed(use(), names, 2)
      for (let n = 0; n < 3; n += 1) expect(numbers(await lapsed(use(), names, { batchSize: 1 }))).toEqual([1])
      expect(await claimed(use(), names)).toEqual([])
      expect(await use().get(names.id(1))).toMatchObject({ status: 'dead_letter', deliveries: 3 })
      expect(await claimed(use(), names)).toEqual([])
      await use().discard([names.id(1)])
      expect(await claimed(use(), names)).toEqual([2])
    })
  })
}

/** With the option `onDeadLetter: 'skip'`. */
export function skippingBehavior(use: () => SagaOutbox): void {
  it('goes on behind a dead letter, and lists no blocked key', async () => {
    const names = fresh()
    const { event, key, id } = names
    await use().insert(event(1, { partitionKey: key }))
    await kill(use(), names)
    await use().insert([event(2, { partitionKey: key }), event(3, { partitionKey: key })])
    const [second, third] = (await claim(use(), names)) as [Claim, Claim]
    expect(numbers([second, third])).toEqual([2, 3])
    expect(await use().blockedKeys()).toEqual([])
    // It stays a dead letter; back in its place it is the first one again.
    await use().fail(second, AT_ONCE)
    expect((await lostOf(use().ack(third))).lost).toEqual([id(3)])
    expect(await use().requeue([id(1)])).toBe(1)
    expect(await claimed(use(), names)).toEqual([1, 2, 3])
  })

  it('goes on behind one that dies within its claim', async () => {
    const names = fresh()
    await insertKeyed(use(), names, 3)
    await use().updateStatus(names.id(2), 'dead_letter', 'in the middle')
    const claims = await claim(use(), names)
    expect(numbers(claims)).toEqual([1, 3])
    expect(await use().ack(claims)).toEqual({ acked: 2, lost: [] })
  })
}
