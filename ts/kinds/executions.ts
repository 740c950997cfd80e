import { type Accepted, listed, mostOf, takenDate } from '../arguments'
import { invalidArgument } from '../errors'
import { type ExportedRecord, type ExportOptions, Facet, type Given, type ImportOptions } from '../moving/facets'
import type { ExecutionRecord } from '../moving/records'
import type { KindCounts } from '../moving/types'
import { CallTime } from './call-time'
import { cursorOf, type ListName, positionOf } from './cursors'
import { ExecutionCalls, givenStatus } from './execution-calls'
import type { RawExecution } from './execution-json'
import type {
  CheckpointOptions,
  CheckpointResult,
  CreateOptions,
  ExecutionClaimOptions,
  ExecutionCleanupOptions,
  ExecutionFilter,
  ExecutionPage,
  ExecutionStatistics,
  ExecutionStatus,
  GuardOptions,
  HeldLease,
  HistoryOptions,
  HistoryPage,
  ListOptions,
  LoadOptions,
  PageOptions,
  RecoverableOptions,
  SagaExecution,
  SagaStep,
  SavedExecution,
  StartOptions,
  StatusOptions,
  StepAction,
  StepStatus,
  StepUpdate,
} from './execution-types'
import { known } from './json'
import type { Runner } from './runner'
import { type RunTerms, runOf, SagaRun } from './saga-run'

const CREATE: Accepted<CreateOptions> = { status: true, subStatus: true, metadata: true, tags: true, steps: true, dueAt: true }
const START: Accepted<StartOptions> = { ...CREATE, workerId: true, leaseMs: true, renew: true }
const GUARDS: Accepted<GuardOptions> = { expectedVersion: true, token: true, force: true }
const CHECKPOINT: Accepted<CheckpointOptions> = {
  context: true,
  status: true,
  subStatus: true,
  metadata: true,
  tags: true,
  steps: true,
  dueAt: true,
  lastError: true,
  operationId: true,
  ...GUARDS,
}
const SAVE: Accepted<SavedExecution> = {
  sagaId: true,
  name: true,
  status: true,
  subStatus: true,
  context: true,
  metadata: true,
  tags: true,
  steps: true,
  force: true,
}
const HISTORY: Accepted<HistoryOptions> = { after: true, limit: true, maxBytes: true, reverse: true }
const FILTER: Accepted<ExecutionFilter> = { name: true, status: true, tag: true, parked: true }
const PAGE: Accepted<PageOptions> = { limit: true, cursor: true }
const CLAIM: Accepted<ExecutionClaimOptions> = {
  workerId: true,
  leaseMs: true,
  renew: true,
  limit: true,
  names: true,
  statuses: true,
  maxRecoveryAttempts: true,
  staleAfterMs: true,
}
const RECOVERABLE: Accepted<RecoverableOptions> = { limit: true, maxRecoveryAttempts: true, staleAfterMs: true, name: true }

const TERMINAL: readonly ExecutionStatus[] = ['completed', 'compensated', 'failed']
const UNDER_WAY: readonly ExecutionStatus[] = ['running', 'compensating']
/** Those of a lease, where nothing else is said. */
const TERMS: RunTerms = { leaseMs: 30_000, renew: true }
const MAX_ATTEMPTS = 5
const MAX_BATCH = 1_000

/**
 * Executions of sagas: status, context, every step in order, and who is working on it. A saga id has 1 to 512 bytes of
 * UTF-8 and is unique in the store; a name has 1 to 128. Statuses go `pending`, `running`, `compensating`, and end with
 * `completed`, `compensated` or `failed` (terminal: nothing leads back from there).
 *
 * Every change is judged in this order: `NOT_FOUND`, `LEASE_LOST`, `INVALID_STATE`, `CONCURRENCY_CONFLICT`,
 * `PAYLOAD_TOO_LARGE`. What is refused leaves nothing behind. An execution that was ever leased takes changes only with
 * the token of its lease (which a `SagaRun` has), or with `force`.
 */
export class SagaExecutions {
  readonly #runner: Runner
  readonly #calls: ExecutionCalls
  readonly #facet: Facet

  /** @internal */
  constructor(runner: Runner) {
    this.#runner = runner
    this.#calls = new ExecutionCalls(runner)
    this.#facet = new Facet(runner, 'executions')
  }

  /**
   * Stores a new execution. Nobody has it. Answers its version, 1.
   *
   * @param context JSON; none, if left out
   * @throws AlreadyExistsError if the saga id is taken
   * @throws SerializationError if something of it cannot be kept as JSON: `path` says what
   */
  async create(sagaId: string, name: string, context?: unknown, options?: CreateOptions): Promise<number> {
    const created = await this.#calls.change('create', sagaId, (operation) => {
      const { status = 'pending', ...taken } = this.#options(options, CREATE, operation)
      return { name, ...this.#calls.json.change({ context, status, ...taken }, operation, sagaId) }
    })
    return created.version
  }

  /**
   * The execution, with its context; its log is read by `history` and `steps`.
   *
   * @param options `forUpdate`: in a transaction of PostgreSQL or SQLite, nobody else changes it before the end of that
   * @throws NotFoundError if there is none
   */
  async load<C = unknown>(sagaId: string, options?: LoadOptions): Promise<SagaExecution<C>> {
    const raw = await this.#calls.of<RawExecution>('load', sagaId, (operation) => this.#options(options, { forUpdate: true }, operation))
    return this.#calls.json.execution<C>(raw, 'executions.load')
  }

  /** The execution, or null. */
  async find<C = unknown>(sagaId: string, options?: LoadOptions): Promise<SagaExecution<C> | null> {
    const take = (operation: string) => this.#options(options, { forUpdate: true }, operation)
    const raw = await this.#calls.of<RawExecution | null>('find', sagaId, take)
    return raw === null ? null : this.#calls.json.execution<C>(raw, 'executions.find')
  }

  /**
   * Changes status, context, tags and so on, and adds entries to the log: all of it or nothing, in one round trip.
   * Without `context` the context is not written again: let results of steps live in their entries.
   *
   * @throws NotFoundError, LeaseLostError, InvalidStateError, PayloadTooLargeError, SerializationError
   * @throws ConcurrencyError if the version is not `expectedVersion`: it has the `actualVersion`
   */
  async checkpoint(sagaId: string, change: CheckpointOptions): Promise<CheckpointResult> {
    const { version, firstSeq } = await this.#calls.change('checkpoint', sagaId, (operation) => {
      const given = this.#calls.json.change(this.#options(change, CHECKPOINT, operation), operation, sagaId)
      given.counts = true
      return given
    })
    return { version, firstSeq }
  }

  /**
   * Replaces the context. Answers the version.
   *
   * @param guard the version that is expected, or more guards
   * @throws ConcurrencyError, NotFoundError, LeaseLostError, SerializationError
   */
  async updateContext(sagaId: string, context: unknown, guard?: number | GuardOptions): Promise<number> {
    const changed = await this.#calls.change('updateContext', sagaId, (operation) => {
      const guards = typeof guard === 'object' ? this.#options(guard, GUARDS, operation) : known({ expectedVersion: guard })
      return { ...guards, context: this.#calls.json.text(context, 'context', operation, sagaId), counts: true }
    })
    return changed.version
  }

  /**
   * Changes the status. Answers the version.
   *
   * @throws InvalidStateError if it is terminal, and the new status is another one
   * @throws ConcurrencyError, NotFoundError, LeaseLostError
   */
  async updateStatus(sagaId: string, status: ExecutionStatus, options?: StatusOptions): Promise<number> {
    const changed = await this.#calls.change('updateStatus', sagaId, (operation) => ({
      ...this.#options(options, { ...GUARDS, subStatus: true }, operation),
      status: givenStatus(status, operation, this.#runner.backend),
      counts: true,
    }))
    return changed.version
  }

  /**
   * Adds an entry to the log. The version stays. Answers the entry's number.
   *
   * @param details text, or JSON
   */
  async logStep(sagaId: string, stepName: string, action: StepAction, status: StepStatus, details?: unknown): Promise<number> {
    const { firstSeq } = await this.#calls.change('logStep', sagaId, (operation) => ({
      entries: this.#calls.json.entries([{ stepName, action, status, details }], operation, sagaId),
      counts: false,
    }))
    return firstSeq as number
  }

  /**
   * Says what has become of a step: adds an entry to the log, with a result or an error. The version stays.
   * Answers the entry's number.
   */
  async updateStep(sagaId: string, stepName: string, update: StepUpdate): Promise<number> {
    const { firstSeq } = await this.#calls.change('updateStep', sagaId, (operation) => {
      const { token, force, ...entry } = update ?? {}
      const guards = this.#options({ token, force }, { token: true, force: true }, operation)
      const entries = this.#calls.json.entries([{ ...entry, stepName }], operation, sagaId)
      return { ...guards, entries, counts: false }
    })
    return firstSeq as number
  }

  /**
   * A page of the log, in the order of writing. Give its cursor as `after` to get the next one; the last page has none.
   *
   * @throws NotFoundError if there is no such execution
   */
  async history(sagaId: string, options?: HistoryOptions): Promise<HistoryPage> {
    let taken: HistoryOptions
    try {
      taken = this.#options(options, HISTORY, 'executions.history')
    } catch (error) {
      return await this.#runner.refuse(error, 'executions.history')
    }
    return await this.#calls.history(sagaId, taken)
  }

  /** The steps, as the log tells: of each its status, result, error, attempts and times. It reads all of the log, page by page. */
  steps(sagaId: string): Promise<SagaStep[]> {
    return this.#calls.steps(sagaId)
  }

  /**
   * Inserts an execution, or replaces one as a whole, its log included. `createdAt` stays.
   *
   * @throws LeaseLostError if it was ever leased, without `force`
   */
  async save(execution: SavedExecution): Promise<CheckpointResult> {
    const sagaId = (execution as Partial<SavedExecution> | undefined)?.sagaId as string
    const { version, firstSeq } = await this.#calls.change('save', sagaId, (operation) => {
      const { sagaId: _, name, steps = [], ...rest } = this.#options(execution, SAVE, operation)
      return { name, ...this.#calls.json.change({ ...rest, steps }, operation, sagaId) }
    })
    return { version, firstSeq }
  }

  /** Removes an execution and its log, whoever has it. Whether there was one. */
  delete(sagaId: string): Promise<boolean> {
    return this.#calls.of('delete', sagaId, () => ({}))
  }

  /** Executions without their contexts, the latest change (or creation) first, in pages. The last page has no cursor. */
  async list(options?: ListOptions): Promise<ExecutionPage> {
    return await this.#list((operation) => this.#options(options, { ...FILTER, ...PAGE, order: true }, operation))
  }

  /** Those that were claimed too often without progress, in pages, the latest change first: `redrive` brings them back. */
  async parked(options?: PageOptions): Promise<ExecutionPage> {
    return await this.#list((operation) => ({ ...this.#options(options, PAGE, operation), parked: true }))
  }

  /** How many there are. */
  count(filter?: ExecutionFilter): Promise<number> {
    return this.#calls.all('count', (operation) => ({ ...this.#options(filter, FILTER, operation) }))
  }

  /** How many there are, by status; how many are parked and leased; the bytes of contexts and logs, about. */
  statistics(): Promise<ExecutionStatistics> {
    return this.#calls.all('statistics', () => ({}))
  }

  /**
   * Removes executions that have been terminal for `olderThanMs`, with all that belongs to them, in batches of at most
   * 1,000. Answers how many. What was removed stays removed where a later batch fails.
   */
  async cleanup(options: ExecutionCleanupOptions): Promise<number> {
    const operation = 'executions.cleanup'
    let limit: number
    let before: Date
    let statuses: ExecutionStatus[]
    try {
      const taken = this.#options(options, { olderThanMs: true, statuses: true, limit: true }, operation)
      const { olderThanMs } = taken
      if (!(Number.isSafeInteger(olderThanMs) && olderThanMs >= 0 && olderThanMs <= Date.now())) {
        throw invalidArgument('olderThanMs must be a whole number from 0 on', operation, this.#runner.backend)
      }
      before = new Date(Date.now() - olderThanMs)
      statuses = this.#calls.json.list(taken.statuses ?? TERMINAL, 'statuses', operation)
      limit = mostOf(taken, operation, this.#runner.backend)
    } catch (error) {
      return await this.#runner.refuse(error, operation)
    }
    const time = new CallTime(this.#runner, operation)
    let removed = 0
    while (removed < limit) {
      const batch = Math.min(MAX_BATCH, limit - removed)
      const count = await time.of(() => this.#calls.all<number>('cleanup', () => ({ before, statuses, limit: batch })))
      removed += count
      if (count < batch) break
    }
    return removed
  }

  /**
   * Creates an execution that one worker has from the start, in one write: nobody can claim it before its lease is over.
   *
   * @throws AlreadyExistsError if the saga id is taken
   */
  async start<C = unknown>(sagaId: string, name: string, context: C | undefined, options: StartOptions): Promise<SagaRun<C>> {
    let terms = TERMS
    const raw = await this.#calls.of<RawExecution>('start', sagaId, (operation) => {
      const { workerId, leaseMs, renew, status = 'running', ...rest } = this.#options(options, START, operation)
      terms = this.#terms(leaseMs, renew, operation)
      const given = this.#calls.json.change({ context, status, ...rest }, operation, sagaId)
      return known({ name, ...given, workerId, leaseMs: terms.leaseMs })
    })
    return runOf<C>(this.#calls.outside(), raw, terms)
  }

  /**
   * Gives executions that are due to one worker, the longest due first: those whose worker has died (its lease is over,
   * and so is the backoff), that were handed back, and whose `dueAt` has come. Two claimers never get the same one. Each
   * claim counts as an attempt; an execution that had `maxRecoveryAttempts` without progress is parked, and the next
   * one is looked at.
   *
   * @throws UnsupportedError in a transaction that is only sent at its end (Redis, DynamoDB)
   */
  async claim<C = unknown>(options: ExecutionClaimOptions): Promise<SagaRun<C>[]> {
    let terms = TERMS
    const claimed = await this.#calls.all<RawExecution[]>('claim', (operation) => {
      const { names, statuses = UNDER_WAY, leaseMs, renew, ...rest } = this.#options(options, CLAIM, operation)
      terms = this.#terms(leaseMs, renew, operation)
      return known({
        limit: 1,
        maxRecoveryAttempts: MAX_ATTEMPTS,
        staleAfterMs: 0,
        ...rest,
        leaseMs: terms.leaseMs,
        names: names === undefined ? undefined : this.#calls.json.list(names, 'names', operation),
        statuses: this.#calls.json.list(statuses, 'statuses', operation),
      })
    })
    return claimed.map((raw) => runOf<C>(this.#calls.outside(), raw, terms))
  }

  /**
   * Renews leases now, by their own times, and tells which of them are lost; the signals of lost runs are aborted. Runs
   * are renewed by themselves: this is for those who want to know.
   */
  async heartbeat(runs: Iterable<HeldLease>): Promise<{ lost: string[] }> {
    let held: HeldLease[] = []
    const lost = await this.#calls.all<string[]>('heartbeat', () => {
      held = listed(runs)
      return { runs: held.map((run) => [run?.sagaId, run?.token, run?.leaseMs]) }
    })
    for (const run of held) if (run instanceof SagaRun && lost.includes(run.sagaId)) run.lose()
    return { lost }
  }

  /**
   * Brings parked executions back: they are due at once. Answers how many were parked.
   *
   * @param options `resetAttempts` (default true): they have all attempts again; else only a claim with a higher
   *   `maxRecoveryAttempts` takes them
   */
  async redrive(sagaIds: Iterable<string>, options?: { resetAttempts?: boolean }): Promise<number> {
    let ids: string[]
    let resetAttempts: boolean
    try {
      ids = listed(sagaIds)
      resetAttempts = this.#options(options, { resetAttempts: true }, 'executions.redrive').resetAttempts ?? true
    } catch (error) {
      return await this.#runner.refuse(error, 'executions.redrive')
    }
    const time = new CallTime(this.#runner, 'executions.redrive')
    let count = 0
    for (let at = 0; at < ids.length; at += MAX_BATCH) {
      const batch = ids.slice(at, at + MAX_BATCH)
      count += await time.of(() => this.#calls.all<number>('redrive', () => ({ ids: batch, resetAttempts })))
    }
    return count
  }

  /** Ids of running and compensating executions with attempts left, the oldest change first. It only looks: two callers get the same. */
  findRecoverable(options: RecoverableOptions): Promise<string[]> {
    return this.#calls.all('findRecoverable', (operation) => ({
      maxRecoveryAttempts: MAX_ATTEMPTS,
      staleAfterMs: 0,
      ...this.#options(options, RECOVERABLE, operation),
    }))
  }

  /** Counts an attempt, and sets another status if one is given: for engines without leases. */
  async incrementRecoveryAttempts(sagaId: string, newStatus?: ExecutionStatus): Promise<void> {
    const counts = newStatus !== undefined
    await this.#calls.change('incrementRecoveryAttempts', sagaId, (operation) => {
      const status = newStatus === undefined ? undefined : givenStatus(newStatus, operation, this.#runner.backend)
      return known({ attempts: 'increment', status, counts })
    })
  }

  /** Sets the number of attempts: for engines without leases. It does not bring a parked one back: `redrive` does. */
  async setRecoveryAttempts(sagaId: string, attempts: number): Promise<void> {
    await this.#calls.change('setRecoveryAttempts', sagaId, (operation) => {
      if (Number.isSafeInteger(attempts) && attempts >= 0) return { attempts, counts: false }
      throw invalidArgument('attempts must be a whole number from 0 on', operation, this.#runner.backend)
    })
  }

  /**
   * All executions with their logs as they are stored, one by one, page by page behind the scenes: whole records for `importRecords` of another
   * store. What has expired is left out; what is stored meanwhile may be left out. Nothing is blocked.
   *
   * @throws CorruptDataError if one cannot be read, without `onUnreadable`
   */
  exportAll(options?: ExportOptions): AsyncIterableIterator<ExportedRecord<'executions'>> {
    return this.#facet.exportAll<'executions'>(options)
  }

  /**
   * Stores executions with their logs as they are: versions, dates, and all else. What has expired is counted, and not stored.
   *
   * @throws TransferError if one of them could not be stored: all others are
   */
  importRecords(records: Given<ExecutionRecord | ExportedRecord<'executions'>>, options?: ImportOptions): Promise<KindCounts> {
    return this.#facet.importRecords(records, options)
  }

  #terms(leaseMs = TERMS.leaseMs, renew: unknown, operation: string): RunTerms {
    if (renew === undefined || typeof renew === 'boolean') return { leaseMs, renew: renew ?? true }
    throw invalidArgument("option 'renew' must be true or false", operation, this.#runner.backend)
  }

  async #list(take: (operation: string) => ListOptions): Promise<ExecutionPage> {
    let limit = 100
    let order = 'updated' as ListOptions['order']
    let list: ListName = []
    const found = await this.#calls.all<RawExecution[]>('list', (operation) => {
      const { cursor, ...rest } = take(operation)
      limit = rest.limit ?? limit
      order = rest.order ?? order
      const { name, status, tag, parked } = rest
      list = ['executions', JSON.stringify([order, name, status, tag, parked])]
      const after = this.#place(positionOf(cursor, list, operation, this.#runner.backend), operation)
      return known({ ...rest, order, limit, after })
    })
    const items = found.map((raw) => this.#calls.json.summary(raw, 'executions.list'))
    const last = items.at(-1)
    if (last === undefined || items.length < limit) return { items }
    const time = order === 'created' ? last.createdAt : last.updatedAt
    return { items, cursor: cursorOf(list, `${time.getTime()}:${last.sagaId}`) }
  }

  /** Where a page begins. */
  #place(position: string | undefined, operation: string): [Date, string] | undefined {
    if (position === undefined) return undefined
    const [, time, id] = /^(-?\d{1,16}):(.+)$/s.exec(position) ?? []
    if (time !== undefined && id !== undefined) return [takenDate(new Date(Number(time))), id]
    throw invalidArgument("option 'cursor' is none of this list", operation, this.#runner.backend)
  }

  #options<O extends object>(options: O | undefined, accepted: Accepted<O>, operation: string): O {
    return this.#calls.options(options, accepted, operation)
  }
}
