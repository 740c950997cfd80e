import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import Database from 'better-sqlite3'
import pg from 'pg'
import { describe, expect, it } from 'vitest'
import {
  type BusEvent,
  type FailedBusEvent,
  type OutboxEventBusError,
  type OutboxEventBusOutbox,
  openStore,
  outboxEventBusOutbox,
  PostgresSagaStore,
  SqliteSagaStore,
} from '../../index.js'
import { rejectionOf } from '../support/promises'
import { missing, openTarget, targets, temporaryDirectory, temporarySchema } from '../support/targets'

const on = targets.filter(({ name }) => ['memory', 'sqlite', 'postgres', 'redis', 'dynamodb'].includes(name))
const QUICK = { outbox: { maxRetries: 2, retryBackoffMs: 5 } }

/** `IOutbox` of outbox-event-bus 2.0, which is in no registry: as its sources have it. */
interface IOutbox<Transaction> {
  publish: (events: BusEvent[], transaction?: Transaction) => Promise<void>
  start: (handler: (event: BusEvent) => Promise<void>, onError: (error: OutboxError) => void) => void
  stop: () => Promise<void>
  getFailedEvents: () => Promise<FailedBusEvent[]>
  retryEvents: (eventIds: string[]) => Promise<void>
}
abstract class OutboxError extends Error {
  context?: { event?: BusEvent | FailedBusEvent; cause?: unknown; [key: string]: unknown } | undefined
}
class HandlerError extends OutboxError {
  constructor(
    cause: unknown,
    readonly event: BusEvent,
  ) {
    super(`Event handler failed: ${(cause as Error).message}`, { cause })
  }
}
class MaxRetriesExceededError extends OutboxError {
  constructor(
    cause: unknown,
    readonly event: FailedBusEvent,
  ) {
    super('Max retries exceeded', { cause })
  }
}

function newEvent(more: Partial<BusEvent> = {}): BusEvent {
  return { id: randomUUID(), type: 'OrderPlaced', payload: { order: 'o-1' }, occurredAt: new Date('2026-11-24T10:00:00.123Z'), ...more }
}

/** Waits until it is true. */
async function until(isTrue: () => boolean | Promise<boolean>): Promise<void> {
  for (let waited = 0; !(await isTrue()); waited += 5) {
    if (waited > 5_000) throw new Error('it did not happen')
    await sleep(5)
  }
}

/** Whatever is handled, and whatever is told. */
function started(outbox: OutboxEventBusOutbox, handler: (event: BusEvent) => Promise<void> = async () => undefined) {
  const handled: BusEvent[] = []
  const errors: OutboxEventBusError[] = []
  outbox.start(
    async (event) => {
      await handler(event)
      handled.push(event)
    },
    (error) => errors.push(error),
  )
  return { handled, errors }
}

for (const target of on) {
  describe.skipIf(missing(target))(`${target.name}, as an outbox of outbox-event-bus`, () => {
    it('hands over what is published, as it was, once', async () => {
      await using store = await openTarget(target)
      const outbox = outboxEventBusOutbox(store)
      const events = [newEvent({ metadata: { trace: 'abc', n: 1 } }), newEvent({ payload: [1, 'two', null] }), newEvent({ type: 'Other' })]
      await outbox.publish(events.slice(0, 2))
      const { handled, errors } = started(outbox)
      await outbox.publish(events.slice(2))
      await outbox.publish([])
      await until(() => handled.length === 3)
      await outbox.stop()
      expect([handled, errors]).toEqual([events, []])
      expect(await store.outbox.pendingCount()).toBe(0)
      await outbox.publish([newEvent()])
      await sleep(30)
      expect(handled).toHaveLength(3)
      const again = started(outbox)
      await until(() => again.handled.length === 1)
      await outbox.stop()
      await outbox.stop()
    })

    it('refuses an id that is taken, and stores nothing of that call', async () => {
      await using store = await openTarget(target)
      const outbox = outboxEventBusOutbox(store)
      const [first, second] = [newEvent(), newEvent()]
      await outbox.publish([first])
      expect(await rejectionOf(outbox.publish([second, first]))).toMatchObject({ code: 'ALREADY_EXISTS', id: first.id })
      expect(await store.outbox.get(second.id)).toBeNull()
    })

    it('tells of failures with its own classes, in the end of a dead letter, which comes again when it is told to', async () => {
      await using store = await openTarget(target, QUICK)
      const outbox = outboxEventBusOutbox(store, { errors: { HandlerError, MaxRetriesExceededError } })
      const [event, waiting] = [newEvent({ metadata: { m: 1 } }), newEvent({ type: 'Waiting' })]
      const cause = new Error('no broker')
      let fails = true
      await outbox.publish([event])
      const { handled, errors } = started(outbox, async () => {
        if (fails) throw cause
      })
      await until(async () => (await outbox.getFailedEvents()).length === 1)
      expect(errors.map((error) => error.constructor)).toEqual([HandlerError, HandlerError, MaxRetriesExceededError])
      expect(errors[0]).toMatchObject({ message: 'Event handler failed: no broker', event, cause })
      expect(errors[2]).toMatchObject({ event: { ...event, retryCount: 3, error: 'no broker' }, cause })
      expect(await outbox.getFailedEvents()).toEqual([{ ...event, retryCount: 3, error: 'no broker' }])
      await outbox.stop()
      await outbox.publish([waiting])
      await store.outbox.claim({ workerId: 'other' })
      fails = false
      const more = started(outbox)
      // What somebody works on is left to him, and what there is not is not made.
      await outbox.retryEvents([event.id, waiting.id, 'no'])
      await until(() => more.handled.length === 1)
      await sleep(30)
      await outbox.stop()
      expect([handled, more.handled]).toEqual([[], [event]])
      expect(await outbox.getFailedEvents()).toEqual([])
      expect(await store.outbox.get(waiting.id)).toMatchObject({ status: 'claimed', workerId: 'other' })
      expect(await store.outbox.get('no')).toBeNull()
    })

    it('goes on where onError throws, and says without its classes what has happened', async () => {
      await using store = await openTarget(target, { outbox: { maxRetries: 1, retryBackoffMs: 5 } })
      const outbox = outboxEventBusOutbox(store)
      const event = newEvent()
      const told: OutboxEventBusError[] = []
      outbox.start(
        async () => {
          throw 'broken'
        },
        (error) => {
          told.push(error)
          throw new Error('onError is broken, too')
        },
      )
      await outbox.publish([event])
      await until(async () => (await outbox.getFailedEvents()).length === 1)
      await outbox.stop()
      expect(told).toMatchObject([
        { name: 'HandlerError', event, context: { cause: 'broken', event } },
        { name: 'MaxRetriesExceededError', event: { ...event, retryCount: 2 }, cause: 'broken' },
      ])
    })

    it('waits for a handler that runs, and hands back what has not been begun', async () => {
      await using store = await openTarget(target)
      const outbox = outboxEventBusOutbox(store)
      const events = [newEvent(), newEvent(), newEvent()]
      await outbox.publish(events)
      let isRunning = false
      const { handled } = started(outbox, async () => {
        isRunning = true
        await sleep(50)
      })
      await until(() => isRunning)
      await outbox.stop()
      expect(handled).toEqual(events.slice(0, 1))
      expect(await store.outbox.statistics()).toMatchObject({ ready: 2, claimed: 0 })
    })

    it('keeps the order of a key, and handles the others meanwhile', async () => {
      await using store = await openTarget(target)
      const partitionKey = ({ payload }: BusEvent) => (payload as { key?: string }).key
      const outbox = outboxEventBusOutbox(store, { concurrency: 10, partitionKey })
      const keyed = (key: string | undefined, n: number) => newEvent({ payload: { n, ...(key !== undefined && { key }) } })
      await outbox.publish([...[1, 2, 3, 4].flatMap((n) => [keyed('a', n), keyed('b', n)]), keyed(undefined, 0)])
      let [running, most] = [0, 0]
      const busy = new Set<unknown>()
      const { handled } = started(outbox, async ({ payload }) => {
        const { key } = payload as { key?: string }
        expect(busy.has(key)).toBe(false)
        if (key !== undefined) busy.add(key)
        running += 1
        most = Math.max(most, running)
        await sleep(5)
        running -= 1
        busy.delete(key)
      })
      await until(() => handled.length === 9)
      await outbox.stop()
      const of = (key: string) => handled.map(({ payload }) => payload as { key?: string; n: number }).filter((one) => one.key === key)
      for (const key of ['a', 'b']) expect(of(key).map(({ n }) => n)).toEqual([1, 2, 3, 4])
      expect(most).toBe(3)
    })

    it('publishes within a transaction of the store', async () => {
      await using store = await openTarget(target)
      const outbox: IOutbox<unknown> = outboxEventBusOutbox(store)
      const [kept, undone, joined] = [newEvent(), newEvent(), newEvent()]
      await store.transaction(async (tx) => {
        await outbox.publish([kept], tx)
        await outbox.publish([joined])
        await outboxEventBusOutbox(tx).publish([newEvent()])
      })
      const failing = store.transaction(async (tx) => {
        await outbox.publish([undone], tx)
        throw new Error('undo')
      })
      await expect(failing).rejects.toThrow('undo')
      expect(await store.outbox.pendingCount()).toBe(3)
      expect(await store.outbox.get(undone.id)).toBeNull()
    })
  })
}

const onPostgres = { name: 'postgres', variable: 'POSTGRES_URL', available: process.env.POSTGRES_URL !== undefined }

describe('in a transaction of a client', () => {
  it('of better-sqlite3, synchronous or not', async () => {
    const database = new Database(join(temporaryDirectory(), 'orders.db'))
    await using store = new SqliteSagaStore({ client: database })
    await store.initialize()
    const outbox: IOutbox<Database.Database> = outboxEventBusOutbox(store)
    const [kept, undone, late, lateUndone] = [newEvent(), newEvent(), newEvent(), newEvent()]
    const published: Promise<void>[] = []
    const publish = (event: BusEvent, fails: boolean) =>
      database.transaction(() => {
        published.push(outbox.publish([event], database))
        if (fails) throw new Error('undo')
      })
    publish(kept, false)()
    // One transaction at a time on a handle.
    await Promise.all(published)
    expect(publish(undone, true)).toThrow('undo')
    await Promise.all(published)
    for (const [event, end] of [
      [late, 'commit'],
      [lateUndone, 'rollback'],
    ] as const) {
      database.exec('begin')
      await outbox.publish([event], database)
      database.exec(end)
    }
    const ids = (await store.outbox.list()).events.map(({ eventId }) => eventId)
    expect(ids).toEqual([kept.id, late.id])
    expect((await rejectionOf(outbox.publish([newEvent()], database))).code).toBe('INVALID_ARGUMENT')
    database.close()
  })

  it.skipIf(missing(onPostgres))('of pg', async () => {
    const pool = new pg.Pool({ connectionString: process.env.POSTGRES_URL, max: 2 })
    await using store = new PostgresSagaStore({ client: pool, schema: temporarySchema() })
    await store.initialize()
    const outbox: IOutbox<pg.PoolClient> = outboxEventBusOutbox(store)
    const [kept, undone] = [newEvent(), newEvent()]
    const client = await pool.connect()
    for (const [event, end] of [
      [undone, 'rollback'],
      [kept, 'commit'],
    ] as const) {
      await client.query('begin')
      await outbox.publish([event], client)
      expect(await store.outbox.pendingCount()).toBe(0)
      await client.query(end)
    }
    client.release()
    const { handled } = started(outbox)
    await until(() => handled.length === 1)
    await outbox.stop()
    expect(handled).toEqual([kept])
    await pool.end()
  })
})

describe('outboxEventBusOutbox', () => {
  it('takes a store, and options that it knows', async () => {
    await using store = openStore('memory://')
    for (const wrong of [undefined, null, {}, store.outbox]) {
      expect(() => outboxEventBusOutbox(wrong as never)).toThrow(expect.objectContaining({ code: 'INVALID_ARGUMENT' }))
    }
    for (const options of [{ maxRetries: 5 }, { errors: {} }, { errors: null }, { errors: { HandlerError } }, { partitionKey: 'key' }]) {
      expect(() => outboxEventBusOutbox(store, options as never)).toThrow(expect.objectContaining({ code: 'INVALID_ARGUMENT' }))
    }
    expect(() => started(outboxEventBusOutbox(store, { concurrency: 0 }))).toThrow(expect.objectContaining({ code: 'INVALID_ARGUMENT' }))
  })

  it('takes no transaction of another database: it would publish beside it', async () => {
    await using store = openStore('memory://')
    for (const transaction of ['tx', 5, {}, []]) {
      expect((await rejectionOf(outboxEventBusOutbox(store).publish([newEvent()], transaction))).code).toBe('INVALID_ARGUMENT')
    }
    expect(await store.outbox.pendingCount()).toBe(0)
  })

  it('has a transaction publish, and do nothing else that outlives it', async () => {
    await using store = openStore('memory://')
    await store.transaction(async (tx) => {
      const outbox = outboxEventBusOutbox(tx)
      expect(() => started(outbox)).toThrow(expect.objectContaining({ code: 'UNSUPPORTED' }))
      expect((await rejectionOf(outbox.publish([newEvent()], []))).message).toContain('a transaction of its own')
    })
  })
})
