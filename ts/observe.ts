import { tracingChannel } from 'node:diagnostics_channel'
import { isDate, isUint8Array } from 'node:util/types'
import { type Arguments, idOf, type Operation } from './arguments'
import type { BackendName } from './backend'
import { invalidArgument, SagaStoreError, type SagaStoreErrorCode, toError } from './errors'
import { known } from './kinds/json'
import type { Logger } from './options'
import { isPromiseLike } from './promises'

type Level = 'debug' | 'info' | 'warn' | 'error'
type Fields = Record<string, unknown>
type Write = (message: string, fields: Fields) => void

/** What subscribers of the tracing channel `sagastore:operation` are given. */
export interface OperationContext {
  operation: string
  backend: BackendName
  id?: string
  routingSlipId?: string
  /** Bytes of the payload: at the start of a put, at the end of a get. */
  bytes?: number
  /** Names and values of OpenTelemetry's semantic conventions for database spans. */
  attributes: Record<string, string | number>
}

const channel = tracingChannel<unknown, OperationContext>('sagastore:operation')

/** Failures that are answers: the level at which they are told. Everything else is trouble. */
const ANSWERS: Partial<Record<SagaStoreErrorCode, Level>> = { NOT_FOUND: 'warn', CONCURRENCY_CONFLICT: 'debug', ALREADY_EXISTS: 'debug' }

/** What the server calls the failure. */
function statusOf(error: SagaStoreError): string | undefined {
  const { sqlState, serverCode } = error as { sqlState?: string; serverCode?: number }
  return sqlState ?? (serverCode === undefined ? undefined : String(serverCode))
}

/** Asked at each operation, so spelt out. (`TracingChannel.hasSubscribers` is newer than Node.js 20.0.) */
function isTraced(): boolean {
  const { start, end, asyncStart, asyncEnd, error } = channel
  return start.hasSubscribers || end.hasSubscribers || asyncStart.hasSubscribers || asyncEnd.hasSubscribers || error.hasSubscribers
}

const SYSTEM_NAMES: Record<BackendName, string> = {
  memory: 'sagastore.memory',
  sqlite: 'sqlite',
  postgres: 'postgresql',
  redis: 'redis',
  mongodb: 'mongodb',
  dynamodb: 'aws.dynamodb',
}

/** What kind of records it is about; a transaction may be about several. */
export type SubjectKind = Operation['kind'] | 'transaction'

/** What an operation is about, for logs and traces. */
export interface Subject {
  operation: string
  kind: SubjectKind
  id?: string
  sagaName?: string
  sagaId?: string
  correlationId?: string
  routingSlipId?: string
  bytes?: number
  batchSize?: number
  /** Unix ms; of several payloads the one that is over first. */
  expiresAt?: number
}

/** What an operation with these arguments is about. */
export function subjectOf(operation: Operation, args: Arguments, routingSlipId?: string): Subject {
  const [first, data, expiresAt] = args
  const subject: Subject = { operation: operation.name, kind: operation.kind }
  const id = idOf(operation, args)
  if (id !== undefined) subject.id = id
  Object.assign(subject, sagaOf(operation, first))
  // What is about one record is no batch.
  if (operation.by === 'ids' && (first as unknown[]).length > 1) subject.batchSize = (first as unknown[]).length
  if (isUint8Array(data)) subject.bytes = data.byteLength
  if (routingSlipId !== undefined) subject.routingSlipId = routingSlipId
  const expiries = operation.by === 'ids' ? ((expiresAt ?? []) as unknown[]) : [expiresAt]
  const times = expiries.filter(isDate).map((date) => Date.prototype.getTime.call(date))
  if (times.length > 0) subject.expiresAt = times.reduce((first, at) => Math.min(first, at))
  return subject
}

/** Which saga it is, as far as the arguments tell. */
function sagaOf({ name, kind, by }: Operation, first: unknown): Pick<Subject, 'sagaName' | 'sagaId' | 'correlationId'> {
  if ((kind !== 'states' && kind !== 'executions') || !Array.isArray(first)) return {}
  const text = (value: unknown) => (typeof value === 'string' ? value : undefined)
  if (by === 'id_in_list') return known({ sagaId: text(first[0]) })
  if (by !== 'name_and_id' && by !== 'name_and_other_id') return {}
  const sagaName = text(first[0])
  if (by === 'name_and_other_id') return known({ sagaName, correlationId: text(first[1]) })
  // The last of what an insert is given.
  const correlationId = name === 'states.insert' ? text(first[first.length - 1]) : undefined
  return known({ sagaName, sagaId: text(first[1]), correlationId })
}

/** What a store says of itself and of who listens. */
export interface Observed {
  logger: Logger | undefined
  /** An operation that takes as long is told at warn; 0: none is. */
  slowMs: number
  /** The table or collection of a kind of records, where there is one. */
  collections: (kind: SubjectKind) => string | undefined
  /** The database, where its name is known. */
  namespace: string | undefined
}

/** Tells a logger and the tracing channel what a store does. */
export class Observer {
  readonly #backend: BackendName
  readonly #address: Record<string, string | number>
  readonly #log: Partial<Record<Level, Write>>
  readonly #isDebugEnabled: () => boolean

  readonly #collections: (kind: SubjectKind) => string | undefined
  readonly #slowMs: number

  constructor(backend: BackendName, url: string, { logger, slowMs, collections, namespace }: Observed) {
    this.#backend = backend
    this.#address = { ...addressOf(url), ...(namespace === undefined ? {} : { 'db.namespace': namespace }) }
    this.#collections = collections
    this.#slowMs = slowMs === 0 ? Number.POSITIVE_INFINITY : slowMs
    const chosen = logger === undefined ? stderrLogger() : checked(logger)
    this.#log = chosen === undefined ? {} : writers(chosen)
    this.#isDebugEnabled = debugGate(chosen)
  }

  /** Whether anybody wants to know about an operation that succeeds. */
  get isActive(): boolean {
    return this.#log.error !== undefined || isTraced()
  }

  /** Runs an operation and tells what came of it. */
  watch<T>(subject: Subject, start: () => Promise<T>): Promise<T> {
    return isTraced() ? this.#trace(subject, start) : this.#logged(subject, start)
  }

  /** Something that works in a lesser way than it could. */
  warn(operation: string, message: string): void {
    this.#log.warn?.(`sagastore ${operation}: ${message}`, { backend: this.#backend, operation })
  }

  /** What `tracePromise` does, but that what subscribers do to the context changes nothing. */
  #trace<T>(subject: Subject, start: () => Promise<T>): Promise<T> {
    const context: OperationContext & { result?: unknown; error?: unknown } = {
      operation: subject.operation,
      backend: this.#backend,
      attributes: {
        'db.system.name': SYSTEM_NAMES[this.#backend],
        'db.operation.name': subject.operation,
        ...this.#address,
      },
    }
    if (subject.id !== undefined) context.id = subject.id
    const routingSlipId = routingSlipIdOf(subject)
    if (routingSlipId !== undefined) context.routingSlipId = routingSlipId
    if (subject.bytes !== undefined) context.bytes = subject.bytes
    if (subject.batchSize !== undefined) context.attributes['db.operation.batch.size'] = subject.batchSize
    const collection = this.#collections(subject.kind)
    if (collection !== undefined) context.attributes['db.collection.name'] = collection
    const ended = () => {
      channel.asyncStart.publish(context)
      channel.asyncEnd.publish(context)
    }
    let running: Promise<T> | undefined
    channel.start.runStores(context, () => {
      running = this.#logged(subject, start)
    })
    channel.end.publish(context)
    return (running as unknown as Promise<T>).then(
      (result) => {
        guarded(() => {
          const bytes = bytesOf(result)
          if (bytes !== undefined) context.bytes = bytes
          context.result = result
        })
        ended()
        return result
      },
      (error) => {
        guarded(() => {
          if (error instanceof SagaStoreError) {
            context.attributes['error.type'] = error.code
            const status = statusOf(error)
            if (status !== undefined) context.attributes['db.response.status_code'] = status
          }
          context.error = error
        })
        channel.error.publish(context)
        ended()
        throw error
      },
    )
  }

  async #logged<T>(subject: Subject, start: () => Promise<T>): Promise<T> {
    const began = performance.now()
    const lateMs = subject.expiresAt === undefined ? 0 : Date.now() - subject.expiresAt
    try {
      const result = await start()
      if (lateMs > 0 && result !== false) this.#late(subject, began, lateMs)
      const tookMs = performance.now() - began
      if (tookMs >= this.#slowMs && subject.kind !== 'store' && subject.kind !== 'moving') {
        this.#log.warn?.(`sagastore ${subject.operation}: slow, ${Math.round(tookMs)} ms`, this.#fields(subject, began))
      }
      if (this.#isDebugEnabled()) {
        const fields = this.#fields(subject, began)
        const bytes = bytesOf(result)
        if (bytes !== undefined) fields.bytes = bytes
        this.#log.debug?.(`sagastore ${subject.operation}`, fields)
      }
      return result
    } catch (reason) {
      const error = toError(reason)
      const level = error instanceof SagaStoreError ? (ANSWERS[error.code] ?? 'error') : 'error'
      const write = this.#log[level]
      if (write !== undefined) {
        const fields = this.#fields(subject, began)
        if (error instanceof SagaStoreError) {
          fields.code = error.code
          fields.retryable = error.retryable
          const { attempts } = error as { attempts?: number }
          if (attempts !== undefined) fields.attempts = attempts
        }
        write(`sagastore ${subject.operation} failed: ${error instanceof Error ? error.message : String(error)}`, fields)
      }
      throw error
    }
  }

  /** Often a saga that timed out and still compensates; a wrong clock, or a wrong unit, looks the same. */
  #late(subject: Subject, began: number, lateMs: number): void {
    const what = `expiresAt passed ${(lateMs / 1000).toFixed(3)} s before the call; kept for lateRetentionMs from now`
    this.#log.warn?.(`sagastore ${subject.operation}: ${what}`, { ...this.#fields(subject, began), lateMs })
  }

  #fields(subject: Subject, began: number): Fields {
    const fields: Fields = { backend: this.#backend, operation: subject.operation }
    if (subject.id !== undefined) fields.id = subject.id
    if (subject.sagaName !== undefined) fields.sagaName = subject.sagaName
    if (subject.sagaId !== undefined) fields.sagaId = subject.sagaId
    if (subject.correlationId !== undefined) fields.correlationId = subject.correlationId
    const routingSlipId = routingSlipIdOf(subject)
    if (routingSlipId !== undefined) fields.routingSlipId = routingSlipId
    if (subject.bytes !== undefined) fields.bytes = subject.bytes
    if (subject.batchSize !== undefined) fields.batchSize = subject.batchSize
    fields.durationMs = Math.round((performance.now() - began) * 1000) / 1000
    return fields
  }
}

const CLAIM_ID = /^slip-(.+)-\d+$/

function routingSlipIdOf(subject: Subject): string | undefined {
  return subject.routingSlipId ?? (typeof subject.id === 'string' ? CLAIM_ID.exec(subject.id)?.[1] : undefined)
}

function bytesOf(result: unknown): number | undefined {
  return result instanceof Uint8Array ? result.byteLength : undefined
}

function addressOf(url: string): Record<string, string | number> {
  if (!URL.canParse(url)) return {}
  const { protocol, hostname, port, searchParams } = new URL(url)
  const address: Record<string, string | number> = {}
  if (protocol === 'dynamodb:') {
    // The host is a region; where it is reached is the endpoint, if one is named.
    if (hostname !== '') address['cloud.region'] = hostname
    return { ...address, ...addressOf(searchParams.get('endpoint') ?? '') }
  }
  if (hostname !== '') address['server.address'] = hostname
  if (port !== '') address['server.port'] = Number(port)
  return address
}

const LEVELS: readonly Level[] = ['debug', 'info', 'warn', 'error']

/** What a logger or a subscriber does must not become the outcome of an operation. */
function guarded<T>(observe: () => T): T | undefined {
  try {
    return observe()
  } catch {
    return undefined
  }
}

function checked(logger: Logger): Logger {
  const missing = LEVELS.filter((level) => typeof guarded(() => (logger as Partial<Logger> | null)?.[level]) !== 'function')
  if (missing.length > 0)
    throw invalidArgument(`option 'logger' must have the methods ${LEVELS.join(', ')}; missing: ${missing.join(', ')}`)
  return logger
}

function writers(logger: Logger): Record<Level, Write> {
  // pino takes the fields first, everybody else the message.
  const fieldsFirst = guarded(() => 'bindings' in logger) === true
  const writer = (level: Level): Write => {
    return (message, fields) =>
      guarded(() => {
        const write = logger[level] as (...args: unknown[]) => unknown
        const written = fieldsFirst ? write.call(logger, fields, message) : write.call(logger, message, fields)
        // One that writes later may fail later: nobody else would handle that rejection.
        if (isPromiseLike(written)) written.then(undefined, () => undefined)
      })
  }
  return { debug: writer('debug'), info: writer('info'), warn: writer('warn'), error: writer('error') }
}

function debugGate(logger: Logger | undefined): () => boolean {
  if (logger === undefined) return () => false
  return () =>
    guarded(() => {
      const asked = (logger as { isLevelEnabled?: (level: string) => boolean }).isLevelEnabled
      return typeof asked !== 'function' || Boolean(asked.call(logger, 'debug'))
    }) === true
}

/** With `SAGASTORE_LOG=debug|info|warn|error`, a store without a logger writes to stderr. */
function stderrLogger(): (Logger & { isLevelEnabled(level: string): boolean }) | undefined {
  const least = LEVELS.indexOf((process.env.SAGASTORE_LOG ?? '').toLowerCase() as Level)
  if (least < 0) return undefined
  const at = (level: Level) => (message: string, fields: Fields) => {
    if (LEVELS.indexOf(level) < least) return
    process.stderr.write(`${new Date().toISOString()} ${level.toUpperCase().padStart(5)} ${message} ${JSON.stringify(fields)}\n`)
  }
  return {
    debug: at('debug'),
    info: at('info'),
    warn: at('warn'),
    error: at('error'),
    isLevelEnabled: (level) => LEVELS.indexOf(level as Level) >= least,
  }
}
