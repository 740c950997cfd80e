/** How far an event is. One that failed is `pending` again, until it is a `dead_letter`. */
export type OutboxStatus = 'pending' | 'claimed' | 'sent' | 'dead_letter'

/** An event that is to be published. */
export interface NewOutboxEvent<P = unknown> {
  /** 1 to 512 bytes of UTF-8, unique among the events that are stored. Default: a UUIDv7. */
  eventId?: string
  /** What has happened: 1 to 255 bytes of UTF-8. */
  eventType: string
  /** JSON, or bytes (a Buffer, any other view of memory, an ArrayBuffer), which come back as a Buffer. */
  payload: P
  sagaId?: string
  aggregateType?: string
  aggregateId?: string
  /** JSON, at most 64 KiB. */
  headers?: Record<string, unknown>
  /** Where it is to be published: 1 to 255 bytes of UTF-8. */
  routingKey?: string
  /** Events of one key are published in the order in which they were stored. */
  partitionKey?: string
  /** It is not claimed before that. */
  availableAt?: Date
  /** When it happened. Default: now. */
  occurredAt?: Date
}

/** An event, as it is stored. What it does not have is left out. */
export interface OutboxEvent<P = unknown> extends NewOutboxEvent<P> {
  eventId: string
  occurredAt: Date
  status: OutboxStatus
  /** When it was stored. */
  createdAt: Date
  /** When it was claimed, as long as somebody has it. */
  claimedAt?: Date
  /** When it was acknowledged. */
  sentAt?: Date
  /** How often it has failed. */
  retryCount: number
  /** How often a worker was given it and did not hand it back. */
  deliveries: number
  /** Why it failed the last time. */
  lastError?: string
  /** Who has it. */
  workerId?: string
}

/** An event that a worker has, until it acknowledges it, lets it fail or hands it back, or another worker claims it. */
export interface Claim<P = unknown> extends OutboxEvent<P> {
  status: 'claimed'
  claimedAt: Date
  workerId: string
  /** Says which claim it is of: what becomes of the event is decided with it. */
  readonly token: string
}

/** What says which claim is meant. */
export type HeldEvent = Pick<Claim, 'eventId' | 'token'>

/** How events are inserted. */
export interface OutboxInsertOptions {
  /** What happens if the id of an event is taken. `error` (the default): nothing is stored. `ignore`: the others are. */
  onDuplicate?: 'error' | 'ignore'
  /** Who has the events from the beginning on, as if it had claimed them: what is due, and has nothing of its key before it. */
  claim?: {
    /** 1 to 256 bytes of UTF-8. */
    workerId: string
    /** Default 300,000. */
    leaseMs?: number
  }
}

/** Who claims, how many events, and which. */
export interface OutboxClaimOptions {
  /** 1 to 256 bytes of UTF-8. */
  workerId: string
  /** At most so many, from 1 to 1,000. Default 100. */
  batchSize?: number
  /** How long nobody else is given them, up to a week. Default 300,000. */
  leaseMs?: number
  /** Only events of these types; at most 100. */
  eventTypes?: Iterable<string>
  /** Only events with these routing keys; at most 100. */
  routingKeys?: Iterable<string>
  /** Only events that were stored so long ago. Default 0. */
  olderThanMs?: number
}

/** Why an event has failed, and when it comes again. */
export interface OutboxFailOptions {
  /** Why: the message of an Error, text, or JSON. 8 KiB of it are kept. */
  error: unknown
  /** When it may be claimed again. Default: after a pause that doubles with each failure (`retryBackoffMs`). */
  retryAt?: Date
}

/** A page of a list. */
export interface OutboxPageOptions {
  /** From 1 to 1,000. Default 100. */
  limit?: number
  /** Of the page before. */
  cursor?: string
}

/** A page of a list of events. */
export interface OutboxListOptions extends OutboxPageOptions {
  status?: OutboxStatus
}

/** The earliest first. The last page has no cursor. */
export interface OutboxPage {
  events: OutboxEvent[]
  cursor?: string
}

/** Since when a worker has had an event. */
export interface StuckOptions {
  /** Only events that were claimed so long ago. */
  olderThanMs: number
}

/** Which dead letters; all, if it names nothing. */
export interface DeadLetterFilter {
  eventType?: string
  routingKey?: string
  partitionKey?: string
  sagaId?: string
  /** Only events that were stored so long ago. */
  olderThanMs?: number
}

/** Which events are removed. */
export interface OutboxArchiveOptions {
  /** Only events that were sent, or became dead letters, so long ago. */
  olderThanMs: number
  /** Default `['sent']`. */
  statuses?: Iterable<'sent' | 'dead_letter'>
  /** At most so many. Default: all. */
  limit?: number
}

/** How many events there are. */
export interface OutboxStatistics {
  /** Pending, and due; also those behind others of their key. */
  ready: number
  /** Somebody has them. */
  claimed: number
  /** Pending, and not due yet. */
  waiting: number
  /** Dead letters. */
  dead: number
  /** Sent, and kept (`retainSentMs`). */
  sent: number
  /** Partition keys that a dead letter holds up. */
  blockedKeys: number
  /** How long ago the earliest of those that are ready was stored; null, if there is none. */
  oldestReadyMs: number | null
}
