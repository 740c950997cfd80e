import { randomUUID } from 'node:crypto'
import type { Health } from '../backend'
import { errorOf, invalidArgument } from '../errors'
import { isOutboxSource, joined, type OutboxSource } from './outbox-joined'
import type { NewOutboxEvent, OutboxEvent } from './outbox-types'

/** What `sagazOutbox` takes: a store. */
export interface SagazOutboxSource extends OutboxSource {
  /** As `store.health`. */
  health(): Promise<Health>
}

/** An event's status, as sagaz has it. `failed` is only said to `updateStatus`: such an event is pending here. */
export type SagazOutboxStatus = 'pending' | 'claimed' | 'sent' | 'failed' | 'dead_letter'

/** An event, as sagaz has it. */
export interface SagazOutboxEvent {
  eventId: string
  sagaId: string
  eventType: string
  payload: unknown
  aggregateType: string
  aggregateId: string
  headers: Record<string, unknown>
  status: SagazOutboxStatus
  createdAt: Date
  claimedAt: Date | null
  sentAt: Date | null
  retryCount: number
  lastError: string | null
  workerId: string | null
  routingKey: string | null
  partitionKey: string | null
}

/** An event to insert: what sagaz gives a default may be left out. */
export type SagazNewOutboxEvent = Pick<SagazOutboxEvent, 'sagaId' | 'eventType' | 'payload'> & Partial<SagazOutboxEvent>

/** What sagaz' workers take for an outbox (`OutboxStorage`), in camel case, with its inbox. */
export interface SagazOutbox {
  /**
   * `connection`, here and below: a transaction that `withTransaction` takes, or that `store.transaction` gives.
   *
   * @throws AlreadyExistsError if the id is taken
   */
  insert(event: SagazNewOutboxEvent, connection?: unknown): Promise<SagazOutboxEvent>
  /** The event with this id, or null. */
  getById(eventId: string): Promise<SagazOutboxEvent | null>
  /**
   * Decides about an event, whoever has it. `failed` counts a failure: the event is pending again after a pause, or a dead
   * letter, as the answer says. `pending`: at once.
   *
   * @throws NotFoundError if there is none
   */
  updateStatus(eventId: string, status: SagazOutboxStatus, errorMessage?: string | null, connection?: unknown): Promise<SagazOutboxEvent>
  /** Nobody else is given them for five minutes. */
  claimBatch(workerId: string, batchSize?: number, olderThanSeconds?: number): Promise<SagazOutboxEvent[]>
  /** All events of a saga, the earliest first. */
  getEventsBySaga(sagaId: string): Promise<SagazOutboxEvent[]>
  /** Events that were claimed so long ago, the earliest first, at most 1,000. Default 300 seconds. */
  getStuckEvents(claimedOlderThanSeconds?: number): Promise<SagazOutboxEvent[]>
  /** Makes them pending; answers how many. Default 300 seconds. */
  releaseStuckEvents(claimedOlderThanSeconds?: number): Promise<number>
  /** How many events are pending. */
  getPendingCount(): Promise<number>
  /** The earliest first. Default 100. */
  getDeadLetterEvents(limit?: number): Promise<SagazOutboxEvent[]>
  /** Removes them. Default: those sent 30 days ago. */
  archiveEvents(olderThanDays?: number, statuses?: Iterable<'sent' | 'dead_letter'>): Promise<number>
  /** Removes them. Default: those sent 7 days ago. */
  archiveSentEvents(olderThanDays?: number): Promise<number>
  /** Whether the store can be used. */
  healthCheck(): Promise<{
    status: Health['status']
    isHealthy: boolean
    latencyMs: number
    message: string
    details: Record<string, unknown>
    checkedAt: string
  }>
  /** How many events there are; `failedRecords` are the dead letters. */
  getStatistics(): Promise<{ totalRecords: number; pendingRecords: number; failedRecords: number }>
  /** All events, page by page. */
  exportAll(): AsyncIterableIterator<SagazOutboxEvent>
  /** What was sent or is a dead letter is so here, too. Times and counts are not kept. */
  importRecord(record: SagazNewOutboxEvent): Promise<void>
  /** How many events there are. */
  count(): Promise<number>
  /** True for a message that the consumer has had already. Topic, type and payload are not kept. */
  checkAndInsertInbox(
    eventId: string,
    consumerName: string,
    sourceTopic?: string,
    eventType?: string,
    payload?: unknown,
    connection?: unknown,
  ): Promise<boolean>
  /** Durations are not kept. */
  updateInboxDuration(eventId: string, durationMs: number): Promise<void>
  /** Removes what is remembered no longer (7 days), of all consumers; the arguments are not looked at. */
  cleanupInbox(consumerName?: string, olderThanDays?: number): Promise<number>
}

const PAGE = 1_000
const DAY_MS = 86_400_000

/**
 * The outbox and the inbox of a store as an outbox of sagaz (`OutboxStorage`), for workers that are written like its own.
 * They decide about events by id, without a token: where a late worker must change nothing, use `store.outbox`.
 */
export function sagazOutbox(store: SagazOutboxSource): SagazOutbox {
  if (!isOutboxSource(store) || typeof store.health !== 'function') throw invalid('sagazOutbox takes a store')
  const { outbox, inbox } = store

  async function* all(page: (more: { limit: number; cursor?: string }) => ReturnType<typeof outbox.list>) {
    let cursor: string | undefined
    do {
      const found = await page({ limit: PAGE, ...(cursor !== undefined && { cursor }) })
      yield* found.events.map(sagazEvent)
      cursor = found.cursor
    } while (cursor !== undefined)
  }

  return {
    insert: (event, connection) =>
      joined(store, connection, 'sagazOutbox', async (within) => {
        const given = newEvent(event)
        await within.outbox.insert(given)
        return sagazEvent({ ...given, ...NEW, createdAt: new Date() })
      }),

    async getById(eventId) {
      const found = await outbox.get(eventId)
      return found === null ? null : sagazEvent(found)
    },

    updateStatus: (eventId, status, errorMessage, connection) =>
      joined(store, connection, 'sagazOutbox', async (within) => {
        if (status === 'claimed') throw invalid("status must not be 'claimed': an event is claimed by claimBatch")
        const before = await within.outbox.get(eventId)
        await within.outbox.updateStatus(eventId, status, errorMessage ?? undefined)
        // What is sent is removed, unless it is kept.
        const after = status === 'sent' ? null : await within.outbox.get(eventId)
        const known = after ?? before
        if (known === null) throw errorOf('NOT_FOUND', 'not found: the event', { operation: 'sagazOutbox', id: eventId })
        const event = sagazEvent(known)
        if (status === 'sent') return { ...event, status, sentAt: event.sentAt ?? new Date(), claimedAt: null, workerId: null }
        return status === 'failed' && event.status === 'pending' ? { ...event, status } : event
      }),

    async claimBatch(workerId, batchSize = 100, olderThanSeconds = 0) {
      const claimed = await outbox.claim({ workerId, batchSize, olderThanMs: millis(olderThanSeconds, 'olderThanSeconds', 1_000) })
      return claimed.map(sagazEvent)
    },

    getEventsBySaga: (sagaId) => listOf(all((more) => outbox.bySaga(sagaId, more))),

    async getStuckEvents(claimedOlderThanSeconds = 300) {
      const olderThanMs = millis(claimedOlderThanSeconds, 'claimedOlderThanSeconds', 1_000)
      return (await outbox.findStuck({ olderThanMs, limit: PAGE })).map(sagazEvent)
    },

    async releaseStuckEvents(claimedOlderThanSeconds = 300) {
      return await outbox.releaseStuck({ olderThanMs: millis(claimedOlderThanSeconds, 'claimedOlderThanSeconds', 1_000) })
    },

    getPendingCount: () => outbox.pendingCount(),

    async getDeadLetterEvents(limit = 100) {
      return (await outbox.deadLetters({ limit })).events.map(sagazEvent)
    },

    async archiveEvents(olderThanDays = 30, statuses = ['sent']) {
      return await outbox.archive({ olderThanMs: millis(olderThanDays, 'olderThanDays', DAY_MS), statuses })
    },

    async archiveSentEvents(olderThanDays = 7) {
      return await outbox.archive({ olderThanMs: millis(olderThanDays, 'olderThanDays', DAY_MS) })
    },

    async healthCheck() {
      const { status, latencyMs, message = '', details, backend, serverVersion } = await store.health()
      const more = { ...details, backend, ...(serverVersion !== undefined && { serverVersion }) }
      return { status, isHealthy: status !== 'unhealthy', latencyMs, message, details: more, checkedAt: new Date().toISOString() }
    },

    async getStatistics() {
      const { ready, claimed, waiting, dead, sent } = await outbox.statistics()
      return { totalRecords: ready + claimed + waiting + dead + sent, pendingRecords: ready + waiting, failedRecords: dead }
    },

    exportAll: () => all((more) => outbox.list(more)),

    async importRecord(record) {
      const { status = 'pending', lastError } = record
      const given = newEvent(record)
      // In no worker's hands meanwhile: what was sent is not sent again.
      const isOver = status === 'sent' || status === 'dead_letter'
      await outbox.insert(given, isOver ? { claim: { workerId: `import-${randomUUID()}` } } : {})
      if (isOver) await outbox.updateStatus(given.eventId, status, lastError ?? undefined)
    },

    async count() {
      const { ready, claimed, waiting, dead, sent } = await outbox.statistics()
      return ready + claimed + waiting + dead + sent
    },

    checkAndInsertInbox: (eventId, consumerName, _sourceTopic, _eventType, _payload, connection) =>
      joined(store, connection, 'sagazOutbox', async (within) => !(await within.inbox.accept(consumerName, eventId))),

    updateInboxDuration: async () => undefined,

    cleanupInbox: () => inbox.cleanup(),
  }
}

/** What an event has that has just been stored. */
const NEW = { status: 'pending', retryCount: 0, deliveries: 0 } as const

function newEvent(event: SagazNewOutboxEvent): NewOutboxEvent & { eventId: string; occurredAt: Date } {
  if (typeof event !== 'object' || event === null) throw invalid('an event must be an object')
  const { eventId = randomUUID(), eventType, payload, sagaId, aggregateType = 'saga', aggregateId = sagaId, headers = {} } = event
  const { createdAt: occurredAt = new Date(), routingKey, partitionKey } = event
  return {
    ...{ eventId, eventType, payload, sagaId, aggregateType, aggregateId, headers, occurredAt },
    ...(routingKey != null && { routingKey }),
    ...(partitionKey != null && { partitionKey }),
  }
}

/** Its `createdAt` is when it happened, as with sagaz, where the event says so itself. */
function sagazEvent(event: Omit<OutboxEvent, 'sentAt'> & { sentAt?: Date }): SagazOutboxEvent {
  const { eventId, eventType, payload, status, retryCount, occurredAt, sagaId = '', headers = {} } = event
  return {
    ...{ eventId, sagaId, eventType, payload, headers, status, retryCount },
    aggregateType: event.aggregateType ?? 'saga',
    aggregateId: event.aggregateId ?? sagaId,
    createdAt: occurredAt,
    claimedAt: event.claimedAt ?? null,
    sentAt: event.sentAt ?? null,
    lastError: event.lastError ?? null,
    workerId: event.workerId ?? null,
    routingKey: event.routingKey ?? null,
    partitionKey: event.partitionKey ?? null,
  }
}

function invalid(message: string): Error {
  return invalidArgument(message, 'sagazOutbox')
}

function millis(value: number, name: string, unit: number): number {
  if (typeof value === 'number' && Number.isFinite(value) && value >= 0) return Math.round(value * unit)
  throw invalid(`${name} must be a number from 0 on`)
}

async function listOf<T>(values: AsyncIterable<T>): Promise<T[]> {
  const list: T[] = []
  for await (const value of values) list.push(value)
  return list
}
