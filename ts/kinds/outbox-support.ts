import type { Bell } from '../run/bell'
import type { EventLeases } from '../run/event-leases'
import type { Runner } from './runner'

/** What the outbox of a store, and of its transactions, needs of the store. */
export interface OutboxSupport {
  /** What runs operations in no transaction, whoever calls it. */
  apart(): Runner
  /** Wakes whoever waits for events. */
  readonly bell: Bell
  readonly leases: EventLeases
  /** How often an event is tried again before it is a dead letter. */
  readonly maxRetries: number
  /** Whether this is a transaction's. */
  readonly isInTransaction: boolean
  /**
   * Calls `done` once what is done here and now is stored for good. False: it is about to be, and when is not known.
   */
  whenStored(done: (isStored: boolean) => void): void
  /** Runs work that outlives the transaction in which it is begun. */
  detached<T>(work: () => T): T
  /** Tells the store's logger. */
  warn(operation: string, message: string): void
}
