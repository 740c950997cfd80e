import { createHash } from 'node:crypto'
import type { StateRecord } from './records'

/** What stands for a payload that was deleted. Its bytes are no text, and do not become fewer when they are compressed. */
export const TOMBSTONE: Buffer = createHash('sha256').update('sagastore: this payload was deleted while it was moved').digest()

/** Whether a payload is a tombstone. */
export function isTombstone(data: Uint8Array | null): boolean {
  return data !== null && data.byteLength === TOMBSTONE.byteLength && TOMBSTONE.equals(data)
}

/** The field of a saga's state that says so. */
const MARK = 'sagastore:deleted'
/** No saga has been updated so often: an update that expects the version of a saga never meets a tombstone. */
const FIRST_VERSION = 2 ** 52

/** Whether a version is one of a tombstone. */
export function isTombstoneVersion(version: unknown): boolean {
  return typeof version === 'number' && version >= FIRST_VERSION
}

/** What stands for a saga that was deleted: under its saga id, so that it is not moved. Its correlation id is free. */
export function stateTombstone(sagaName: string, sagaId: string, version = FIRST_VERSION): StateRecord {
  const now = new Date()
  const metadata = { version, sagaId, isCompleted: true, createdAt: now, updatedAt: now }
  return {
    sagaName,
    sagaId,
    correlationId: `${MARK}:${createHash('sha256').update(sagaId).digest('hex')}`,
    version,
    isCompleted: true,
    createdAt: now,
    updatedAt: now,
    completedAt: now,
    state: JSON.stringify({ metadata, [MARK]: true }),
  }
}

/** Whether a state is a tombstone. */
export function isStateTombstone(state: object | null | undefined): boolean {
  return state != null && (state as Record<string, unknown>)[MARK] === true
}

/** The same, of a record. */
export function isTombstoneRecord({ version, state }: StateRecord): boolean {
  return version >= FIRST_VERSION && isStateTombstone(JSON.parse(state) as object)
}
