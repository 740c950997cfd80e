import { type EventRecord, type ExecutionRecord, keyOf, type RecordKind, type RecordsOfKinds, type StateRecord } from './records'
import type { KindCounts, MovedCounts, RejectedRecord } from './types'

/** A record of any kind. */
export type AnyRecord = RecordsOfKinds[RecordKind]

/** None of anything. */
export function noCounts(): KindCounts {
  return { transferred: 0, failed: 0, skipped: 0, expired: 0, bytes: 0 }
}

/** Adds counts to others. */
export function addCounts(to: KindCounts, more: KindCounts): void {
  for (const name of ['transferred', 'failed', 'skipped', 'expired', 'bytes'] as const) to[name] += more[name]
}

/** Those of all kinds together. */
export function sumOf(counts: MovedCounts): KindCounts {
  const sum = noCounts()
  for (const one of Object.values(counts)) addCounts(sum, one)
  return sum
}

/** How many records were looked at. */
export function lookedAt({ transferred, failed, skipped, expired }: KindCounts): number {
  return transferred + failed + skipped + expired
}

/** Whether a record's time is over. */
export function isOver(record: { expiresAt?: Date }, now: number): boolean {
  return record.expiresAt !== undefined && record.expiresAt.getTime() <= now
}

/** Which record it is, for people. */
export function subjectOf(kind: RecordKind, record: AnyRecord): { kind: RecordKind; id: string; name?: string } {
  const key = keyOf(kind, record as never)
  return typeof key === 'string' ? { kind, id: key } : { kind, id: key[1], name: key[0] }
}

/** The key of something that cannot be read, as a page tells it. */
export function unreadableOf(kind: RecordKind, [key, message]: [key: string, why: string]): RejectedRecord {
  return { kind, id: key, code: 'CORRUPT_DATA', message }
}

const BESIDE = 128

/** Bytes of a record, about: those of its content. */
export function bytesOf(kind: RecordKind, record: AnyRecord | { id: string; bytes: number }): number {
  if ('bytes' in record) return record.bytes
  if ('data' in record) return record.data.byteLength
  const text = (value: string | undefined | null) => (value == null ? 0 : Buffer.byteLength(value))
  switch (kind) {
    case 'states':
      return BESIDE + text((record as StateRecord).state)
    case 'executions': {
      const { context, metadata, entries } = record as ExecutionRecord
      const logged = entries.reduce((sum, [, step, , , , details, body]) => sum + 64 + text(step) + text(details) + text(body), 0)
      return BESIDE + text(context) + text(metadata) + logged
    }
    case 'outbox': {
      const { payload, headers } = record as EventRecord
      return BESIDE + (typeof payload === 'string' ? text(payload) : payload.byteLength) + text(headers)
    }
    default:
      return BESIDE
  }
}
