import { isDate, isProxy } from 'node:util/types'
import type { BackendName } from './backend'
import { invalidArgument, SagaStoreError } from './errors'
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
  return args.map((argument) => (isList(argument) ? argument.map(takenDate) : takenDate(argument))) as Arguments
}

/** Whether it is an array. A revoked proxy, of which nothing can be asked, is left for the native side to refuse. */
function isList(value: unknown): value is unknown[] {
  return !isProxy(value) && Array.isArray(value)
}

/** A Date of the caller's, as it is now. */
export function takenDate<T>(value: T): T {
  return isDate(value) ? (new Date(Date.prototype.getTime.call(value)) as T) : value
}

/** The id of the record that an operation is about, where there is one. */
export function idOf({ by }: Operation, [first]: Arguments): string | undefined {
  const id =
    by === 'id'
      ? first
      : by === 'id_in_list'
        ? (first as unknown[])[0]
        : by === 'name_and_id' || by === 'name_and_other_id'
          ? (first as unknown[])[1]
          : undefined
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
    case 'id_in_list': {
      const [id] = first as [unknown]
      // No saga's name is empty.
      return typeof id === 'string' ? [`\0${id}`] : undefined
    }
    case 'name_and_id': {
      const [name, id] = first as [unknown, unknown]
      // No payload's id has a NUL. What is no text is refused.
      return typeof name === 'string' && typeof id === 'string' ? [`${name}\0${id}`] : undefined
    }
    default:
      return undefined
  }
}

/** Names every option of a method. */
export type Accepted<O> = { readonly [Name in keyof Required<O>]: true }

/** The options of a call without any. */
const NONE: object = Object.freeze(Object.create(null))

/**
 * The options of a call, as they are then: own properties that are not undefined.
 *
 * @throws InvalidArgumentError if one is not known or cannot be read, or if it is no object
 */
export function optionsOf<O extends object>(given: O | undefined, accepted: Accepted<O>, operation: string, backend?: BackendName): O {
  if (given === undefined) return NONE as O
  const invalid = (what: string, cause?: unknown) =>
    invalidArgument(`${what}; accepted: ${Object.keys(accepted).join(', ')}`, operation, backend, cause)
  const taken = Object.create(null)
  try {
    if (!isRecord(given)) throw invalid('options are an object')
    for (const name of Object.keys(given)) {
      const value = (given as Record<string, unknown>)[name]
      if (value === undefined) continue
      if (!Object.hasOwn(accepted, name)) throw invalid(`unknown option '${name}'`)
      // The native side takes it for the number.
      if (typeof value === 'bigint') throw invalid(`option '${name}' is a bigint`)
      taken[name] = value
    }
  } catch (error) {
    throw error instanceof SagaStoreError ? error : invalid('the options cannot be read', error)
  }
  return taken
}

/** The options of a call, none of them null, but for those for which that is a value. The native side would take it for none. */
export function presentOptions<O extends object>(
  given: O | undefined,
  accepted: Accepted<O>,
  operation: string,
  backend: BackendName,
  nullable?: ReadonlySet<string>,
): O {
  const taken = optionsOf(given, accepted, operation, backend)
  for (const [name, value] of Object.entries(taken)) {
    if (value !== null || nullable?.has(name) === true) continue
    throw invalidArgument(`option '${name}' must not be null`, operation, backend)
  }
  return taken
}

/** Whether something may be options: a Date, bytes or a list in their place has no names, and would be taken for none. */
export function isRecord(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !isDate(value) && !(Symbol.iterator in value)
}

/** The option `limit` of what removes records: how many at most. */
export function mostOf({ limit = Number.POSITIVE_INFINITY }: { limit?: number }, operation: string, backend: BackendName): number {
  if (limit === Number.POSITIVE_INFINITY || (Number.isSafeInteger(limit) && limit > 0)) return limit
  throw invalidArgument('limit must be a whole number above 0', operation, backend)
}

/** No page of a list has more. The native side has the same limit. */
export const MAX_LISTED = 1_000

/** The option `limit` of a page of a list, where the native side is not asked for it. */
export function pageLimitOf({ limit = 100 }: { limit?: number }, operation: string, backend: BackendName): number {
  if (Number.isSafeInteger(limit) && limit > 0 && limit <= MAX_LISTED) return limit
  throw invalidArgument(`limit must be a whole number from 1 to ${MAX_LISTED}`, operation, backend)
}
