import { takenDate } from './arguments'
import type { StateOperation } from './conversation'
import { CorruptDataError, invalidArgument, NotFoundError, SagaStoreError, SerializationError } from './errors'
import type { BackendName } from './types'

/** What a saga engine keeps beside the state of a saga. */
export interface SagaMetadata {
  /** Unique among the sagas of one name. */
  sagaId: string
  /** Counts the updates. Default of a new saga: 1. */
  version?: number
  createdAt?: Date
  updatedAt?: Date
  isCompleted?: boolean
  archivedAt?: Date | null
  traceParent?: string | null
  traceState?: string | null
  timeoutMs?: number | null
  /** `findTimedOut` finds the saga from then on, unless it has ended. */
  timeoutExpiresAt?: Date | null
}

/** A saga's state: anything that `JSON.stringify` takes, with `metadata`. */
export interface SagaState {
  metadata: SagaMetadata
}

/** Which sagas of a name are meant. */
export interface SagaFilter {
  /** Only those that have ended, or only those that have not. */
  completed?: boolean
}

/** One page of `findByName`. */
export interface SagaPage<T> {
  items: T[]
  /** Where the next page begins; none on the last one. */
  cursor?: string
}

/** A saga whose timeout has passed. */
export interface TimedOutSaga<T> {
  sagaName: string
  state: T
}

/** A rejection of what is found out before anything runs. */
export type Refuse = (error: unknown) => Promise<never>

/** Runs an operation on states. */
export type RunOnStates = <T>(operation: StateOperation, given: unknown[]) => Promise<T>

/** How `modify` goes about conflicts. */
export interface ModifyOptions {
  /** Further attempts. Default 3. */
  maxRetries?: number
  /** The pause before the first of them is a random part of this; each one doubles it. Default 100. */
  retryDelayMs?: number
}

const MAX_LISTED = 1_000
const DATES = ['createdAt', 'updatedAt', 'archivedAt', 'timeoutExpiresAt'] as const

/**
 * The state of saga instances, found by saga id or by correlation id, guarded by a version. Both ids are unique
 * among the sagas of one name. A saga name has 1 to 128 bytes of UTF-8, without `:` and `#`; ids have 1 to 512, and
 * a correlation id does not begin with `idx:`.
 */
export class SagaStates {
  readonly #run: RunOnStates
  readonly #refuse: Refuse
  readonly #backend: BackendName

  /** @internal */
  constructor(backend: BackendName, run: RunOnStates, refuse: Refuse) {
    this.#refuse = refuse
    this.#backend = backend
    this.#run = run
  }

  /** The state, or null. Dates of its metadata are Dates. */
  getById<T extends object = SagaState>(sagaName: string, sagaId: string): Promise<T | null> {
    return this.#find('states.getById', sagaName, sagaId)
  }

  /** The state, or null. Dates of its metadata are Dates. */
  getByCorrelationId<T extends object = SagaState>(sagaName: string, correlationId: string): Promise<T | null> {
    return this.#find('states.getByCorrelationId', sagaName, correlationId)
  }

  /**
   * Stores a new saga, with the version that its metadata has (1, if it has none).
   *
   * @param state with `metadata.sagaId`; what else is missing in `metadata` is filled in in what is stored
   * @throws AlreadyExistsError if the saga id or the correlation id is taken
   * @throws SerializationError if it cannot be kept as JSON: `path` says what
   */
  async insert<T extends object>(sagaName: string, correlationId: string, state: T): Promise<void> {
    let given: unknown[]
    try {
      given = this.#record('states.insert', sagaName, state, (version) => version ?? 1)
    } catch (error) {
      return await this.#refuse(error)
    }
    await this.#run('states.insert', [...given, correlationId])
  }

  /**
   * Replaces the state, if the stored version is the expected one; what is stored has the next version. Its
   * `createdAt` and its correlation id stay what they are.
   *
   * @throws ConcurrencyError if the version is another one: `expectedVersion`, `actualVersion`
   * @throws NotFoundError if there is no such saga
   * @throws SerializationError
   */
  async update<T extends object>(sagaName: string, state: T, expectedVersion: number): Promise<void> {
    let given: unknown[]
    try {
      given = this.#record('states.update', sagaName, state, () => expectedVersion + 1)
    } catch (error) {
      return await this.#refuse(error)
    }
    await this.#run('states.update', [...given, expectedVersion])
  }

  /** Removes the saga, if there is one. */
  async delete(sagaName: string, sagaId: string): Promise<void> {
    await this.#run('states.delete', [sagaName, sagaId])
  }

  /** Removes the saga, if there is one. */
  async deleteByCorrelationId(sagaName: string, correlationId: string): Promise<void> {
    await this.#run('states.deleteByCorrelationId', [sagaName, correlationId])
  }

  /**
   * Reads the state, has it changed, and stores it, from the start again where another update came between.
   * `updatedAt` becomes the present, unless `change` sets it.
   *
   * @param change may change what it is given and return that, or return another state; it may run several times
   * @returns the state as it is stored
   * @throws NotFoundError if there is no such saga
   * @throws ConcurrencyError if there were conflicts `maxRetries` times more
   */
  async modify<T extends object = SagaState>(
    sagaName: string,
    sagaId: string,
    change: (state: T) => T | Promise<T>,
    options: ModifyOptions = {},
  ): Promise<T> {
    const { maxRetries = 3, retryDelayMs = 100 } = options
    for (const [name, value] of Object.entries({ maxRetries, retryDelayMs })) {
      if (!Number.isSafeInteger(value) || value < 0)
        return await this.#refuse(this.#invalid(`${name} must be a whole number from 0 on`, 'states.modify'))
    }
    if (typeof change !== 'function') return await this.#refuse(this.#invalid('modify takes a function', 'states.modify'))
    for (let attempt = 0; ; attempt += 1) {
      const state = await this.getById<T>(sagaName, sagaId)
      if (state === null) throw this.#notFound(sagaName, sagaId)
      const before = (state as unknown as SagaState).metadata
      const { version: expectedVersion = 0, updatedAt } = before
      const changed = await change(state)
      const metadata = metadataOf(changed)
      if (metadata === undefined || metadata.sagaId !== sagaId) {
        throw this.#invalid('the changed state must have the metadata of the saga', 'states.modify')
      }
      if (metadata.updatedAt === undefined || metadata.updatedAt === updatedAt) metadata.updatedAt = new Date()
      metadata.version = expectedVersion + 1
      try {
        await this.update(sagaName, changed, expectedVersion)
        return changed
      } catch (error) {
        const isConflict = error instanceof SagaStoreError && error.code === 'CONCURRENCY_CONFLICT'
        if (!isConflict || attempt >= maxRetries) throw error
      }
      const pause = Math.random() * retryDelayMs * 2 ** attempt
      await new Promise((resolve) => setTimeout(resolve, pause))
    }
  }

  /**
   * Updates the saga of this state, or inserts it: under `state.correlationId`, or under its saga id where it has
   * none. The saga id is `metadata.sagaId`, or `state.id`.
   *
   * @param state with the version that it was read with in `metadata.version`; a new one has none
   * @returns the state as it is stored: save this one the next time
   * @throws ConcurrencyError if another update came between
   */
  async save<T extends object>(sagaName: string, state: T): Promise<T> {
    const { id, correlationId, metadata } = state as { id?: unknown; correlationId?: unknown; metadata?: Partial<SagaMetadata> }
    const sagaId = metadata?.sagaId ?? id
    const now = new Date()
    const defaults = { createdAt: now, isCompleted: false }
    const saved = { ...state, metadata: { ...defaults, ...metadata, sagaId, updatedAt: now } as SagaMetadata }
    const expected = metadata?.version
    if (expected !== undefined) {
      try {
        await this.update(sagaName, saved, expected)
        saved.metadata.version = expected + 1
        return saved as unknown as T
      } catch (error) {
        if (!(error instanceof SagaStoreError && error.code === 'NOT_FOUND')) throw error
      }
    }
    saved.metadata.version = expected ?? 1
    await this.insert(sagaName, (correlationId ?? sagaId) as string, saved)
    return saved as unknown as T
  }

  /** `getById`, under the name that `@saga-bus/store-redis` documents. */
  findById<T extends object = SagaState>(sagaName: string, sagaId: string): Promise<T | null> {
    return this.getById<T>(sagaName, sagaId)
  }

  /** `getByCorrelationId`, under the name that `@saga-bus/store-redis` documents. */
  findByCorrelationId<T extends object = SagaState>(sagaName: string, correlationId: string): Promise<T | null> {
    return this.getByCorrelationId<T>(sagaName, correlationId)
  }

  /**
   * Sagas of a name, a page of at most `limit` (1 to 1,000, default 100), in the order of their saga ids. Going on
   * with the cursor of a page tells each saga once, whatever is inserted meanwhile. DynamoDB's list follows a change
   * a moment later, as its indexes do; the states in it are read consistently.
   */
  async findByName<T extends object = SagaState>(
    sagaName: string,
    options: SagaFilter & { limit?: number; cursor?: string } = {},
  ): Promise<SagaPage<T>> {
    const { completed, limit = 100, cursor } = options
    const found = await this.#run<string[]>('states.findByName', [sagaName, completed, cursor, limit])
    const items: T[] = []
    let last: string | undefined
    for (let at = 0; at < found.length; at += 3) {
      last = found[at + 1] as string
      items.push(this.#parsed<T>(found[at + 2] as string, last) as T)
    }
    return last === undefined || items.length < limit ? { items } : { items, cursor: last }
  }

  /** How many sagas of a name there are; on DynamoDB a moment ago. */
  countByName(sagaName: string, options: SagaFilter = {}): Promise<number> {
    return this.#run('states.countByName', [sagaName, options.completed])
  }

  /**
   * Removes sagas that have ended and were last changed before a time, in bounded batches, at most `limit` of them;
   * answers how many.
   */
  async deleteCompletedBefore(sagaName: string, before: Date, options: { limit?: number } = {}): Promise<number> {
    const { limit = Number.POSITIVE_INFINITY } = options
    if (limit !== Number.POSITIVE_INFINITY && !(Number.isSafeInteger(limit) && limit > 0)) {
      return await this.#refuse(this.#invalid('limit must be a whole number above 0', 'states.deleteCompletedBefore'))
    }
    const until = takenDate(before)
    let removed = 0
    while (removed < limit) {
      const batch = Math.min(MAX_LISTED, limit - removed)
      const count = await this.#run<number>('states.deleteCompletedBefore', [sagaName, until, batch])
      removed += count
      if (count < batch) break
    }
    return removed
  }

  /**
   * Sagas that have not ended and whose `metadata.timeoutExpiresAt` has passed at `now` (default: the present), the
   * longest overdue first, at most `limit` (1 to 1,000, default 100). On DynamoDB one is found a moment after it was
   * stored.
   */
  async findTimedOut<T extends object = SagaState>(
    options: { now?: Date; limit?: number; sagaName?: string } = {},
  ): Promise<TimedOutSaga<T>[]> {
    const { now = new Date(), limit = 100, sagaName } = options
    const found = await this.#run<string[]>('states.findTimedOut', [now, sagaName, limit])
    const sagas: TimedOutSaga<T>[] = []
    for (let at = 0; at < found.length; at += 3) {
      const state = this.#parsed<T>(found[at + 2] as string, found[at + 1] as string) as T
      sagas.push({ sagaName: found[at] as string, state })
    }
    return sagas
  }

  /** No async function: each of its promises costs event-loop time. */
  #find<T>(operation: StateOperation, sagaName: string, id: string): Promise<T | null> {
    return this.#run<string | null>(operation, [sagaName, id]).then((text) => this.#parsed<T>(text, id))
  }

  /** What the native side takes of a state. */
  #record(operation: string, sagaName: string, state: object, next: (version: number | undefined) => number) {
    const metadata = metadataOf(state)
    if (metadata === undefined) throw this.#invalid('a state is an object with `metadata: { sagaId, ... }`', operation)
    const { sagaId, isCompleted = false, version, createdAt, updatedAt, timeoutExpiresAt, ...rest } = metadata
    const now = new Date()
    const stands = next(version)
    const begun = createdAt ?? now
    const changed = updatedAt ?? now
    // Version and id come first: Redis finds them there without reading all of it.
    const stored = { version: stands, sagaId, isCompleted, createdAt: begun, updatedAt: changed, timeoutExpiresAt, ...rest }
    const text = this.#serialized({ metadata: stored, ...withoutMetadata(state) }, operation, sagaId)
    return [sagaName, sagaId, stands, isCompleted, begun, changed, timeoutExpiresAt, text]
  }

  #serialized(state: object, operation: string, id: string): string {
    let text: string
    try {
      text = JSON.stringify(state)
    } catch (cause) {
      throw new SerializationError(this.#failure(operation, id, unserializable(state), cause))
    }
    // Told apart from a backslash in the text below; PostgreSQL's jsonb can keep neither.
    if (text.includes('\\u0000') || text.includes('\\ud')) {
      const found = unserializable(JSON.parse(text))
      if (found.path !== '') throw new SerializationError(this.#failure(operation, id, found))
    }
    return text
  }

  #failure(operation: string, id: string, { path, what }: Unserializable, cause?: unknown) {
    const message = `the state cannot be kept as JSON: ${path === '' ? 'it' : path} ${what}`
    const details = { path }
    return {
      code: 'SERIALIZATION' as const,
      message,
      backend: this.#backend,
      operation,
      id,
      retryable: false,
      causes: [],
      details,
      ...(cause !== undefined && { cause }),
    }
  }

  #parsed<T>(text: string | null, id: string): T | null {
    if (text === null) return null
    let state: { metadata?: Record<string, unknown> } | null = null
    let cause: unknown
    try {
      state = JSON.parse(text)
    } catch (error) {
      cause = error
    }
    const metadata = metadataOf(state) as Record<string, unknown> | undefined
    if (metadata === undefined) throw this.#corrupt(id, cause === undefined ? 'has no metadata' : 'is no JSON', cause)
    for (const name of DATES) {
      const value = metadata[name]
      if (value === undefined || value === null) continue
      const date = new Date(value as string)
      if (Number.isNaN(date.getTime())) throw this.#corrupt(id, `has a metadata.${name} that is no date`)
      metadata[name] = date
    }
    return state as T
  }

  #corrupt(id: string, what: string, cause?: unknown): Error {
    return new CorruptDataError({
      code: 'CORRUPT_DATA',
      message: `the stored state ${what}`,
      backend: this.#backend,
      operation: 'states',
      id,
      retryable: false,
      causes: [],
      details: {},
      ...(cause !== undefined && { cause }),
    })
  }

  #notFound(sagaName: string, sagaId: string): Error {
    return new NotFoundError({
      code: 'NOT_FOUND',
      message: `no saga '${sagaName}' has this saga id`,
      backend: this.#backend,
      operation: 'states.modify',
      id: sagaId,
      retryable: false,
      causes: [],
      details: { sagaName, sagaId },
    })
  }

  #invalid(message: string, operation: string): Error {
    return invalidArgument(message, operation, this.#backend)
  }
}

function metadataOf(state: unknown): SagaMetadata | undefined {
  const metadata = (state as { metadata?: unknown } | null | undefined)?.metadata
  return typeof metadata === 'object' && metadata !== null && !Array.isArray(metadata) ? (metadata as SagaMetadata) : undefined
}

function withoutMetadata(state: object): object {
  const plain = typeof (state as { toJSON?: unknown }).toJSON === 'function' ? (state as { toJSON(): object }).toJSON() : state
  const { metadata: _, ...rest } = plain as { metadata?: unknown }
  return rest
}

interface Unserializable {
  path: string
  what: string
}

/** Which part of a value JSON cannot keep. */
function unserializable(value: unknown, path = '', open: Set<object> = new Set()): Unserializable {
  const nothing = { path: '', what: 'cannot be serialised' }
  if (typeof value === 'bigint') return { path, what: 'is a BigInt' }
  if (typeof value === 'string') {
    if (value.includes('\0')) return { path, what: 'contains a NUL character' }
    return /\p{Surrogate}/u.test(value) ? { path, what: 'contains an unpaired surrogate' } : nothing
  }
  if (typeof value !== 'object' || value === null) return nothing
  if (open.has(value)) return { path, what: 'contains itself' }
  open.add(value)
  for (const [name, member] of Object.entries(value)) {
    const place = Array.isArray(value) ? `${path}[${name}]` : path === '' ? name : `${path}.${name}`
    const key = unserializable(name)
    if (key.what !== nothing.what) return { path: place, what: `has a name that ${key.what}` }
    const found = unserializable(member, place, open)
    if (found.path !== '') return found
  }
  open.delete(value)
  return nothing
}
