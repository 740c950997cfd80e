import { type Accepted, optionsOf } from '../arguments'
import { invalidArgument } from '../errors'
import { isOutboxSource, joined, type OutboxSource } from './outbox-joined'
import type { OutboxRelay } from './outbox-relay'
import type { RelayOptions } from './outbox-terms'
import type { Claim, NewOutboxEvent, OutboxEvent } from './outbox-types'

/** An event, as outbox-event-bus has it. */
export interface BusEvent<T extends string = string, P = unknown> {
  id: string
  type: T
  payload: P
  occurredAt: Date
  metadata?: Record<string, unknown>
}

/** An event that nobody tries any more. */
export interface FailedBusEvent<T extends string = string, P = unknown> extends BusEvent<T, P> {
  error?: string
  retryCount: number
  lastAttemptAt?: Date
}

/** What `onError` is told: an error of the classes that are given, or one with the same name and fields. */
export interface OutboxEventBusError extends Error {
  context?: { event?: BusEvent | FailedBusEvent; cause?: unknown }
}

/** What `OutboxEventBus` of outbox-event-bus takes for an outbox (`IOutbox`). */
export interface OutboxEventBusOutbox {
  /**
   * Stores events: all of them or none, at most 1,000.
   *
   * @param transaction a transaction that `withTransaction` takes, or that `store.transaction` gives. Without one they
   *   join the transaction that the caller is in, if any
   */
  publish(events: BusEvent[], transaction?: unknown): Promise<void>
  /**
   * Hands events to `handler` until `stop`. What it throws is told to `onError`, and the event comes again after a pause.
   * Once it runs, a second call only replaces `handler` and `onError`.
   */
  start(handler: (event: BusEvent) => Promise<void>, onError: (error: OutboxEventBusError) => void): void
  /** Waits for handlers that run, and hands back what has not been begun. */
  stop(): Promise<void>
  /** Dead letters, the earliest first, at most 1,000. */
  getFailedEvents(): Promise<FailedBusEvent[]>
  /** Brings dead letters back. Other events stay as they are. */
  retryEvents(eventIds: string[]): Promise<void>
}

/** Options of `outboxEventBusOutbox`. */
export interface OutboxEventBusOptions extends Pick<RelayOptions, 'workerId' | 'concurrency' | 'batchSize' | 'leaseMs' | 'pollMs'> {
  /** Classes of outbox-event-bus, by which `onError` tells what has happened: the module itself, or these two. */
  errors?: {
    HandlerError: new (cause: unknown, event: BusEvent) => Error
    MaxRetriesExceededError: new (cause: unknown, event: FailedBusEvent) => Error
  }
  /** Events of one key are handled one after the other, in the order in which they were published. Default: no event has one. */
  partitionKey?: (event: BusEvent) => string | undefined
}

const OPTIONS: Accepted<OutboxEventBusOptions> = {
  workerId: true,
  concurrency: true,
  batchSize: true,
  leaseMs: true,
  pollMs: true,
  errors: true,
  partitionKey: true,
}

/**
 * The outbox of a store as an outbox of outbox-event-bus.
 *
 * ```ts
 * import * as errors from 'outbox-event-bus'
 * const bus = new errors.OutboxEventBus(outboxEventBusOutbox(store, { errors, concurrency: 50 }), onError)
 * ```
 *
 * `metadata` are the `headers` of an event. How often an event is tried, and after which pauses, is said by the store's
 * options (`outbox.maxRetries`, `outbox.retryBackoffMs`). Its publishers collect events for 100 ms before they send them:
 * let `concurrency` be as large as their `bufferSize` (50).
 *
 * @param store a store, or the transaction that `store.transaction` gives: that one can only publish
 */
export function outboxEventBusOutbox(store: OutboxSource, options?: OutboxEventBusOptions): OutboxEventBusOutbox {
  const { errors, partitionKey, ...relayed } = checked(store, options)
  const { outbox } = store
  let relay: OutboxRelay | undefined
  let handle: Parameters<OutboxEventBusOutbox['start']>[0]
  let tell: Parameters<OutboxEventBusOutbox['start']>[1]

  const report = (cause: unknown, claim: Claim): void => {
    const event = busEvent(claim)
    const retryCount = claim.retryCount + 1
    const error =
      retryCount > outbox.maxRetries
        ? errorOf(errors?.MaxRetriesExceededError, 'MaxRetriesExceededError', cause, { ...event, retryCount, error: textOf(cause) })
        : errorOf(errors?.HandlerError, 'HandlerError', cause, event)
    tell(error)
  }

  return {
    async publish(events, transaction) {
      const given = Array.from(events, (event) => newEvent(event, partitionKey))
      if (given.length > 0) await joined(store, transaction, 'outboxEventBusOutbox', (within) => within.outbox.insert(given))
    },

    start(handler, onError) {
      ;[handle, tell] = [handler, onError]
      relay ??= outbox.relay(async (claim) => {
        try {
          await handle(busEvent(claim))
        } catch (error) {
          try {
            report(error, claim)
          } catch {
            // What becomes of the event does not depend on who is told.
          }
          throw error
        }
      }, relayed)
    },

    async stop() {
      const stopped = relay
      relay = undefined
      await stopped?.stop()
    },

    async getFailedEvents() {
      const { events } = await outbox.deadLetters({ limit: 1_000 })
      return events.map(failedEvent)
    },

    async retryEvents(eventIds) {
      await outbox.requeue(eventIds)
    },
  }
}

function checked(store: OutboxSource, options: OutboxEventBusOptions | undefined): OutboxEventBusOptions {
  const invalid = (message: string) => invalidArgument(message, 'outboxEventBusOutbox')
  if (!isOutboxSource(store)) throw invalid('outboxEventBusOutbox takes a store, or a transaction of one')
  const taken = optionsOf(options, OPTIONS, 'outboxEventBusOutbox')
  const { errors, partitionKey } = taken
  if (partitionKey !== undefined && typeof partitionKey !== 'function') throw invalid("option 'partitionKey' must be a function")
  for (const name of ['HandlerError', 'MaxRetriesExceededError'] as const) {
    if (errors === undefined) break
    if (typeof errors?.[name] !== 'function') throw invalid(`option 'errors' must have the class '${name}' of outbox-event-bus`)
  }
  return taken
}

function newEvent(event: BusEvent, partitionKey: OutboxEventBusOptions['partitionKey']): NewOutboxEvent {
  const { id, type, payload, occurredAt, metadata } = event
  const key = partitionKey?.(event)
  return {
    eventId: id,
    eventType: type,
    payload,
    occurredAt,
    ...(metadata !== undefined && { headers: metadata }),
    ...(key !== undefined && { partitionKey: key }),
  }
}

function busEvent({ eventId, eventType, payload, occurredAt, headers }: OutboxEvent): BusEvent {
  return { id: eventId, type: eventType, payload, occurredAt, ...(headers !== undefined && { metadata: headers }) }
}

function failedEvent(event: OutboxEvent): FailedBusEvent {
  const { retryCount, lastError } = event
  return { ...busEvent(event), retryCount, ...(lastError !== undefined && { error: lastError }) }
}

function errorOf<E extends BusEvent>(
  Class: (new (cause: unknown, event: E) => Error) | undefined,
  name: string,
  cause: unknown,
  event: E,
): OutboxEventBusError {
  if (Class !== undefined) return new Class(cause, event)
  const error = new Error(`${name}: ${textOf(cause)}`, { cause })
  return Object.assign(error, { name, event, context: { cause, event } })
}

function textOf(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause)
}
