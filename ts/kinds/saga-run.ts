import type { Accepted } from '../arguments'
import { SagaStoreError } from '../errors'
import { type Changed, type ExecutionCalls, type ExecutionMethod, givenStatus } from './execution-calls'
import type { RawExecution } from './execution-json'
import { Lease } from './execution-lease'
import type {
  CheckpointChange,
  CheckpointResult,
  ExecutionStatus,
  GuardOptions,
  HistoryOptions,
  HistoryPage,
  ReleaseOptions,
  SagaStep,
  StepAction,
  StepEntry,
  StepStatus,
} from './execution-types'
import { known } from './json'

/** What a run may change: not when it is due, for that is the end of its lease. */
export type RunChange = Omit<CheckpointChange, 'dueAt'> & Pick<GuardOptions, 'expectedVersion'>

const CHANGE: Accepted<RunChange> = {
  context: true,
  status: true,
  subStatus: true,
  metadata: true,
  tags: true,
  steps: true,
  lastError: true,
  operationId: true,
  expectedVersion: true,
}
const HISTORY: Accepted<HistoryOptions> = { after: true, limit: true, maxBytes: true, reverse: true }
const RELEASE: Accepted<ReleaseOptions> = { retryAt: true, error: true }

/** How a run keeps its lease. */
export interface RunTerms {
  leaseMs: number
  renew: boolean
}

// The types of the package show no constructor, nor what it takes.
let make: (calls: ExecutionCalls, raw: RawExecution, terms: RunTerms) => SagaRun<unknown>

/** The run of an execution that has just been leased. */
export function runOf<C>(calls: ExecutionCalls, raw: RawExecution, terms: RunTerms): SagaRun<C> {
  return make(calls, raw, terms) as SagaRun<C>
}

/**
 * An execution that one worker has: `start` and `claim` give it. All that is written through it has the token of its
 * lease: once another worker has the execution, it is `LEASE_LOST`. The lease is renewed by itself, from a third of its
 * time on (unless `renew` is false), until the run has ended, or is let go of (`release`, `await using`), or has been garbage-collected.
 *
 * It writes through the store. One that was made in a transaction can be used there, and when that has been
 * committed; nobody else sees it before. Commit within a third of `leaseMs`: then it is renewed for the first time.
 */
export class SagaRun<C = unknown> implements AsyncDisposable {
  readonly sagaId: string
  readonly name: string
  /** Of this lease, and of no other one. */
  readonly token: string
  readonly workerId: string
  /** How long the lease lasts if it is not renewed, in ms. */
  readonly leaseMs: number
  /** How often the execution was claimed since a step was last completed, this time included; 0 after `start`. */
  readonly attempt: number
  readonly #calls: ExecutionCalls
  readonly #lease: Lease
  #version: number
  #status: ExecutionStatus
  #text: string | null
  #context: { value: C } | undefined

  static {
    make = (calls, raw, terms) => new SagaRun(calls, raw, terms)
  }

  private constructor(calls: ExecutionCalls, raw: RawExecution, { leaseMs, renew }: RunTerms) {
    this.sagaId = raw.sagaId
    this.name = raw.name
    this.token = raw.token as string
    this.workerId = raw.workerId as string
    this.leaseMs = leaseMs
    this.attempt = raw.attempts
    this.#calls = calls
    this.#version = raw.version
    this.#status = raw.status
    this.#text = raw.context ?? null
    this.#lease = Lease.of(this, calls.runner.executions, calls.backend, renew)
  }

  /** Aborted when the lease is lost, with the `LEASE_LOST` error as its reason: stop working on the saga then. */
  get signal(): AbortSignal {
    return this.#lease.signal
  }

  /** The version that was last stored. */
  get version(): number {
    return this.#version
  }

  /** The status that was last stored. */
  get status(): ExecutionStatus {
    return this.#status
  }

  /** The context that was last stored: a value of the run's own, null if there is none. */
  get context(): C {
    this.#context ??= { value: this.#calls.json.parsed(this.#text, 'context', this.sagaId, 'executions.claim') as C }
    return this.#context.value
  }

  /**
   * Changes status, context, tags and so on, and adds entries to the log: all of it or nothing. Where less than half of
   * the lease is left, it is renewed by the way.
   *
   * @throws LeaseLostError if another worker has the execution, or it was ended
   * @throws ConcurrencyError if `expectedVersion` is given, and it is another one
   * @throws InvalidStateError, NotFoundError, PayloadTooLargeError, SerializationError
   */
  async checkpoint(change: RunChange): Promise<CheckpointResult> {
    const { version, firstSeq } = await this.#write('checkpoint', true, (operation) =>
      this.#calls.json.change(this.#options(change, CHANGE, operation), operation, this.sagaId),
    )
    return { version, firstSeq }
  }

  /** Replaces the context. Answers the version. */
  async updateContext(context: C): Promise<number> {
    const change = (operation: string) => ({ context: this.#calls.json.text(context, 'context', operation, this.sagaId) })
    return (await this.#write('updateContext', true, change)).version
  }

  /** Changes the status, and the engine's own word. Answers the version. */
  async updateStatus(status: ExecutionStatus, subStatus?: string | null): Promise<number> {
    const change = (operation: string) => known({ status: givenStatus(status, operation, this.#calls.backend), subStatus })
    return (await this.#write('updateStatus', true, change)).version
  }

  /** Adds an entry to the log. The version stays. Answers the entry's number. */
  async logStep(stepName: string, action: StepAction, status: StepStatus, details?: unknown): Promise<number> {
    const { firstSeq } = await this.#write('logStep', false, (operation) => ({
      entries: this.#calls.json.entries([{ stepName, action, status, details }], operation, this.sagaId),
    }))
    return firstSeq as number
  }

  /** Adds an entry to the log, with a result or an error. The version stays. Answers the entry's number. */
  async updateStep(stepName: string, update: Omit<StepEntry, 'stepName'>): Promise<number> {
    const { firstSeq } = await this.#write('updateStep', false, (operation) => ({
      entries: this.#calls.json.entries([{ ...update, stepName }], operation, this.sagaId),
    }))
    return firstSeq as number
  }

  /** A page of the log. See `SagaExecutions.history`. */
  async history(options?: HistoryOptions): Promise<HistoryPage> {
    let taken: HistoryOptions
    try {
      taken = this.#options(options, HISTORY, 'executions.history')
    } catch (error) {
      return await this.#calls.runner.refuse(error, 'executions.history')
    }
    return await this.#calls.history(this.sagaId, taken)
  }

  /** The steps, as the log tells. It reads all of the log, page by page. */
  steps(): Promise<SagaStep[]> {
    return this.#calls.steps(this.sagaId)
  }

  /** Ends it: all steps are done. The lease ends with it. */
  async complete(context?: C): Promise<void> {
    await this.#end('complete', (operation) => this.#calls.json.change({ status: 'completed', context }, operation, this.sagaId))
  }

  /** Ends it: what was done is undone. The lease ends with it. */
  async compensated(context?: C): Promise<void> {
    await this.#end('compensated', (operation) => this.#calls.json.change({ status: 'compensated', context }, operation, this.sagaId))
  }

  /** Ends it as failed, for good. The lease ends with it. What may go better the next time is a `release` with an error. */
  async fail(error: unknown): Promise<void> {
    await this.#end('fail', (operation) => {
      const lastError = error === undefined ? undefined : this.#calls.json.reason(error, operation, this.sagaId)
      return known({ status: 'failed', lastError })
    })
  }

  /** Lets go of it, and nobody can claim it before that time. It does not count as an attempt. */
  async waitUntil(date: Date): Promise<void> {
    await this.#letGo('waitUntil', (operation) => ({
      release: { dueAt: this.#calls.time(date, 'the date', operation), counted: false },
    }))
  }

  /** Hands it back, for another worker. It does not count as an attempt, unless an `error` is given: then the backoff comes first. */
  async release(options?: ReleaseOptions): Promise<void> {
    await this.#letGo('release', (operation) => {
      const { retryAt, error } = this.#options(options, RELEASE, operation)
      const dueAt = retryAt === undefined ? undefined : this.#calls.time(retryAt, "option 'retryAt'", operation)
      const release = known({ dueAt, counted: error !== undefined })
      const lastError = error === undefined ? undefined : this.#calls.json.reason(error, operation, this.sagaId)
      return known({ release, lastError })
    })
  }

  /** `await using run = …`: hands it back, unless it has ended or was lost. With `requireTransaction` only inside of a transaction. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#lease.isOver) return
    try {
      await this.release()
    } catch (error) {
      // It is nobody's any more, or another one's: that is what was wanted.
      const isGone = error instanceof SagaStoreError && ['LEASE_LOST', 'NOT_FOUND', 'INVALID_STATE'].includes(error.code)
      if (!isGone) throw error
    }
  }

  /** @internal What a heartbeat found out. */
  lose(): void {
    this.#lease.lose('another worker has it, or it was ended')
  }

  #options<O extends object>(options: O | undefined, accepted: Accepted<O>, operation: string): O {
    return this.#calls.options(options, accepted, operation)
  }

  #end(method: ExecutionMethod, fields: (operation: string) => object): Promise<void> {
    return this.#lease.ending(() => this.#write(method, true, fields))
  }

  #letGo(method: ExecutionMethod, fields: (operation: string) => object): Promise<void> {
    return this.#lease.ending(() => this.#write(method, false, fields, false))
  }

  /** `counts`: whether the version goes up. `renews`: whether it may renew the lease. */
  async #write(method: ExecutionMethod, counts: boolean, fields: (operation: string) => object, renews = true): Promise<Changed> {
    const { sagaId, token, leaseMs } = this
    let given: { status?: ExecutionStatus; context?: string } = {}
    const make = (operation: string) => {
      given = { ...fields(operation) }
      return { ...given, counts, token, ...(renews && { leaseMs }) }
    }
    const [version, status, text, isHeld] = [this.#version, this.#status, this.#text, !this.#lease.isOver]
    this.#calls.runner.executions.onRollback(() => {
      this.#version = version
      this.#status = status
      this.#text = text
      this.#context = undefined
      if (isHeld) this.#lease.resume()
    })
    let changed: Changed
    try {
      changed = await this.#calls.change(method, sagaId, make)
    } catch (error) {
      if (error instanceof SagaStoreError && (error.code === 'LEASE_LOST' || error.code === 'NOT_FOUND')) this.#lease.lose(error)
      throw error
    }
    // Of two that were under way at once, the later one is what is stored.
    if (changed.version < this.#version) return changed
    this.#version = changed.version
    if (given.status !== undefined) this.#status = given.status
    if (given.context !== undefined) {
      this.#text = given.context
      this.#context = undefined
    }
    return changed
  }
}
