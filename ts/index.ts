export type { BackendName, Capabilities, Health, OperationStatistics, Percentiles, Statistics, UncountedStatistics } from './backend'
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
  type AnySagaStoreError,
  ClosedError,
  ConcurrencyError,
  ConnectionError,
  CorruptDataError,
  type CorruptSaga,
  InvalidArgumentError,
  InvalidStateError,
  LeaseLostError,
  NotFoundError,
  PayloadTooLargeError,
  SagaStoreError,
  type SagaStoreErrorCode,
  SerializationError,
  TimeoutError,
  TransferError,
  UnsupportedError,
} from './errors'
export {
  type CqrsLogEntry,
  type CqrsSagaOperations,
  type CqrsSagaRun,
  type CqrsSagaStorage,
  cqrsSagaStorage,
  type ExecutionStore,
} from './kinds/cqrs-saga-storage'
export type {
  CheckpointChange,
  CheckpointOptions,
  CheckpointResult,
  CreateOptions,
  ExecutionClaimOptions,
  ExecutionCleanupOptions,
  ExecutionFilter,
  ExecutionPage,
  ExecutionStatistics,
  ExecutionStatus,
  ExecutionSummary,
  GuardOptions,
  HeldLease,
  HistoryOptions,
  HistoryPage,
  LeaseOptions,
  ListOptions,
  LoadOptions,
  PageOptions,
  RecoverableOptions,
  ReleaseOptions,
  SagaExecution,
  SagaLogEntry,
  SagaStep,
  SavedExecution,
  StartOptions,
  StatusOptions,
  StepAction,
  StepEntry,
  StepStatus,
  StepUpdate,
} from './kinds/execution-types'
export { SagaExecutions } from './kinds/executions'
export { type IdempotencyStore, type IdempotencyStoreOptions, idempotencyStore } from './kinds/idempotency-store'
export { type AcceptOptions, type InboxResult, SagaInbox, SagaInboxEntries } from './kinds/inbox'
export { SagaOutbox } from './kinds/outbox'
export {
  type BusEvent,
  type FailedBusEvent,
  type OutboxEventBusError,
  type OutboxEventBusOptions,
  type OutboxEventBusOutbox,
  outboxEventBusOutbox,
} from './kinds/outbox-event-bus'
export type { OutboxSource } from './kinds/outbox-joined'
export { type OutboxContext, type OutboxHandler, OutboxRelay, type RelayStatistics } from './kinds/outbox-relay'
export { OutboxSubscription } from './kinds/outbox-subscription'
export type { RelayOptions, SubscribeOptions } from './kinds/outbox-terms'
export type {
  Claim,
  DeadLetterFilter,
  HeldEvent,
  NewOutboxEvent,
  OutboxArchiveOptions,
  OutboxClaimOptions,
  OutboxEvent,
  OutboxFailOptions,
  OutboxInsertOptions,
  OutboxListOptions,
  OutboxPage,
  OutboxPageOptions,
  OutboxStatistics,
  OutboxStatus,
  StuckOptions,
} from './kinds/outbox-types'
export type { ListedPayload, PayloadListOptions, PayloadPage, PayloadStat } from './kinds/payload-lists'
export { type SagaBusOptions, type SagaBusSource, type SagaBusStore, sagaBusStore } from './kinds/saga-bus'
export { type RunChange, SagaRun } from './kinds/saga-run'
export {
  type SagazNewOutboxEvent,
  type SagazOutbox,
  type SagazOutboxEvent,
  type SagazOutboxSource,
  type SagazOutboxStatus,
  sagazOutbox,
} from './kinds/sagaz-outbox'
export {
  type SagazFilter,
  type SagazRecord,
  type SagazSource,
  type SagazState,
  type SagazStatus,
  type SagazStep,
  type SagazStepChange,
  type SagazStepStatus,
  type SagazStorage,
  type SagazSummary,
  sagazStorage,
} from './kinds/sagaz-storage'
export type {
  ClaimedSaga,
  ClaimOptions,
  CorruptOptions,
  FindOptions,
  ModifyOptions,
  NamePage,
  NamesOptions,
  ReindexResult,
  SagaFilter,
  SagaMetadata,
  SagaPage,
  SagaState,
  StaleOptions,
  StalePage,
  StaleSaga,
  Stored,
  StoredMetadata,
  TimedOutOptions,
  TimedOutSaga,
} from './kinds/state-types'
export { SagaStates } from './kinds/states'
export { SagaStatesOf } from './kinds/states-of'
export type {
  ExportAllOptions,
  ExportedRecord,
  ExportOptions,
  Given,
  ImportOptions,
  RecordCounts,
} from './moving/facets'
export { type ExportFileOptions, exportToFile, type ImportFileOptions, importFromFile } from './moving/files'
export { MigratingStore, migrating } from './moving/migrating'
export { MigratingStates } from './moving/migrating-states'
export type {
  EventRecord,
  ExecutionRecord,
  InboxRecord,
  OnConflict,
  PayloadRecord,
  RecordKind,
  RecordsOfKinds,
  StateRecord,
  StoredEntry,
} from './moving/records'
export { Transfer, transfer } from './moving/transfer'
export type {
  Difference,
  KindCounts,
  MovedCounts,
  OnRejected,
  PaceOptions,
  RejectedRecord,
  TransferIssue,
  TransferOptions,
  TransferProgress,
  TransferResult,
  TransferValidation,
  Verification,
  VerifyOptions,
} from './moving/types'
export { verify } from './moving/verify'
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
  OutboxOptions,
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
