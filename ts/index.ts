export type { BackendName, Capabilities, Health, OperationStatistics, Statistics } from './backend'
export type {
  BetterSqlite3Database,
  DrizzleDatabase,
  KnexClient,
  KyselyDatabase,
  NodeSqliteDatabase,
  PgClient,
  PostgresClient,
  PostgresJsClient,
  PrismaClientLike,
  SqliteClient,
} from './clients/shapes'
export type { DynamoDBClientLike, DynamoDBTransactItems } from './clients/shapes-dynamodb'
export type { MongoClientLike } from './clients/shapes-mongodb'
export type { IoredisClient, NodeRedisClient, RedisClient } from './clients/shapes-redis'
export {
  AlreadyExistsError,
  AlreadyExpiredError,
  ClosedError,
  ConcurrencyError,
  ConnectionError,
  CorruptDataError,
  type CorruptSaga,
  InvalidArgumentError,
  NotFoundError,
  PayloadTooLargeError,
  SagaStoreError,
  type SagaStoreErrorCode,
  SerializationError,
  TimeoutError,
  UnsupportedError,
} from './errors'
export { type SagaBusOptions, type SagaBusStore, sagaBusStore } from './kinds/saga-bus'
export type {
  ClaimedSaga,
  ClaimOptions,
  CorruptOptions,
  FindOptions,
  ModifyOptions,
  ReindexResult,
  SagaFilter,
  SagaMetadata,
  SagaPage,
  SagaState,
  Stored,
  StoredMetadata,
  TimedOutOptions,
  TimedOutSaga,
} from './kinds/state-types'
export { SagaStates } from './kinds/states'
export type { OperationContext } from './observe'
export type {
  AnyStoreOptions,
  CompressionOptions,
  DynamoDBClientOptions,
  DynamoDBStoreOptions,
  DynamoDBUrlOptions,
  Logger,
  MemoryStoreOptions,
  MongoClientOptions,
  MongoStoreOptions,
  MongoUrlOptions,
  PayloadEntry,
  PostgresClientOptions,
  PostgresStoreOptions,
  PostgresUrlOptions,
  PutOptions,
  RedisClientOptions,
  RedisStoreOptions,
  RedisUrlOptions,
  RetryOptions,
  SagaStoreAdapter,
  SqliteClientOptions,
  SqliteStoreOptions,
  SqliteUrlOptions,
  StoreOptions,
  TransactionOptions,
} from './options'
export { withTransaction } from './run/context'
export {
  DynamoDBSagaStore,
  MemorySagaStore,
  MongoSagaStore,
  openStore,
  PostgresSagaStore,
  RedisSagaStore,
  SqliteSagaStore,
} from './store/classes'
export { SagaStore } from './store/store'
export { SagaTransaction } from './store/transaction'
