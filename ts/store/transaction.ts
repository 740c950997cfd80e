import { SagaExecutions } from '../kinds/executions'
import { SagaInboxEntries } from '../kinds/inbox'
import { SagaOutbox } from '../kinds/outbox'
import { Payloads } from '../kinds/payloads'
import type { Runner } from '../kinds/runner'
import { SagaStates } from '../kinds/states'

/** Runs a statement of the application's in the transaction. */
export type QueryInTransaction = <Row>(sql: string, values: readonly unknown[]) => Promise<Row[]>

/**
 * A transaction of a store, for the length of `store.transaction`: everything in it is stored, or
 * nothing is. Its own reads see what it has written; nobody else does before it is committed.
 *
 * Where transactions are buffered (Redis, DynamoDB: see `store.capabilities.transactions`), writes are
 * collected and sent at the end: `put` and `delete` resolve when they are queued, everything that
 * needs an answer is `UNSUPPORTED`. Used after its end, everything is `CLOSED`.
 */
export class SagaTransaction extends Payloads<boolean | undefined> {
  readonly #query: QueryInTransaction
  /** As `SagaStore.states`: its changes are stored with the transaction, or not at all. */
  readonly states: SagaStates
  /** As `SagaStore.executions`: its changes are stored with the transaction, or not at all. */
  readonly executions: SagaExecutions
  /** As `SagaStore.outbox`: events are stored with the transaction, or not at all. */
  readonly outbox: SagaOutbox
  /** As `SagaStore.inbox`: messages are remembered with the transaction, or not at all. */
  readonly inbox: SagaInboxEntries

  /** @internal */
  constructor(runner: Runner, query: QueryInTransaction) {
    super(runner)
    this.#query = query
    this.states = new SagaStates(runner)
    this.executions = new SagaExecutions(runner)
    this.outbox = new SagaOutbox(runner)
    this.inbox = new SagaInboxEntries(runner)
  }

  /**
   * Runs a statement of the application's own in the transaction (PostgreSQL and SQLite).
   *
   * @param sql one statement, with `$1..$n` on PostgreSQL and `?` on SQLite. Beginning and ending the
   *   transaction is `store.transaction`'s; savepoints are free to use
   * @param values null, booleans, numbers, bigints, text, Dates, bytes; on PostgreSQL also arrays, and
   *   objects for json. `undefined` is null
   * @returns rows as objects. PostgreSQL's `bigint` and `numeric` are text (as with `pg`), times are Dates, `bytea` is a Buffer
   */
  query<Row = Record<string, unknown>>(sql: string, values: readonly unknown[] = []): Promise<Row[]> {
    return this.#query<Row>(sql, values)
  }
}
