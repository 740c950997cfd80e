import type { BackendName } from '../backend'
import type { Runner } from '../kinds/runner'
import { OPERATIONS } from '../operations'

/** The kinds of records that a store keeps. */
export type RecordKind = 'payloads' | 'states' | 'executions' | 'outbox' | 'inbox'

/** All of them, in the order in which they are moved: what others point to comes first. */
export const RECORD_KINDS: readonly RecordKind[] = ['payloads', 'states', 'executions', 'outbox', 'inbox']

/** A payload, as it is stored. */
export interface PayloadRecord {
  /** The claim id. */
  id: string
  /** Its bytes, as they are stored: one that was compressed is compressed. */
  data: Uint8Array
  expiresAt?: Date
}

/** A payload without its bytes. */
export interface PayloadSize {
  /** The claim id. */
  id: string
  /** How many bytes are stored: of a compressed one, so many as it has compressed. */
  bytes: number
  expiresAt?: Date
}

/** A saga's state, as it is stored. */
export interface StateRecord {
  sagaName: string
  sagaId: string
  correlationId: string
  version: number
  isCompleted: boolean
  createdAt: Date
  updatedAt: Date
  /** When it ended first. */
  completedAt?: Date
  timeoutAt?: Date
  expiresAt?: Date
  /** The whole state, JSON. */
  state: string
}

/**
 * An entry of an execution's log, as it is stored: number, step, action, status, step id, details, JSON of all else,
 * time.
 */
export type StoredEntry = [
  seq: number,
  stepName: string,
  action: string,
  status: string,
  stepId: string | null,
  details: string | null,
  body: string | null,
  at: Date,
]

/** An execution with its whole log, as it is stored. */
export interface ExecutionRecord {
  sagaId: string
  name: string
  status: string
  subStatus?: string
  /** JSON. */
  context?: string
  /** JSON. */
  metadata?: string
  tags: string[]
  version: number
  /** Of the lease; empty: it was leased, and nobody has it now. */
  token?: string
  workerId?: string
  /** When it may be claimed; of one that is leased, when the lease is over. */
  dueAt?: Date
  attempts: number
  lastError?: string
  /** The last change, by which its repetition is known. */
  lastOperation?: { id: string; version: number; firstSeq?: number }
  createdAt: Date
  updatedAt: Date
  completedAt?: Date
  parkedAt?: Date
  expiresAt?: Date
  entries: StoredEntry[]
}

/** An event, as it is stored. */
export interface EventRecord {
  eventId: string
  eventType: string
  /** JSON as text, or bytes. */
  payload: string | Uint8Array
  sagaId?: string
  aggregateType?: string
  aggregateId?: string
  /** JSON. */
  headers?: string
  routingKey?: string
  partitionKey?: string
  availableAt?: Date
  occurredAt: Date
  /** Of the insertion. */
  operation: string
  status: string
  createdAt: Date
  claimedAt?: Date
  sentAt?: Date
  deadAt?: Date
  retryCount: number
  deliveries: number
  lastError?: string
  workerId?: string
  /** Of the claim. */
  token?: string
  leaseUntil?: Date
  /** When it may be claimed, if not at once. */
  dueAt?: Date
  expiresAt?: Date
}

/** An entry of the inbox, as it is stored. */
export interface InboxRecord {
  consumer: string
  messageId: string
  operation: string
  expiresAt: Date
}

/** The records of each kind. */
export interface RecordsOfKinds {
  payloads: PayloadRecord
  states: StateRecord
  executions: ExecutionRecord
  outbox: EventRecord
  inbox: InboxRecord
}

/** What becomes of a record whose id the target has already. */
export type OnConflict = 'skip-existing' | 'overwrite' | 'fail' | 'newer'

/** The first is the default. */
export const ON_CONFLICT = ['skip-existing', 'overwrite', 'fail', 'newer'] as const satisfies readonly OnConflict[]

/** What becomes of a record that cannot be moved; the first is the default. */
export const ON_ERROR = ['fail', 'skip', 'retry'] as const

/** What a record is known by in its kind: its id, or for saga state its name and saga id, for the inbox consumer and message id. */
export type RecordKey = string | [name: string, id: string]

/** What became of a record that was to be stored. */
export type Fate = 'stored' | 'skipped' | 'expired' | { code: string; message: string; retryable: boolean }

/** Which part of a kind's records is meant. */
export interface ScanOptions {
  /** What the page before ended with. */
  after?: string
  /** Records in a page, at most 1,000. A page may have fewer, also none, although it is not the last. */
  limit: number
  /** Bytes in a page, about; one record may be more. Default 8 MiB. */
  maxBytes?: number
}

/** A page of a scan. */
export interface RecordPage<R> {
  records: R[]
  /** Keys of what cannot be read, and why. */
  unreadable: [key: string, why: string][]
  /** What the next page begins behind; null: that was all. */
  cursor: string | null
}

/** Records that are read and written at a time, and their bytes. */
export const PAGE = { limit: 500, maxBytes: 8 * 1_024 * 1_024 }

/**
 * Whole records of a store, as they are stored. What is done here is no part of a transaction (`UNSUPPORTED` in one).
 */
export class Records {
  readonly backend: BackendName
  readonly #runner: Runner

  constructor(runner: Runner) {
    this.backend = runner.backend
    this.#runner = runner
  }

  /** A page of what is stored of a kind, also of what has expired and is still there. */
  scan<K extends RecordKind>(kind: K, { after, limit, maxBytes }: ScanOptions): Promise<RecordPage<RecordsOfKinds[K]>> {
    return this.#runner.run(OPERATIONS.scan, [{ kind, after, limit, maxBytes }])
  }

  /** A page of payloads without their bytes. */
  sizes({ after, limit }: ScanOptions): Promise<RecordPage<PayloadSize>> {
    return this.#runner.run(OPERATIONS.scan, [{ kind: 'payloads', after, limit, onlySizes: true }])
  }

  /**
   * All pages of a kind.
   *
   * @param check called before each of them: what it throws ends the reading
   */
  pages<K extends RecordKind>(kind: K, check?: () => void): AsyncGenerator<RecordPage<RecordsOfKinds[K]>> {
    return pagesOf((terms) => this.scan(kind, terms), check)
  }

  /** All pages of payloads without their bytes. */
  pagesOfSizes(check?: () => void): AsyncGenerator<RecordPage<PayloadSize>> {
    return pagesOf((terms) => this.sizes(terms), check)
  }

  /** The records of at most 1,000 keys, in their order; null where there is none. */
  fetch<K extends RecordKind>(kind: K, keys: readonly RecordKey[]): Promise<(RecordsOfKinds[K] | null)[]> {
    return this.#runner.run(OPERATIONS.fetch, [{ kind, keys }])
  }

  /** How many there are, also of those that have expired and are still there. */
  count(kind: RecordKind): Promise<{ count: number; approximate: boolean }> {
    return this.#runner.run(OPERATIONS.count, [{ kind }])
  }

  /** Stores at most 1,000 records as they are; the fate of each in their order. */
  importRecords<K extends RecordKind>(kind: K, records: readonly RecordsOfKinds[K][], onConflict: OnConflict): Promise<Fate[]> {
    return this.#runner.run(OPERATIONS.importRecords, [{ kind, records, onConflict }])
  }
}

async function* pagesOf<R>(read: (terms: ScanOptions) => Promise<RecordPage<R>>, check?: () => void): AsyncGenerator<RecordPage<R>> {
  let after: string | null = null
  do {
    check?.()
    const page: RecordPage<R> = await read(after === null ? PAGE : { ...PAGE, after })
    yield page
    after = page.cursor
  } while (after !== null)
}

/** What a record is known by. */
export function keyOf<K extends RecordKind>(kind: K, record: RecordsOfKinds[K]): RecordKey {
  const key: { [Kind in RecordKind]: (record: RecordsOfKinds[Kind]) => RecordKey } = {
    payloads: ({ id }) => id,
    states: ({ sagaName, sagaId }) => [sagaName, sagaId],
    executions: ({ sagaId }) => sagaId,
    outbox: ({ eventId }) => eventId,
    inbox: ({ consumer, messageId }) => [consumer, messageId],
  }
  return key[kind](record)
}

/** The command line is a bundle of its own, and has no other way to it. */
const RECORDS = Symbol.for('sagastore.records')

/** Has `recordsOf` answer the records of a store. */
export function giveRecords(store: object, records: Records): void {
  Object.defineProperty(store, RECORDS, { value: records })
}

/** The records of a store; undefined for what is no store of this package. */
export function recordsOf(store: object): Records | undefined {
  return (store as { [RECORDS]?: Records })[RECORDS]
}
