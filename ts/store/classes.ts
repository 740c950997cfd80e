import type { BackendName } from '../backend'
import type {
  AnyStoreOptions,
  DynamoDBStoreOptions,
  MemoryStoreOptions,
  MongoStoreOptions,
  PostgresStoreOptions,
  RedisStoreOptions,
  SqliteStoreOptions,
} from '../options'
import { asObject, backendOf } from './open'
import { SagaStore } from './store'

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
  return new classes[backendOf(options)](options as never)
}
