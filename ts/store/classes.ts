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
import { backendOf } from './open'
import { SagaStore } from './store'

/** Payloads in the process's own memory. */
export class MemorySagaStore extends SagaStore {
  constructor(...args: [options?: string | MemoryStoreOptions]) {
    super('memory', args)
  }
}

/** Payloads in an SQLite file. */
export class SqliteSagaStore extends SagaStore {
  constructor(...args: [options: string | SqliteStoreOptions]) {
    super('sqlite', args)
  }
}

/** Payloads in PostgreSQL. */
export class PostgresSagaStore extends SagaStore {
  constructor(...args: [options: string | PostgresStoreOptions]) {
    super('postgres', args)
  }
}

/** Payloads in Redis: a single server, Sentinel or Cluster. */
export class RedisSagaStore extends SagaStore {
  constructor(...args: [options: string | RedisStoreOptions]) {
    super('redis', args)
  }
}

/** Payloads in MongoDB, or a server that speaks its protocol. */
export class MongoSagaStore extends SagaStore {
  constructor(...args: [options: string | MongoStoreOptions]) {
    super('mongodb', args)
  }
}

/** Payloads in a DynamoDB table: `initialize` creates it and switches its TTL on. */
export class DynamoDBSagaStore extends SagaStore {
  constructor(...args: [options: string | DynamoDBStoreOptions]) {
    super('dynamodb', args)
  }
}

const classes: Record<BackendName, new (...args: never) => SagaStore> = {
  memory: MemorySagaStore,
  sqlite: SqliteSagaStore,
  postgres: PostgresSagaStore,
  redis: RedisSagaStore,
  mongodb: MongoSagaStore,
  dynamodb: DynamoDBSagaStore,
}

/** Opens the store that the URL's scheme names, or that works on the client given. */
export function openStore(...args: [options: string | AnyStoreOptions]): SagaStore {
  return new classes[backendOf(args)](...(args as never))
}
