import type { Operation } from '../arguments'
import type { BackendName } from '../backend'

/** What a kind of records is given: by a store, or by a transaction. */
export interface Runner {
  readonly backend: BackendName
  /** Runs an operation with these arguments; it rejects with errors of this package. */
  run<T>(operation: Operation, first?: unknown, data?: unknown, expiresAt?: unknown, routingSlipId?: string): Promise<T>
  /** A rejection of what is found out before anything runs. What reading the arguments has thrown is `INVALID_ARGUMENT`. */
  refuse(error: unknown, operation: string): Promise<never>
}
