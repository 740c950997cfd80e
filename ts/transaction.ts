import { byId, entriesOf, listed, unshared } from './arguments'
import type { Arguments, OperationName } from './conversation'
import { invalidArgument } from './errors'
import { type Refuse, SagaStates } from './states'
import type { BackendName, PayloadEntry, PutOptions } from './types'

/** Runs an operation in the transaction. */
export type RunInTransaction = <T>(operation: OperationName, args: Arguments, options?: PutOptions) => Promise<T>

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
export class SagaTransaction {
  readonly #run: RunInTransaction
  readonly #query: QueryInTransaction
  readonly #backend: BackendName
  readonly #refuse: Refuse

  /** @internal */
  constructor(backend: BackendName, run: RunInTransaction, query: QueryInTransaction, refuse: Refuse) {
    this.#backend = backend
    this.#run = run
    this.#query = query
    this.#refuse = refuse
    this.states = new SagaStates(backend, (operation, given) => run(operation, [given]), refuse)
  }

  /** As `SagaStore.states`: its changes are stored with the transaction, or not at all. */
  readonly states: SagaStates

  /** As `SagaStore.put`. */
  put(id: string, data: Uint8Array, expiresAt?: Date, options?: PutOptions): Promise<void> {
    return this.#run('put', [id, unshared(data), expiresAt], options)
  }

  /** As `SagaStore.get`. */
  get(id: string): Promise<Buffer> {
    return this.#run('get', [id])
  }

  /** As `SagaStore.find`. */
  find(id: string): Promise<Buffer | null> {
    return this.#run('find', [id])
  }

  /** As `SagaStore.has`. */
  has(id: string): Promise<boolean> {
    return this.#run('has', [id])
  }

  /** As `SagaStore.delete`; `undefined` where transactions are buffered: whether there was a payload is not known. */
  delete(id: string): Promise<boolean | undefined> {
    return this.#run('delete', [id])
  }

  /** As `SagaStore.touch`. */
  touch(id: string, expiresAt: Date): Promise<boolean> {
    return this.#run('touch', [id, undefined, expiresAt])
  }

  /** As `SagaStore.putMany`. */
  putMany(entries: Iterable<PayloadEntry>): Promise<void> {
    let list: Arguments
    try {
      list = entriesOf(entries)
    } catch (cause) {
      return this.#refuse(invalidArgument('putMany takes an iterable of entries', 'putMany', this.#backend, cause))
    }
    return this.#run('putMany', list)
  }

  /** As `SagaStore.getMany`. */
  async getMany(ids: Iterable<string>): Promise<Map<string, Buffer>> {
    let list: string[]
    try {
      list = listed(ids)
    } catch (cause) {
      return this.#refuse(invalidArgument('getMany takes an iterable of ids', 'getMany', this.#backend, cause))
    }
    return byId(list, await this.#run('getMany', [list]))
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
