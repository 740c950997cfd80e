/** What an execution is doing. The last three are terminal: from there nothing leads back, unless `force` says so. */
export type ExecutionStatus = 'pending' | 'running' | 'compensating' | 'completed' | 'compensated' | 'failed'

/** What an entry of the log is about: doing a step, or undoing it. */
export type StepAction = 'act' | 'compensate'

/** What an entry of the log says of its step. */
export type StepStatus = 'pending' | 'started' | 'completed' | 'failed' | 'compensated' | 'skipped'

/** An execution as it is listed: all but its context and its log. What it does not have is null. */
export interface ExecutionSummary {
  sagaId: string
  name: string
  status: ExecutionStatus
  /** The engine's own word. */
  subStatus: string | null
  /** JSON, as it was given. */
  metadata: unknown
  tags: string[]
  /** 1 for a new one. Each change counts it up, but for entries and leases alone. */
  version: number
  /** How many entries its log has. */
  entries: number
  /** The bytes of its log. */
  bytes: number
  /** How often it was claimed since a step was last completed. */
  attempts: number
  /** Who has it; also when the lease is over, until somebody else takes it. */
  workerId: string | null
  /** Whether somebody's lease stands: also one that is over, until another worker takes the execution. */
  leased: boolean
  /** From then on it can be claimed: the end of a lease and its backoff, of a wait, or of a retry. */
  dueAt: Date | null
  /** Why it failed, or was handed back. */
  lastError: string | null
  createdAt: Date
  updatedAt: Date
  /** When it became terminal. */
  completedAt: Date | null
  /** When it was set aside, after too many attempts: `redrive` brings it back. */
  parkedAt: Date | null
}

/** An execution. */
export interface SagaExecution<C = unknown> extends ExecutionSummary {
  /** JSON, as it was given; null, if it has none. */
  context: C
}

/** An entry of the log that is to be stored. */
export interface StepEntry {
  /** 1 to 255 bytes of UTF-8. */
  stepName: string
  status: StepStatus
  /** Default: `compensate` where the status is `compensated`, else `act`. */
  action?: StepAction
  /** Among the entries of one action and status unique in the execution: a second one is not stored. 1 to 255 bytes of UTF-8. */
  stepId?: string
  /** Which attempt at the step it is, as the engine counts. */
  attempt?: number
  /** Which of several parallel branches it belongs to. */
  branch?: string
  /** JSON. */
  result?: unknown
  /** An Error (its name, message and code are kept), or JSON. */
  error?: unknown
  /** Text, or JSON. */
  details?: unknown
  /** When it happened, if that was not just now. */
  executedAt?: Date
}

/** An entry of the log. */
export interface SagaLogEntry {
  /** 1, 2, 3…: the order of writing. */
  seq: number
  stepName: string
  action: StepAction
  status: StepStatus
  stepId?: string
  attempt?: number
  branch?: string
  result?: unknown
  /** Of an Error `{ name, message, code? }`. */
  error?: unknown
  details?: unknown
  executedAt?: Date
  /** When it was stored, by the server's clock. */
  at: Date
}

/** A step, as its entries tell. */
export interface SagaStep {
  stepName: string
  branch?: string
  /** What its last entry says; `compensated`, once it has been undone. */
  status: StepStatus
  /** Of the entry that completed it. */
  result?: unknown
  /** Of its last failure, while that is its status. */
  error?: unknown
  /** How often it was begun. */
  attempts: number
  startedAt: Date | null
  /** When it was completed, failed or skipped. */
  endedAt: Date | null
  /** How it was undone, or is being undone. */
  compensation: {
    status: StepStatus
    error?: unknown
    attempts: number
    startedAt: Date | null
    endedAt: Date | null
  } | null
}

/** What a new execution may have from the start. */
export interface CreateOptions {
  /** Default `pending`; of `start`: `running`. */
  status?: ExecutionStatus
  /** The engine's own word: 1 to 255 bytes of UTF-8. */
  subStatus?: string | null
  /** JSON. */
  metadata?: unknown
  /** At most eight, of 1 to 64 bytes of UTF-8 each: `list` and `count` can ask for one. */
  tags?: Iterable<string>
  /** Entries of the log, stored with it: at most 1,000. */
  steps?: Iterable<StepEntry>
  /** From then on it can be claimed. Default: a running or compensating one at once, a pending one never. */
  dueAt?: Date | null
}

/** Whose execution it will be, and for how long. */
export interface LeaseOptions {
  /** The worker: 1 to 256 bytes of UTF-8. */
  workerId: string
  /** How long it is the worker's, in ms: 1 to 604,800,000 (a week). Default 30,000. */
  leaseMs?: number
  /** Default true. With false it is the worker's to renew it, by `heartbeat` or by what it writes. */
  renew?: boolean
}

/** Options of `start`. */
export interface StartOptions extends CreateOptions, LeaseOptions {}

/** What a change may be guarded by. */
export interface GuardOptions {
  /** Another version is `CONCURRENCY_CONFLICT`. */
  expectedVersion?: number
  /** That of the lease: an outdated one is `LEASE_LOST`. */
  token?: string
  /** Also without the token of a lease, and from a terminal status. */
  force?: boolean
}

/** What a checkpoint changes: what is left out stays as it is, null clears. */
export interface CheckpointChange {
  /** JSON. */
  context?: unknown
  status?: ExecutionStatus
  subStatus?: string | null
  /** JSON. */
  metadata?: unknown
  tags?: Iterable<string>
  /** Entries that are added to the log: at most 1,000. */
  steps?: Iterable<StepEntry>
  /** From then on it can be claimed. Not for a leased one: `waitUntil` hands that back until then. */
  dueAt?: Date | null
  /** Text, an Error (its message is kept), or JSON; at most 8,192 bytes are kept. */
  lastError?: unknown
  /** The repetition of a change with the same one changes nothing, and answers the same. Only the last one is remembered: an entry of `logStep` in between is one as well. */
  operationId?: string
}

/** A change with its guards. */
export interface CheckpointOptions extends CheckpointChange, GuardOptions {}

/** What a checkpoint came to. */
export interface CheckpointResult {
  /** The version that is stored now. */
  version: number
  /** The number of its first entry; null, if it had none. */
  firstSeq: number | null
}

/** Options of `updateStatus`. */
export interface StatusOptions extends GuardOptions {
  subStatus?: string | null
}

/** What `updateStep` says of a step. */
export interface StepUpdate extends Omit<StepEntry, 'stepName'>, Pick<GuardOptions, 'token' | 'force'> {}

/** A whole execution, for `save`. */
export interface SavedExecution {
  sagaId: string
  name: string
  status: ExecutionStatus
  subStatus?: string | null
  context?: unknown
  metadata?: unknown
  tags?: Iterable<string>
  /** All entries of the log: earlier ones are removed. */
  steps?: Iterable<StepEntry>
  /** Also where somebody has it, or it has ended. */
  force?: boolean
}

/** Options of `load` and `find`. */
export interface LoadOptions {
  /** Nobody else changes it before the transaction ends: in transactions of PostgreSQL and SQLite. */
  forUpdate?: boolean
}

/** Options of `history`. */
export interface HistoryOptions {
  /** The entries behind that one (`reverse`: before it): the cursor of the page before. */
  after?: number
  /** At most so many: 1 to 1,000. Default 1,000. */
  limit?: number
  /** No more entries once they have so many bytes; one is always answered. Default 4 MiB. */
  maxBytes?: number
  /** The latest first. */
  reverse?: boolean
}

/** A page of the log. */
export interface HistoryPage {
  entries: SagaLogEntry[]
  /** Where the next page begins (`after`); none on the last one. */
  cursor?: number
}

/** Which executions are meant. */
export interface ExecutionFilter {
  name?: string
  status?: ExecutionStatus
  /** Those that have this tag. */
  tag?: string
  /** Only those that are parked, or only those that are not. */
  parked?: boolean
}

/** A page of a list. */
export interface PageOptions {
  /** At most so many: 1 to 1,000. Default 100. */
  limit?: number
  /** That of the page before. */
  cursor?: string
}

/** Options of `list`. */
export interface ListOptions extends ExecutionFilter, PageOptions {
  /** By the last change (default) or by the creation, the latest first. */
  order?: 'updated' | 'created'
}

/** One page of `list` and `parked`. */
export interface ExecutionPage {
  items: ExecutionSummary[]
  /** Where the next page begins; none on the last one. */
  cursor?: string
}

/** What `statistics` of executions answers. */
export interface ExecutionStatistics {
  total: number
  byStatus: Record<ExecutionStatus, number>
  parked: number
  /** Those with a lease, also one that is over, until another worker takes the execution. */
  leased: number
  /** Of contexts and logs, about. On Redis those that `executionTtlMs` has ended count until `cleanup()` of the store. */
  bytes: number
  /** The longest that something is due. */
  oldestDueAt: Date | null
}

/** Options of `cleanup`. */
export interface ExecutionCleanupOptions {
  /** Those that have been terminal for so long, in ms. */
  olderThanMs: number
  /** Terminal ones. Default: all three. */
  statuses?: Iterable<ExecutionStatus>
  /** At most so many. Default: all. */
  limit?: number
}

/** What `claim` gives to whom. */
export interface ExecutionClaimOptions extends LeaseOptions {
  /** At most so many: 1 to 1,000. Default 1. */
  limit?: number
  /** Only those of these names. */
  names?: Iterable<string>
  /** Default: running and compensating ones; pending ones have to be asked for. */
  statuses?: Iterable<ExecutionStatus>
  /** Those that were claimed so often without progress are parked instead. Default 5. */
  maxRecoveryAttempts?: number
  /** Only those that have not changed for so long, in ms. Default 0. */
  staleAfterMs?: number
}

/** Options of `findRecoverable`. */
export interface RecoverableOptions {
  /** At most so many: 1 to 1,000. */
  limit: number
  /** Only those with fewer attempts. Default 5. */
  maxRecoveryAttempts?: number
  /** Only those that have not changed for so long, in ms. Default 0. */
  staleAfterMs?: number
  /** Only those of this name. */
  name?: string
}

/** A lease, as `heartbeat` takes it. A `SagaRun` is one. */
export interface HeldLease {
  readonly sagaId: string
  readonly token: string
  readonly leaseMs: number
}

/** Options of `SagaRun.release`. */
export interface ReleaseOptions {
  /** Not claimable before then. Default: at once; with an `error` after the backoff. */
  retryAt?: Date
  /** Why: the attempt counts as one that failed. Text, an Error (its message is kept), or JSON. */
  error?: unknown
}
