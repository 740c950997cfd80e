export {
  AlreadyExpiredError,
  ClosedError,
  ConnectionError,
  CorruptDataError,
  InvalidArgumentError,
  NotFoundError,
  PayloadTooLargeError,
  SagaStoreError,
  type SagaStoreErrorCode,
  TimeoutError,
  UnsupportedError,
} from './errors'
export type { Logger, OperationContext } from './observe'
export {
  MemorySagaStore,
  openStore,
  PostgresSagaStore,
  RedisSagaStore,
  SagaStore,
  SqliteSagaStore,
} from './stores'
export type {
  AnyStoreOptions,
  BackendName,
  Capabilities,
  Health,
  MemoryStoreOptions,
  OperationStatistics,
  PayloadEntry,
  PostgresStoreOptions,
  PutOptions,
  RedisStoreOptions,
  RetryOptions,
  SagaStoreAdapter,
  SqliteStoreOptions,
  Statistics,
  StoreOptions,
} from './types'
