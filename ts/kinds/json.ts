import { isNativeError } from 'node:util/types'
import type { BackendName } from '../backend'
import { errorOf } from '../errors'

/** Made once: where it is written in a function, what is built makes it anew at each call. */
const SURROGATE = /\p{Surrogate}/u

/** Whether it has an unpaired surrogate: it is no well-formed Unicode. */
export function hasSurrogate(text: string): boolean {
  return SURROGATE.test(text)
}

/** What JSON cannot keep: no `path`, if there is nothing of the kind, or if it cannot be found. */
export interface Unserializable {
  path: string
  what: string
}

/** Which part of a value is to blame; none, if that cannot be found out either (a getter throws, it is nested too deeply). */
export function partOf(value: unknown, path = ''): Unserializable {
  try {
    return unserializable(value, path)
  } catch {
    return { path: '', what: 'cannot be serialised' }
  }
}

/** Which part of a value JSON, or a database that keeps it, cannot keep. `path`: where the value itself stands. */
export function unserializable(value: unknown, path = '', open: Set<object> = new Set()): Unserializable {
  const nothing = { path: '', what: 'cannot be serialised' }
  if (typeof value === 'bigint') return { path, what: 'is a BigInt' }
  if (typeof value === 'string') {
    if (value.includes('\0')) return { path, what: 'contains a NUL character' }
    return hasSurrogate(value) ? { path, what: 'contains an unpaired surrogate' } : nothing
  }
  if (typeof value !== 'object' || value === null) return nothing
  if (open.has(value)) return { path, what: 'contains itself' }
  const { toJSON } = value as { toJSON?: unknown }
  if (typeof toJSON === 'function') {
    try {
      toJSON.call(value, '')
    } catch {
      return { path, what: 'has a toJSON that throws' }
    }
  }
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

/** Makes JSON of what is to be stored, and values of JSON that was stored. */
export class Json {
  protected readonly backend: BackendName

  constructor(backend: BackendName) {
    this.backend = backend
  }

  /** JSON of a value. `path`: what it is, in errors. */
  text(value: unknown, path: string, operation: string, id: unknown): string {
    let text: string | undefined
    try {
      text = JSON.stringify(value)
    } catch (cause) {
      throw this.#unserializable(operation, id, partOf(value, path), cause)
    }
    if (text === undefined)
      throw this.#unserializable(operation, id, { path, what: value === undefined ? 'is undefined' : `is a ${typeof value}` })
    // Told apart from a backslash in the text below; PostgreSQL's jsonb can keep neither.
    if (text.includes('\\u0000') || text.includes('\\ud')) {
      const found = unserializable(JSON.parse(text), path)
      if (found.path !== '') throw this.#unserializable(operation, id, found)
    }
    return text
  }

  /** The value that a stored text is. */
  parsed(text: string | null, what: string, id: string, operation: string): unknown {
    if (text === null) return null
    try {
      return JSON.parse(text)
    } catch (cause) {
      throw errorOf('CORRUPT_DATA', `the stored ${what} is no JSON`, { backend: this.backend, operation, id, cause })
    }
  }

  #unserializable(operation: string, recordId: unknown, { path, what }: Unserializable, cause?: unknown): Error {
    const message = `it cannot be kept as JSON: ${path === '' ? 'it' : path} ${what}`
    const id = typeof recordId === 'string' ? recordId : undefined
    return errorOf('SERIALIZATION', message, { backend: this.backend, operation, id, details: { path }, cause })
  }
}

/** What is only told must not keep the failure itself from being stored. */
export function storable(text: string): string {
  return text.replaceAll('\0', '\uFFFD').replace(/\p{Surrogate}/gu, '\uFFFD')
}

export function isError(value: unknown): value is Error {
  return isNativeError(value) || value instanceof Error
}

/** Without the fields that are not given: the native side does not tell `undefined` from null. */
export function known<T extends object>(fields: T): T {
  const given: Record<string, unknown> = {}
  for (const [name, value] of Object.entries(fields)) {
    if (value !== undefined) given[name] = value
  }
  return given as T
}
