import { isDate } from 'node:util/types'
import type { OPERATIONS } from './operations'

/** A row of the table of operations. */
export type Operation = (typeof OPERATIONS)[keyof typeof OPERATIONS]

/** The arguments of an operation, as the native side takes them. What belongs to no payload is in the first one. */
export type Arguments = [first?: unknown, data?: unknown, expiresAt?: unknown]

/** The elements of an iterable, as they are at the call. Throws if it is none, or a string. */
export function listed<T>(values: Iterable<T>): T[] {
  if (typeof values === 'string' || typeof values?.[Symbol.iterator] !== 'function') throw new TypeError('it is no iterable')
  return Array.from(values)
}

/** Arguments that are read later than at the call: what the caller may change until then is copied, but for payloads. */
export function taken(args: Arguments): Arguments {
  return args.map((argument) => (Array.isArray(argument) ? argument.map(takenDate) : takenDate(argument))) as Arguments
}

/** A Date of the caller's, as it is now. */
export function takenDate<T>(value: T): T {
  return isDate(value) ? (new Date(Date.prototype.getTime.call(value)) as T) : value
}

/** The id of the record that an operation is about, where there is one. */
export function idOf({ by }: Operation, [first]: Arguments): string | undefined {
  const id = by === 'id' ? first : by === 'name_and_id' || by === 'name_and_other_id' ? (first as unknown[])[1] : undefined
  return typeof id === 'string' ? id : undefined
}

/** The records that an operation writes, as far as its arguments tell. */
export function writtenBy({ writes, by }: Operation, [first]: Arguments): readonly string[] | undefined {
  if (!writes) return undefined
  switch (by) {
    case 'id':
      return [first as string]
    case 'ids':
      return first as string[]
    case 'name_and_id': {
      const [name, id] = first as [unknown, unknown]
      // No payload's id has a NUL. What is no text is refused.
      return typeof name === 'string' && typeof id === 'string' ? [`${name}\0${id}`] : undefined
    }
    default:
      return undefined
  }
}

/** What is wrong with options of which one is not known; `undefined` if all are. */
export function unknownOption(options: object | null | undefined, accepted: readonly string[]): string | undefined {
  const unknown = Object.keys(options ?? {}).find((name) => !accepted.includes(name))
  return unknown === undefined ? undefined : `unknown option '${unknown}'; accepted: ${accepted.join(', ')}`
}
