import { takenDate } from '../arguments'
import { invalidArgument } from '../errors'
import type {
  CheckpointChange,
  ExecutionSummary,
  GuardOptions,
  SagaExecution,
  SagaLogEntry,
  StepAction,
  StepEntry,
  StepStatus,
} from './execution-types'
import { hasSurrogate, isError, Json, storable } from './json'

/** An entry as the native side takes it: name, action, status, id, details, and the JSON of the rest. */
export type GivenEntry = [string, string, string, string | null, string | null, string | null]

/** An entry as the native side answers it. */
export type RawEntry = [number, string, string, string, string | null, string | null, string | null, Date]

/** An execution as the native side answers it: its JSON is text. */
export interface RawExecution extends Omit<ExecutionSummary, 'metadata'> {
  context?: string | null
  metadata: string | null
  /** Of the lease: only where it has just been given. */
  token?: string
}

/** The rest of an entry. */
interface Body {
  attempt?: number
  branch?: string
  result?: unknown
  error?: unknown
  details?: unknown
  executedAt?: string
}

const ENTRY: Record<keyof StepEntry, true> = {
  stepName: true,
  status: true,
  action: true,
  stepId: true,
  attempt: true,
  branch: true,
  result: true,
  error: true,
  details: true,
  executedAt: true,
}

/** Makes what the native side takes of executions and their logs, and what callers are answered of what it answers. */
export class ExecutionJson extends Json {
  /** What a change consists of, without what is not given. */
  change(change: CheckpointChange & GuardOptions, operation: string, id: unknown): Record<string, unknown> {
    // By hand: taking an object apart with a rest, and together again, costs more than all else here.
    const given: Record<string, unknown> = {}
    for (const [name, value] of Object.entries(change)) {
      if (value === undefined) continue
      if (name === 'context') given.context = this.text(value, name, operation, id)
      else if (name === 'metadata') given.metadata = value === null ? null : this.text(value, name, operation, id)
      else if (name === 'tags') given.tags = this.list(value, name, operation)
      else if (name === 'steps') given.entries = this.entries(value, operation, id)
      else if (name === 'lastError') given.lastError = value === null ? null : this.reason(value, operation, id)
      else given[name] = name === 'dueAt' ? takenDate(value) : value
    }
    return given
  }

  /** The elements of an iterable that is an option. */
  list<T>(values: Iterable<T>, name: string, operation: string): T[] {
    if (typeof values === 'string' || typeof values?.[Symbol.iterator] !== 'function') {
      throw invalidArgument(`option '${name}' must be an iterable, such as an array`, operation, this.backend)
    }
    return Array.from(values)
  }

  entries(steps: Iterable<StepEntry>, operation: string, id: unknown): GivenEntry[] {
    return this.list(steps, 'steps', operation).map((entry, index) => this.entry(entry, `steps[${index}]`, operation, id))
  }

  entry(given: StepEntry, path: string, operation: string, id: unknown): GivenEntry {
    if (typeof given !== 'object' || given === null) throw this.#invalid(`${path} must be an object`, operation)
    for (const name of Object.keys(given)) {
      if (Object.hasOwn(ENTRY, name) || given[name as keyof StepEntry] === undefined) continue
      throw this.#invalid(`${path} has an unknown '${name}'; accepted: ${Object.keys(ENTRY).join(', ')}`, operation)
    }
    const { stepName, status, stepId, attempt, branch, result, error, details, executedAt } = given
    const action = given.action ?? (status === 'compensated' ? 'compensate' : 'act')
    this.#text(stepName, path, 'stepName', operation)
    this.#text(stepId ?? '', path, 'stepId', operation)
    this.#text(branch ?? '', path, 'branch', operation)
    if (attempt !== undefined && !(Number.isSafeInteger(attempt) && attempt >= 0)) {
      throw this.#invalid(`${path}.attempt must be a whole number from 0 on`, operation)
    }
    let rest = ''
    const part = (name: keyof Body, value: unknown) => {
      if (value !== undefined) rest += `${rest === '' ? '{' : ','}"${name}":${this.text(value, `${path}.${name}`, operation, id)}`
    }
    part('attempt', attempt)
    part('branch', branch)
    part('result', result)
    part('error', plain(error))
    if (executedAt !== undefined) part('executedAt', this.#time(executedAt, `${path}.executedAt`, operation))
    const isText = typeof details === 'string'
    if (isText) this.text(details, `${path}.details`, operation, id)
    else if (details !== null) part('details', details)
    return [stepName, action, status, stepId ?? null, isText ? details : null, rest === '' ? null : `${rest}}`]
  }

  /** Why something failed, as text. */
  reason(error: unknown, operation: string, id: unknown): string {
    const text = isError(error) ? String(error.message) : typeof error === 'string' ? error : this.text(error, 'error', operation, id)
    return storable(text)
  }

  execution<C>(raw: RawExecution, operation: string): SagaExecution<C> {
    const context = this.parsed(raw.context ?? null, 'context', raw.sagaId, operation) as C
    return { ...this.summary(raw, operation), context }
  }

  summary({ context: _, token: __, ...raw }: RawExecution, operation: string): ExecutionSummary {
    return { ...raw, metadata: this.parsed(raw.metadata, 'metadata', raw.sagaId, operation) }
  }

  logEntry(sagaId: string, [seq, stepName, action, status, stepId, details, text, at]: RawEntry, operation: string): SagaLogEntry {
    const body = (this.parsed(text, `entry ${seq}`, sagaId, operation) ?? {}) as Body
    const entry: SagaLogEntry = { seq, stepName, action: action as StepAction, status: status as StepStatus, at }
    if (stepId !== null) entry.stepId = stepId
    if (details !== null) entry.details = details
    const { executedAt, ...rest } = body
    Object.assign(entry, rest)
    if (executedAt !== undefined) entry.executedAt = new Date(executedAt)
    return entry
  }

  /** A name, or the like, of an entry. */
  #text(value: unknown, path: string, name: string, operation: string): void {
    if (typeof value !== 'string') throw this.#invalid(`${path}.${name} must be text`, operation)
    if (hasSurrogate(value)) throw this.#invalid(`${path}.${name} must be well-formed Unicode`, operation)
  }

  #time(value: unknown, path: string, operation: string): string {
    const date = takenDate(value)
    if (date instanceof Date && !Number.isNaN(date.getTime())) return date.toISOString()
    throw this.#invalid(`${path} must be a valid Date`, operation)
  }

  #invalid(message: string, operation: string): Error {
    return invalidArgument(message, operation, this.backend)
  }
}

/** What is kept of an error. Its stack is not. */
function plain(error: unknown): unknown {
  if (!isError(error)) return error
  const { name, message } = error
  const code = (error as { code?: unknown }).code
  const isCode = typeof code === 'string' || (typeof code === 'number' && Number.isFinite(code))
  return { name: storable(String(name)), message: storable(String(message)), ...(isCode && { code }) }
}
