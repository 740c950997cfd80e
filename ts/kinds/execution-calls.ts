import { type Accepted, presentOptions, takenDate } from '../arguments'
import type { BackendName } from '../backend'
import { invalidArgument } from '../errors'
import { OPERATIONS } from '../operations'
import { ExecutionJson, type GivenEntry, type RawEntry } from './execution-json'
import { foldedSteps } from './execution-steps'
import type { ExecutionStatus, HistoryOptions, HistoryPage, SagaStep } from './execution-types'
import { hasSurrogate, known } from './json'
import type { Runner } from './runner'

/** The operations on executions, without their prefix. */
export type ExecutionMethod = {
  [Name in keyof typeof OPERATIONS]: Name extends `executions.${infer Method}` ? Method : never
}[keyof typeof OPERATIONS]

/** What a change came to. */
export interface Changed {
  version: number
  firstSeq: number | null
  /** Of the log, after the change. */
  entries: number
  bytes: number
}

const MAX_PAGE_BYTES = 4 * 1_024 * 1_024
/** A log is told of once it has this part of what it may have. */
const WARNED_PART = 5
/** Options for which null is a value. */
const NULLABLE: ReadonlySet<string> = new Set(['subStatus', 'metadata', 'lastError', 'dueAt', 'context'])

const STATUSES: readonly ExecutionStatus[] = ['pending', 'running', 'compensating', 'completed', 'compensated', 'failed']

/** A status that is an argument: without one nothing would be changed. */
export function givenStatus(status: ExecutionStatus, operation: string, backend?: BackendName): ExecutionStatus {
  if (typeof status === 'string') return status
  throw invalidArgument(`status must be one of '${STATUSES.join("', '")}'`, operation, backend)
}

/** How the methods of executions, and those of a run, reach the native side. */
export class ExecutionCalls {
  readonly runner: Runner
  readonly json: ExecutionJson
  readonly backend: BackendName

  constructor(runner: Runner) {
    this.runner = runner
    this.backend = runner.backend
    this.json = new ExecutionJson(runner.backend)
  }

  /** The same, but through the store: for what goes on when the transaction has ended. */
  outside(): ExecutionCalls {
    const { outside } = this.runner.executions
    return outside === this.runner ? this : new ExecutionCalls(outside)
  }

  /** The options of a call. */
  options<O extends object>(given: O | undefined, accepted: Accepted<O>, operation: string): O {
    return presentOptions(given, accepted, operation, this.backend, NULLABLE)
  }

  /** A time that the caller has given. `what`: the caller's word for it. */
  time(value: unknown, what: string, operation: string): Date {
    const date = takenDate(value)
    if (date instanceof Date && !Number.isNaN(date.getTime())) return date
    throw invalidArgument(`${what} must be a valid Date`, operation, this.backend)
  }

  /** An operation on one execution. */
  of<T>(method: ExecutionMethod, sagaId: string, fields: (operation: string) => object): Promise<T> {
    return this.#run<T>(method, [sagaId], fields)
  }

  /** An operation on no single one. */
  all<T>(method: ExecutionMethod, fields: (operation: string) => object): Promise<T> {
    return this.#run<T>(method, [], fields)
  }

  /** A change of one execution; warns when its log grows large. */
  async change(method: ExecutionMethod, sagaId: string, fields: (operation: string) => object): Promise<Changed> {
    let added: readonly GivenEntry[] = []
    const changed = await this.of<Changed>(method, sagaId, (operation) => {
      const given = fields(operation)
      added = (given as { entries?: GivenEntry[] }).entries ?? []
      return given
    })
    if (added.length > 0) this.#watch(method, sagaId, changed, added)
    return changed
  }

  history(sagaId: string, options: HistoryOptions = {}, method = 'history'): Promise<HistoryPage> {
    const { after, limit = 1_000, maxBytes = MAX_PAGE_BYTES, reverse = false } = options
    const fields = () => known({ after, limit, maxBytes, reverse })
    return this.of<{ entries: RawEntry[]; more: boolean }>('history', sagaId, fields).then(({ entries: raw, more }) => {
      const entries = raw.map((entry) => this.json.logEntry(sagaId, entry, `executions.${method}`))
      const last = entries.at(-1)
      return more && last !== undefined ? { entries, cursor: last.seq } : { entries }
    })
  }

  steps(sagaId: string): Promise<SagaStep[]> {
    return foldedSteps((after) => this.history(sagaId, known({ after }), 'steps'))
  }

  #run<T>(method: ExecutionMethod, first: unknown[], fields: (operation: string) => object): Promise<T> {
    const operation = OPERATIONS[`executions.${method}`]
    let given: object
    try {
      given = this.#checked(fields(operation.name), operation.name)
    } catch (error) {
      return this.runner.refuse(error, operation.name)
    }
    return this.runner.run<T>(operation, [...first, given])
  }

  /** JSON texts have no unpaired surrogates; the other texts would lose them on the way. */
  #checked(fields: object, operation: string): object {
    const isDoubtful = (value: unknown) => typeof value === 'string' && hasSurrogate(value)
    for (const [name, value] of Object.entries(fields)) {
      if (name === 'context' || name === 'metadata' || name === 'lastError') continue
      if (!(Array.isArray(value) ? value.some(isDoubtful) : isDoubtful(value))) continue
      throw invalidArgument(`${name} must be well-formed Unicode (it has an unpaired surrogate)`, operation, this.backend)
    }
    return fields
  }

  /** Tells the logger when what was added has brought the log over its fifth. */
  #watch(method: string, sagaId: string, { entries, bytes }: Changed, added: readonly GivenEntry[]): void {
    const { maxHistoryEntries, maxHistoryBytes, warn } = this.runner.executions
    if (entries < maxHistoryEntries / WARNED_PART && bytes < maxHistoryBytes / WARNED_PART) return
    const addedBytes = added.reduce((sum, entry) => sum + bytesOf(entry), 0)
    const crosses = (now: number, more: number, most: number) => now - more < most / WARNED_PART && now >= most / WARNED_PART
    const isMany = crosses(entries, added.length, maxHistoryEntries)
    if (!isMany && !crosses(bytes, addedBytes, maxHistoryBytes)) return
    const what = isMany ? `${entries} entries, of at most ${maxHistoryEntries}` : `${bytes} bytes, of at most ${maxHistoryBytes}`
    warn(`executions.${method}`, `the log of '${sagaId}' has ${what}: beyond that it is refused (PAYLOAD_TOO_LARGE)`)
  }
}

/** What counts of an entry: its texts. */
function bytesOf([stepName, , , ...rest]: GivenEntry): number {
  return [stepName, ...rest].reduce<number>((sum, part) => sum + (part === null ? 0 : Buffer.byteLength(part)), 0)
}
