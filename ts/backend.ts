import type { ExecutionStatistics } from './kinds/execution-types'
import type { OutboxStatistics } from './kinds/outbox-types'

/** A backend's name. */
export type BackendName = 'memory' | 'sqlite' | 'postgres' | 'redis' | 'mongodb' | 'dynamodb'

/** What a backend can do. */
export interface Capabilities {
  /** Of the backend. `interactive`: reads and writes, then commit or roll back. `buffered`: writes, sent at the end. */
  readonly transactions: 'interactive' | 'buffered' | 'none'
  /** The isolation levels that `transaction` takes. */
  readonly isolation: readonly string[]
  /** Who removes an expired payload: the `server`, or `cleanup()`. It is never returned, either way. */
  readonly expiry: 'server' | 'cleanup'
  /** The largest payload, in bytes. On DynamoDB, whose limit is that of the whole item, under an id of one byte. */
  readonly maxPayloadBytes: number
  /** Whether data survives the end of the process. */
  readonly durable: boolean
  /** Whether several processes can share the data. */
  readonly shared: boolean
  /** Whether a read that follows a write sees it, whichever server answers. */
  readonly consistentReads: boolean
}

/** What `health()` answers. */
export interface Health {
  /** `degraded`: it answers, but something limits it (see `message`). */
  status: 'healthy' | 'degraded' | 'unhealthy'
  backend: BackendName
  /** How long the probe took. */
  latencyMs: number
  serverVersion?: string
  /** Why it is not healthy. */
  message?: string
  details: Record<string, number | string>
}

/** Latencies of one operation since the store was opened, from the call to the answer. */
export interface OperationStatistics extends Percentiles {
  /** The same of the last five minutes. */
  recent: Percentiles
}

/** How many operations there were, and how long they took. */
export interface Percentiles {
  count: number
  /** Those that were rejected; that a payload is not there (`NOT_FOUND`) is an answer. */
  errors: number
  p50Ms: number
  p95Ms: number
  p99Ms: number
  maxMs: number
}

/** What `statistics()` answers. */
export interface Statistics {
  backend: BackendName
  /** Payloads stored, and how many of them have expired but are not removed yet. */
  payloads: { count: number; bytes: number; expired: number }
  /** Saga state, about: an estimate where counting would read everything. null where it cannot be counted. */
  states: { count: number } | null
  /** Executions by status, parked, leased; null where they cannot be counted (tables that were never made). */
  executions: ExecutionStatistics | null
  /** Events of the outbox: see `outbox.statistics`. null where they cannot be counted. */
  outbox: OutboxStatistics | null
  /** Connections, where the backend has any; `waiting` are operations not yet sent. */
  pool: { open: number; idle: number; inUse: number; waiting: number } | null
  /** By operation, such as `put`. */
  operations: Record<string, OperationStatistics>
}

/** What `statistics({ count: false })` answers: nothing of what is stored. */
export type UncountedStatistics = Pick<Statistics, 'backend' | 'pool' | 'operations'>
