import { inspect } from 'node:util'
import { mostOf, optionsOf } from '../arguments'
import type { BackendName, Capabilities, Health, Statistics, UncountedStatistics } from '../backend'
import type { Carrier } from '../clients/carrier'
import { invalidArgument, raise, SagaStoreError, toError } from '../errors'
import { SagaExecutions } from '../kinds/executions'
import { SagaInbox } from '../kinds/inbox'
import { SagaOutbox } from '../kinds/outbox'
import { Payloads } from '../kinds/payloads'
import { SagaStates } from '../kinds/states'
import { type ExportAllOptions, type ExportedRecord, Facet, type Given, type ImportOptions, type RecordCounts } from '../moving/facets'
import { giveFacts } from '../moving/facts'
import { giveRecords, type RecordKind, Records } from '../moving/records'
import type { KindCounts } from '../moving/types'
import { OPERATIONS } from '../operations'
import type { SagaStoreAdapter, TransactionOptions } from '../options'
import { atMost, within } from '../promises'
import { detached } from '../run/context'
import { open, type Parts } from './open'
import { Router } from './route'
import type { SagaTransaction } from './transaction'
import { Transactions } from './transactions'

/** The health probe gives up after this. */
const HEALTH_TIMEOUT_MS = 5_000

/**
 * A store of saga payloads (claim check). Opened by one of the classes `MemorySagaStore` and so on, or by `openStore`;
 * constructing never connects, the first operation or `initialize` does.
 */
export class SagaStore extends Payloads<boolean> implements SagaStoreAdapter {
  /** Which backend it is. */
  readonly backend: BackendName
  readonly #parts: Parts
  readonly #router: Router
  readonly #transactions: Transactions
  #states: SagaStates | undefined
  #executions: SagaExecutions | undefined
  #outbox: SagaOutbox | undefined
  #inbox: SagaInbox | undefined
  #facet: Facet | undefined
  #closed: Promise<void> | undefined

  /** @internal */
  protected constructor(backend: BackendName | null, args: readonly unknown[]) {
    const parts = open(backend, args)
    const router = new Router(parts)
    super(router)
    this.backend = parts.backend
    this.#parts = parts
    this.#router = router
    this.#transactions = new Transactions(parts, router)
    giveRecords(this, new Records(router))
    giveFacts(this, parts.facts)
  }

  /** The state of saga instances: see `SagaStates`. */
  get states(): SagaStates {
    this.#states ??= new SagaStates(this.#router)
    return this.#states
  }

  /** What sagas are doing, step by step, and who works on them: see `SagaExecutions`. */
  get executions(): SagaExecutions {
    this.#executions ??= new SagaExecutions(this.#router)
    return this.#executions
  }

  /** Events that are published after the data that they tell of is stored: see `SagaOutbox`. */
  get outbox(): SagaOutbox {
    this.#outbox ??= new SagaOutbox(this.#router)
    return this.#outbox
  }

  /** Which messages have been applied: see `SagaInbox`. */
  get inbox(): SagaInbox {
    this.#inbox ??= new SagaInbox(this.#router, {
      transaction: (work) => this.transaction(work),
      learnsLate: () => this.#transactions.endLate(),
    })
    return this.#inbox
  }

  /** What this backend can do. */
  get capabilities(): Capabilities {
    return this.#parts.native.capabilities as Capabilities
  }

  /**
   * Removes payloads and sagas whose time is over (`expiresAt`; `defaultTtlMs`, `completedTtlMs`), at most `limit` of
   * them, in batches. Answers how many. Redis removes both by itself; there this call removes from the lists of sagas
   * what is no longer stored. DynamoDB removes both within days; there this call reads the whole table, and AWS charges
   * for it: one read unit for every 4 KB stored, and a write unit for every KB removed.
   */
  purgeExpired(options?: { limit?: number }): Promise<number> {
    let limit: number
    try {
      limit = mostOf(optionsOf(options, { limit: true }, 'purgeExpired', this.backend), 'purgeExpired', this.backend)
    } catch (error) {
      return this.#router.refuse(error, 'purgeExpired')
    }
    return this.#router.run(OPERATIONS.purgeExpired, limit)
  }

  /** Removes all payloads whose time is over. */
  async cleanup(): Promise<void> {
    await this.purgeExpired()
  }

  /**
   * The statements that `initialize` runs in an empty database, for people who run their own migrations: the tables
   * of payloads and of sagas with their indexes (PostgreSQL and SQLite).
   *
   * @throws UnsupportedError on other backends
   */
  schemaSql(): string {
    const statements = this.#parts.native.schema()
    if (!Array.isArray(statements)) throw toError(statements)
    return statements.map((statement) => `${statement};\n`).join('')
  }

  /** Creates tables and indexes where they are missing. Safe to call from many processes at once. */
  async initialize(): Promise<void> {
    const warnings = await this.#router.run<string[]>(OPERATIONS.initialize)
    for (const warning of warnings) this.#parts.observer.warn('initialize', warning)
  }

  /** Whether the store can be used. Never rejects; takes at most five seconds. */
  async health(): Promise<Health> {
    const { client, native } = this.#parts
    const health = client === undefined ? native.health() : this.#healthOf(client)
    return { ...((await health) as Omit<Health, 'backend'>), backend: this.backend }
  }

  /**
   * What is stored, the state of the connections, and latencies since the store was opened.
   * Counting reads the whole table (DynamoDB charges for that, as for `purgeExpired`), or on Redis all
   * keys of the database. On a client of the application the connections are not the store's: `pool` is null.
   *
   * @param options `count: false`: only connections and latencies, without asking the database anything
   */
  statistics(options?: { count?: true }): Promise<Statistics>
  statistics(options: { count?: boolean }): Promise<UncountedStatistics & Partial<Statistics>>
  async statistics(options?: { count?: boolean }): Promise<UncountedStatistics & Partial<Statistics>> {
    const { backend } = this
    let isCounted: boolean
    try {
      isCounted = optionsOf(options, { count: true }, 'statistics', backend).count ?? true
      if (typeof isCounted !== 'boolean') throw invalidArgument("option 'count' must be true or false", 'statistics', backend)
    } catch (error) {
      return await this.#router.refuse(error, 'statistics')
    }
    if (!isCounted) {
      const figures = (await this.#parts.native.figures().catch(raise)) as Omit<UncountedStatistics, 'backend'>
      return { backend, pool: figures.pool, operations: figures.operations }
    }
    const statistics = await this.#router.run<Omit<Statistics, 'backend' | 'states'>>(OPERATIONS.statistics)
    // Whole records are counted outside of transactions.
    const states = await detached(() => this.states.count()).then(
      (count) => ({ count }),
      () => null,
    )
    return { backend, ...statistics, states }
  }

  /**
   * Runs `work` in a transaction. What it does through `tx`, or through this store, is stored as a whole
   * when it resolves, and not at all when it rejects. If another transaction got in its way (`retryable`),
   * everything is rolled back and `work` runs again, at most `retry.attempts` times. After `operationTimeoutMs`
   * the transaction is rolled back.
   *
   * Inside another transaction of this store, or of the application (`withTransaction`), it joins that one. Before it is
   * awaited it has no order with what is called outside of it.
   *
   * @throws TimeoutError if `work` took longer than `operationTimeoutMs`
   * @throws UnsupportedError if the server, or the client that the store was given, has no transactions
   */
  transaction<T>(work: (tx: SagaTransaction) => Promise<T> | T, options?: TransactionOptions): Promise<T> {
    return this.#transactions.run(work, options)
  }

  /**
   * All records as they are stored, one by one, kind by kind: for `importRecords` of another store. What has expired is
   * left out; what is stored meanwhile may be left out. Nothing is blocked. `transfer` moves them faster.
   *
   * @param options `kinds`: default everything
   * @throws CorruptDataError if one cannot be read, without `onUnreadable`
   */
  exportAll<K extends RecordKind = RecordKind>(
    options?: ExportAllOptions & { kinds?: Iterable<K> },
  ): AsyncIterableIterator<ExportedRecord<K>> {
    return this.#whole().exportAll<K>(options)
  }

  /**
   * Stores records as they are: bytes, expiries, versions, dates, and all else. What has expired is counted, and not
   * stored.
   *
   * @throws TransferError if one of them could not be stored: all others are
   */
  importRecords(records: Given<ExportedRecord>, options?: ImportOptions): Promise<KindCounts> {
    return this.#whole().importRecords(records, options)
  }

  /** How many records of each kind there are; about, where counting would read everything. */
  count(options?: { kinds?: Iterable<RecordKind> }): Promise<RecordCounts> {
    return this.#whole().counts(options)
  }

  #whole(): Facet {
    this.#facet ??= new Facet(this.#router)
    return this.#facet
  }

  /**
   * Closes the store. What is called from now on is `CLOSED`, and so is a new transaction. Operations that were called
   * before are answered, and transactions of this store (`store.transaction`) that are under way go on to their end;
   * after `operationTimeoutMs` they are ended with `CLOSED` and rolled back. Then the connections are let go of.
   * Safe to call again: every call resolves when the store is closed.
   */
  close(): Promise<void> {
    this.#closed ??= this.#close()
    return this.#closed
  }

  async #close(): Promise<void> {
    const { native, conversations } = this.#parts
    const until = performance.now() + native.settings.operationTimeoutMs
    const left = () => Math.max(0, until - performance.now())
    this.#router.refuseNew((route) => this.#transactions.isUnderWay(route))
    await this.#transactions.close(left())
    this.#router.close()
    await atMost(left(), native.close().then(undefined, raise))
    await atMost(left(), conversations.ended())
  }

  /** `await using store = openStore(...)` */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  /** What `console.log` shows: no password. */
  [inspect.custom](): string {
    const { client, native } = this.#parts
    const what = client === undefined ? `url: '${native.url}'` : `client: '${client.library}'`
    return `${this.constructor.name} { ${what} }`
  }

  async #healthOf(carrier: Carrier): Promise<unknown> {
    const began = performance.now()
    const answered = this.#parts.conversations.run({ carrier, isJoined: false }, OPERATIONS.health, [])
    try {
      return await within(HEALTH_TIMEOUT_MS, answered, () => new Error(`no answer within ${HEALTH_TIMEOUT_MS} ms`))
    } catch (error) {
      const code = error instanceof SagaStoreError ? error.code : 'TIMEOUT'
      return { status: 'unhealthy', latencyMs: performance.now() - began, message: (error as Error).message, details: { code } }
    }
  }
}
