import type { PostgresClient, SqliteClient } from './clients/shapes'
import type { DynamoDBClientLike } from './clients/shapes-dynamodb'
import type { MongoClientLike } from './clients/shapes-mongodb'
import type { RedisClient } from './clients/shapes-redis'

/** The interface of a saga engine's claim check; every store class implements it. */
export interface SagaStoreAdapter {
  /** Stores a payload until `expiresAt`. */
  put(id: string, data: Buffer, expiresAt: Date): Promise<void>
  /** The payload; rejects if there is none. */
  get(id: string): Promise<Buffer>
  /** Removes expired payloads where the backend does not do it by itself. */
  cleanup?(): Promise<void>
  /** Creates what the store needs in the backend. */
  initialize?(): Promise<void>
}

/** Anything with these four methods: `console`, pino, winston. */
export interface Logger {
  /** Operations that have succeeded, conflicts, ids that are taken. */
  debug(...args: never[]): void
  /** Nothing so far. */
  info(...args: never[]): void
  /** What was not found, slow operations, late puts, what `initialize` finds lacking. */
  warn(...args: never[]): void
  /** Every other failure. */
  error(...args: never[]): void
}

/** Options that every store has. Unknown ones are refused. */
export interface StoreOptions {
  /**
   * Names the tables, collections or key prefixes of every kind of record: 1 to 32 small letters, digits and
   * underscores, starting with a letter. With `orders`, payloads are in `orders_payloads` and sagas in `orders_sagas`
   * (on Redis under `orders:payloads:` and `orders:sagas:`), executions in `orders_executions` and `orders_log`, events
   * in `orders_outbox`, and accepted messages in `orders_inbox`. An option that names one of them alone goes before it.
   * Default: the names that the single options have by default.
   */
  namespace?: string
  /** Where the operations are told to: `console`, a pino logger, or anything with the four methods. */
  logger?: Logger
  /** An operation on records that takes as long, in ms, is told to the logger at `warn`. Default 1,000; with 0 none is. */
  slowMs?: number
  /** How long a payload whose `expiresAt` had passed at the put is kept, in ms. Default 3,600,000; with 0 such a put is refused. */
  lateRetentionMs?: number
  /** Larger payloads are refused; what counts is what is stored, compressed or not. Default: what the backend can hold. */
  maxPayloadBytes?: number
  /**
   * Payloads are compressed off the event loop, behind a header that says so; `'zstd'` is `{ algorithm: 'zstd' }`.
   * What is compressed can be read whatever this option is, and so can what is not. Default `'none'`.
   */
  compression?: 'zstd' | 'none' | CompressionOptions
  /** A stored payload that would be larger when it is decompressed is refused. Default 256 MiB. */
  maxDecompressedBytes?: number
  /** The longest that a promise stays pending, in ms. Default 30,000. */
  operationTimeoutMs?: number
  /** The longest that reaching the server may take, in ms. Default 5,000. */
  connectTimeoutMs?: number
  /** Repetition of operations that failed in a way that may pass, and that may be repeated. */
  retry?: RetryOptions
  /** How long a saga that has ended is kept after its last change, in ms. Default 0: as `defaultTtlMs` says. */
  completedTtlMs?: number
  /** How long a saga is kept after its last change, in ms. Default 0: until it is deleted. */
  defaultTtlMs?: number
  /** How long an execution that has ended is kept, in ms. Default 0: until it is deleted or cleaned up. */
  executionTtlMs?: number
  /** The pause after the first attempt at an execution that failed, in ms; each further one doubles it, up to five minutes. Default 1,000. */
  recoveryBackoffMs?: number
  /** More entries than that are refused in the log of one execution. Default 10,000. */
  maxHistoryEntries?: number
  /** More bytes than that are refused in the log of one execution. Default 50 MiB. */
  maxHistoryBytes?: number
  /** What holds for `store.outbox`. */
  outbox?: OutboxOptions
  /**
   * The store calls it at each operation. It answers the transaction of the application that the operation joins, for
   * example from an AsyncLocalStorage, or `undefined` for none. See `withTransaction` for what may be a transaction.
   */
  getTransaction?: () => unknown
  /**
   * Operations on payloads, sagas, executions, outbox and inbox outside of any transaction are `INVALID_ARGUMENT`; without this option they run by
   * themselves. `initialize`, `cleanup`, `purgeExpired`, `health` and `statistics` need none. Default false.
   */
  requireTransaction?: boolean
}

/** What holds for the outbox of a store. Stores on the same data should agree. */
export interface OutboxOptions {
  /** An event that has failed more often is a dead letter. Default 10. */
  maxRetries?: number
  /** An event that was given to workers so often, none of which answered, is a dead letter. Default 20. */
  maxDeliveries?: number
  /** The pause after the first failure, in ms, ±10 %; each further one doubles it, up to five minutes. Default 1,000. */
  retryBackoffMs?: number
  /** Whether a dead letter blocks the events of its `partitionKey` behind it, or lets them pass. Default `block`. */
  onDeadLetter?: 'block' | 'skip'
  /** How long events are kept that were sent, in ms. Default 0: they are removed when they are acknowledged. */
  retainSentMs?: number
  /** How long dead letters are kept, in ms. Default 0: until they are requeued, discarded or archived. */
  retainDeadMs?: number
  /**
   * When other processes are told of new events (PostgreSQL). `commit`: by the process that inserted them, after the
   * commit. `transaction`: by the transaction itself, also when the process ends then; such commits wait for one
   * another on the whole server. Default `commit`.
   */
  notify?: 'commit' | 'transaction'
}

/** How payloads are compressed. */
export interface CompressionOptions {
  /** Zstandard (RFC 8878), or nothing. */
  algorithm?: 'zstd' | 'none'
  /** 1 (fast) to 19 (small). Default 1. */
  level?: number
  /** Smaller payloads stay as they are, and so does what does not shrink. Default 1,024. */
  minBytes?: number
}

/** Full jitter: the pause is a random part of `baseMs * 2^n`, at most `maxMs`. */
export interface RetryOptions {
  /** Attempts in all. Default 3. */
  attempts?: number
  /** Default 50. */
  baseMs?: number
  /** Default 2,000. */
  maxMs?: number
}

/** Options of a memory store. */
export interface MemoryStoreOptions extends StoreOptions {
  /** `memory://` (private, the default) or `memory://name` (shared by all stores of that name in the process). */
  url?: string
}

/** Options of an SQLite store: on connections of its own, or on a client of the application. */
export type SqliteStoreOptions = SqliteUrlOptions | SqliteClientOptions

/** Options of an SQLite store on connections of its own. */
export interface SqliteUrlOptions extends StoreOptions {
  /** `sqlite:///absolute.db`, `sqlite:relative.db` or `sqlite::memory:`. */
  url: string
  /** Letters, digits and underscores. Default `saga_store`. */
  tableName?: string
  /** The table of sagas. Default `saga_instances`. */
  statesTableName?: string
  /** The table of executions. Default `saga_executions`. */
  executionsTableName?: string
  /** The table of their logs. Default `saga_logs`. */
  logTableName?: string
  /** The table of events; those that were sent and are kept are in the same with `_kept` behind its name. Default `saga_outbox`. */
  outboxTableName?: string
  /** The table of accepted messages. Default `saga_inbox`. */
  inboxTableName?: string
  /** `full` (the default): a resolved put survives a power cut. `normal`: it survives the end of the process. */
  durability?: 'full' | 'normal'
}

/** Options of an SQLite store on a client of the application. */
export interface SqliteClientOptions extends StoreOptions {
  /** A handle of better-sqlite3 or node:sqlite, or Prisma, Drizzle, Kysely or Knex on SQLite. */
  client: SqliteClient
  /** Letters, digits and underscores. Default `saga_store`. */
  tableName?: string
  /** The table of sagas. Default `saga_instances`. */
  statesTableName?: string
  /** The table of executions. Default `saga_executions`. */
  executionsTableName?: string
  /** The table of their logs. Default `saga_logs`. */
  logTableName?: string
  /** The table of events; those that were sent and are kept are in the same with `_kept` behind its name. Default `saga_outbox`. */
  outboxTableName?: string
  /** The table of accepted messages. Default `saga_inbox`. */
  inboxTableName?: string
}

/** Options of a PostgreSQL store: on connections of its own, or on a client of the application. */
export type PostgresStoreOptions = PostgresUrlOptions | PostgresClientOptions

/** Options of a PostgreSQL store on a client of the application. */
export interface PostgresClientOptions extends StoreOptions {
  /** pg (Pool, Client, PoolClient), postgres.js, or Prisma, Drizzle, Kysely or Knex on PostgreSQL. */
  client: PostgresClient
  /** Default: the connection's search path. */
  schema?: string
  /** Letters, digits and underscores. Default `saga_store`. */
  tableName?: string
  /** The table of sagas. Default `saga_instances`. */
  statesTableName?: string
  /** The table of executions. Default `saga_executions`. */
  executionsTableName?: string
  /** The table of their logs. Default `saga_logs`. */
  logTableName?: string
  /** The table of events; those that were sent and are kept are in the same with `_kept` behind its name. Default `saga_outbox`. */
  outboxTableName?: string
  /** The table of accepted messages. Default `saga_inbox`. */
  inboxTableName?: string
}

/** Options of a PostgreSQL store on connections of its own. */
export interface PostgresUrlOptions extends StoreOptions {
  /** The libpq URL, with `sslmode` for TLS. */
  url: string
  /** Default: the connection's search path. */
  schema?: string
  /** Letters, digits and underscores. Default `saga_store`. */
  tableName?: string
  /** The table of sagas. Default `saga_instances`. */
  statesTableName?: string
  /** The table of executions. Default `saga_executions`. */
  executionsTableName?: string
  /** The table of their logs. Default `saga_logs`. */
  logTableName?: string
  /** The table of events; those that were sent and are kept are in the same with `_kept` behind its name. Default `saga_outbox`. */
  outboxTableName?: string
  /** The table of accepted messages. Default `saga_inbox`. */
  inboxTableName?: string
  /** Connections at most. Default 4. */
  poolSize?: number
}

/** Options of a Redis store: on a connection of its own, or on a client of the application. */
export type RedisStoreOptions = RedisUrlOptions | RedisClientOptions

/** Options of a Redis store on a client of the application. */
export interface RedisClientOptions extends StoreOptions {
  /** ioredis (Redis, Cluster), or redis (node-redis 5 and later). */
  client: RedisClient
  /** Keys are `{keyPrefix}:{id}`, whatever prefix the client has itself. Default `saga:storage`. */
  keyPrefix?: string
  /** Keys of sagas are `{statesKeyPrefix}saga:{sagaName}:{correlationId}`, and indexes beside them. Default `saga-bus:`. */
  statesKeyPrefix?: string
  /** Keys of executions are `{executionsKeyPrefix}{b0}:…` to `{b255}:…`; it has no `{`. Default `saga-exec:`. */
  executionsKeyPrefix?: string
  /** Keys of the outbox are `{outboxKeyPrefix}…`, all in one slot of a Cluster: see docs/options.md. Default `{saga-outbox}:`. */
  outboxKeyPrefix?: string
  /** Keys of accepted messages are `{inboxKeyPrefix}…`. Default `saga-inbox:`. */
  inboxKeyPrefix?: string
}

/** Options of a Redis store on a connection of its own. */
export interface RedisUrlOptions extends StoreOptions {
  /** `redis:`, `rediss:`, `redis-cluster:`, `rediss-cluster:`, `redis-sentinel:` or `rediss-sentinel:`. */
  url: string
  /** Keys are `{keyPrefix}:{id}`. Default `saga:storage`. */
  keyPrefix?: string
  /** Keys of sagas are `{statesKeyPrefix}saga:{sagaName}:{correlationId}`, and indexes beside them. Default `saga-bus:`. */
  statesKeyPrefix?: string
  /** Keys of executions are `{executionsKeyPrefix}{b0}:…` to `{b255}:…`; it has no `{`. Default `saga-exec:`. */
  executionsKeyPrefix?: string
  /** Keys of the outbox are `{outboxKeyPrefix}…`, all in one slot of a Cluster: see docs/options.md. Default `{saga-outbox}:`. */
  outboxKeyPrefix?: string
  /** Keys of accepted messages are `{inboxKeyPrefix}…`. Default `saga-inbox:`. */
  inboxKeyPrefix?: string
  /** A PEM file with the certificate authorities to trust. Default: the system's. */
  tlsCaFile?: string
}

/** Options of a MongoDB store: on connections of its own, or on a client of the application. */
export type MongoStoreOptions = MongoUrlOptions | MongoClientOptions

/** Options of a MongoDB store on a client of the application, whose concerns hold (`w: 0` is refused; without one, `majority`). */
export interface MongoClientOptions extends StoreOptions {
  /** `mongodb`: a MongoClient or a Db. */
  client: MongoClientLike
  /** Default: that of the client. */
  database?: string
  /** Default `saga_store`. */
  collectionName?: string
  /** The collection of sagas. Default `saga_instances`. */
  statesCollectionName?: string
  /** The collection of executions. Default `saga_executions`. */
  executionsCollectionName?: string
  /** The collection of the older parts of their logs. Default `saga_logs`. */
  logCollectionName?: string
  /** The collection of events. Default `saga_outbox`. */
  outboxCollectionName?: string
  /** The collection of accepted messages. Default `saga_inbox`. */
  inboxCollectionName?: string
}

/** Options of a MongoDB store on connections of its own. */
export interface MongoUrlOptions extends StoreOptions {
  /** The driver's URL, `mongodb:` or `mongodb+srv:`; the database is its path, `sagas` where there is none. */
  url: string
  /** Default `saga_store`. */
  collectionName?: string
  /** The collection of sagas. Default `saga_instances`. */
  statesCollectionName?: string
  /** The collection of executions. Default `saga_executions`. */
  executionsCollectionName?: string
  /** The collection of the older parts of their logs. Default `saga_logs`. */
  logCollectionName?: string
  /** The collection of events. Default `saga_outbox`. */
  outboxCollectionName?: string
  /** The collection of accepted messages. Default `saga_inbox`. */
  inboxCollectionName?: string
}

/** Options of a DynamoDB store: on connections of its own, or on a client of the application. */
export type DynamoDBStoreOptions = DynamoDBUrlOptions | DynamoDBClientOptions

/** Options of a DynamoDB store on a client of the application. Region, endpoint and credentials are the client's. */
export interface DynamoDBClientOptions extends StoreOptions {
  /** `@aws-sdk/client-dynamodb` (DynamoDBClient, DynamoDB), or `@aws-sdk/lib-dynamodb` (DynamoDBDocumentClient, DynamoDBDocument). */
  client: DynamoDBClientLike
  /** Default `saga_store`. */
  tableName?: string
  /** The table of sagas, with its indexes. Default `saga_instances`. */
  statesTableName?: string
  /** The table of executions and their logs, with its indexes. Default `saga_executions`. */
  executionsTableName?: string
  /** The table of events, with its indexes. Default `saga_outbox`. */
  outboxTableName?: string
  /** The table of accepted messages. Default `saga_inbox`. */
  inboxTableName?: string
}

/** Options of a DynamoDB store on connections of its own. */
export interface DynamoDBUrlOptions extends StoreOptions {
  /** `dynamodb://eu-west-1/saga_store?endpoint=http://127.0.0.1:8000`; table and endpoint may be left out. */
  url: string
  /** Default: the URL's path, or `saga_store`. */
  tableName?: string
  /** The table of sagas, with its indexes. Default `saga_instances`. */
  statesTableName?: string
  /** The table of executions and their logs, with its indexes. Default `saga_executions`. */
  executionsTableName?: string
  /** The table of events, with its indexes. Default `saga_outbox`. */
  outboxTableName?: string
  /** The table of accepted messages. Default `saga_inbox`. */
  inboxTableName?: string
  /** Default: the URL's host, or what the AWS default chain says. */
  region?: string
  /** Another endpoint than AWS's own, such as DynamoDB Local. */
  endpoint?: string
  /** Default: the AWS default chain (environment, profile, SSO, container, instance metadata). */
  credentials?: { accessKeyId: string; secretAccessKey: string; sessionToken?: string }
}

/** Options of any store; those of the backend that the URL names are accepted. */
export type AnyStoreOptions =
  | MemoryStoreOptions
  | SqliteStoreOptions
  | PostgresStoreOptions
  | RedisStoreOptions
  | MongoStoreOptions
  | DynamoDBStoreOptions

/** One payload of a `putMany`. */
export interface PayloadEntry {
  /** The claim id: 1 to 1,024 bytes of UTF-8. */
  id: string
  /** The payload. */
  data: Uint8Array
  /** When it ceases to exist; never, if left out. */
  expiresAt?: Date
  /** For logs and traces. */
  routingSlipId?: string
}

/** Options of one `put`. */
export interface PutOptions {
  /** For logs and traces. Default: read from a claim id `slip-{routingSlipId}-{millis}`. */
  routingSlipId?: string
}

/** Options of one `transaction`. */
export interface TransactionOptions {
  /** One of `store.capabilities.isolation`. Default: `read committed` on PostgreSQL, as SQLite has no other than `serializable`. */
  isolation?: 'read committed' | 'repeatable read' | 'serializable'
}
