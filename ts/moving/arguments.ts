import { listed } from '../arguments'
import { invalidArgument, SagaStoreError } from '../errors'
import { RECORD_KINDS, type RecordKind, type Records, recordsOf } from './records'

/** The kinds that are meant, in the order in which they are moved. */
export function kindsOf(kinds: Iterable<RecordKind> | undefined, operation: string): RecordKind[] {
  if (kinds === undefined) return [...RECORD_KINDS]
  let given: RecordKind[]
  try {
    given = listed(kinds)
  } catch (cause) {
    throw invalidArgument("option 'kinds' must be a list", operation, undefined, cause)
  }
  const unknown = given.find((kind) => !RECORD_KINDS.includes(kind))
  if (given.length === 0 || unknown !== undefined) {
    throw invalidArgument(`option 'kinds' must name some of '${RECORD_KINDS.join("', '")}'`, operation)
  }
  return RECORD_KINDS.filter((kind) => given.includes(kind))
}

/** A whole number within bounds. */
export function wholeOf(value: number | undefined, name: string, most: number, fallback: number, operation: string): number {
  if (value === undefined) return fallback
  if (Number.isSafeInteger(value) && value >= 1 && value <= most) return value
  throw invalidArgument(`option '${name}' must be a whole number from 1 to ${most}`, operation)
}

/** One of some words. */
export function wordOf<W extends string>(value: W | undefined, name: string, words: readonly W[], operation: string): W {
  if (value === undefined) return words[0] as W
  if (words.includes(value)) return value
  throw invalidArgument(`option '${name}' must be one of '${words.join("', '")}'`, operation)
}

/** True or false. */
export function flagOf(value: boolean | undefined, name: string, operation: string): boolean {
  if (value === undefined || typeof value === 'boolean') return value ?? false
  throw invalidArgument(`option '${name}' must be true or false`, operation)
}

/** A function, or none. */
export function functionOf<F>(value: F | undefined, name: string, operation: string): F | undefined {
  if (value === undefined || typeof value === 'function') return value
  throw invalidArgument(`option '${name}' must be a function`, operation)
}

/** A signal, or none. */
export function signalOf(value: AbortSignal | undefined, operation: string): AbortSignal | undefined {
  if (value === undefined || typeof (value as Partial<AbortSignal> | null)?.aborted === 'boolean') return value
  throw invalidArgument("option 'signal' must be an AbortSignal", operation)
}

/** The records of what must be a store. */
export function checkedRecords(store: unknown, what: string, operation: string): Records {
  const records = typeof store === 'object' && store !== null ? recordsOf(store) : undefined
  if (records !== undefined) return records
  throw invalidArgument(`${what} must be a store of this package`, operation)
}

/** Throws what the signal was aborted with. */
export function checkSignal(signal: AbortSignal | undefined): void {
  if (signal?.aborted === true) throw signal.reason
}

/** Waits for so long, or until the signal is aborted: then it rejects with its reason. */
export function pause(ms: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    const stopped = () => {
      clearTimeout(timer)
      reject(signal?.reason)
    }
    if (signal?.aborted === true) return reject(signal.reason)
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', stopped)
      resolve()
    }, ms)
    signal?.addEventListener('abort', stopped, { once: true })
  })
}

/** Whether what was thrown may pass by itself. */
export function isRetryable(error: unknown): boolean {
  return error instanceof SagaStoreError && error.retryable
}
