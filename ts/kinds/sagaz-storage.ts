import { isDate } from 'node:util/types'
import { type Accepted, optionsOf } from '../arguments'
import type { Health } from '../backend'
import { errorOf, invalidArgument } from '../errors'
import type { ExecutionStatus, ExecutionSummary, SagaLogEntry, StepEntry, StepStatus } from './execution-types'
import type { SagaExecutions } from './executions'

/** What `sagazStorage` takes: a store. */
export interface SagazSource {
  readonly executions: SagaExecutions
  /** As `store.health`. */
  health(): Promise<Health>
}

/** A saga's status, as sagaz has it. */
export type SagazStatus =
  | 'pending'
  | 'executing'
  | 'completed'
  | 'compensating'
  | 'failed'
  | 'rolled_back'
  | 'partially_committed'
  | 'forward_recovery'

/** A step's status, as sagaz has it. */
export type SagazStepStatus = 'pending' | 'executing' | 'completed' | 'compensating' | 'compensated' | 'failed' | 'tainted' | 'skipped'

/** A step, as sagaz has it; it may have more, which is kept. */
export interface SagazStep {
  name: string
  status: SagazStepStatus
  result?: unknown
  error?: string | null
  /** ISO 8601. */
  executedAt?: string | null
  compensatedAt?: string | null
  retryCount?: number
  [more: string]: unknown
}

/** A saga's state, as sagaz has it. Times are ISO 8601. */
export interface SagazState {
  sagaId: string
  sagaName: string
  status: SagazStatus
  steps: SagazStep[]
  context: Record<string, unknown>
  metadata: Record<string, unknown>
  createdAt: string
  updatedAt: string
}

/** A saga in a list. */
export interface SagazSummary extends Pick<SagazState, 'sagaId' | 'sagaName' | 'status' | 'createdAt' | 'updatedAt'> {
  stepCount: number
  completedSteps: number
}

/** Which sagas are listed. */
export interface SagazFilter {
  status?: SagazStatus
  /** It is looked for within the names, whatever the case. */
  sagaName?: string
  /** At most so many. Default 100. */
  limit?: number
  /** So many are left out first. Default 0. */
  offset?: number
}

/** What `updateStepState` says of a step besides its status. */
export interface SagazStepChange {
  result?: unknown
  error?: string | null
  executedAt?: Date
}

/** What `importRecord` takes: a state, whose times are not kept. */
export type SagazRecord = Pick<SagazState, 'sagaId' | 'sagaName' | 'status'> & Partial<SagazState>

/** What sagaz' engine takes for a storage, in camel case. */
export interface SagazStorage {
  /** Inserts, or replaces as a whole; `createdAt` stays. */
  saveSagaState(
    sagaId: string,
    sagaName: string,
    status: SagazStatus,
    steps: Iterable<SagazStep>,
    context: object,
    metadata?: object | null,
  ): Promise<void>
  /** The saga with all its steps, or null. */
  loadSagaState(sagaId: string): Promise<SagazState | null>
  /** Removes it; answers whether it was there. */
  deleteSagaState(sagaId: string): Promise<boolean>
  /** The latest change first. */
  listSagas(filter?: SagazFilter): Promise<SagazSummary[]>
  /** @throws NotFoundError if there is no such saga, or no such step in it */
  updateStepState(sagaId: string, stepName: string, status: SagazStepStatus, more?: SagazStepChange): Promise<void>
  /** Counts by status; `failed` has those that are partially committed, `pending` those in forward recovery. */
  getSagaStatistics(): Promise<{ totalSagas: number; byStatus: Record<string, number>; storageBytes: number }>
  /** Those that have ended before then. Default: completed and rolled back ones. */
  cleanupCompletedSagas(olderThan: Date, statuses?: Iterable<SagazStatus>): Promise<number>
  /** Whether the store can be used. */
  healthCheck(): Promise<{
    status: Health['status']
    isHealthy: boolean
    latencyMs: number
    message: string
    details: Record<string, unknown>
    checkedAt: string
  }>
  /** All sagas, page by page. */
  exportAll(): AsyncIterableIterator<SagazState>
  /** Stores it as `saveSagaState` does. Its times are not kept. */
  importRecord(record: SagazRecord): Promise<void>
  /** How many sagas there are. */
  count(): Promise<number>
}

/** Ours, and the word that tells apart what is one status here and two there. */
const STATUSES: Record<SagazStatus, [ExecutionStatus, string | null]> = {
  pending: ['pending', null],
  executing: ['running', null],
  completed: ['completed', null],
  compensating: ['compensating', null],
  failed: ['failed', null],
  rolled_back: ['compensated', null],
  partially_committed: ['failed', 'partially_committed'],
  // It waits for somebody: no worker takes it by itself.
  forward_recovery: ['pending', 'forward_recovery'],
}

const STEPS: Record<SagazStepStatus, StepStatus> = {
  pending: 'pending',
  executing: 'started',
  completed: 'completed',
  compensating: 'started',
  compensated: 'compensated',
  failed: 'failed',
  tainted: 'completed',
  skipped: 'skipped',
}

const FILTER: Accepted<SagazFilter> = { status: true, sagaName: true, limit: true, offset: true }
const STEP_CHANGE: Accepted<SagazStepChange> = { result: true, error: true, executedAt: true }
const RECORD: Accepted<SagazRecord> = {
  sagaId: true,
  sagaName: true,
  status: true,
  steps: true,
  context: true,
  metadata: true,
  createdAt: true,
  updatedAt: true,
}

const PAGE = 1_000
/** Logs that are read at once. */
const AT_ONCE = 16

/**
 * Executions as a storage of sagaz (`SagaStorage`), for engines that are written like its own. `executing` is `running`
 * here, and `rolled_back` is `compensated`. A saga that has ended is not set back (`INVALID_STATE`).
 */
export function sagazStorage(store: SagazSource): SagazStorage {
  if (typeof store?.executions?.findRecoverable !== 'function' || typeof store.health !== 'function') {
    throw invalidArgument('sagazStorage takes a store', 'sagazStorage')
  }
  const { executions } = store

  const load = async (sagaId: string): Promise<SagazState | null> => {
    const found = await executions.find<Record<string, unknown>>(sagaId)
    if (found === null) return null
    return {
      ...headOf(found),
      steps: await stepsOf(executions, sagaId),
      context: found.context ?? {},
      metadata: (found.metadata ?? {}) as never,
    }
  }
  const save: SagazStorage['saveSagaState'] = async (sagaId, sagaName, status, steps, context, metadata) => {
    const [ours, subStatus] = statusOf(status)
    const entries = list(steps, 'steps').map(entryOf)
    await executions.save({ sagaId, name: sagaName, status: ours, subStatus, context, metadata: metadata ?? {}, steps: entries })
  }

  return {
    saveSagaState: save,
    loadSagaState: load,
    deleteSagaState: (sagaId) => executions.delete(sagaId),

    async listSagas(filter) {
      const { status, sagaName, limit = 100, offset = 0 } = optionsOf(filter, FILTER, 'sagazStorage')
      for (const [name, value] of Object.entries({ limit, offset })) {
        if (!(Number.isSafeInteger(value) && value >= 0)) throw invalid(`option '${name}' must be a whole number from 0 on`)
      }
      if (sagaName !== undefined && typeof sagaName !== 'string') throw invalid("option 'sagaName' must be text")
      const [ours, subStatus] = status === undefined ? [] : statusOf(status)
      const wanted = sagaName?.toLowerCase()
      const found: ExecutionSummary[] = []
      for await (const item of all(executions, ours)) {
        if (status !== undefined && item.subStatus !== subStatus && isOurWord(item.subStatus, subStatus)) continue
        if (wanted !== undefined && !item.name.toLowerCase().includes(wanted)) continue
        found.push(item)
        if (found.length >= offset + limit) break
      }
      const page = found.slice(offset, offset + limit)
      const summaries: SagazSummary[] = []
      for (let at = 0; at < page.length; at += AT_ONCE) {
        const some = page.slice(at, at + AT_ONCE).map(async (item) => {
          const steps = await stepsOf(executions, item.sagaId)
          return { ...headOf(item), stepCount: steps.length, completedSteps: steps.filter((step) => step.status === 'completed').length }
        })
        summaries.push(...(await Promise.all(some)))
      }
      return summaries
    },

    async updateStepState(sagaId, stepName, status, more) {
      const { result = null, error = null, executedAt } = optionsOf(more, STEP_CHANGE, 'sagazStorage')
      const time = executedAt === undefined ? undefined : timeOf(executedAt, "option 'executedAt'").toISOString()
      const steps = await stepsOf(executions, sagaId)
      const step = steps.find(({ name }) => name === stepName)
      if (step === undefined) {
        const message = `not found: the saga has no step '${stepName}'`
        throw errorOf('NOT_FOUND', message, { operation: 'sagazStorage', id: sagaId, details: { sagaId } })
      }
      const { name: _, ...rest } = step
      const changed = { ...rest, status, result, error, ...(time !== undefined && { executedAt: time }) }
      const { stepName: __, ...entry } = entryOf({ name: stepName, ...changed })
      await executions.updateStep(sagaId, stepName, entry)
    },

    async getSagaStatistics() {
      const { total, byStatus, bytes } = await executions.statistics()
      const words = Object.entries(byStatus).map(([status, count]) => [wordOf(status as ExecutionStatus, null), count] as const)
      return { totalSagas: total, byStatus: Object.fromEntries(words.filter(([, count]) => count > 0)), storageBytes: bytes }
    },

    async cleanupCompletedSagas(olderThan, statuses = ['completed', 'rolled_back']) {
      const olderThanMs = Math.max(0, Date.now() - timeOf(olderThan, 'olderThan').getTime())
      const ours = new Set(list(statuses, 'statuses').map((status) => statusOf(status)[0]))
      return await executions.cleanup({ olderThanMs, statuses: ours })
    },

    async healthCheck() {
      const { status, latencyMs, message = '', details, backend, serverVersion } = await store.health()
      const more = { ...details, backend, ...(serverVersion !== undefined && { serverVersion }) }
      return { status, isHealthy: status !== 'unhealthy', latencyMs, message, details: more, checkedAt: new Date().toISOString() }
    },

    async *exportAll() {
      for await (const { sagaId } of all(executions, undefined)) {
        const state = await load(sagaId)
        if (state !== null) yield state
      }
    },

    async importRecord(record) {
      const { sagaId, sagaName, status, steps = [], context = {}, metadata = {} } = optionsOf(record, RECORD, 'sagazStorage')
      await save(sagaId, sagaName, status, steps, context, metadata)
    },

    count: () => executions.count(),
  }
}

/** All executions, page by page. */
async function* all(executions: SagaExecutions, status: ExecutionStatus | undefined): AsyncGenerator<ExecutionSummary> {
  let cursor: string | undefined
  do {
    const page = await executions.list({ limit: PAGE, ...(status !== undefined && { status }), ...(cursor !== undefined && { cursor }) })
    yield* page.items
    cursor = page.cursor
  } while (cursor !== undefined)
}

function invalid(message: string): Error {
  return invalidArgument(message, 'sagazStorage')
}

function list<T>(values: Iterable<T>, name: string): T[] {
  if (typeof values !== 'string' && typeof values?.[Symbol.iterator] === 'function') return Array.from(values)
  throw invalid(`${name} must be an iterable, such as an array`)
}

function timeOf(value: unknown, name: string): Date {
  if (isDate(value) && !Number.isNaN(value.getTime())) return value
  throw invalid(`${name} must be a valid Date`)
}

function headOf({ sagaId, name, status, subStatus, createdAt, updatedAt }: ExecutionSummary) {
  const times = { createdAt: createdAt.toISOString(), updatedAt: updatedAt.toISOString() }
  return { sagaId, sagaName: name, status: wordOf(status, subStatus), ...times }
}

function statusOf(status: SagazStatus): [ExecutionStatus, string | null] {
  const ours = Object.hasOwn(STATUSES, status) ? STATUSES[status] : undefined
  if (ours !== undefined) return ours
  throw invalid(`status must be one of '${Object.keys(STATUSES).join("', '")}'`)
}

function wordOf(status: ExecutionStatus, subStatus: string | null): SagazStatus {
  const words = Object.entries(STATUSES) as [SagazStatus, [ExecutionStatus, string | null]][]
  const exact = words.find(([, [ours, word]]) => ours === status && word === subStatus)
  return (exact ?? words.find(([, [ours]]) => ours === status))?.[0] as SagazStatus
}

/** Whether one of the words is of those that tell statuses apart. What others have written there tells nothing. */
function isOurWord(...words: (string | null | undefined)[]): boolean {
  return words.some((word) => word === 'partially_committed' || word === 'forward_recovery')
}

/** A step as an entry of the log. What an entry has no place for is in its details. */
function entryOf({ name, status, result, error, executedAt, ...rest }: SagazStep): StepEntry {
  if (!Object.hasOwn(STEPS, status)) {
    throw invalid(`a step's status must be one of '${Object.keys(STEPS).join("', '")}'`)
  }
  const isUndoing = status === 'compensating' || status === 'compensated'
  const entry: StepEntry = { stepName: name, status: STEPS[status], action: isUndoing ? 'compensate' : 'act', details: { ...rest, status } }
  if (result !== undefined) entry.result = result
  if (error !== undefined) entry.error = error
  if (executedAt != null) entry.executedAt = new Date(executedAt)
  return entry
}

/** Of each step its last entry, in the order in which they first appear. */
async function stepsOf(executions: SagaExecutions, sagaId: string): Promise<SagazStep[]> {
  const steps = new Map<string, SagazStep>()
  let after: number | undefined
  do {
    const page = await executions.history(sagaId, after === undefined ? {} : { after })
    for (const entry of page.entries) steps.set(entry.stepName, stepOf(entry))
    after = page.cursor
  } while (after !== undefined)
  return [...steps.values()]
}

function stepOf({ stepName, action, status, result, error, details, executedAt }: SagaLogEntry): SagazStep {
  const kept = typeof details === 'object' && details !== null && !Array.isArray(details) ? (details as Partial<SagazStep>) : {}
  const plain: SagazStepStatus = status !== 'started' ? status : action === 'compensate' ? 'compensating' : 'executing'
  const step: SagazStep = { name: stepName, status: plain, ...kept }
  if (result !== undefined) step.result = result
  if (error !== undefined) step.error = error as string | null
  if (executedAt !== undefined) step.executedAt = executedAt.toISOString()
  return step
}
