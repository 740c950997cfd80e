import { randomBytes } from 'node:crypto'
import { hostname } from 'node:os'
import type { Accepted } from '../arguments'
import type { OutboxCalls } from './outbox-calls'
import type { FeedTerms } from './outbox-feed'

/** Of `outbox.subscribe`. */
export interface SubscribeOptions {
  /** 1 to 256 bytes of UTF-8. Default: the name of the host, the process id and something random. */
  workerId?: string
  /** Events that are claimed at once, from 1 to 1,000. Default 100. */
  batchSize?: number
  /** How long nobody else is given an event after this process has died, up to a week. It is renewed. Default 60,000. */
  leaseMs?: number
  /** Only events of these types; at most 100. */
  eventTypes?: Iterable<string>
  /** Only events with these routing keys; at most 100. */
  routingKeys?: Iterable<string>
  /** The longest pause between two looks while there is nothing and nobody rings, in ms, up to an hour. Default 1,000. */
  pollMs?: number
  /** Stops it. */
  signal?: AbortSignal
}

/** Of `outbox.relay`. */
export interface RelayOptions extends SubscribeOptions {
  /** Handlers that run at once, from 1 to 10,000. Default 1. */
  concurrency?: number
}

export const SUBSCRIBE: Accepted<SubscribeOptions> = {
  workerId: true,
  batchSize: true,
  leaseMs: true,
  eventTypes: true,
  routingKeys: true,
  pollMs: true,
  signal: true,
}
export const RELAY: Accepted<RelayOptions> = { ...SUBSCRIBE, concurrency: true }

const LEASE_MS = 60_000
const LONGEST_LEASE_MS = 604_800_000
const POLL_MS = 1_000
const LONGEST_POLL_MS = 3_600_000
const MAX_CONCURRENCY = 10_000

/** What a worker was told, checked. */
export function termsOf(
  calls: OutboxCalls,
  given: RelayOptions | undefined,
  accepted: Accepted<SubscribeOptions>,
  operation: string,
): FeedTerms & { concurrency: number; signal: AbortSignal | undefined } {
  const options: RelayOptions = calls.options(given, accepted, operation)
  const whole = (name: 'concurrency' | 'batchSize' | 'leaseMs' | 'pollMs', usual: number, largest: number): number => {
    const { [name]: value = usual } = options
    if (Number.isSafeInteger(value) && value >= 1 && value <= largest) return value
    throw calls.invalid(`option '${name}' must be a whole number from 1 to ${largest}`, operation)
  }
  const { workerId = `${hostname()}:${process.pid}:${randomBytes(4).toString('hex')}`, signal } = options
  calls.json.checkText(workerId, "option 'workerId'", operation)
  if (workerId === '' || Buffer.byteLength(workerId) > 256 || workerId.includes('\0')) {
    throw calls.invalid("option 'workerId' must have 1 to 256 bytes of UTF-8, none of them NUL", operation)
  }
  if (signal !== undefined && !(signal instanceof AbortSignal)) throw calls.invalid("option 'signal' must be an AbortSignal", operation)
  return {
    workerId,
    signal,
    concurrency: whole('concurrency', 1, MAX_CONCURRENCY),
    batchSize: whole('batchSize', 100, 1_000),
    leaseMs: whole('leaseMs', LEASE_MS, LONGEST_LEASE_MS),
    pollMs: whole('pollMs', POLL_MS, LONGEST_POLL_MS),
    eventTypes: calls.names(options.eventTypes, 'eventTypes', operation),
    routingKeys: calls.names(options.routingKeys, 'routingKeys', operation),
  }
}
