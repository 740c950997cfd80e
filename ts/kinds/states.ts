import { setTimeout as sleep } from 'node:timers/promises'
import { isDate } from 'node:util/types'
import { type Accepted, MAX_LISTED, mostOf, type Operation, optionsOf, takenDate } from '../arguments'
import { AlreadyExistsError, errorOf, invalidArgument, SagaStoreError } from '../errors'
import { type ExportedRecord, type ExportOptions, Facet, type Given, type ImportOptions } from '../moving/facets'
import type { StateRecord as WholeState } from '../moving/records'
import type { KindCounts } from '../moving/types'
import { OPERATIONS } from '../operations'
import { CallTime } from './call-time'
import { cursorOf, positionOf } from './cursors'
import { known } from './json'
import type { Runner } from './runner'
import { type StalePlace, stalePage, stalePlace } from './stale-sagas'
import { type FoundState, type Listed, lastOf, metadataOf, StateJson, type StateRecord, sizeOf, withoutCorrupt } from './state-json'
import type {
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
  Stored,
  TimedOutOptions,
  TimedOutSaga,
} from './state-types'
import { SagaStatesOf } from './states-of'

const FILTER: Accepted<SagaFilter> = { completed: true }
const FIND: Accepted<FindOptions> = { completed: true, limit: true, cursor: true, onCorrupt: true }
const TIMED_OUT: Accepted<TimedOutOptions> = { now: true, limit: true, sagaName: true, onCorrupt: true }
const CLAIM: Accepted<ClaimOptions> = { workerId: true, leaseMs: true, ...TIMED_OUT }
const NAMES: Accepted<NamesOptions> = { limit: true, cursor: true }
const STALE: Accepted<StaleOptions> = { unchangedForMs: true, limit: true, cursor: true, sagaName: true, onCorrupt: true }
const MODIFY: Accepted<ModifyOptions> = { maxRetries: true, retryDelayMs: true }

/** A state that is to be stored: how, and the saga's correlation id, as far as it is known. */
type Writing = StateRecord & { operation: Operation; correlationId: string | undefined }

/**
 * The state of saga instances, found by saga id or by correlation id, guarded by a version. Both ids are unique
 * among the sagas of one name. A saga name has 1 to 128 bytes of UTF-8, without `:` and `#`; ids have 1 to 512, and
 * a correlation id does not begin with `idx:`.
 */
export class SagaStates {
  readonly #runner: Runner
  readonly #json: StateJson
  readonly #facet: Facet

  /** @internal */
  constructor(runner: Runner) {
    this.#runner = runner
    this.#json = new StateJson(runner.backend)
    this.#facet = new Facet(runner, 'states')
  }

  /**
   * The sagas of one name, with the type of their state.
   *
   * @throws InvalidArgumentError if the name is no text
   */
  of<T extends object = SagaState>(sagaName: string): SagaStatesOf<T> {
    if (typeof sagaName !== 'string') throw this.#invalid('the name of sagas must be a string', 'states.of')
    return new SagaStatesOf<T>(this, sagaName)
  }

  /** The state, or null. Dates of its metadata are Dates. */
  getById<T extends object = SagaState>(sagaName: string, sagaId: string): Promise<Stored<T> | null> {
    return this.#find(OPERATIONS['states.getById'], sagaName, sagaId)
  }

  /** The state, or null. Dates of its metadata are Dates. */
  getByCorrelationId<T extends object = SagaState>(sagaName: string, correlationId: string): Promise<Stored<T> | null> {
    return this.#find(OPERATIONS['states.getByCorrelationId'], sagaName, correlationId)
  }

  /**
   * Stores a new saga, with the version that its metadata has (1, if it has none) and its dates.
   *
   * @param state with `metadata.sagaId`; what else is missing in `metadata` is filled in in what is stored
   * @throws AlreadyExistsError if the saga id or the correlation id is taken
   * @throws SerializationError if it cannot be kept as JSON: `path` says what
   */
  async insert<T extends object>(sagaName: string, correlationId: string, state: T & SagaState): Promise<void> {
    let given: unknown[]
    try {
      given = this.#insertion('states.insert', sagaName, correlationId, state).given
    } catch (error) {
      return await this.#runner.refuse(error, 'states.insert')
    }
    await this.#runner.run(OPERATIONS['states.insert'], given)
  }

  /**
   * Replaces the state, if the stored version is the expected one; what is stored has the next version. Its
   * `createdAt` and its correlation id stay what they are. `updatedAt` is the time of this change: the present, unless
   * the state's lies in the future.
   *
   * @throws ConcurrencyError if the version is another one: `expectedVersion`, `actualVersion`
   * @throws NotFoundError if there is no such saga
   * @throws SerializationError
   */
  async update<T extends object>(sagaName: string, state: T & SagaState, expectedVersion: number): Promise<void> {
    let given: unknown[]
    try {
      given = this.#change('states.update', sagaName, state, expectedVersion).given
    } catch (error) {
      return await this.#runner.refuse(error, 'states.update')
    }
    await this.#runner.run(OPERATIONS['states.update'], given)
  }

  /** Removes the saga, if there is one. */
  async delete(sagaName: string, sagaId: string): Promise<void> {
    await this.#runner.run(OPERATIONS['states.delete'], [sagaName, sagaId])
  }

  /** Removes the saga, if there is one. */
  async deleteByCorrelationId(sagaName: string, correlationId: string): Promise<void> {
    await this.#runner.run(OPERATIONS['states.deleteByCorrelationId'], [sagaName, correlationId])
  }

  /**
   * Reads the state, has it changed, and stores it, from the start again where another update came between. All of it
   * together, with the time that `change` takes, has `operationTimeoutMs`. `updatedAt` becomes the present, unless `change` sets it.
   *
   * @param change may change what it is given and return that, or return another state; it may run several times
   * @returns the state as it is stored
   * @throws NotFoundError if there is no such saga
   * @throws ConcurrencyError if there were conflicts `maxRetries` times more
   * @throws TimeoutError
   */
  async modify<T extends object = SagaState>(
    sagaName: string,
    sagaId: string,
    change: (state: Stored<T>) => T | Promise<T>,
    options?: ModifyOptions,
  ): Promise<Stored<T>> {
    let taken: Required<ModifyOptions>
    try {
      taken = this.#modifying(change, options)
    } catch (error) {
      return await this.#runner.refuse(error, 'states.modify')
    }
    const time = new CallTime(this.#runner, 'states.modify')
    for (let attempt = 0; ; attempt += 1) {
      const state = await time.of(() => this.getById<T>(sagaName, sagaId))
      if (state === null) throw this.#notFound(sagaName, sagaId)
      const { version = 0, updatedAt, correlationId } = state.metadata as SagaMetadata
      const unchanged = updatedAt?.getTime()
      const changed = await time.of(() => change(state))
      const make = () => {
        const metadata = metadataOf(changed)
        if (metadata === undefined || metadata.sagaId !== sagaId) throw this.#invalid(notModified(changed), 'states.modify')
        // A copy of the state has another Date of the same time.
        const isDated = metadata.updatedAt != null && !(isDate(metadata.updatedAt) && metadata.updatedAt.getTime() === unchanged)
        return { ...this.#change('states.modify', sagaName, changed, version, { isDated }), correlationId }
      }
      try {
        return await time.of(() => this.#write<T>('states.modify', make))
      } catch (error) {
        const isConflict = error instanceof SagaStoreError && error.code === 'CONCURRENCY_CONFLICT'
        if (!isConflict || attempt >= taken.maxRetries) throw error
      }
      const pause = Math.random() * taken.retryDelayMs * 2 ** attempt
      await time.of(() => sleep(pause))
    }
  }

  /**
   * Inserts a state that has no version, and updates the saga of a state that has one. The saga id is
   * `metadata.sagaId`, or `state.id`. The correlation id of a new saga is `state.correlationId`, or
   * `metadata.correlationId`, or its saga id.
   *
   * @param state with the version that it was read with in `metadata.version`; a new one has none
   * @returns the state as it is stored: save this one the next time. After an update its `metadata.correlationId` is the
   * one that `state` came with
   * @throws ConcurrencyError if another update came between
   * @throws NotFoundError if the saga has been deleted
   * @throws AlreadyExistsError if it has no version, and the saga id or the correlation id is taken
   */
  async save<T extends object>(sagaName: string, state: T): Promise<Stored<T>> {
    const saving = this.#write<T>('states.save', () => {
      const { id, correlationId } = (state ?? {}) as { id?: unknown; correlationId?: unknown }
      const given = metadataOf(state)
      const sagaId = (given?.sagaId ?? id) as string
      const metadata: SagaMetadata = { ...given, sagaId }
      const expected = metadata.version ?? undefined
      if (expected !== undefined) {
        const change = this.#change('states.save', sagaName, state, expected, { metadata })
        return { ...change, correlationId: given?.correlationId }
      }
      const inserted = (correlationId ?? given?.correlationId ?? sagaId) as string
      return { ...this.#insertion('states.save', sagaName, inserted, state, metadata), correlationId: inserted }
    })
    try {
      return await saving
    } catch (error) {
      throw error instanceof AlreadyExistsError ? savedBefore(error) : error
    }
  }

  /** `getById`, under the name that `@saga-bus/store-redis` documents. */
  findById<T extends object = SagaState>(sagaName: string, sagaId: string): Promise<Stored<T> | null> {
    return this.getById<T>(sagaName, sagaId)
  }

  /** `getByCorrelationId`, under the name that `@saga-bus/store-redis` documents. */
  findByCorrelationId<T extends object = SagaState>(sagaName: string, correlationId: string): Promise<Stored<T> | null> {
    return this.getByCorrelationId<T>(sagaName, correlationId)
  }

  /**
   * Sagas of a name in the order of their saga ids, in pages of at most `limit` (1 to 1,000, default 100). Give the
   * cursor of a page to get the next one. Each saga is listed once, also when others are inserted meanwhile. The last
   * page has no cursor. A page has fewer items where some cannot be read. On DynamoDB the list follows a change a
   * moment later, as its indexes do; the states in it are read consistently.
   *
   * @throws CorruptDataError if one of them cannot be read: see `onCorrupt`. Its `found` is the page of the others
   */
  async findByName<T extends object = SagaState>(sagaName: string, options?: FindOptions): Promise<SagaPage<T>> {
    const list = ['states', sagaName]
    let taken: FindOptions
    let after: string | undefined
    try {
      taken = this.#taken(options, FIND, 'states.findByName')
      after = positionOf(taken.cursor, list, 'states.findByName', this.#runner.backend)
    } catch (error) {
      return await this.#runner.refuse(error, 'states.findByName')
    }
    const { completed, limit = 100, onCorrupt } = taken
    const listed = await this.#runner.run<Listed>(OPERATIONS['states.findByName'], [sagaName, completed, after, limit])
    const { sagas, corrupt } = this.#json.listed<T>(listed, 'states.findByName')
    const page: SagaPage<T> = { items: sagas.map(({ state }) => state) }
    if (sizeOf(listed) >= limit) page.cursor = cursorOf(list, lastOf(listed))
    return withoutCorrupt(page, corrupt, onCorrupt)
  }

  /** How many sagas of a name there are; on DynamoDB a moment ago. */
  countByName(sagaName: string, options?: SagaFilter): Promise<number> {
    let completed: boolean | undefined
    try {
      completed = this.#options(options, FILTER, 'states.countByName').completed
    } catch (error) {
      return this.#runner.refuse(error, 'states.countByName')
    }
    return this.#runner.run(OPERATIONS['states.countByName'], [sagaName, completed])
  }

  /**
   * Removes sagas that ended before a time, at most `limit` of them, in batches. Answers how many. A saga ends when an
   * insert or an update first makes it completed. One that is inserted as completed has ended at its `updatedAt`. What
   * was removed before a `TIMEOUT` stays removed.
   */
  async deleteCompletedBefore(sagaName: string, before: Date, options?: { limit?: number }): Promise<number> {
    const operation = 'states.deleteCompletedBefore'
    let limit: number
    try {
      limit = mostOf(this.#options(options, { limit: true }, operation), operation, this.#runner.backend)
    } catch (error) {
      return await this.#runner.refuse(error, operation)
    }
    const until = takenDate(before)
    const time = new CallTime(this.#runner, operation)
    let removed = 0
    while (removed < limit) {
      const batch = Math.min(MAX_LISTED, limit - removed)
      const count = await time.of(() => this.#runner.run<number>(OPERATIONS['states.deleteCompletedBefore'], [sagaName, until, batch]))
      removed += count
      if (count < batch) break
    }
    return removed
  }

  /**
   * Sagas that have not ended and whose `metadata.timeoutExpiresAt` has passed at `now` (default: the present). The
   * longest overdue comes first. At most `limit` (1 to 1,000, default 100) are answered; those that cannot be read do
   * not count, as long as there are no more than 1,000 of both. DynamoDB finds a saga a moment after it was stored.
   *
   * @throws CorruptDataError if one of them cannot be read: see `onCorrupt`. Its `found` are the others
   */
  async findTimedOut<T extends object = SagaState>(options?: TimedOutOptions): Promise<TimedOutSaga<T>[]> {
    let taken: TimedOutOptions
    try {
      taken = this.#taken(options, TIMED_OUT, 'states.findTimedOut')
    } catch (error) {
      return await this.#runner.refuse(error, 'states.findTimedOut')
    }
    const { limit = 100, sagaName, onCorrupt } = taken
    const now = takenDate(taken.now ?? new Date())
    for (let most = limit; ; ) {
      const listed = await this.#runner.run<Listed>(OPERATIONS['states.findTimedOut'], [now, sagaName, most])
      const { sagas, corrupt } = this.#json.listed<T>(listed, 'states.findTimedOut')
      const enough = limit + corrupt.length
      const isAll = enough <= most || most >= MAX_LISTED || sizeOf(listed) < most
      if (isAll) return withoutCorrupt(sagas.slice(0, limit), corrupt, onCorrupt)
      most = Math.min(MAX_LISTED, enough)
    }
  }

  /**
   * The names that sagas have, in their order, in pages of at most `limit` (1 to 1,000, default 100). Give the cursor of a
   * page to get the next one. It goes from name to name, whatever there is of each. On Redis sagas count whose names are
   * known: for those that an older version or other software has stored, call `reindex` once. On DynamoDB the list
   * follows a change a moment later, and begins with the first saga of a name that is stored otherwise than in the
   * application's own `TransactItems`.
   */
  async names(options?: NamesOptions): Promise<NamePage> {
    const operation = 'states.names'
    const list = ['states', 'names', null]
    let taken: NamesOptions
    let after: string | undefined
    try {
      taken = this.#options(options, NAMES, operation)
      after = positionOf(taken.cursor, list, operation, this.#runner.backend)
    } catch (error) {
      return await this.#runner.refuse(error, operation)
    }
    const { limit = 100 } = taken
    const items = await this.#runner.run<string[]>(OPERATIONS[operation], [after, limit])
    const last = items.length >= limit ? items.at(-1) : undefined
    return last === undefined ? { items } : { items, cursor: cursorOf(list, last) }
  }

  /**
   * Sagas that have not ended and that nobody has changed for a while: their `metadata.updatedAt` is at least
   * `unchangedForMs` ago. In the order of names and saga ids, in pages of at most `limit` (1 to 1,000, default 100). Give
   * the cursor of a page to get the next one: what is old is judged by the time of the first page. It reads the open sagas
   * of a name in their order, and answers those that are old: there is no index by `updatedAt`, which changes each time.
   *
   * @throws CorruptDataError if one of them cannot be read: see `onCorrupt`. Its `found` is the page of the others
   */
  async findStale<T extends object = SagaState>(options: StaleOptions): Promise<StalePage<T>> {
    const operation = 'states.findStale'
    let taken: StaleOptions
    let from: StalePlace
    try {
      taken = this.#taken(options, STALE, operation)
      from = stalePlace(taken, this.#runner.backend)
    } catch (error) {
      return await this.#runner.refuse(error, operation)
    }
    const { page, corrupt } = await stalePage<T>(this.#runner, this.#json, taken, from)
    return withoutCorrupt(page, corrupt, taken.onCorrupt)
  }

  /**
   * For sagas that other software has written to Redis, such as `@saga-bus/store-redis`. It does not write the lists
   * that `findByName`, `countByName` and `findTimedOut` read, so these do not find its sagas. `reindex` reads all keys
   * of every primary, in small steps, and puts each state into its lists. States and versions stay as they are. If it
   * is interrupted, call it again. Call it once when the new version runs, and once more when the last old worker has
   * ended. On the other backends there is nothing to do: the database keeps the lists.
   *
   * @param options `sagaName`: only the sagas of this name
   * @throws UnsupportedError in a transaction
   */
  async reindex(options?: { sagaName?: string }): Promise<ReindexResult> {
    let sagaName: string | undefined
    try {
      sagaName = this.#options(options, { sagaName: true }, 'states.reindex').sagaName
    } catch (error) {
      return await this.#runner.refuse(error, 'states.reindex')
    }
    const result: ReindexResult = { found: 0, added: 0, removed: 0, unreadable: 0 }
    let cursor: string | undefined
    do {
      const part = await this.#runner.run<ReindexResult & { cursor?: string }>(OPERATIONS['states.reindex'], [sagaName, cursor])
      for (const name of ['found', 'added', 'removed', 'unreadable'] as const) result[name] += part[name]
      cursor = part.cursor
    } while (cursor !== undefined)
    return result
  }

  /**
   * The same sagas as `findTimedOut`, each given to one worker. Until the lease ends, `claimTimedOut` gives the saga to
   * nobody else, and not to the same worker again. (`findTimedOut` still shows it.) State and version stay as they are:
   * the worker does its work and then calls `update`. An update that ends the saga, or changes or removes its timeout,
   * ends the lease too. The server's clock decides when a lease is over, where the server has one.
   *
   * @throws CorruptDataError if one of them cannot be read: see `onCorrupt`. Its `found` are the others, which the
   * worker has
   * @throws SagaStoreError `UNSUPPORTED` in a transaction that is only sent at its end (Redis, DynamoDB)
   */
  async claimTimedOut<T extends object = SagaState>(options: ClaimOptions): Promise<ClaimedSaga<T>[]> {
    let taken: ClaimOptions
    try {
      taken = this.#taken(options, CLAIM, 'states.claimTimedOut')
    } catch (error) {
      return await this.#runner.refuse(error, 'states.claimTimedOut')
    }
    const { workerId, leaseMs, limit = 100, sagaName, onCorrupt } = taken
    const now = takenDate(taken.now ?? new Date())
    // Taken before the lease begins.
    const began = Date.now()
    const listed = await this.#runner.run<Listed>(OPERATIONS['states.claimTimedOut'], [workerId, leaseMs, now, sagaName, limit])
    const { sagas, corrupt } = this.#json.listed<T>(listed, 'states.claimTimedOut')
    const claimed = sagas.map((saga) => ({ ...saga, workerId, leasedUntil: new Date(began + leaseMs) }))
    return withoutCorrupt(claimed, corrupt, onCorrupt)
  }

  /**
   * All sagas as they are stored, one by one, page by page behind the scenes: whole records for `importRecords` of another
   * store. What has expired is left out; what is stored meanwhile may be left out. Nothing is blocked.
   *
   * @throws CorruptDataError if one cannot be read, without `onUnreadable`
   */
  exportAll(options?: ExportOptions): AsyncIterableIterator<ExportedRecord<'states'>> {
    return this.#facet.exportAll<'states'>(options)
  }

  /**
   * Stores sagas as they are: versions, dates, and all else. What has expired is counted, and not stored.
   *
   * @throws TransferError if one of them could not be stored: all others are
   */
  importRecords(records: Given<WholeState | ExportedRecord<'states'>>, options?: ImportOptions): Promise<KindCounts> {
    return this.#facet.importRecords(records, options)
  }

  /** How many sagas there are; about, where counting would read everything. */
  count(): Promise<number> {
    return this.#facet.countOf('states')
  }

  /** No async function: each of its promises costs event-loop time. */
  #find<T extends object>(operation: Operation, sagaName: string, id: string): Promise<Stored<T> | null> {
    return this.#runner
      .run<FoundState | null>(operation, [sagaName, id])
      .then((found) => (found === null ? null : this.#json.parsed<T>(found, id)))
  }

  /** Stores what `make` makes; answers the state as it is stored. */
  async #write<T extends object>(method: string, make: () => Writing): Promise<Stored<T>> {
    let record: Writing
    try {
      record = make()
    } catch (error) {
      return await this.#runner.refuse(error, method)
    }
    await this.#runner.run(record.operation, record.given)
    const { stored, correlationId } = record
    if (correlationId !== undefined) Object.assign(stored.metadata, { correlationId })
    return stored as unknown as Stored<T>
  }

  #insertion(method: string, sagaName: string, correlationId: string, state: object, metadata = metadataOf(state)) {
    const version = metadata?.version ?? 1
    const { given, stored } = this.#json.record(sagaName, state, metadata, { operation: method, version, isChange: false })
    return { operation: OPERATIONS['states.insert'], given: [...given, correlationId], stored }
  }

  /** `isDated`: its `updatedAt` is meant, whatever it is. */
  #change(
    method: string,
    sagaName: string,
    state: object,
    expected: number,
    { isDated = false, metadata = metadataOf(state) }: { isDated?: boolean; metadata?: SagaMetadata | undefined } = {},
  ) {
    if (typeof expected !== 'number') throw this.#invalid('the version that is expected must be a whole number', method)
    const version = expected + 1
    const { given, stored } = this.#json.record(sagaName, state, metadata, { operation: method, version, isChange: !isDated })
    return { operation: OPERATIONS['states.update'], given: [...given, expected], stored }
  }

  #options<O extends object>(options: O | undefined, accepted: Accepted<O>, method: string): O {
    return optionsOf(options, accepted, method, this.#runner.backend)
  }

  /** The options of what lists sagas. */
  #taken<O extends CorruptOptions>(options: O | undefined, accepted: Accepted<O>, method: string): O {
    const taken = this.#options(options, accepted, method)
    if (taken.onCorrupt === undefined || typeof taken.onCorrupt === 'function') return taken
    throw this.#invalid("option 'onCorrupt' must be a function", method)
  }

  #modifying(change: unknown, options: ModifyOptions | undefined): Required<ModifyOptions> {
    const { maxRetries = 3, retryDelayMs = 100 } = this.#options(options, MODIFY, 'states.modify')
    for (const [name, value] of Object.entries({ maxRetries, retryDelayMs })) {
      const isCount = Number.isSafeInteger(value) && value >= 0
      if (!isCount) throw this.#invalid(`${name} must be a whole number from 0 on`, 'states.modify')
    }
    if (typeof change !== 'function') throw this.#invalid('modify takes a function', 'states.modify')
    return { maxRetries, retryDelayMs }
  }

  #notFound(sagaName: string, sagaId: string): Error {
    const message = `not found: no saga '${sagaName}' has this saga id`
    const where = { backend: this.#runner.backend, operation: 'states.modify' }
    return errorOf('NOT_FOUND', message, { ...where, id: sagaId, details: { sagaName, sagaId } })
  }

  #invalid(message: string, operation: string): Error {
    return invalidArgument(message, operation, this.#runner.backend)
  }
}

/** What is wrong with what a function of `modify` has returned. */
function notModified(changed: unknown): string {
  if (changed === undefined) return 'the function of modify returned undefined: did you forget to return the changed state?'
  return "the function of modify must return the state with its metadata: `{ ...state, … }`, where metadata.sagaId is the saga's"
}

/** A state without a version is a new saga, and there is one already: often `save` was called before with the same object. */
function savedBefore(error: AlreadyExistsError): Error {
  const { backend, id, sagaName, sagaId, correlationId } = error
  const details = known({ sagaName, sagaId, correlationId }) as Record<string, string>
  const which = sagaId === undefined ? 'correlation id' : 'saga id'
  const message =
    `a saga '${sagaName}' with this ${which} already exists, and the state has no metadata.version, so that it is taken for a new one: ` +
    'save what an earlier save, or a read, has returned'
  return errorOf('ALREADY_EXISTS', message, { backend, operation: 'states.save', id, details, cause: error })
}
