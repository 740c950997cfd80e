import { isAnyArrayBuffer, isDate, isMap, isNativeError, isPromise, isRegExp, isSet, isWeakMap, isWeakSet } from 'node:util/types'
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
    const place = placeOf(path, name, Array.isArray(value))
    const key = unserializable(name)
    if (key.what !== nothing.what) return { path: place, what: `has a name that ${key.what}` }
    const found = unserializable(member, place, open)
    if (found.path !== '') return found
  }
  open.delete(value)
  return nothing
}

/** What has become of a value that JSON cannot keep, in the text that was made of it. */
const SIGNS = ['null', '{}', '"type":"Buffer"', '{"0":'] as const

/** Whether a value may hold something that JSON has made something else of. Asked of every text: what has none of the signs is not looked through. */
export function mayHaveLost(text: string): boolean {
  return SIGNS.some((sign) => text.includes(sign))
}

/**
 * Which part of a value JSON keeps as something else, without a word: a Map as `{}`, NaN as null, bytes as an object of
 * numbers. `JSON.stringify` has taken it.
 */
export function lostIn(value: unknown, path: string): Unserializable | undefined {
  try {
    return lost(value, path)
  } catch {
    return undefined // It is nested too deeply to be looked through.
  }
}

function lost(value: unknown, path: string): Unserializable | undefined {
  if (typeof value === 'number') return Number.isFinite(value) ? undefined : { path, what: `is ${value}, which JSON keeps as null` }
  if (typeof value !== 'object' || value === null) return undefined
  const what = whatIsLost(value)
  if (what !== undefined) return { path, what }
  const { toJSON } = value as { toJSON?: unknown }
  if (typeof toJSON === 'function') {
    const told: unknown = toJSON.call(value, '')
    if (told !== value) return lost(told, path)
  }
  const isList = Array.isArray(value)
  for (const [name, member] of Object.entries(value)) {
    const found = lost(member, placeOf(path, name, isList))
    if (found !== undefined) return found
  }
  return undefined
}

function whatIsLost(value: object): string | undefined {
  if (isMap(value)) return 'is a Map, of which JSON keeps {}: use Object.fromEntries(map)'
  if (isSet(value)) return 'is a Set, of which JSON keeps {}: use [...set]'
  if (Buffer.isBuffer(value)) return "is a Buffer, which JSON keeps as an object of numbers: use buffer.toString('base64'), or store.put"
  if (ArrayBuffer.isView(value) || isAnyArrayBuffer(value))
    return 'is binary, which JSON keeps as an object of numbers: use base64, or store.put'
  if (isDate(value)) return Number.isNaN(Date.prototype.getTime.call(value)) ? 'is an invalid Date, which JSON keeps as null' : undefined
  if (isPromise(value)) return 'is a Promise, of which JSON keeps {}: await it'
  if (isRegExp(value)) return 'is a RegExp, of which JSON keeps {}: use its source'
  if (isWeakMap(value) || isWeakSet(value)) return 'is a WeakMap or a WeakSet, of which JSON keeps {}'
  const isMute = isNativeError(value) && !('toJSON' in value) && Object.keys(value).length === 0
  return isMute ? 'is an Error, of which JSON keeps {}: use its message' : undefined
}

function placeOf(path: string, name: string, isInList: boolean): string {
  if (isInList) return `${path}[${name}]`
  return path === '' ? name : `${path}.${name}`
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
    if (mayHaveLost(text)) {
      const found = lostIn(value, path)
      if (found !== undefined) throw this.#unserializable(operation, id, found)
    }
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
