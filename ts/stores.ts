import { setTimeout as sleep } from 'node:timers/promises'
import { inspect } from 'node:util'
import { isDate } from 'node:util/types'
import { isMainThread } from 'node:worker_threads'
import { byId, entriesOf, listed, takenDate, unshared } from './arguments'
import type { Carrier } from './clients/carrier'
import { recognize } from './clients/recognize'
import { type CarrierRoute, checkRoute, hasScopes, joinedRoute, type Route, runJoined, transactionCarrier, UnitOfWork } from './context'
import { type Arguments, Conversations, idOf, isOnStates, OPERATIONS, type OperationName, type StateOperation } from './conversation'
import { type Failure, invalidArgument, raise, SagaStoreError, toError } from './errors'
import { native } from './native'
import { Observer, type Subject } from './observe'
import { SagaStates } from './states'
import { SagaTransaction } from './transaction'
import { realSetImmediate, turn } from './turns'
import type {
  AnyStoreOptions,
  BackendName,
  Capabilities,
  DynamoDBStoreOptions,
  Health,
  MemoryStoreOptions,
  MongoStoreOptions,
  PayloadEntry,
  PostgresStoreOptions,
  PutOptions,
  RedisStoreOptions,
  SagaStoreAdapter,
  SqliteStoreOptions,
  Statistics,
  TransactionOptions,
} from './types'

type Native = InstanceType<typeof native.NativeStore>
type PayloadOperation = Exclude<OperationName, StateOperation>

/** The health probe gives up after this. */
const HEALTH_TIMEOUT_MS = 5_000

/**
 * A store of saga payloads (claim check). Opened by one of the classes below or by `openStore`;
 * constructing never connects, the first operation or `initialize` does.
 */
export class SagaStore implements SagaStoreAdapter {
  /** Which backend it is. */
  readonly backend: BackendName
  readonly #native: Native
  readonly #direct: ReturnType<Native['operations']>
  readonly #observer: Observer
  readonly #conversations: Conversations
  /** The client that it was given in place of a URL. */
  readonly #client: Carrier | undefined
  readonly #getTransaction: (() => unknown) | undefined
  readonly #requiresTransaction: boolean
  #states: SagaStates | undefined
  /** Gets whose callers wait. One by itself may be answered on this thread, where that is the quicker way. */
  #gets = 0
  readonly #answersHere: boolean
  readonly #got = (data: Buffer): Buffer => {
    this.#gets -= 1
    return data
  }
  readonly #notGot = (failure: Failure): never => {
    this.#gets -= 1
    return raise(failure)
  }

  /** @internal */
  protected constructor(backend: BackendName | null, options: string | AnyStoreOptions) {
    const given = typeof options === 'string' ? { url: options } : asObject(options)
    const { logger, client, getTransaction, requireTransaction, ...rest } = given as AnyStoreOptions & { client?: unknown; url?: string }
    if (getTransaction !== undefined && typeof getTransaction !== 'function') {
      throw invalidArgument("option 'getTransaction' must be a function", 'open', backend ?? undefined)
    }
    if (requireTransaction !== undefined && typeof requireTransaction !== 'boolean') {
      throw invalidArgument("option 'requireTransaction' must be true or false", 'open', backend ?? undefined)
    }
    this.#client = client === undefined ? undefined : clientCarrier(client, rest.url, backend)
    this.#getTransaction = getTransaction
    this.#requiresTransaction = requireTransaction === true
    const json = JSON.stringify(rest, jsonValue)
    const opened =
      this.#client === undefined
        ? native.NativeStore.open(backend, json, realSetImmediate, isMainThread)
        : native.NativeStore.openOnClients(this.#client.backend, json, realSetImmediate, isMainThread)
    if (!(opened instanceof native.NativeStore)) throw toError(opened)
    this.#native = opened
    this.#direct = opened.operations()
    this.#answersHere = opened.answersHere
    this.backend = opened.backend as BackendName
    this.#observer = new Observer(this.backend, opened.url, logger)
    this.#conversations = new Conversations(opened, this.#client, this.#direct.makesWay)
  }

  /** The state of saga instances: see `SagaStates`. */
  get states(): SagaStates {
    this.#states ??= new SagaStates(
      this.backend,
      <T>(operation: StateOperation, given: unknown[]): Promise<T> => {
        if (this.#isPlain() && operation !== 'states.reindex')
          return (this.#direct.state(OPERATIONS[operation], given) as Promise<T>).then(undefined, raise)
        return this.#perform(operation, [given])
      },
      (error) => this.#refuse(error),
    )
    return this.#states
  }

  /** What this backend can do. */
  get capabilities(): Capabilities {
    return this.#native.capabilities as Capabilities
  }

  /**
   * Stores a payload, replacing data and expiry of an earlier one together. Once it has resolved,
   * a `get` of any process sees it; if it rejects, the event must not be emitted. Inside a transaction
   * (`withTransaction`, `getTransaction`) it is stored when that commits, or not at all.
   *
   * @param id the claim id: 1 to 1,024 bytes of UTF-8
   * @param data the payload; it must not be changed or transferred before the promise has settled (as with
   *   `fs.write`): other bytes could be stored
   * @param expiresAt when it ceases to exist; never, if left out. A time that has passed already
   *   (a saga that timed out and still has to compensate) is kept for `lateRetentionMs`, and logged at warn; one
   *   before 2001 is refused, as it is seconds in place of milliseconds
   * @throws PayloadTooLargeError, AlreadyExpiredError, InvalidArgumentError, ConnectionError, TimeoutError
   */
  put(id: string, data: Uint8Array, expiresAt?: Date, options?: PutOptions): Promise<void> {
    if (this.#isPlain()) return this.#direct.put(id, unshared(data), expiresAt).then(undefined, raise)
    return this.#perform('put', [id, unshared(data), expiresAt], options)
  }

  /**
   * The payload.
   *
   * @throws NotFoundError if there is none, or if its time is over
   */
  get(id: string): Promise<Buffer> {
    return this.#isPlain() ? this.#get(id) : this.#perform('get', [id])
  }

  /** The payload, or null if there is none. */
  find(id: string): Promise<Buffer | null> {
    return this.#perform('find', [id])
  }

  /** Whether there is a payload. */
  has(id: string): Promise<boolean> {
    return this.#perform('has', [id])
  }

  /**
   * Removes a payload; whether there was one. (Inside a transaction that is only sent at its end, a Redis
   * MULTI or DynamoDB's TransactItems, that is not known: `undefined`.)
   */
  delete(id: string): Promise<boolean> {
    return this.#perform('delete', [id])
  }

  /** Sets another expiry, under the same rules as `put`; whether there was a payload. */
  touch(id: string, expiresAt: Date): Promise<boolean> {
    return this.#perform('touch', [id, undefined, expiresAt])
  }

  /**
   * Stores several payloads. Resolves when all are stored; rejects if one is not, and then the
   * others may be. Nothing is sent if one of them is invalid.
   */
  putMany(entries: Iterable<PayloadEntry>): Promise<void> {
    let list: Arguments
    try {
      list = entriesOf(entries)
    } catch (cause) {
      return this.#refuse(invalidArgument('putMany takes an iterable of entries', 'putMany', this.backend, cause))
    }
    return this.#perform('putMany', list)
  }

  /** The payloads of several ids; an id without one is not in the map. */
  async getMany(ids: Iterable<string>): Promise<Map<string, Buffer>> {
    let list: string[]
    try {
      list = listed(ids)
    } catch (cause) {
      return this.#refuse(invalidArgument('getMany takes an iterable of ids', 'getMany', this.backend, cause))
    }
    return byId(list, await this.#perform('getMany', [list]))
  }

  /**
   * Removes payloads whose time is over, in bounded batches, at most `limit` of them; answers how
   * many. Sagas whose time is over (`defaultTtlMs`, `completedTtlMs`) are among them. Redis removes both by itself:
   * there it is what stands in lists of sagas that have ended by themselves. DynamoDB removes them too, within days; this call reads the whole table to find the others, and is charged for it:
   * one read unit for every 4 KB stored, and a write unit for every KB removed.
   */
  purgeExpired(options: { limit?: number } = {}): Promise<number> {
    const limit = options.limit ?? Number.POSITIVE_INFINITY
    if (limit !== Number.POSITIVE_INFINITY && !(Number.isSafeInteger(limit) && limit > 0)) {
      return this.#refuse(invalidArgument('limit must be a whole number above 0', 'purgeExpired', this.backend))
    }
    return this.#perform('purgeExpired', [limit])
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
    const statements = this.#native.schema()
    if (!Array.isArray(statements)) throw toError(statements)
    return statements.map((statement) => `${statement};\n`).join('')
  }

  /** Creates tables and indexes where they are missing. Safe to call from many processes at once. */
  async initialize(): Promise<void> {
    const warnings = await this.#perform<string[]>('initialize', [])
    for (const warning of warnings) this.#observer.warn('initialize', warning)
  }

  /** Whether the store can be used. Never rejects; takes at most five seconds. */
  async health(): Promise<Health> {
    const health = this.#client === undefined ? this.#native.health() : this.#healthOf(this.#client)
    return { ...((await health) as Omit<Health, 'backend'>), backend: this.backend }
  }

  /**
   * What is stored, the state of the connections, and latencies since the store was opened.
   * Counting reads the whole table (DynamoDB charges for that, as for `purgeExpired`), or on Redis all
   * keys of the database. On a client of the application the connections are not the store's: `pool` is null.
   */
  async statistics(): Promise<Statistics> {
    const statistics = await this.#perform<Omit<Statistics, 'backend'>>('statistics', [])
    return { backend: this.backend, ...statistics }
  }

  /**
   * Runs `work` in a transaction: what it does through `tx`, or through this store, is stored as a whole
   * when it resolves, and not at all when it rejects. Where two transactions got in each other's way
   * (`retryable`), everything is rolled back and `work` runs again, at most `retry.attempts` times.
   * After `operationTimeoutMs` it is rolled back.
   *
   * Inside another transaction of this store, or of the application (`withTransaction`), it joins that one.
   *
   * @throws TimeoutError if `work` took longer than `operationTimeoutMs`
   * @throws UnsupportedError if the server, or the client that the store was given, has no transactions
   */
  transaction<T>(work: (tx: SagaTransaction) => Promise<T> | T, options: TransactionOptions = {}): Promise<T> {
    const refusal = this.#refusalOf(work, options)
    if (refusal !== undefined) return this.#refuse(refusal)
    const start = () => this.#transact(work, options)
    return this.#observer.isActive ? this.#observer.watch({ operation: 'transaction' }, start) : start()
  }

  /** Answers what is under way, then lets go of the connections. Safe to call again. */
  async close(): Promise<void> {
    await this.#native.close().then(undefined, raise)
    await this.#conversations.ended()
  }

  /** `await using store = openStore(...)` */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  /** What `console.log` shows: no password. */
  [inspect.custom](): string {
    const what = this.#client === undefined ? `url: '${this.#native.url}'` : `client: '${this.#client.library}'`
    return `${this.constructor.name} { ${what} }`
  }

  /** Whether operations go the shortest way: to the store's own connections, with nobody listening. */
  #isPlain(): boolean {
    const isFree = this.#client === undefined && this.#getTransaction === undefined && !this.#requiresTransaction
    return isFree && !hasScopes() && !this.#observer.isActive
  }

  #get(id: string): Promise<Buffer> {
    if (this.#answersHere && this.#gets === 0) {
      const found = this.#direct.getHere(id)
      if (found !== undefined) {
        // Under way until its caller hears of it: another one meanwhile is not by itself.
        this.#gets = 1
        return Promise.resolve(found).then(this.#got)
      }
    }
    const getting = this.#direct.get(id)
    this.#gets += 1
    return getting.then(this.#got, this.#notGot)
  }

  /** A rejection that is found out on this side of the boundary: it makes way like all other answers. */
  #refuse(error: unknown): Promise<never> {
    return this.#direct.makesWay() ? turn().then(() => Promise.reject(error)) : Promise.reject(error)
  }

  #perform<T>(operation: OperationName, args: Arguments, options?: PutOptions, within?: Route): Promise<T> {
    const start = () => this.#start<T>(operation, args, within)
    return this.#observer.isActive ? this.#observer.watch(subjectOf(operation, args, options), start) : start()
  }

  #start<T>(operation: OperationName, args: Arguments, within?: Route): Promise<T> {
    let route: Route | undefined
    try {
      route = within ?? this.#route(operation)
      if (route !== undefined) checkRoute(route, operation, this.backend)
      if (this.#requiresTransaction) route = this.#required(route, operation)
    } catch (error) {
      return this.#refuse(error)
    }
    if (route === undefined) return this.#onOwnConnections<T>(operation, args).then(undefined, raise)
    if ('carrier' in route && route.unit === undefined) return this.#conversations.run<T>(route, operation, args)
    if (operation === 'statistics') {
      if (this.#client !== undefined) return this.#conversations.run<T>({ carrier: this.#client, isJoined: false }, operation, args)
      return this.#onOwnConnections<T>(operation, args).then(undefined, raise)
    }
    if (OPERATIONS[operation] >= OPERATIONS.initialize) {
      return this.#refuse(this.#unsupported(`${operation} is not part of a transaction: call it outside`, operation))
    }
    if ('carrier' in route) return this.#conversations.run<T>(route, operation, args)
    const [id, data, expiresAt] = args
    const running = this.#native.runIn(route.transaction, OPERATIONS[operation], id, data, expiresAt)
    return (running as Promise<T>).then(undefined, raise)
  }

  /** Where operations go that are called here and now; none: to the store's own connections. */
  #route(operation: string): Route | undefined {
    const joined = joinedRoute(this.backend, this)
    if (joined !== undefined) return joined
    const transaction = this.#getTransaction?.()
    if (transaction !== undefined && transaction !== null) {
      const carrier = transactionCarrier(transaction, 'what getTransaction returned', operation)
      if (carrier.backend === this.backend) return { carrier, isJoined: true }
      const message = `getTransaction returned a transaction of ${carrier.library} on ${carrier.backend}`
      throw invalidArgument(message, operation, this.backend)
    }
    return this.#client && { carrier: this.#client, isJoined: false }
  }

  /** With `requireTransaction`: the route, if it leads into a transaction, or may; operations on tables need none. */
  #required(route: Route | undefined, operation: OperationName): Route | undefined {
    if (OPERATIONS[operation] >= OPERATIONS.initialize) return route
    if (route !== undefined) {
      if (!('carrier' in route) || route.isJoined) return route
      // A connection, a handle or a transaction in place of a client.
      if (route.carrier.isOpen !== undefined) return { ...route, isRequired: true }
      if (route.carrier.isTransaction) return route
    }
    const message =
      'outside of any transaction, and the store was opened with requireTransaction: use store.transaction or withTransaction. ' +
      'Inside of one? A callback (not a promise) of a library can lose the context that withTransaction goes by'
    throw invalidArgument(message, operation, this.backend)
  }

  #onOwnConnections<T>(operation: OperationName, args: Arguments): Promise<T> {
    const [first, data, expiresAt] = args as [never, never, never]
    if (operation === 'states.reindex') return this.#native.reindex(first) as Promise<T>
    if (isOnStates(operation)) return this.#direct.state(OPERATIONS[operation], first) as Promise<T>
    switch (operation as PayloadOperation) {
      case 'get':
        return this.#get(first) as Promise<T>
      case 'touch':
        return this.#native.touch(first, expiresAt) as Promise<T>
      case 'put':
        return this.#direct.put(first, data, expiresAt) as Promise<T>
      case 'putMany':
        return this.#native.putMany(first, data, expiresAt) as Promise<T>
      default:
        return this.#native[operation as 'find'](first) as Promise<T>
    }
  }

  async #healthOf(carrier: Carrier): Promise<unknown> {
    const began = performance.now()
    const answered = this.#conversations.run({ carrier, isJoined: false }, 'health', [])
    try {
      return await within(HEALTH_TIMEOUT_MS, answered, () => new Error(`no answer within ${HEALTH_TIMEOUT_MS} ms`))
    } catch (error) {
      const code = error instanceof SagaStoreError ? error.code : 'TIMEOUT'
      return { status: 'unhealthy', latencyMs: performance.now() - began, message: (error as Error).message, details: { code } }
    }
  }

  #refusalOf(work: unknown, options: TransactionOptions): Error | undefined {
    if (typeof work !== 'function') return invalidArgument('transaction takes a function', 'transaction', this.backend)
    const unknown = Object.keys(options).find((name) => name !== 'isolation')
    if (unknown !== undefined) return invalidArgument(`unknown option '${unknown}'; accepted: isolation`, 'transaction', this.backend)
    const { isolation } = options
    const levels: readonly string[] = this.capabilities.isolation
    if (isolation === undefined || levels.includes(isolation)) return undefined
    const accepted = levels.length === 0 ? `not for ${this.backend}` : `one of '${levels.join("', '")}'`
    return invalidArgument(`option 'isolation' is ${accepted}`, 'transaction', this.backend)
  }

  async #transact<T>(work: (tx: SagaTransaction) => Promise<T> | T, { isolation }: TransactionOptions): Promise<T> {
    const route = this.#route('transaction')
    if (route !== undefined && !('carrier' in route && !route.isJoined)) {
      checkRoute(route, 'transaction', this.backend)
      return await work(this.#transactionOn(route))
    }
    const { retryAttempts, retryBaseMs, retryMaxMs } = this.#native.settings
    for (let attempt = 1; ; attempt += 1) {
      try {
        if (this.#client === undefined) return await this.#ownTransaction(work, isolation)
        const result = await this.#clientTransaction(this.#client, work, isolation)
        if (this.#direct.makesWay()) await turn()
        return result
      } catch (error) {
        if (this.#direct.makesWay()) await turn()
        // Nothing has happened, and it may go better the next time.
        const passes = error instanceof SagaStoreError && error.retryable && error.code === 'BACKEND'
        if (!passes || attempt >= retryAttempts) throw error
      }
      await sleep(Math.random() * Math.min(retryMaxMs, retryBaseMs * 2 ** (attempt - 1)))
    }
  }

  async #ownTransaction<T>(work: (tx: SagaTransaction) => Promise<T> | T, isolation?: string): Promise<T> {
    const transaction = await this.#native.begin(isolation ?? null).then(undefined, raise)
    let isOver = false
    const route: Route = { transaction, isOver: () => isOver }
    try {
      const result = await this.#inTime(runJoined(this.backend, this, route, async () => work(this.#transactionOn(route))))
      isOver = true
      await this.#native.commit(transaction).then(undefined, raise)
      return result
    } catch (error) {
      isOver = true
      // It has ended already where the commit failed.
      await this.#native.rollBack(transaction).catch(() => undefined)
      throw error
    }
  }

  /** Collects what `work` does, and sends all of it at the end. */
  async #unitOfWork<T>(client: Carrier, work: (tx: SagaTransaction) => Promise<T> | T): Promise<T> {
    const opened = this.#native.openUnit()
    if ('code' in opened) throw toError(opened as Failure)
    let isOver = false
    const route: CarrierRoute = { carrier: client, isJoined: true, isOver: () => isOver, unit: new UnitOfWork(opened) }
    try {
      const result = await this.#inTime(runJoined(this.backend, this, route, async () => work(this.#transactionOn(route))))
      isOver = true
      await this.#conversations.run(route, 'transaction', [])
      return result
    } finally {
      isOver = true
    }
  }

  async #clientTransaction<T>(client: Carrier, work: (tx: SagaTransaction) => Promise<T> | T, isolation?: string): Promise<T> {
    if (client.takesUnits) return this.#unitOfWork(client, work)
    if (client.begin === undefined) {
      const what = client.isTransaction ? 'is a transaction, or may be in one' : 'is one connection, which others use too'
      throw this.#unsupported(`the ${client.library} client ${what}: use withTransaction, or a client that can open another`, 'transaction')
    }
    let isOver = false
    let thrown: { error: unknown } | undefined
    const run = async (transaction: unknown) => {
      try {
        const route: Route = {
          carrier: transactionCarrier(transaction, "the client's transaction", 'transaction'),
          isJoined: true,
          isOver: () => isOver,
        }
        return await this.#inTime(runJoined(this.backend, this, route, async () => work(this.#transactionOn(route))))
      } catch (error) {
        thrown = { error }
        throw error
      } finally {
        isOver = true
      }
    }
    const timeoutMs = this.#native.settings.operationTimeoutMs
    try {
      return await client.begin(run, isolation === undefined ? { timeoutMs } : { isolation, timeoutMs })
    } catch (error) {
      if (thrown !== undefined) throw thrown.error
      throw error instanceof SagaStoreError ? error : toError(this.#conversations.classify(error))
    }
  }

  #transactionOn(route: Route): SagaTransaction {
    return new SagaTransaction(
      this.backend,
      (operation, args, options) => this.#perform(operation, args, options, route),
      (sql, values) => this.#query(route, sql, values),
      (error) => this.#refuse(error),
    )
  }

  async #query<Row>(route: Route, sql: string, values: readonly unknown[]): Promise<Row[]> {
    checkRoute(route, 'query', this.backend)
    if (!('carrier' in route)) return this.#native.queryIn(route.transaction, sql, [...values]).then(undefined, raise) as Promise<Row[]>
    if (this.backend !== 'postgres' && this.backend !== 'sqlite')
      throw this.#unsupported('query is for SQL: PostgreSQL and SQLite', 'query')
    // A library may read them later than now.
    const bound = values.map((value) => (value === undefined ? null : takenDate(value)))
    const confirmed = this.#conversations.confirm(route, 'query')
    if (confirmed !== undefined) await confirmed
    try {
      const rows = (await route.carrier.send('rows', [sql, bound])) as Row[]
      if (this.#direct.makesWay()) await turn()
      return rows
    } catch (error) {
      throw toError({ ...this.#conversations.classify(error), operation: 'query' })
    }
  }

  #inTime<T>(running: Promise<T>): Promise<T> {
    const timeoutMs = this.#native.settings.operationTimeoutMs
    const message = `the transaction was rolled back after operationTimeoutMs (${timeoutMs} ms)`
    return within(timeoutMs, running, () => toError(this.#failure('TIMEOUT', message, 'transaction')))
  }

  #unsupported(message: string, operation: string): unknown {
    return toError(this.#failure('UNSUPPORTED', message, operation))
  }

  #failure(code: Failure['code'], message: string, operation: string): Failure {
    return { code, message, backend: this.backend, operation, retryable: false, causes: [], details: {} }
  }
}

/** What `running` comes to, unless it takes longer. */
async function within<T>(limitMs: number, running: Promise<T>, late: () => unknown): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const limit = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(late()), limitMs)
  })
  try {
    return await Promise.race([running, limit])
  } finally {
    clearTimeout(timer)
  }
}

function clientCarrier(client: unknown, url: unknown, backend: BackendName | null): Carrier {
  if (url !== undefined) throw invalidArgument("give either 'url' or 'client', not both", 'open', backend ?? undefined)
  if (backend === 'memory') throw invalidArgument("the memory store has no option 'client'", 'open', backend)
  const carrier = recognize(client, "option 'client'", 'open')
  if (backend !== null && carrier.backend !== backend) {
    throw invalidArgument(`option 'client' is a ${carrier.library} client of ${carrier.backend}`, 'open', backend)
  }
  // What a store puts would be gone, unless somebody sends it.
  if (carrier.isBuffered) {
    const message = `option 'client' is a transaction that is sent at its end (${carrier.library}): give the client, and use withTransaction`
    throw invalidArgument(message, 'open', carrier.backend)
  }
  return carrier
}

function subjectOf(operation: OperationName, args: Arguments, options?: PutOptions): Subject {
  const [first, data, expiresAt] = args
  const subject: Subject = { operation }
  if (isOnStates(operation)) {
    const id = idOf(operation, args)
    if (typeof id === 'string') subject.id = id
  } else if (Array.isArray(first)) subject.batchSize = first.length
  else if (OPERATIONS[operation] < OPERATIONS.initialize) subject.id = first as string
  if (data instanceof Uint8Array) subject.bytes = data.byteLength
  if (options?.routingSlipId !== undefined) subject.routingSlipId = options.routingSlipId
  const times = (Array.isArray(expiresAt) ? expiresAt : [expiresAt]).filter(isDate).map((date) => Date.prototype.getTime.call(date))
  if (times.length > 0) subject.expiresAt = times.reduce((first, at) => Math.min(first, at))
  return subject
}

/** Payloads in the process's own memory. */
export class MemorySagaStore extends SagaStore {
  constructor(options: string | MemoryStoreOptions = 'memory://') {
    super('memory', typeof options === 'string' ? options : { url: 'memory://', ...asObject(options) })
  }
}

/** Payloads in an SQLite file. */
export class SqliteSagaStore extends SagaStore {
  constructor(options: string | SqliteStoreOptions) {
    super('sqlite', options)
  }
}

/** Payloads in PostgreSQL. */
export class PostgresSagaStore extends SagaStore {
  constructor(options: string | PostgresStoreOptions) {
    super('postgres', options)
  }
}

/** Payloads in Redis: a single server, Sentinel or Cluster. */
export class RedisSagaStore extends SagaStore {
  constructor(options: string | RedisStoreOptions) {
    super('redis', options)
  }
}

/** Payloads in MongoDB, or a server that speaks its protocol. */
export class MongoSagaStore extends SagaStore {
  constructor(options: string | MongoStoreOptions) {
    super('mongodb', options)
  }
}

/** Payloads in a DynamoDB table: `initialize` creates it and switches its TTL on. */
export class DynamoDBSagaStore extends SagaStore {
  constructor(options: string | DynamoDBStoreOptions) {
    super('dynamodb', options)
  }
}

const classes: Record<BackendName, new (options: never) => SagaStore> = {
  memory: MemorySagaStore,
  sqlite: SqliteSagaStore,
  postgres: PostgresSagaStore,
  redis: RedisSagaStore,
  mongodb: MongoSagaStore,
  dynamodb: DynamoDBSagaStore,
}

/** Opens the store that the URL's scheme names, or that works on the client given. */
export function openStore(options: string | AnyStoreOptions): SagaStore {
  const { url, client } = (typeof options === 'string' ? { url: options } : asObject(options)) as { url?: unknown; client?: unknown }
  if (client !== undefined) return new classes[clientCarrier(client, url, null).backend](options as never)
  if (typeof url !== 'string' || url === '')
    throw invalidArgument("openStore takes a connection string or options with 'url' or 'client'", 'open')
  const backend = native.backendOf(url)
  if (typeof backend !== 'string') throw toError(backend)
  return new classes[backend as BackendName](options as never)
}

function asObject<T extends AnyStoreOptions>(options: T): T {
  if (typeof options !== 'object' || options === null) throw invalidArgument('a store takes a connection string or options', 'open')
  return options
}

/** JSON drops or changes these without a word; as `false` they are refused as the wrong type. */
function jsonValue(_name: string, value: unknown): unknown {
  const isLost = typeof value === 'function' || typeof value === 'symbol' || typeof value === 'bigint'
  return isLost || (typeof value === 'number' && !Number.isFinite(value)) ? false : value
}
