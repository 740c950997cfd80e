import { Readable, Writable } from 'node:stream'
import { type Accepted, optionsOf } from '../arguments'
import { invalidArgument } from '../errors'
import type { SagaStore } from '../store/store'
import { checkedRecords, flagOf, kindsOf } from './arguments'
import { StoreSink, StoreSource } from './ends'
import { factsOf, type StoreFacts } from './facts'
import { FileSink } from './file-sink'
import { FileSource } from './file-source'
import { startOf } from './mover'
import type { RecordKind } from './records'
import { Transfer, termsOf } from './transfer'
import type { PaceOptions, TransferOptions } from './types'

/** Options of `exportToFile`. */
export interface ExportFileOptions extends PaceOptions, Pick<TransferOptions, 'kinds' | 'batchSize' | 'onError' | 'onRejected'> {
  /** Whether it is compressed with Zstandard. Default: where the name ends in `.zst`. */
  compress?: boolean
  /** Zstandard's level, 1 to 19. Default 3. */
  level?: number
  /** Replaces a file that exists, once the new one is whole. Else it is refused. */
  overwrite?: boolean
}

/** Options of `importFromFile`. */
export interface ImportFileOptions extends PaceOptions, Omit<TransferOptions, 'resumeFrom' | 'verify'> {
  /** Imports what is there of a file whose end is missing. */
  allowPartial?: boolean
}

const PACE: Accepted<PaceOptions> = { recordsPerSecond: true, bytesPerSecond: true, signal: true }
const EXPORT: Accepted<ExportFileOptions> = {
  ...PACE,
  kinds: true,
  batchSize: true,
  onError: true,
  onRejected: true,
  compress: true,
  level: true,
  overwrite: true,
}
const IMPORT: Accepted<ImportFileOptions> = {
  ...PACE,
  kinds: true,
  batchSize: true,
  concurrency: true,
  onError: true,
  onConflict: true,
  onRejected: true,
  dryRun: true,
  allowPartial: true,
}

const LEVEL = 3
const MAX_LEVEL = 19

/**
 * Writes whole records into a file: JSON lines, compressed with Zstandard where its name ends in `.zst`. It is written as
 * `name.partial`, synced, and renamed: a file of its name is whole. The last line has the counts and a digest. Only its
 * owner can read it.
 *
 * It begins when it is awaited, or when its progress is asked for. It cannot be resumed.
 *
 * @param to the name of the file, or a stream, which is not ended
 * @throws InvalidArgumentError if an option is wrong
 */
export function exportToFile(store: SagaStore, to: string | Writable, options?: ExportFileOptions): Transfer {
  const operation = 'exportToFile'
  const records = checkedRecords(store, 'the source', operation)
  if (!(to instanceof Writable)) checkName(to, operation)
  const { compress, level = LEVEL, overwrite, ...rest } = optionsOf(options, EXPORT, operation)
  if (!(Number.isSafeInteger(level) && level >= 1 && level <= MAX_LEVEL)) {
    throw invalidArgument(`option 'level' must be a whole number from 1 to ${MAX_LEVEL}`, operation)
  }
  const isNamed = typeof to === 'string' && to.endsWith('.zst')
  const isCompressed = compress === undefined ? isNamed : flagOf(compress, 'compress', operation)
  const kinds = kindsOf(rest.kinds, operation)
  const terms = { ...termsOf({ ...rest, kinds }, operation), resumes: false }
  return new Transfer({
    source: new StoreSource(records, factsOf(store) as StoreFacts),
    sink: new FileSink(to, { level: isCompressed ? level : undefined, overwrite: flagOf(overwrite, 'overwrite', operation) }),
    terms,
    place: startOf(kinds),
    issues: async () => [],
  })
}

/**
 * Stores the records of a file that `exportToFile` has written, as they are. A file that is not whole, or whose digest is
 * another one, is refused before anything is stored (of a stream that is only known at its end).
 *
 * It begins when it is awaited, or when its progress is asked for.
 *
 * @param from the name of the file, or a stream
 * @throws InvalidArgumentError if an option is wrong
 */
export function importFromFile(from: string | Readable, store: SagaStore, options?: ImportFileOptions): Transfer {
  const operation = 'importFromFile'
  const records = checkedRecords(store, 'the target', operation)
  if (!(from instanceof Readable)) checkName(from, operation)
  const { allowPartial, ...rest } = optionsOf(options, IMPORT, operation)
  const kinds: RecordKind[] = kindsOf(rest.kinds, operation)
  const terms = { ...termsOf({ ...rest, kinds }, operation), resumes: false }
  return new Transfer({
    source: new FileSource(from, kinds, flagOf(allowPartial, 'allowPartial', operation)),
    sink: new StoreSink(records, factsOf(store) as StoreFacts),
    terms,
    place: startOf(kinds),
    issues: async () => [],
  })
}

function checkName(name: unknown, operation: string): void {
  if (typeof name === 'string' && name !== '' && !name.includes('\0')) return
  throw invalidArgument('the file must be a name or a stream', operation)
}
