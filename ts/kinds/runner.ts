import type { Operation } from '../arguments'
import type { BackendName } from '../backend'
import type { HeldLease } from './execution-types'
import type { OutboxSupport } from './outbox-support'

/** What a kind of records is given: by a store, or by a transaction. */
export interface Runner {
  readonly backend: BackendName
  /** How long one call may take. */
  readonly operationTimeoutMs: number
  /** Runs an operation with these arguments; it rejects with errors of this package. */
  run<T>(operation: Operation, first?: unknown, data?: unknown, expiresAt?: unknown, routingSlipId?: string): Promise<T>
  /** A rejection of what is found out before anything runs. What reading the arguments has thrown is `INVALID_ARGUMENT`. */
  refuse(error: unknown, operation: string): Promise<never>
  /** What executions need besides. */
  readonly executions: ExecutionSupport
  /** What the outbox needs besides. */
  readonly outbox: OutboxSupport
}

/** What the executions of a store, and of its transactions, need of the store. */
export interface ExecutionSupport {
  /** Runs operations as the store itself does: in no transaction but one that the caller is in then. */
  readonly outside: Runner
  /** The limits of a log. */
  readonly maxHistoryEntries: number
  readonly maxHistoryBytes: number
  /** Renews a lease by itself, until `unkeep`. Resolves with why it was lost, or with null after `unkeep`. */
  keep(lease: HeldLease): Promise<string | null>
  unkeep(lease: HeldLease): void
  /**
   * Where operations join a transaction here and now: has `undo` called if that does not happen. How a transaction of
   * the option `getTransaction` ends is not known here.
   */
  onRollback(undo: () => void): void
  /** Tells the store's logger. */
  warn(operation: string, message: string): void
}
