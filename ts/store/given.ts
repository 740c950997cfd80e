import { isProxy } from 'node:util/types'
import { isRecord } from '../arguments'
import type { BackendName } from '../backend'
import { recognize } from '../clients/recognize'
import { invalidArgument, SagaStoreError } from '../errors'
import type {
  DynamoDBClientOptions,
  DynamoDBUrlOptions,
  Logger,
  MemoryStoreOptions,
  MongoClientOptions,
  MongoUrlOptions,
  PostgresClientOptions,
  PostgresUrlOptions,
  RedisClientOptions,
  RedisUrlOptions,
  SqliteClientOptions,
  SqliteUrlOptions,
} from '../options'

/** Options as they were given, before anything is known of their types. */
export interface Given {
  url?: string
  client?: unknown
  logger?: Logger
  slowMs?: number
  getTransaction?: () => unknown
  requireTransaction?: boolean
  maxHistoryEntries?: number
  maxHistoryBytes?: number
  outbox?: { maxRetries?: number }
  maxPayloadBytes?: number
}

type OptionName =
  | keyof MemoryStoreOptions
  | keyof SqliteUrlOptions
  | keyof SqliteClientOptions
  | keyof PostgresUrlOptions
  | keyof PostgresClientOptions
  | keyof RedisUrlOptions
  | keyof RedisClientOptions
  | keyof MongoUrlOptions
  | keyof MongoClientOptions
  | keyof DynamoDBUrlOptions
  | keyof DynamoDBClientOptions

/** What some store knows: where nothing else is said, anything else is no option of any. */
const KNOWN: Record<OptionName, true> = {
  url: true,
  client: true,
  namespace: true,
  logger: true,
  slowMs: true,
  lateRetentionMs: true,
  maxPayloadBytes: true,
  compression: true,
  maxDecompressedBytes: true,
  operationTimeoutMs: true,
  connectTimeoutMs: true,
  retry: true,
  completedTtlMs: true,
  defaultTtlMs: true,
  executionTtlMs: true,
  recoveryBackoffMs: true,
  maxHistoryEntries: true,
  maxHistoryBytes: true,
  outbox: true,
  getTransaction: true,
  requireTransaction: true,
  tableName: true,
  statesTableName: true,
  executionsTableName: true,
  logTableName: true,
  outboxTableName: true,
  inboxTableName: true,
  durability: true,
  schema: true,
  poolSize: true,
  keyPrefix: true,
  statesKeyPrefix: true,
  executionsKeyPrefix: true,
  outboxKeyPrefix: true,
  inboxKeyPrefix: true,
  tlsCaFile: true,
  database: true,
  collectionName: true,
  statesCollectionName: true,
  executionsCollectionName: true,
  logCollectionName: true,
  outboxCollectionName: true,
  inboxCollectionName: true,
  region: true,
  endpoint: true,
  credentials: true,
}

/** What a URL of each backend looks like. */
const URLS: Record<BackendName, string> = {
  memory: 'memory://name',
  sqlite: 'sqlite:orders.db',
  postgres: 'postgres://user@host/database',
  redis: 'redis://host:6379',
  mongodb: 'mongodb://host/database',
  dynamodb: 'dynamodb://region/table',
}

type Invalid = (message: string, cause?: unknown) => SagaStoreError

/** The options: own properties of the only argument that are not undefined. `backend`: the only one that is meant. */
export function givenBy([options, ...others]: readonly unknown[], backend: BackendName | null): Given {
  const invalid: Invalid = (message, cause) => invalidArgument(message, 'open', backend ?? undefined, cause)
  if (others.some((other) => other !== undefined)) {
    throw invalid("a store takes one argument: a connection string, or options with 'url' or 'client' among them")
  }
  const given: Given = backend === 'memory' ? { url: 'memory://' } : {}
  if (options === undefined && backend === 'memory') return given
  if (typeof options === 'string') return { url: options }
  refuseClient(options, invalid)
  let read: Given
  try {
    if (!isRecord(options)) throw invalid(`a store takes a connection string, or options with 'url' or 'client'; got ${kindOf(options)}`)
    read = { ...given, ...Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) }
  } catch (error) {
    throw error instanceof SagaStoreError ? error : invalid('the options cannot be read', error)
  }
  if (read.url === undefined && read.client === undefined) throw invalid(nowhere(options, read, backend))
  return read
}

/** A client in place of the options. */
function refuseClient(options: unknown, invalid: Invalid): void {
  const isOther = typeof options === 'function' || (typeof options === 'object' && options !== null && !isPlain(options))
  if (!isOther || Array.isArray(options) || isProxy(options)) return
  let library: string
  try {
    ;({ library } = recognize(options, 'it', 'open'))
  } catch {
    return // Something else is wrong with it, or it is none.
  }
  throw invalid(`this is a client (${library}), and a store takes options: pass it as { client }`)
}

function isPlain(options: object): boolean {
  if (isProxy(options)) return true
  const prototype = Object.getPrototypeOf(options)
  return prototype === null || Object.getPrototypeOf(prototype) === null
}

/** What is wrong with options that say of no place where it is. */
function nowhere(options: object, read: Given, backend: BackendName | null): string {
  const wanted = `a store takes 'url' (a connection string such as ${URLS[backend ?? 'postgres']}) or 'client' (a client of the application)`
  const unknown = Object.keys(read).filter((name) => !Object.hasOwn(KNOWN, name))
  if (unknown.length > 0) return `unknown option ${unknown.map((name) => `'${name.slice(0, 60)}'`).join(', ')}: ${wanted}`
  const unset = ['url', 'client'].filter((name) => name in options)
  if (unset.length > 0) return `option ${unset.map((name) => `'${name}'`).join(' and ')} is undefined: ${wanted}`
  return `neither 'url' nor 'client' is given: ${wanted}`
}

function kindOf(value: unknown): string {
  if (value === null || value === undefined) return String(value)
  return Array.isArray(value) ? 'an array' : `a ${typeof value === 'object' ? value.constructor?.name || 'object' : typeof value}`
}
