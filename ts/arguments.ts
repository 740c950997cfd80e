import { isDate } from 'node:util/types'
import type { Arguments } from './conversation'
import type { PayloadEntry } from './types'

/** Data up to here is copied by the native side at once; larger data is read in place. */
const COPIED_BYTES = 4096

/** The elements of an iterable, as they are at the call. Throws if it is none, or a string. */
export function listed<T>(values: Iterable<T>): T[] {
  if (typeof values === 'string' || typeof values?.[Symbol.iterator] !== 'function') throw new TypeError('it is no iterable')
  return Array.from(values)
}

/** Ids, payloads and expiries of a putMany, as they are at the call. Throws if they cannot be read. */
export function entriesOf(entries: Iterable<PayloadEntry>): [string[], Uint8Array[], (Date | undefined)[]] {
  const list = listed(entries)
  return [list.map((entry) => entry?.id), list.map((entry) => unshared(entry?.data)), list.map((entry) => entry?.expiresAt)]
}

/** Arguments that are read later than at the call: what the caller may change until then is copied, but for payloads. */
export function taken(args: Arguments): Arguments {
  return args.map((argument) => (Array.isArray(argument) ? argument.map(takenDate) : takenDate(argument))) as Arguments
}

/** A Date of the caller's, as it is now. */
export function takenDate<T>(value: T): T {
  return isDate(value) ? (new Date(Date.prototype.getTime.call(value)) as T) : value
}

/** Memory that another thread may change, or that may shrink, is not read in place but copied. */
export function unshared(data: Uint8Array): Uint8Array {
  if (!(data instanceof Uint8Array) || data.byteLength <= COPIED_BYTES) return data
  const memory = data.buffer as ArrayBufferLike & { resizable?: boolean }
  return memory.resizable === true || memory instanceof SharedArrayBuffer ? Uint8Array.prototype.slice.call(data) : data
}

/** The payloads of a getMany, by id. */
export function byId(ids: readonly string[], payloads: readonly (Buffer | null)[]): Map<string, Buffer> {
  const found = new Map<string, Buffer>()
  ids.forEach((id, index) => {
    const payload = payloads[index]
    if (payload != null) found.set(id, payload)
  })
  return found
}

/** What is wrong with options of which one is not known; `undefined` if all are. */
export function unknownOption(options: object | null | undefined, accepted: readonly string[]): string | undefined {
  const unknown = Object.keys(options ?? {}).find((name) => !accepted.includes(name))
  return unknown === undefined ? undefined : `unknown option '${unknown}'; accepted: ${accepted.join(', ')}`
}
