import type { CorruptSaga } from '../errors'

/** What a saga engine keeps beside the state of a saga. Dates are Dates, when it is stored too: a text or a number is refused. */
export interface SagaMetadata {
  /** Unique among the sagas of one name. */
  sagaId: string
  /** Counts the updates. Default of a new saga: 1. */
  version?: number
  createdAt?: Date
  updatedAt?: Date
  isCompleted?: boolean
  archivedAt?: Date | null
  traceParent?: string | null
  traceState?: string | null
  timeoutMs?: number | null
  /** `findTimedOut` finds the saga from then on, unless it has ended. */
  timeoutExpiresAt?: Date | null
  /** Only to be read: what is read of a saga has it. It is kept beside the state, and not taken from here. */
  readonly correlationId?: string
}

/** A saga's state: anything that `JSON.stringify` takes, with `metadata`. */
export interface SagaState {
  metadata: SagaMetadata
}

/** The metadata of a state that is stored: whole. */
export interface StoredMetadata extends SagaMetadata {
  version: number
  createdAt: Date
  updatedAt: Date
  isCompleted: boolean
  /** The id that the saga was inserted with. It never changes: another value here is not stored. */
  readonly correlationId: string
}

/** A state as it is read, or as it has been stored: what the application keeps, with its metadata whole. */
export type Stored<T extends object> = T & { metadata: StoredMetadata }

/** Which sagas of a name are meant. */
export interface SagaFilter {
  /** Only those that have ended, or only those that have not. */
  completed?: boolean
}

/** What becomes of sagas that cannot be read. */
export interface CorruptOptions {
  /**
   * Is told each of them; the others are answered. Without it the operation rejects with `CORRUPT_DATA`: the error has
   * all of them (`corrupt`), and what would have been answered (`found`).
   */
  onCorrupt?: (problem: CorruptSaga) => void
}

/** Options of `findByName`. */
export interface FindOptions extends SagaFilter, CorruptOptions {
  /** At most so many: 1 to 1,000. Default 100. */
  limit?: number
  /** That of the page before. */
  cursor?: string
}

/** One page of `findByName`. */
export interface SagaPage<T extends object> {
  items: Stored<T>[]
  /** Where the next page begins; none on the last one. */
  cursor?: string
}

/** Options of `findTimedOut`. */
export interface TimedOutOptions extends CorruptOptions {
  /** Timeouts up to then. Default: the present. */
  now?: Date
  /** At most so many: 1 to 1,000. Default 100. */
  limit?: number
  /** Only those of this name. */
  sagaName?: string
}

/** A saga whose timeout has passed. */
export interface TimedOutSaga<T extends object> {
  sagaName: string
  state: Stored<T>
}

/** Options of `names`. */
export interface NamesOptions {
  /** At most so many: 1 to 1,000. Default 100. */
  limit?: number
  /** That of the page before. */
  cursor?: string
}

/** One page of `names`. */
export interface NamePage {
  items: string[]
  /** Where the next page begins; none on the last one. */
  cursor?: string
}

/** Options of `findStale`. */
export interface StaleOptions extends CorruptOptions {
  /** For how long nobody has changed them, in milliseconds: a whole number from 0 on. */
  unchangedForMs: number
  /** At most so many: 1 to 1,000. Default 100. */
  limit?: number
  /** That of the page before. */
  cursor?: string
  /** Only those of this name. */
  sagaName?: string
}

/** One page of `findStale`. */
export interface StalePage<T extends object> {
  items: StaleSaga<T>[]
  /** Where the next page begins; none on the last one. */
  cursor?: string
}

/** A saga that nobody has changed for a while. */
export interface StaleSaga<T extends object> {
  sagaName: string
  state: Stored<T>
}

/** What `reindex` came to. */
export interface ReindexResult {
  /** Sagas that were looked at. */
  found: number
  /** Those of them that were not in just the lists in which they belong, and are now. */
  added: number
  /** Those that were in lists and are not stored any more. */
  removed: number
  /** Those whose state cannot be read; they stay as they are. */
  unreadable: number
}

/** Which sagas `claimTimedOut` gives to whom, and for how long. */
export interface ClaimOptions extends TimedOutOptions {
  /** The worker: 1 to 256 bytes of UTF-8. */
  workerId: string
  /** How long nobody else is given them: 1 to 604,800,000 (a week). */
  leaseMs: number
}

/** A saga whose timeout has passed, and which one worker has for a while. */
export interface ClaimedSaga<T extends object> extends TimedOutSaga<T> {
  workerId: string
  /** By the clock of this process, and never later than the store's: stop working on it then. */
  leasedUntil: Date
}

/** How `modify` goes about conflicts. */
export interface ModifyOptions {
  /** Further attempts. Default 3. */
  maxRetries?: number
  /** The pause before the first of them is a random part of this; each one doubles it. Default 100. */
  retryDelayMs?: number
}
