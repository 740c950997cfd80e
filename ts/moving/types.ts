import type { OnConflict, RecordKind } from './records'

/** What has become of records. `transferred`, `failed`, `skipped` and `expired` together are all that were looked at. */
export interface KindCounts {
  /** Stored in the target, which has acknowledged it. */
  transferred: number
  /** Could not be moved: see `onRejected`. */
  failed: number
  /** Left alone, because of `onConflict`. */
  skipped: number
  /** Their time was over: they are not moved. */
  expired: number
  /** Bytes of those that were transferred, about. */
  bytes: number
}

/** The counts of each kind that is moved. */
export type MovedCounts = { [Kind in RecordKind]?: KindCounts }

/** A record that could not be moved. */
export interface RejectedRecord {
  kind: RecordKind
  /** Its claim id, saga id, event id or message id. */
  id: string
  /** Of saga state its name, of an entry of the inbox its consumer. */
  name?: string
  /** Why: such as `PAYLOAD_TOO_LARGE`. */
  code: string
  message: string
}

/** Is told each record that could not be moved. The move waits for its promise. */
export type OnRejected = (rejected: RejectedRecord) => void | Promise<void>

/** How fast a move may be, and how it is stopped. */
export interface PaceOptions {
  /** At most so many records a second. */
  recordsPerSecond?: number
  /** At most so many bytes a second, about. */
  bytesPerSecond?: number
  /** Stops the move: batches that are under way end, then it rejects with a checkpoint. */
  signal?: AbortSignal
}

/** Options of `transfer`. */
export interface TransferOptions extends PaceOptions {
  /** What is moved. Default: everything. */
  kinds?: Iterable<RecordKind>
  /** Records that are read and written together: 1 to 1,000. Default 500. */
  batchSize?: number
  /** Batches that are written at once: 1 to 32. Default 4. Events are written one batch after the other. */
  concurrency?: number
  /**
   * What becomes of a record that cannot be moved. `fail` (default) ends the move. `skip` counts it as failed, and goes
   * on. `retry` tries again for a while whatever may pass by itself, and then ends the move.
   */
  onError?: 'fail' | 'skip' | 'retry'
  /**
   * What becomes of a record whose id the target has: it stays as it is there (`skip-existing`, default), is replaced
   * (`overwrite`, or `newer`: if the record is the newer one), or the record has failed (`fail`).
   */
  onConflict?: OnConflict
  onRejected?: OnRejected
  /** A checkpoint of the same move: it goes on behind it. */
  resumeFrom?: string
  /** Compares both sides at the end. What is missing or different makes the move fail; what the target has besides does not. */
  verify?: boolean
  /**
   * Writes nothing: reads the source and tells what the target could not take. All such records are told, as with `skip`.
   * Whether ids are taken is not looked at.
   */
  dryRun?: boolean
}

/** How far a move is. */
export interface TransferProgress extends KindCounts {
  /** What is being moved. */
  kind: RecordKind
  /** How many records of this kind there are, as far as is known. */
  total: number
  /** Whether `total` is an estimate. */
  approximate: boolean
  /** Since the move began, or was resumed. */
  elapsedMs: number
  /** Of this kind: 0 to 100. */
  percentComplete: number
  /** Of this kind, since it began. */
  recordsPerSecond: number
  /** Of this kind, as far as can be told; null: it cannot. */
  etaMs: number | null
  /** Where to go on: `resumeFrom`. The target has acknowledged everything before it. */
  checkpoint: string
}

/** What a move came to. */
export interface TransferResult extends KindCounts {
  /** The same for each kind. */
  counts: MovedCounts
  elapsedMs: number
  /** The last one. */
  checkpoint: string
  dryRun: boolean
  /** With `verify`. */
  verification?: Verification
}

/** Something that is in the way of a move. */
export interface TransferIssue {
  /** An `error` makes the move fail; a `warning` may. */
  level: 'error' | 'warning'
  kind?: RecordKind
  code: string
  message: string
}

/** What `validate` found. */
export interface TransferValidation {
  /** There is no issue that is an error. */
  compatible: boolean
  issues: TransferIssue[]
}

/** Options of `verify`. */
export interface VerifyOptions {
  /** What is compared. Default: everything. */
  kinds?: Iterable<RecordKind>
  /** Which part of the records is compared: above 0, up to 1 (default). Which ones is decided by their ids. */
  sample?: number
  /** Stops it. */
  signal?: AbortSignal
}

/** A record that is not the same on both sides. */
export interface Difference {
  kind: RecordKind
  id: string
  /** Of saga state its name, of an entry of the inbox its consumer. */
  name?: string
  /** `unreadable`: one side cannot read it. */
  what: 'missing' | 'extra' | 'bytes' | 'expiry' | 'version' | 'unreadable'
}

/** What `verify` found. */
export interface Verification {
  /** Nothing is missing, extra, different, or unreadable. */
  equal: boolean
  /** Records that are the same on both sides. */
  same: number
  /** In the source alone. */
  missing: number
  /** In the target alone. */
  extra: number
  /**
   * On both sides, and not the same. Each counts once: `bytes` (content: of a payload, a state, a context, a log, an
   * event), else `expiry`, else `version` (everything else: versions, dates, statuses, leases, and so on).
   */
  different: { bytes: number; expiry: number; version: number }
  /** Records that one side cannot read. */
  unreadable: number
  /** The first of those that are not the same, at most 1,000. */
  ids: Difference[]
}
