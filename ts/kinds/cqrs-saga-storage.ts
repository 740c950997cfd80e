import { randomUUID } from 'node:crypto'
import { errorOf, invalidArgument, SagaStoreError } from '../errors'
import { givenStatus } from './execution-calls'
import type { ExecutionStatus, SagaLogEntry, StepAction, StepEntry, StepStatus } from './execution-types'
import type { SagaExecutions } from './executions'

/** What `cqrsSagaStorage` takes: a store, or a transaction of one. */
export interface ExecutionStore {
  readonly executions: SagaExecutions
  readonly capabilities?: { readonly transactions: string }
  /** Runs the work in a transaction of the store. */
  transaction?<T>(work: (tx: { readonly executions: SagaExecutions }) => Promise<T>): Promise<T>
}

/** An entry of the log, as python-cqrs has it. */
export interface CqrsLogEntry {
  sagaId: string
  stepName: string
  action: StepAction
  status: StepStatus
  timestamp: Date
  details: string | null
}

/** What a storage and a run of it have in common. */
export interface CqrsSagaOperations {
  /** Stores a saga that has not begun. `ALREADY_EXISTS` if its id is taken. */
  createSaga(sagaId: string, name: string, context: object): Promise<void>
  /** With `currentVersion` only if that is stored: else `CONCURRENCY_CONFLICT`. */
  updateContext(sagaId: string, context: object, currentVersion?: number): Promise<void>
  /** Sets its status. One that has ended stays as it is: `INVALID_STATE`. */
  updateStatus(sagaId: string, status: ExecutionStatus): Promise<void>
  /** Adds an entry to its log. */
  logStep(sagaId: string, stepName: string, action: StepAction, status: StepStatus, details?: string | null): Promise<void>
  /** Status, context, version. */
  loadSagaState<C = unknown>(
    sagaId: string,
    options?: { readForUpdate?: boolean },
  ): Promise<[status: ExecutionStatus, context: C, version: number]>
  /** The oldest first; empty, if there is no such saga. */
  getStepHistory(sagaId: string): Promise<CqrsLogEntry[]>
}

/** What python-cqrs' engine takes for a storage, in camel case. */
export interface CqrsSagaStorage extends CqrsSagaOperations {
  /** Ids of sagas to recover. Another job may be given the same ones. */
  getSagasForRecovery(limit: number, maxRecoveryAttempts?: number, staleAfterSeconds?: number, sagaName?: string): Promise<string[]>
  /** Counts an attempt, and sets the status if one is given. */
  incrementRecoveryAttempts(sagaId: string, newStatus?: ExecutionStatus): Promise<void>
  /** Sets the number of attempts. */
  setRecoveryAttempts(sagaId: string, attempts: number): Promise<void>
  /** A run whose changes are stored by `commit`: those of one saga in one write, and those of several in one transaction. */
  createRun(): CqrsSagaRun
}

/** What happens between two commits. Its own reads see it; nobody else does before. */
export interface CqrsSagaRun extends CqrsSagaOperations, AsyncDisposable {
  /** Stores what has been changed since the last commit. It counts one version. If it fails, it can be called again. */
  commit(): Promise<void>
  /** Forgets it. So does the end of an `await using` block. */
  rollback(): Promise<void>
}

/**
 * Executions as a storage of python-cqrs (`ISagaStorage`), for engines that are written like its own. Statuses, actions
 * and names of steps are the same. Where that engine would set back a saga that has ended, this one refuses
 * (`INVALID_STATE`). It knows no leases: a saga that `start` or `claim` has given to a worker takes no change of it.
 *
 * @param store a store, or the transaction that `store.transaction` gives
 */
export function cqrsSagaStorage(store: ExecutionStore): CqrsSagaStorage {
  if (typeof store?.executions?.findRecoverable !== 'function') {
    throw invalidArgument('cqrsSagaStorage takes a store, or a transaction of one', 'cqrsSagaStorage')
  }
  const { executions } = store
  return {
    createSaga: async (sagaId, name, context) => void (await executions.create(sagaId, name, context)),
    updateContext: async (sagaId, context, currentVersion) => void (await executions.updateContext(sagaId, context, currentVersion)),
    updateStatus: async (sagaId, status) => void (await executions.updateStatus(sagaId, status)),
    logStep: async (sagaId, stepName, action, status, details) =>
      void (await executions.logStep(sagaId, stepName, action, status, details ?? undefined)),
    loadSagaState: async <C>(sagaId: string, { readForUpdate = false } = {}) => {
      const { status, context, version } = await executions.load<C>(sagaId, readForUpdate ? { forUpdate: true } : undefined)
      return [status, context, version]
    },
    getStepHistory: (sagaId) => historyOf(executions, sagaId),
    getSagasForRecovery: (limit, maxRecoveryAttempts, staleAfterSeconds, name) => {
      const staleAfterMs = staleAfterSeconds == null ? undefined : Math.round(staleAfterSeconds * 1_000)
      return executions.findRecoverable({
        limit,
        ...(maxRecoveryAttempts != null && { maxRecoveryAttempts }),
        ...(staleAfterMs !== undefined && { staleAfterMs }),
        ...(name != null && { name }),
      })
    },
    incrementRecoveryAttempts: (sagaId, newStatus) => executions.incrementRecoveryAttempts(sagaId, newStatus ?? undefined),
    setRecoveryAttempts: (sagaId, attempts) => executions.setRecoveryAttempts(sagaId, attempts),
    createRun: () => new BufferedRun(store),
  }
}

async function historyOf(executions: SagaExecutions, sagaId: string): Promise<CqrsLogEntry[]> {
  const found: CqrsLogEntry[] = []
  let after: number | undefined
  do {
    const page = await executions.history(sagaId, after === undefined ? {} : { after }).catch((error) => {
      if (error instanceof SagaStoreError && error.code === 'NOT_FOUND') return { entries: [] as SagaLogEntry[] }
      throw error
    })
    for (const { stepName, action, status, at, details } of page.entries) found.push(entryOf(sagaId, stepName, action, status, at, details))
    after = 'cursor' in page ? page.cursor : undefined
  } while (after !== undefined)
  return found
}

function entryOf(
  sagaId: string,
  stepName: string,
  action: StepAction,
  status: StepStatus,
  timestamp: Date,
  details: unknown,
): CqrsLogEntry {
  const text = details === undefined || details === null ? null : typeof details === 'string' ? details : JSON.stringify(details)
  return { sagaId, stepName, action, status, timestamp, details: text }
}

/** What has been changed of a saga since the last commit. */
interface Pending {
  /** So that a commit can be repeated after a lost answer. */
  operationId: string
  created?: string
  context?: { value: object }
  status?: ExecutionStatus
  entries: (StepEntry & { action: StepAction; at: Date })[]
  /** How many versions these changes would be. */
  changes: number
  expectedVersion?: number
}

class BufferedRun implements CqrsSagaRun {
  readonly #store: ExecutionStore
  readonly #pending = new Map<string, Pending>()

  constructor(store: ExecutionStore) {
    this.#store = store
  }

  async createSaga(sagaId: string, name: string, context: object): Promise<void> {
    const pending = this.#of(sagaId)
    pending.created = name
    pending.context = { value: copied(context) }
  }

  async updateContext(sagaId: string, context: object, currentVersion?: number): Promise<void> {
    if (currentVersion != null) {
      const [, , version] = await this.loadSagaState(sagaId)
      if (version !== currentVersion) throw conflict(sagaId, currentVersion, version)
      const pending = this.#of(sagaId)
      if (pending.created === undefined) pending.expectedVersion ??= version - pending.changes
    }
    const pending = this.#of(sagaId)
    pending.context = { value: copied(context) }
    pending.changes += 1
  }

  async updateStatus(sagaId: string, status: ExecutionStatus): Promise<void> {
    const given = givenStatus(status, 'cqrsSagaStorage')
    const pending = this.#of(sagaId)
    pending.status = given
    pending.changes += 1
  }

  async logStep(sagaId: string, stepName: string, action: StepAction, status: StepStatus, details?: string | null): Promise<void> {
    this.#of(sagaId).entries.push({ stepName, action, status, at: new Date(), ...(details != null && { details }) })
  }

  async loadSagaState<C>(sagaId: string, options: { readForUpdate?: boolean } = {}): Promise<[ExecutionStatus, C, number]> {
    const pending = this.#pending.get(sagaId)
    const { created, context, status, changes = 0 } = pending ?? {}
    if (created !== undefined) return [status ?? 'pending', copied(context?.value) as C, 1 + changes]
    const stored = await cqrsSagaStorage(this.#store).loadSagaState<C>(sagaId, options)
    return [status ?? stored[0], context === undefined ? stored[1] : (copied(context.value) as C), stored[2] + changes]
  }

  async getStepHistory(sagaId: string): Promise<CqrsLogEntry[]> {
    const { created, entries = [] } = this.#pending.get(sagaId) ?? {}
    const stored = created === undefined ? await historyOf(this.#store.executions, sagaId) : []
    return [
      ...stored,
      ...entries.map(({ stepName, action, status, at, details }) => entryOf(sagaId, stepName, action, status, at, details)),
    ]
  }

  async commit(): Promise<void> {
    const changes = [...this.#pending]
    const store = this.#store
    const isTogether = changes.length > 1 && store.transaction !== undefined && store.capabilities?.transactions !== 'none'
    const write = async ({ executions }: { readonly executions: SagaExecutions }) => {
      for (const [sagaId, pending] of changes) await stored(executions, sagaId, pending)
    }
    if (isTogether && store.transaction !== undefined) await store.transaction(write)
    else await write(store)
    for (const [sagaId, pending] of changes) if (this.#pending.get(sagaId) === pending) this.#pending.delete(sagaId)
  }

  async rollback(): Promise<void> {
    this.#pending.clear()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.rollback()
  }

  #of(sagaId: string): Pending {
    let pending = this.#pending.get(sagaId)
    if (pending === undefined) {
      pending = { operationId: randomUUID(), entries: [], changes: 0 }
      this.#pending.set(sagaId, pending)
    }
    return pending
  }
}

async function stored(executions: SagaExecutions, sagaId: string, pending: Pending): Promise<void> {
  const { created, context, status, entries, expectedVersion, operationId } = pending
  const steps = entries.map(({ at: _, ...entry }) => entry)
  const common = { ...(status !== undefined && { status }), ...(steps.length > 0 && { steps }) }
  if (created !== undefined) await executions.create(sagaId, created, context?.value, common)
  else {
    const guard = expectedVersion === undefined ? {} : { expectedVersion }
    await executions.checkpoint(sagaId, { ...common, ...guard, ...(context && { context: context.value }), operationId })
  }
}

/** As it is now. What JSON cannot keep is found out when it is stored. */
function copied<T>(value: T): T {
  try {
    return JSON.parse(JSON.stringify(value))
  } catch {
    return value
  }
}

function conflict(sagaId: string, expectedVersion: number, actualVersion: number): SagaStoreError {
  const message = `Optimistic concurrency conflict: version ${expectedVersion} was expected, and it is ${actualVersion}`
  const details = { sagaId, expectedVersion, actualVersion }
  return errorOf('CONCURRENCY_CONFLICT', message, { operation: 'cqrsSagaStorage', id: sagaId, details })
}
