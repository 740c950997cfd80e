import { isDate, isUint8Array } from 'node:util/types'
import { type Accepted, listed, optionsOf } from '../arguments'
import type { BackendName } from '../backend'
import { errorOf, invalidArgument } from '../errors'
import { OPERATIONS } from '../operations'
import type { PayloadEntry, PutOptions } from '../options'
import {
  type NativeStat,
  type PayloadListOptions,
  type PayloadPage,
  type PayloadStat,
  type PayloadsWanted,
  payloadPage,
  payloadStat,
  payloadsWanted,
} from './payload-lists'
import type { Runner } from './runner'

const LIST: Accepted<PayloadListOptions> = { prefix: true, limit: true, cursor: true }

/** The operations on payloads: a store and a transaction have them as methods of their own. */
export class Payloads<Deleted extends boolean | undefined> {
  readonly #runner: Runner

  /** @internal */
  protected constructor(runner: Runner) {
    this.#runner = runner
  }

  /**
   * Stores a payload. Data and expiry of an earlier one are replaced together. Once it has resolved,
   * a `get` of any process sees the payload; if it rejects, do not emit the event. In a transaction
   * the payload is stored when that commits, or not at all. Writes of one id take effect in the order of the calls,
   * awaited or not; a read is no write, and does not wait.
   *
   * @param id the claim id: 1 to 1,024 bytes of UTF-8
   * @param data the payload; it must not be changed or transferred before the promise has settled (as with
   *   `fs.write`): other bytes could be stored
   * @param expiresAt when the payload ceases to exist; never, if left out. If the time has passed already (a saga
   *   that timed out and still has to compensate), the payload is kept for `lateRetentionMs`, and the store logs a
   *   warning. A time before 2001 is refused: it was made of seconds, not of milliseconds
   * @throws PayloadTooLargeError, AlreadyExpiredError, InvalidArgumentError, ConnectionError, TimeoutError
   */
  put(id: string, data: Uint8Array, expiresAt?: Date, options?: PutOptions): Promise<void> {
    let bytes: Uint8Array
    let routingSlipId: string | undefined
    try {
      bytes = unshared(data)
      if (options !== undefined) routingSlipId = routingSlipIdOf(options, this.#runner.backend)
    } catch (error) {
      return this.#runner.refuse(error, 'put')
    }
    return this.#runner.run(OPERATIONS.put, id, bytes, expiresAt, routingSlipId)
  }

  /**
   * The payload. A read does not wait for writes: one that is called before a `put` of its id has settled may answer
   * what was there before it.
   *
   * @throws NotFoundError if there is none, or if its time is over: then `expiredAt` says since when, where the backend
   *   has not removed it yet (not in a transaction)
   */
  get(id: string): Promise<Buffer> {
    return this.#runner.run(OPERATIONS.get, id)
  }

  /** The payload, or null if there is none. */
  find(id: string): Promise<Buffer | null> {
    return this.#runner.run(OPERATIONS.find, id)
  }

  /** Whether there is a payload. */
  has(id: string): Promise<boolean> {
    return this.#runner.run(OPERATIONS.has, id)
  }

  /**
   * Removes a payload; whether there was one. (Inside a transaction that is only sent at its end, a Redis
   * MULTI or DynamoDB's TransactItems, that is not known: `undefined`.)
   */
  delete(id: string): Promise<Deleted> {
    return this.#runner.run(OPERATIONS.delete, id)
  }

  /** Sets another expiry, under the same rules as `put`; whether there was a payload. */
  touch(id: string, expiresAt: Date): Promise<boolean> {
    return this.#runner.run(OPERATIONS.touch, id, undefined, expiresAt)
  }

  /**
   * Stores several payloads. Resolves when all are stored; rejects if one is not, and then the
   * others may be. Nothing is sent if one of them is invalid.
   */
  putMany(entries: Iterable<PayloadEntry>): Promise<void> {
    let list: PayloadEntry[]
    try {
      list = listed(entries)
    } catch (cause) {
      return this.#refuse(`putMany takes an iterable of entries, each ${ENTRY}`, 'putMany', cause)
    }
    const ids: string[] = []
    const data: Uint8Array[] = []
    const expiresAt: (Date | undefined)[] = []
    for (const [index, entry] of list.entries()) {
      let problem: string | undefined
      let id: unknown
      let cause: unknown
      try {
        const { id: claimId, data: bytes, expiresAt: at } = (entry ?? {}) as PayloadEntry
        id = claimId
        problem = problemOf(entry, claimId, bytes, at)
        if (problem === undefined) {
          ids.push(claimId)
          data.push(unshared(bytes))
          expiresAt.push(at)
        }
      } catch (error) {
        problem = 'cannot be read'
        cause = error
      }
      if (problem !== undefined) return this.#refuse(`entry ${index} ${problem}`, 'putMany', cause, id)
    }
    return this.#runner.run(OPERATIONS.putMany, ids, data, expiresAt)
  }

  /** The payloads of several ids; an id without one is not in the map. */
  async getMany(ids: Iterable<string>): Promise<Map<string, Buffer>> {
    let list: string[]
    try {
      list = listed(ids)
    } catch (cause) {
      return this.#refuse('getMany takes an iterable of ids', 'getMany', cause)
    }
    const payloads = await this.#runner.run<(Buffer | null)[]>(OPERATIONS.getMany, list)
    const found = new Map<string, Buffer>()
    list.forEach((id, index) => {
      const payload = payloads[index]
      if (payload != null) found.set(id, payload)
    })
    return found
  }

  /**
   * The ids of payloads with their sizes and expiries, in pages of at most `limit` (1 to 1,000, default 100). Give the cursor
   * of a page to get the next one; the last page has no cursor. A page may have fewer items, also none, although it is
   * not the last. Payloads that are stored or removed meanwhile may be in the list or not.
   *
   * In memory, on SQLite, PostgreSQL and MongoDB the order is that of the bytes of the ids. Redis and DynamoDB have no
   * order of keys: there it is that of SCAN and Scan, which read all keys, and Redis may tell one twice. Nothing is blocked.
   *
   * @throws CorruptDataError if one of them cannot be read. Its `found` is the page of the others
   * @throws UnsupportedError in a transaction
   */
  async list(options?: PayloadListOptions): Promise<PayloadPage> {
    const { backend } = this.#runner
    let wanted: PayloadsWanted
    try {
      wanted = payloadsWanted(optionsOf(options, LIST, 'list', backend), backend)
    } catch (error) {
      return await this.#runner.refuse(error, 'list')
    }
    const { prefix, after, limit } = wanted
    return payloadPage(await this.#runner.run(OPERATIONS.list, [{ prefix, after, limit }]), wanted, backend)
  }

  /**
   * Size and expiry of a payload, and whether it is compressed; null if there is none. Its bytes are not read, but on
   * MongoDB and DynamoDB.
   *
   * @throws UnsupportedError in a transaction
   */
  async stat(id: string): Promise<PayloadStat | null> {
    if (typeof id !== 'string')
      return await this.#runner.refuse(invalidArgument('an id must be a string', 'stat', this.#runner.backend), 'stat')
    const found = await this.#runner.run<NativeStat | null>(OPERATIONS.stat, [id])
    return found === null ? null : payloadStat(id, found)
  }

  #refuse(message: string, operation: string, cause: unknown, id?: unknown): Promise<never> {
    const where = { operation, backend: this.#runner.backend, cause, ...(typeof id === 'string' ? { id } : {}) }
    return this.#runner.refuse(errorOf('INVALID_ARGUMENT', message, where), operation)
  }
}

const ENTRY = '{ id: string, data: Uint8Array, expiresAt?: Date }'
const ENTRY_NAMES: ReadonlySet<string> = new Set<keyof PayloadEntry>(['id', 'data', 'expiresAt', 'routingSlipId'])

/** What is wrong with the shape of an entry of `putMany`. Its values are the native side's to judge, but for what has no id to be named by. */
function problemOf(entry: unknown, id: unknown, data: unknown, expiresAt: unknown): string | undefined {
  if (Array.isArray(entry)) return `is an array; an entry is ${ENTRY}`
  if (typeof entry !== 'object' || entry === null) return `is no object; an entry is ${ENTRY}`
  const unknown = Object.keys(entry).find((name) => !ENTRY_NAMES.has(name) && (entry as Record<string, unknown>)[name] !== undefined)
  if (unknown !== undefined) return `has an unknown property '${unknown.slice(0, 60)}'; accepted: ${[...ENTRY_NAMES].join(', ')}`
  if (typeof id !== 'string') return `has a wrong id: it must be a string; an entry is ${ENTRY}`
  if (!isUint8Array(data)) return `has wrong data: it must be a Uint8Array (of a text: Buffer.from(text)); an entry is ${ENTRY}`
  if (expiresAt != null && !isDate(expiresAt))
    return 'has a wrong expiresAt: it must be a Date, such as new Date(Date.now() + 3600_000) for an hour'
  return undefined
}

function routingSlipIdOf(options: PutOptions, backend: BackendName): string | undefined {
  const { routingSlipId } = optionsOf(options, { routingSlipId: true }, 'put', backend)
  if (routingSlipId === undefined || typeof routingSlipId === 'string') return routingSlipId
  throw invalidArgument("option 'routingSlipId' must be a string", 'put', backend)
}

/** Data up to here is copied by the native side at once; larger data is read in place. */
const COPIED_BYTES = 4096

/** Memory that another thread may change, or that may shrink, is not read in place but copied. */
function unshared(data: Uint8Array): Uint8Array {
  if (!isUint8Array(data) || data.byteLength <= COPIED_BYTES) return data
  const memory = data.buffer as ArrayBufferLike & { resizable?: boolean }
  return memory.resizable === true || memory instanceof SharedArrayBuffer ? Uint8Array.prototype.slice.call(data) : data
}
