import { errorOf, invalidArgument } from '../errors'
import { RECORD_KINDS, type RecordKind } from './records'
import type { MovedCounts } from './types'

const FORMAT = 'sagastore-checkpoint'
const VERSION = 1

/** What a checkpoint belongs to. */
export interface Move {
  /** Where the source is, without a password. */
  source: string
  target: string
  kinds: readonly RecordKind[]
}

/** Where a move goes on. */
export interface Place {
  /** Everything of this kind up to the cursor is acknowledged; null: everything is. */
  at: { kind: RecordKind; cursor: string | null } | null
  /** What has become of the records before it. */
  counts: MovedCounts
}

/** A place as a text. */
export function writtenCheckpoint({ source, target, kinds }: Move, { at, counts }: Place): string {
  return JSON.stringify({ format: FORMAT, version: VERSION, source, target, kinds, at, counts })
}

/** The place that a checkpoint is. `INVALID_ARGUMENT` if it is none. */
export function readCheckpoint(text: string, operation: string): Place & Move {
  let read: Partial<Place & Move> & { format?: unknown; version?: unknown }
  try {
    read = JSON.parse(text)
  } catch (cause) {
    throw invalidArgument("option 'resumeFrom' must be a checkpoint", operation, undefined, cause)
  }
  if (read?.format !== FORMAT) throw invalidArgument("option 'resumeFrom' must be a checkpoint", operation)
  if (read.version !== VERSION) throw invalidArgument('the checkpoint was written by another version of sagastore', operation)
  const { source, target, kinds, at, counts } = read
  const isPlace =
    at === null || (typeof at === 'object' && RECORD_KINDS.includes(at.kind) && kinds?.includes(at.kind) && isCursor(at.cursor))
  if (typeof source !== 'string' || typeof target !== 'string' || !Array.isArray(kinds) || !isPlace || !areCounts(counts)) {
    throw invalidArgument("option 'resumeFrom' must be a checkpoint: this one is damaged", operation)
  }
  return { source, target, kinds, at, counts }
}

function isCursor(cursor: unknown): boolean {
  return cursor === null || typeof cursor === 'string'
}

function areCounts(counts: unknown): counts is MovedCounts {
  return (
    typeof counts === 'object' &&
    counts !== null &&
    Object.values(counts).every((one) => typeof one === 'object' && one !== null && Object.values(one).every(Number.isSafeInteger))
  )
}

/** `TRANSFER`: why a checkpoint is one of another move; none, if it is of this one. */
export function foreignCheckpoint(checkpoint: Move, move: Move): Error | undefined {
  const differing = (['source', 'target', 'kinds'] as const).filter((name) => String(checkpoint[name]) !== String(move[name]))
  if (differing.length === 0) return undefined
  const what = differing.map((name) => `its ${name} ${name === 'kinds' ? 'are' : 'is'} '${checkpoint[name]}', not '${move[name]}'`)
  const error = errorOf('TRANSFER', `the checkpoint is one of another move: ${what.join(', ')}`, { operation: 'transfer' })
  return Object.assign(error, { counts: {}, rejected: [] })
}
