import { isDate } from 'node:util/types'
import type { BackendName } from '../backend'
import { CorruptDataError, type CorruptSaga, errorOf, invalidArgument } from '../errors'
import { lostIn, mayHaveLost, partOf, type Unserializable, unserializable } from './json'
import type { CorruptOptions, SagaMetadata, Stored } from './state-types'

const DATES = ['createdAt', 'updatedAt', 'archivedAt', 'timeoutExpiresAt'] as const

/** Of each saga its name, its id, its correlation id, and its state: JSON, or why it cannot be read. */
export type Listed = (string | null | { problem: string })[]

/** Values of a saga in a list. */
const EACH = 4

/** How many sagas a list has. */
export function sizeOf(listed: Listed): number {
  return listed.length / EACH
}

/** The saga id of the last one of a list. */
export function lastOf(listed: Listed): string {
  return listed[listed.length - EACH + 1] as string
}

/** JSON of a state, and the saga's correlation id; null where other software has stored the saga without one. */
export type FoundState = [text: string, correlationId: string | null]

/** A state that is to be stored. */
export interface StateRecord {
  /** What the native side takes of it. */
  given: unknown[]
  /** The state as it will be stored. */
  stored: { metadata: object }
}

/** How a state is to be stored. */
export interface RecordTerms {
  operation: string
  /** The version that is stored. */
  version: number
  /** It is a change: one that happened before the present is not possible. */
  isChange: boolean
}

const { toISOString } = Date.prototype

/** Its dates as they are stored, also where an application has another `Date.prototype.toJSON`. */
function withTexts(metadata: object): object {
  const texts: Record<string, unknown> = { ...metadata }
  for (const name of DATES) {
    const date = texts[name]
    if (isDate(date) && !Number.isNaN(date.getTime())) texts[name] = toISOString.call(date)
  }
  return texts
}

/** What of it the native side does not judge: it does its dates and its version. */
function notJudged(metadata: object): object {
  const rest: Record<string, unknown> = { ...metadata, version: undefined }
  for (const name of DATES) delete rest[name]
  return rest
}

/** Makes JSON of states, and states of JSON. */
export class StateJson {
  readonly #backend: BackendName

  constructor(backend: BackendName) {
    this.#backend = backend
  }

  /** Fills in what the metadata lacks, and makes JSON of it. Dates and the other values are checked by the native side. */
  record(sagaName: string, state: object, metadata: SagaMetadata | undefined, terms: RecordTerms): StateRecord {
    const { operation, version, isChange } = terms
    if (typeof state !== 'object' || state === null || metadata === undefined)
      throw invalidArgument('a state is an object with `metadata: { sagaId, ... }`', operation, this.#backend)
    const { sagaId, isCompleted = false, version: _, createdAt, updatedAt, correlationId: __, ...rest } = metadata
    const { timeoutExpiresAt, archivedAt } = rest
    const now = new Date()
    const begun = createdAt ?? now
    // What is no Date is left for the native side to refuse.
    const changed = updatedAt == null || (isChange && isDate(updatedAt) && updatedAt.getTime() < now.getTime()) ? now : updatedAt
    // Version and id come first: Redis finds them there without reading all of it.
    const known = { version, sagaId, isCompleted, createdAt: begun, updatedAt: changed, ...rest }
    const { stored, text } = this.#serialized(state, known, operation, sagaId)
    return { given: [sagaName, sagaId, version, isCompleted, begun, changed, timeoutExpiresAt, archivedAt, text], stored }
  }

  #serialized(state: object, metadata: object, operation: string, id: string): { stored: { metadata: object }; text: string } {
    let stored = state as { metadata: object }
    let text: string
    try {
      if ('toJSON' in metadata) throw new TypeError('metadata has a toJSON of its own')
      const rest = withoutMetadata(state)
      stored = { metadata, ...rest }
      text = JSON.stringify({ metadata: withTexts(metadata), ...rest })
    } catch (cause) {
      throw this.#unserializable(operation, id, partOf(stored), cause)
    }
    if (mayHaveLost(text)) {
      const { metadata: _, ...rest } = stored as { metadata?: unknown }
      const found = lostIn(rest, '') ?? lostIn(notJudged(metadata), 'metadata')
      if (found !== undefined) throw this.#unserializable(operation, id, found)
    }
    // Told apart from a backslash in the text below; PostgreSQL's jsonb can keep neither.
    if (text.includes('\\u0000') || text.includes('\\ud')) {
      const found = unserializable(JSON.parse(text))
      if (found.path !== '') throw this.#unserializable(operation, id, found)
    }
    return { stored, text }
  }

  #unserializable(operation: string, sagaId: unknown, { path, what }: Unserializable, cause?: unknown): Error {
    const message = `the state cannot be kept as JSON: ${path === '' ? 'it' : path} ${what}`
    const id = typeof sagaId === 'string' ? sagaId : undefined
    return errorOf('SERIALIZATION', message, { backend: this.#backend, operation, id, details: { path }, cause })
  }

  /** The states of a list, and those that cannot be read. */
  listed<T extends object>(found: Listed, operation: string): { sagas: { sagaName: string; state: Stored<T> }[]; corrupt: CorruptSaga[] } {
    const sagas: { sagaName: string; state: Stored<T> }[] = []
    const corrupt: CorruptSaga[] = []
    for (let at = 0; at < found.length; at += EACH) {
      const [sagaName, sagaId, correlationId, text] = found.slice(at, at + EACH) as [
        string,
        string,
        string | null,
        string | { problem: string },
      ]
      try {
        if (typeof text !== 'string') throw this.#corrupt(operation, sagaId, text.problem)
        sagas.push({ sagaName, state: this.parsed<T>([text, correlationId], sagaId, operation) })
      } catch (error) {
        if (!(error instanceof CorruptDataError)) throw error
        corrupt.push({ sagaName, sagaId, error })
      }
    }
    return { sagas, corrupt }
  }

  /** The state that a text is, with Dates and the correlation id in its metadata. */
  parsed<T extends object>([text, correlationId]: FoundState, id: string, operation = 'states'): Stored<T> {
    let state: { metadata?: Record<string, unknown> } | null = null
    let cause: unknown
    try {
      state = JSON.parse(text)
    } catch (error) {
      cause = error
    }
    const metadata = metadataOf(state) as Record<string, unknown> | undefined
    if (metadata === undefined) throw this.#corrupt(operation, id, cause === undefined ? 'has no metadata' : 'is no JSON', cause)
    for (const name of DATES) {
      const value = metadata[name]
      if (value === undefined || value === null) continue
      const date = new Date(value as string)
      if (Number.isNaN(date.getTime())) throw this.#corrupt(operation, id, `has a metadata.${name} that is no date`)
      metadata[name] = date
    }
    if (correlationId !== null) metadata.correlationId = correlationId
    return state as unknown as Stored<T>
  }

  #corrupt(operation: string, id: string, what: string, cause?: unknown): Error {
    return errorOf('CORRUPT_DATA', `the stored state ${what}`, { backend: this.#backend, operation, id, cause })
  }
}

/** `answer`, if `onCorrupt` is there to be told what is not in it. */
export function withoutCorrupt<A>(answer: A, corrupt: CorruptSaga[], onCorrupt: CorruptOptions['onCorrupt']): A {
  const [first] = corrupt
  if (first === undefined) return answer
  if (onCorrupt === undefined) {
    const { error: cause, sagaName, sagaId } = first
    const message = `${corrupt.length} of the sagas cannot be read; the first: ${cause.message}`
    const { backend, operation } = cause
    const error = errorOf('CORRUPT_DATA', message, { backend, operation, id: sagaId, details: { sagaName }, cause })
    // What can be read is not shown where the error is printed.
    throw Object.defineProperty(Object.assign(error, { corrupt }), 'found', { value: answer })
  }
  for (const problem of corrupt) onCorrupt(problem)
  return answer
}

/** The metadata of a state, if it has some. */
export function metadataOf(state: unknown): SagaMetadata | undefined {
  const metadata = (state as { metadata?: unknown } | null | undefined)?.metadata
  return typeof metadata === 'object' && metadata !== null && !Array.isArray(metadata) ? (metadata as SagaMetadata) : undefined
}

function withoutMetadata(state: object): object {
  const plain = typeof (state as { toJSON?: unknown }).toJSON === 'function' ? (state as { toJSON(): object }).toJSON() : state
  if (typeof plain !== 'object' || plain === null) throw new TypeError('its toJSON() returns no object')
  const { metadata: _, ...rest } = plain as { metadata?: unknown }
  return rest
}
