import { inspect } from 'node:util'
import { isMainThread } from 'node:worker_threads'
import { invalidArgument, raise, toError } from './errors'
import { native } from './native'
import { Observer, type Subject } from './observe'
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
} from './types'

type Native = InstanceType<typeof native.NativeStore>

/** Data up to here is copied by the native side at once; larger data is read in place. */
const COPIED_BYTES = 4096

/**
 * A store of saga payloads (claim check). Opened by one of the classes below or by `openStore`;
 * constructing never connects, the first operation or `initialize` does.
 */
export class SagaStore implements SagaStoreAdapter {
  /** Which backend it is. */
  readonly backend: BackendName
  readonly #native: Native
  readonly #observer: Observer

  /** @internal */
  protected constructor(backend: BackendName | null, options: string | AnyStoreOptions) {
    const { logger, ...rest } = typeof options === 'string' ? { url: options } : asObject(options)
    const opened = native.NativeStore.open(backend, JSON.stringify(rest, jsonValue), setImmediate, isMainThread)
    if (!(opened instanceof native.NativeStore)) throw toError(opened)
    this.#native = opened
    this.backend = opened.backend as BackendName
    this.#observer = new Observer(this.backend, opened.url, logger)
  }

  /** What this backend can do. */
  get capabilities(): Capabilities {
    return this.#native.capabilities as Capabilities
  }

  /**
   * Stores a payload, replacing data and expiry of an earlier one together. Once it has resolved,
   * a `get` of any process sees it; if it rejects, the event must not be emitted.
   *
   * @param id the claim id: 1 to 1,024 bytes of UTF-8
   * @param data the payload; it must not be changed before the promise has settled
   * @param expiresAt when it ceases to exist; never, if left out. A time that has passed already
   *   (a saga that timed out and still has to compensate) is kept for `lateRetentionMs`
   * @throws PayloadTooLargeError, AlreadyExpiredError, InvalidArgumentError, ConnectionError, TimeoutError
   */
  put(id: string, data: Uint8Array, expiresAt?: Date, options?: PutOptions): Promise<void> {
    if (!this.#observer.isActive) return this.#native.put(id, unshared(data), expiresAt).then(undefined, raise)
    const subject = { operation: 'put', id, bytes: data?.byteLength, routingSlipId: options?.routingSlipId }
    return this.#watch(subject, () => this.#native.put(id, unshared(data), expiresAt))
  }

  /**
   * The payload.
   *
   * @throws NotFoundError if there is none, or if its time is over
   */
  get(id: string): Promise<Buffer> {
    if (!this.#observer.isActive) return this.#native.get(id).then(undefined, raise)
    return this.#watch({ operation: 'get', id }, () => this.#native.get(id))
  }

  /** The payload, or null if there is none. */
  find(id: string): Promise<Buffer | null> {
    return this.#run({ operation: 'find', id }, () => this.#native.find(id))
  }

  /** Whether there is a payload. */
  has(id: string): Promise<boolean> {
    return this.#run({ operation: 'has', id }, () => this.#native.has(id))
  }

  /** Removes a payload; whether there was one. */
  delete(id: string): Promise<boolean> {
    return this.#run({ operation: 'delete', id }, () => this.#native.delete(id))
  }

  /** Sets another expiry, under the same rules as `put`; whether there was a payload. */
  touch(id: string, expiresAt: Date): Promise<boolean> {
    return this.#run({ operation: 'touch', id }, () => this.#native.touch(id, expiresAt))
  }

  /**
   * Stores several payloads. Resolves when all are stored; rejects if one is not, and then the
   * others may be. Nothing is sent if one of them is invalid.
   */
  putMany(entries: Iterable<PayloadEntry>): Promise<void> {
    const list = listed(entries)
    if (list === undefined) return Promise.reject(invalidArgument('putMany takes an iterable of entries', 'putMany', this.backend))
    return this.#run({ operation: 'putMany', batchSize: list.length }, () =>
      this.#native.putMany(
        list.map((entry) => entry?.id),
        list.map((entry) => unshared(entry?.data)),
        list.map((entry) => entry?.expiresAt),
      ),
    )
  }

  /** The payloads of several ids; an id without one is not in the map. */
  getMany(ids: Iterable<string>): Promise<Map<string, Buffer>> {
    const list = listed(ids)
    if (list === undefined) return Promise.reject(invalidArgument('getMany takes an iterable of ids', 'getMany', this.backend))
    return this.#run({ operation: 'getMany', batchSize: list.length }, async () => {
      const found = new Map<string, Buffer>()
      const payloads = await this.#native.getMany(list)
      list.forEach((id, index) => {
        const payload = payloads[index]
        if (payload != null) found.set(id, payload)
      })
      return found
    })
  }

  /**
   * Removes payloads whose time is over, in bounded batches, at most `limit` of them; answers how
   * many. Where the server removes them by itself (Redis) there is nothing to do. DynamoDB removes
   * them too, within days; this call reads the whole table to find the others, and is charged for it:
   * one read unit for every 4 KB stored, and a write unit for every KB removed.
   */
  purgeExpired(options: { limit?: number } = {}): Promise<number> {
    const limit = options.limit ?? Number.POSITIVE_INFINITY
    if (limit !== Number.POSITIVE_INFINITY && !(Number.isSafeInteger(limit) && limit > 0)) {
      return Promise.reject(invalidArgument('limit must be a whole number above 0', 'purgeExpired', this.backend))
    }
    return this.#run({ operation: 'purgeExpired' }, () => this.#native.purgeExpired(limit))
  }

  /** Removes all payloads whose time is over. */
  async cleanup(): Promise<void> {
    await this.purgeExpired()
  }

  /** Creates tables and indexes where they are missing. Safe to call from many processes at once. */
  async initialize(): Promise<void> {
    const warnings = await this.#run({ operation: 'initialize' }, () => this.#native.initialize())
    for (const warning of warnings) this.#observer.warn('initialize', warning)
  }

  /** Whether the store can be used. Never rejects; takes at most five seconds. */
  async health(): Promise<Health> {
    const health = (await this.#native.health()) as Omit<Health, 'backend'>
    return { ...health, backend: this.backend }
  }

  /**
   * What is stored, the state of the connections, and latencies since the store was opened.
   * Counting reads the whole table (DynamoDB charges for that, as for `purgeExpired`), or on Redis all
   * keys of the database.
   */
  async statistics(): Promise<Statistics> {
    const statistics = (await this.#run({ operation: 'statistics' }, () => this.#native.statistics())) as Omit<Statistics, 'backend'>
    return { backend: this.backend, ...statistics }
  }

  /** Answers what is under way, then lets go of the connections. Safe to call again. */
  close(): Promise<void> {
    return this.#native.close().then(undefined, raise)
  }

  /** `await using store = openStore(...)` */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  /** What `console.log` shows: no password. */
  [inspect.custom](): string {
    return `${this.constructor.name} { url: '${this.#native.url}' }`
  }

  #run<T>(subject: Subject, start: () => Promise<T>): Promise<T> {
    return this.#observer.isActive ? this.#watch(subject, start) : start().then(undefined, raise)
  }

  #watch<T>(subject: Subject, start: () => Promise<T>): Promise<T> {
    return this.#observer.watch(subject, () => start().then(undefined, raise))
  }
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

/** Opens the store that the URL's scheme names. */
export function openStore(options: string | AnyStoreOptions): SagaStore {
  const url = typeof options === 'string' ? options : asObject(options).url
  if (typeof url !== 'string' || url === '') throw invalidArgument("openStore takes a connection string or options with 'url'", 'open')
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

function listed<T>(values: Iterable<T>): T[] | undefined {
  if (typeof values === 'string' || typeof values?.[Symbol.iterator] !== 'function') return undefined
  return Array.isArray(values) ? values : Array.from(values)
}

/** Memory that another thread may change, or that may shrink, is not read in place but copied. */
function unshared(data: Uint8Array): Uint8Array {
  if (!(data instanceof Uint8Array) || data.byteLength <= COPIED_BYTES) return data
  const memory = data.buffer as ArrayBufferLike & { resizable?: boolean }
  return memory.resizable === true || memory instanceof SharedArrayBuffer ? Uint8Array.prototype.slice.call(data) : data
}
