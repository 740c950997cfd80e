import { errorOf } from '../errors'
import type { AnyRecord } from './measure'
import { RECORD_KINDS, type RecordKind } from './records'

/** What the first line of a file says. */
export interface FileHead {
  format: 'sagastore'
  version: number
  kinds: RecordKind[]
  /** Where the records come from, without a password. */
  source: string
  createdAt: string
}

/** What the last line of a file says. */
export interface FileEnd {
  end: true
  /** Records of each kind. */
  counts: { [Kind in RecordKind]?: number }
  /** SHA-256 over all lines before this one, with their line feeds. */
  digest: string
}

export const FILE_FORMAT = 'sagastore'
export const FILE_VERSION = 1

/** Bytes and characters of a record that stand in one line; what is more goes into lines of its own. */
export const PART = 2 * 1_024 * 1_024

const TIMES: ReadonlySet<string> = new Set([
  'createdAt',
  'updatedAt',
  'completedAt',
  'timeoutAt',
  'expiresAt',
  'dueAt',
  'parkedAt',
  'availableAt',
  'occurredAt',
  'claimedAt',
  'sentAt',
  'deadAt',
  'leaseUntil',
])

/** The time of an entry of a log is its last field. */
const AT = 7

/**
 * A record as lines: mostly one. Its bytes are base64, under `dataBase64` or `payloadBase64`; its times are ISO 8601. Of a
 * large one the first line tells in how many lines the bytes (`dataParts`, `payloadParts`) or the JSON of the record
 * (`textParts`) follow.
 */
export function* linesOf(kind: RecordKind, record: AnyRecord): Generator<string> {
  const fields: Record<string, unknown> = { kind }
  let large: Uint8Array | undefined
  for (const [name, value] of Object.entries(record)) {
    if (value instanceof Uint8Array) {
      const isLarge = value.byteLength > PART
      if (isLarge) large = value
      fields[`${name}${isLarge ? 'Parts' : 'Base64'}`] = isLarge ? Math.ceil(value.byteLength / PART) : base64(value)
    } else fields[name] = value
  }
  const text = JSON.stringify(fields)
  if (text.length <= 2 * PART) yield text
  else {
    const parts = Math.ceil(text.length / PART)
    yield JSON.stringify({ kind, textParts: parts })
    for (let part = 0; part < parts; part += 1) yield JSON.stringify({ part, text: text.slice(part * PART, (part + 1) * PART) })
  }
  for (let at = 0; large !== undefined && at < large.byteLength; at += PART) {
    yield JSON.stringify({ part: at / PART, data: base64(large.subarray(at, at + PART)) })
  }
}

function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64')
}

/** A record of several lines. */
interface Unfinished {
  fields: Record<string, unknown>
  /** What its parts are of. */
  name: string
  parts: number
  got: (Buffer | string)[]
}

/** Makes records of lines. */
export class LineReader {
  /** A record whose lines are not all there yet. */
  #open: Unfinished | undefined

  /** Whether the last record is whole. */
  get isWhole(): boolean {
    return this.#open === undefined
  }

  /** The record that this line completes, if it does. */
  take(line: Record<string, unknown>): { kind: RecordKind; record: AnyRecord } | undefined {
    if (this.#open !== undefined) return this.#part(this.#open, line)
    return this.#begin(line)
  }

  #begin(fields: Record<string, unknown>): { kind: RecordKind; record: AnyRecord } | undefined {
    if (!RECORD_KINDS.includes(fields.kind as RecordKind)) throw damaged('a line is neither a record nor a part of one')
    for (const name of ['textParts', 'dataParts', 'payloadParts']) {
      const parts = fields[name]
      if (parts === undefined) continue
      if (!(Number.isSafeInteger(parts) && (parts as number) > 0)) throw damaged(`${name} is no number`)
      delete fields[name]
      this.#open = { fields, name: name.slice(0, -'Parts'.length), parts: parts as number, got: [] }
      return undefined
    }
    return recordOf(fields)
  }

  #part(open: Unfinished, { part, text, data }: Record<string, unknown>) {
    const value = open.name === 'text' ? text : data
    if (part !== open.got.length || typeof value !== 'string') throw damaged('a part of a record is missing')
    open.got.push(open.name === 'text' ? value : Buffer.from(value, 'base64'))
    if (open.got.length < open.parts) return undefined
    this.#open = undefined
    if (open.name === 'text') return this.#begin(parsedLine(open.got.join('')))
    return recordOf({ ...open.fields, [open.name]: Buffer.concat(open.got as Buffer[]) })
  }
}

/** The object that a line is. */
export function parsedLine(line: string): Record<string, unknown> {
  let read: unknown
  try {
    read = JSON.parse(line)
  } catch (cause) {
    throw damaged('a line is no JSON', cause)
  }
  if (typeof read === 'object' && read !== null && !Array.isArray(read)) return read as Record<string, unknown>
  throw damaged('a line is no object')
}

/** `CORRUPT_DATA`: a file that is none, or not as it was written. */
export function damaged(what: string, cause?: unknown): Error {
  return errorOf('CORRUPT_DATA', `the file is damaged: ${what}`, { operation: 'importFromFile', cause })
}

function recordOf({ kind, ...fields }: Record<string, unknown>): { kind: RecordKind; record: AnyRecord } {
  const record: Record<string, unknown> = {}
  for (const [name, value] of Object.entries(fields)) {
    if (name.endsWith('Base64') && typeof value === 'string') record[name.slice(0, -'Base64'.length)] = Buffer.from(value, 'base64')
    else if (TIMES.has(name)) record[name] = timeOf(value)
    else if (name === 'entries' && Array.isArray(value)) record[name] = value.map(entryOf)
    else record[name] = value
  }
  return { kind: kind as RecordKind, record: record as unknown as AnyRecord }
}

function entryOf(entry: unknown): unknown {
  return Array.isArray(entry) ? entry.map((field, index) => (index === AT ? timeOf(field) : field)) : entry
}

function timeOf(value: unknown): Date {
  const date = new Date(value as string)
  if (typeof value === 'string' && !Number.isNaN(date.getTime())) return date
  throw damaged('a time cannot be read')
}
