import { pageLimitOf } from '../arguments'
import type { BackendName } from '../backend'
import { errorOf, invalidArgument } from '../errors'
import { isOver } from '../moving/measure'
import type { PayloadSize, RecordPage } from '../moving/records'
import { cursorOf, type ListName, positionOf } from './cursors'

/** Options of `list`. */
export interface PayloadListOptions {
  /** Only payloads whose ids begin so, byte for byte. */
  prefix?: string
  /** At most so many: 1 to 1,000. Default 100. */
  limit?: number
  /** That of the page before. */
  cursor?: string
}

/** A payload of a list. */
export interface ListedPayload {
  id: string
  /** Bytes as they are stored: of a compressed payload, those of what it was compressed to. */
  bytes: number
  /** When it ceases to exist; never, if it is missing. */
  expiresAt?: Date
}

/** One page of `list`. */
export interface PayloadPage {
  items: ListedPayload[]
  /** Where the next page begins; none on the last one. */
  cursor?: string
}

/** What `stat` tells of a payload. */
export interface PayloadStat extends ListedPayload {
  compressed: boolean
  /** Bytes as they were given; missing where only reading all of it would tell. */
  originalBytes?: number
}

/** What the native side tells of a payload. */
export interface NativeStat {
  bytes: number
  originalBytes: number | null
  compressed: boolean
  expiresAt: Date | null
}

/** Which page of which list is wanted. */
export interface PayloadsWanted {
  list: ListName
  prefix: string
  limit: number
  after: string | undefined
}

/**
 * Checks what `list` was given.
 *
 * @throws InvalidArgumentError
 */
export function payloadsWanted(options: PayloadListOptions, backend: BackendName): PayloadsWanted {
  const { prefix = '', cursor } = options
  if (typeof prefix !== 'string') throw invalidArgument("option 'prefix' must be a string", 'list', backend)
  // In a transaction nobody else looks at it.
  const limit = pageLimitOf(options, 'list', backend)
  const list = ['payloads', prefix]
  return { list, prefix, limit, after: positionOf(cursor, list, 'list', backend) }
}

/**
 * A page without what has expired.
 *
 * @throws CorruptDataError if something of it cannot be read
 */
export function payloadPage(read: RecordPage<PayloadSize>, { list }: PayloadsWanted, backend: BackendName): PayloadPage {
  const now = Date.now()
  const items = read.records.filter((record) => !isOver(record, now))
  const page: PayloadPage = read.cursor === null ? { items } : { items, cursor: cursorOf(list, read.cursor) }
  const [first] = read.unreadable
  if (first === undefined) return page
  const [id, why] = first
  const error = errorOf('CORRUPT_DATA', `${read.unreadable.length} of the payloads cannot be read; the first: ${why}`, {
    backend,
    operation: 'list',
    id,
  })
  throw Object.defineProperty(error, 'found', { value: page })
}

/** What is told of a payload. */
export function payloadStat(id: string, { bytes, originalBytes, compressed, expiresAt }: NativeStat): PayloadStat {
  return { id, bytes, compressed, ...(originalBytes !== null && { originalBytes }), ...(expiresAt !== null && { expiresAt }) }
}
