import { type AttributeValue, ScanCommand } from '@aws-sdk/client-dynamodb'
import { describe, expect, it } from 'vitest'
import type { Claim, SagaStore } from '../../../index.js'
import { type Interference, startProxy } from '../../support/dynamodb-proxy'
import { dynamo, open as openOn, withDynamoDB } from '../../support/dynamodb-server'
import { rejectionOf } from '../../support/promises'
import { randomName } from '../../support/targets'

type Item = Record<string, AttributeValue>

const OUTBOX = { retryBackoffMs: 1, maxRetries: 1_000, maxDeliveries: 1_000 }

async function open() {
  const outboxTableName = randomName('o')
  const { store } = openOn({ outboxTableName, outbox: OUTBOX })
  await store.initialize()
  const items = async (): Promise<Item[]> => {
    const found = await dynamo.client.send(new ScanCommand({ TableName: outboxTableName, ConsistentRead: true }))
    return found.Items ?? []
  }
  return { store, outboxTableName, items }
}

/** A store of the same table behind a proxy. */
async function behind(table: string, interference: Interference) {
  const proxy = await startProxy(dynamo.server.endpoint, interference)
  const { store } = openOn({ url: proxy.url, outboxTableName: table, outbox: OUTBOX })
  return {
    store,
    seen: proxy.seen,
    async [Symbol.asyncDispose]() {
      await store.close()
      await proxy[Symbol.asyncDispose]()
    },
  }
}

/** As if the process were killed behind so many requests: all that follows is refused. */
function killedBehind(count: number) {
  const state = { left: count, isDead: false }
  const interference: Interference = {
    request() {
      if (state.left-- <= 0) state.isDead = true
      return state.isDead ? { code: 'AccessDeniedException', message: 'killed' } : undefined
    },
  }
  return { state, interference }
}

const event = (n: number, partitionKey?: string) => ({
  eventId: `e${n}`,
  eventType: 'E',
  payload: n,
  ...(partitionKey !== undefined && { partitionKey }),
})
const EVENTS = [event(1, 'a'), event(2), event(3, 'a')]

/** Claims and acknowledges until nothing is left; the events as they came. */
async function drained({ outbox }: SagaStore): Promise<number[]> {
  const seen: number[] = []
  for (let idle = 0; idle < 2; ) {
    const claims = (await outbox.claim({ workerId: 'next' })) as Claim<number>[]
    idle = claims.length === 0 ? idle + 1 : 0
    seen.push(...claims.map(({ payload }) => payload))
    if (claims.length > 0) expect((await outbox.ack(claims)).lost).toEqual([])
  }
  return seen
}

const inOrder = (seen: number[], key: number[]) => expect(seen.filter((n) => key.includes(n))).toEqual(key.filter((n) => seen.includes(n)))

/** What is left in a key of events that are not there any more. */
const isPlace = ({ id }: Item) => id?.S?.startsWith('key#') === true

withDynamoDB()

describe('an insertion', () => {
  it.each([
    ['101 events', 101, undefined],
    ['51 events with a key, two items each', 51, 'k'],
  ])('of %s is refused before it is sent', async (_, count, key) => {
    const { store, outboxTableName, items } = await open()
    await using other = await behind(outboxTableName, {})
    await other.store.outbox.insert(event(0))
    const before = [...other.seen]
    const error = await rejectionOf(other.store.outbox.insert(Array.from({ length: count }, (_, n) => event(n + 1, key))))
    expect(error).toMatchObject({ code: 'INVALID_ARGUMENT', limit: 100, message: expect.stringContaining('at most 100 items') })
    expect(other.seen).toEqual(before)
    expect(await items()).toHaveLength(1)
    await store.close()
  })

  it.each([
    ['100 events', 100, undefined],
    ['50 events with a key', 50, 'k'],
  ])('of %s is whole', async (_, count, key) => {
    const { store } = await open()
    await store.outbox.insert(Array.from({ length: count }, (_, n) => event(n, key)))
    expect(await drained(store)).toEqual(Array.from({ length: count }, (_, n) => n))
    await store.close()
  })

  it('whose process dies is whole, or has never been', async () => {
    const { store, outboxTableName, items } = await open()
    for (let requests = 0, isWhole = false; !isWhole; requests++) {
      const { state, interference } = killedBehind(requests)
      await using other = await behind(outboxTableName, interference)
      await other.store.outbox.insert(EVENTS).catch(() => undefined)
      isWhole = !state.isDead
      const seen = await drained(store)
      expect([0, EVENTS.length]).toContain(seen.length)
      if (isWhole) expect(seen).toHaveLength(EVENTS.length)
      inOrder(seen, [1, 3])
      expect(await items()).toEqual([])
    }
    await store.close()
  })
})

type Work = (store: SagaStore, claims: Claim[]) => Promise<unknown>

/** What a process dies in, and which events may be gone then. */
const WORKS: [name: string, work: Work, sent: number[]][] = [
  ['a claim', (store) => store.outbox.claim({ workerId: 'w', leaseMs: 1 }), []],
  ['an acknowledgement', (store, claims) => store.outbox.ack(claims), [1, 2, 3]],
  ['a failure', (store, claims) => store.outbox.fail(claims, { error: 'x', retryAt: new Date(0) }), []],
  ['a release', (store, claims) => store.outbox.release(claims), []],
  ['a decision: sent', (store) => store.outbox.updateStatus('e1', 'sent'), [1]],
  ['a decision: dead letter', (store) => store.outbox.updateStatus('e1', 'dead_letter'), []],
]

describe('where a process dies between two requests of', () => {
  it.each(WORKS)(
    '%s, the rest is given to others in order, and listed',
    async (name, work, sent) => {
      const { store, outboxTableName, items } = await open()
      let deaths = 0
      for (let requests = 0, isWhole = false; !isWhole; requests++) {
        await store.outbox.insert(EVENTS)
        const claims = name === 'a claim' ? [] : await store.outbox.claim({ workerId: 'w', leaseMs: 1 })
        const { state, interference } = killedBehind(requests)
        await using other = await behind(outboxTableName, interference)
        const isRejected = await work(other.store, claims).then(
          () => false,
          () => true,
        )
        isWhole = !state.isDead
        // An answer is only given for what has happened.
        if (isWhole) expect(isRejected).toBe(false)
        else deaths += 1
        await new Promise((resume) => setTimeout(resume, 10))
        const listed = (await store.outbox.list()).events.map(({ payload }) => payload as number)
        const { ready, claimed, waiting, dead } = await store.outbox.statistics()
        expect(ready + claimed + waiting + dead).toBe(listed.length)
        // Only what the work may have published is missing.
        for (const { payload } of EVENTS) if (!sent.includes(payload)) expect(listed, `behind ${requests} requests`).toContain(payload)
        await store.outbox.requeue({})
        const seen = await drained(store)
        expect(seen.toSorted(), `behind ${requests} requests`).toEqual(listed.toSorted())
        inOrder(seen, [1, 3])
        // The place of an event in its key may stay behind: the next event of the key takes it away.
        expect(
          (await items()).filter((item) => isWhole || !isPlace(item)),
          `behind ${requests} requests`,
        ).toEqual([])
      }
      expect(deaths).toBeGreaterThan(0)
      await store.close()
    },
    120_000,
  )
})
