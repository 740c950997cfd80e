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
export { withTransaction } from './context'
export {
  AlreadyExistsError,
  AlreadyExpiredError,
  ClosedError,
  ConcurrencyError,
  ConnectionError,
  CorruptDataError,
  InvalidArgumentError,
  NotFoundError,
  PayloadTooLargeError,
  SagaStoreError,
  type SagaStoreErrorCode,
  SerializationError,
  TimeoutError,
  UnsupportedError,
} from './errors'
export type { Logger, OperationContext } from './observe'
export { type SagaBusOptions, type SagaBusStore, sagaBusStore } from './saga-bus'
export {
  type CorruptOptions,
  type CorruptSaga,
  type ModifyOptions,
  type ReindexResult,
  type SagaFilter,
  type SagaMetadata,
  type SagaPage,
  type SagaState,
  SagaStates,
  type TimedOutSaga,
} from './states'
export {
  DynamoDBSagaStore,
  MemorySagaStore,
  MongoSagaStore,
  openStore,
  PostgresSagaStore,
  RedisSagaStore,
  SagaStore,
  SqliteSagaStore,
} from './stores'
export { SagaTransaction } from './transaction'
export type {
  AnyStoreOptions,
  BackendName,
  Capabilities,
  CompressionOptions,
  DynamoDBClientOptions,
  DynamoDBStoreOptions,
  DynamoDBUrlOptions,
  Health,
  MemoryStoreOptions,
  MongoClientOptions,
  MongoStoreOptions,
  MongoUrlOptions,
  OperationStatistics,
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
  Statistics,
  StoreOptions,
  TransactionOptions,
} from './types'
