import { isAnyArrayBuffer } from 'node:util/types'
import { takenDate } from '../arguments'
import { invalidArgument } from '../errors'
import { isError, Json, storable } from './json'
import type { Claim, NewOutboxEvent, OutboxEvent, OutboxStatus } from './outbox-types'
import { uuidv7 } from './uuid'

/** An event as the native side takes it. What it does not have is undefined. */
export type GivenEvent = [
  eventId: string,
  eventType: string,
  payload: string | Uint8Array,
  sagaId: string | undefined,
  aggregateType: string | undefined,
  aggregateId: string | undefined,
  headers: string | undefined,
  routingKey: string | undefined,
  partitionKey: string | undefined,
  availableAt: Date | undefined,
  occurredAt: Date | undefined,
]

/** An event as the native side answers it. */
export type RawEvent = [
  eventId: string,
  eventType: string,
  payload: string | Buffer,
  sagaId: string | null,
  aggregateType: string | null,
  aggregateId: string | null,
  headers: string | null,
  routingKey: string | null,
  partitionKey: string | null,
  availableAt: Date | null,
  occurredAt: Date,
  status: OutboxStatus,
  createdAt: Date,
  claimedAt: Date | null,
  sentAt: Date | null,
  retryCount: number,
  deliveries: number,
  lastError: string | null,
  workerId: string | null,
  token: string | null,
]

const EVENT: Record<keyof NewOutboxEvent, true> = {
  eventId: true,
  eventType: true,
  payload: true,
  sagaId: true,
  aggregateType: true,
  aggregateId: true,
  headers: true,
  routingKey: true,
  partitionKey: true,
  availableAt: true,
  occurredAt: true,
}

const TEXTS = ['eventId', 'eventType', 'sagaId', 'aggregateType', 'aggregateId', 'routingKey', 'partitionKey'] as const

/** Makes what the native side takes of events, and what callers are answered of what it answers. */
export class OutboxJson extends Json {
  given(event: NewOutboxEvent, operation: string): GivenEvent {
    if (typeof event !== 'object' || event === null) throw this.#invalid('an event must be an object', operation)
    for (const name of Object.keys(event)) {
      const value = event[name as keyof NewOutboxEvent]
      if (value === undefined) continue
      if (!Object.hasOwn(EVENT, name))
        throw this.#invalid(`an event has an unknown '${name}'; accepted: ${Object.keys(EVENT).join(', ')}`, operation)
      if (value === null && name !== 'payload') throw this.#invalid(`${name} of an event must not be null: leave it out`, operation)
    }
    for (const name of TEXTS) {
      const value: unknown = event[name]
      if (value !== undefined) this.checkText(value, name, operation)
    }
    const { eventId = uuidv7(), eventType, payload, sagaId, aggregateType, aggregateId, headers, routingKey, partitionKey } = event
    const availableAt = this.time(event.availableAt, 'availableAt', operation)
    const occurredAt = this.time(event.occurredAt, 'occurredAt', operation)
    const told = headers === undefined ? undefined : this.#headers(headers, operation, eventId)
    const content = this.#content(payload, operation, eventId)
    return [eventId, eventType, content, sagaId, aggregateType, aggregateId, told, routingKey, partitionKey, availableAt, occurredAt]
  }

  event(raw: RawEvent, operation: string): OutboxEvent {
    const [eventId, eventType, payload, sagaId, aggregateType, aggregateId, headers, routingKey, partitionKey, ...more] = raw
    const [availableAt, occurredAt, status, createdAt, claimedAt, sentAt, retryCount, deliveries, lastError, workerId] = more
    const value = typeof payload === 'string' ? this.parsed(payload, 'payload', eventId, operation) : payload
    const event: OutboxEvent = { eventId, eventType, payload: value, occurredAt, status, createdAt, retryCount, deliveries }
    if (sagaId !== null) event.sagaId = sagaId
    if (aggregateType !== null) event.aggregateType = aggregateType
    if (aggregateId !== null) event.aggregateId = aggregateId
    if (headers !== null) event.headers = this.parsed(headers, 'headers', eventId, operation) as Record<string, unknown>
    if (routingKey !== null) event.routingKey = routingKey
    if (partitionKey !== null) event.partitionKey = partitionKey
    if (availableAt !== null) event.availableAt = availableAt
    if (claimedAt !== null) event.claimedAt = claimedAt
    if (sentAt !== null) event.sentAt = sentAt
    if (lastError !== null) event.lastError = lastError
    if (workerId !== null) event.workerId = workerId
    return event
  }

  claim<P>(raw: RawEvent, operation: string): Claim<P> {
    return Object.assign(this.event(raw, operation), { token: raw[19] }) as Claim<P>
  }

  /** A Date as it is now, if one is given. */
  time(value: unknown, what: string, operation: string): Date | undefined {
    if (value === undefined) return undefined
    const date = takenDate(value)
    if (date instanceof Date && !Number.isNaN(date.getTime())) return date
    throw this.#invalid(`${what} must be a valid Date`, operation)
  }

  /** An unpaired surrogate would be lost on the way. */
  checkText(value: unknown, what: string, operation: string): void {
    if (typeof value !== 'string') throw this.#invalid(`${what} must be a string`, operation)
    if (/\p{Surrogate}/u.test(value)) throw this.#invalid(`${what} must be well-formed Unicode (it has an unpaired surrogate)`, operation)
  }

  #headers(headers: unknown, operation: string, eventId: string): string {
    if (typeof headers !== 'object' || Array.isArray(headers)) throw this.#invalid('headers must be an object', operation)
    return this.text(headers, 'headers', operation, eventId)
  }

  #content(payload: unknown, operation: string, eventId: string): string | Uint8Array {
    if (ArrayBuffer.isView(payload)) {
      return payload instanceof Uint8Array ? payload : Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength)
    }
    return isAnyArrayBuffer(payload) ? Buffer.from(payload) : this.text(payload, 'payload', operation, eventId)
  }

  #invalid(message: string, operation: string): Error {
    return invalidArgument(message, operation, this.backend)
  }
}

/** Why something failed, as text: whatever it is, it can be told. */
export function reasonOf(error: unknown): string {
  if (isError(error)) return storable(String(error.message) || String(error.name))
  if (typeof error === 'string') return storable(error)
  try {
    return storable(JSON.stringify(error) ?? String(error))
  } catch {
    return typeof error === 'bigint' ? String(error) : 'it cannot be told'
  }
}
