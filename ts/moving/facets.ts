import { type Accepted, optionsOf } from '../arguments'
import { errorOf, invalidArgument, SagaStoreError } from '../errors'
import type { Runner } from '../kinds/runner'
import { checkSignal, functionOf, kindsOf, signalOf, wordOf } from './arguments'
import { type AnyRecord, addCounts, bytesOf, isOver, noCounts, subjectOf, sumOf, unreadableOf } from './measure'
import { ON_CONFLICT, type OnConflict, PAGE, RECORD_KINDS, type RecordKind, Records, type RecordsOfKinds } from './records'
import type { KindCounts, MovedCounts, OnRejected, RejectedRecord } from './types'

/** A record as it is stored, and its kind. */
export type ExportedRecord<K extends RecordKind = RecordKind> = { [Kind in K]: { kind: Kind } & RecordsOfKinds[Kind] }[K]

/** Options of `exportAll`. */
export interface ExportOptions {
  /** Is told each record that cannot be read. Without it the first one ends the export with `CORRUPT_DATA`. */
  onUnreadable?: (unreadable: RejectedRecord) => void | Promise<void>
  /** Ends the export. */
  signal?: AbortSignal
}

/** Options of `exportAll` of a store. */
export interface ExportAllOptions extends ExportOptions {
  /** What is exported. Default: everything. */
  kinds?: Iterable<RecordKind>
}

/** Options of `importRecords`. */
export interface ImportOptions {
  /** As in a `transfer`. Default: `skip-existing`. */
  onConflict?: OnConflict
  /** Is told each record that could not be stored. */
  onRejected?: OnRejected
}

/** Records, as they come. */
export type Given<R> = Iterable<R> | AsyncIterable<R>

const EXPORT: Accepted<ExportOptions> = { onUnreadable: true, signal: true }
const EXPORT_ALL: Accepted<ExportAllOptions> = { ...EXPORT, kinds: true }
const IMPORT: Accepted<ImportOptions> = { onConflict: true, onRejected: true }
const COUNT: Accepted<{ kinds?: Iterable<RecordKind> }> = { kinds: true }

const MAX_REJECTED = 100

/** What a store, and each of its kinds, does with whole records. */
export class Facet {
  /** Made when it is used first: each transaction has facets. */
  #made: Records | undefined
  readonly #runner: Runner
  /** Such as `states.`. */
  readonly #prefix: string
  readonly #only: RecordKind | undefined

  /** @param only the kind that it is about; none: all of them */
  constructor(runner: Runner, only?: RecordKind) {
    this.#runner = runner
    this.#only = only
    this.#prefix = only === undefined ? '' : `${only}.`
  }

  get #records(): Records {
    this.#made ??= new Records(this.#runner)
    return this.#made
  }

  /** All living records, one by one. What comes meanwhile may be among them or not. */
  exportAll<K extends RecordKind>(options: ExportAllOptions | undefined): AsyncIterableIterator<ExportedRecord<K>> {
    const operation = `${this.#prefix}exportAll`
    const accepted = this.#only === undefined ? EXPORT_ALL : (EXPORT as Accepted<ExportAllOptions>)
    try {
      const { kinds, onUnreadable, signal } = optionsOf(options, accepted, operation, this.#records.backend)
      const told = functionOf(onUnreadable, 'onUnreadable', operation)
      const chosen = this.#only === undefined ? kindsOf(kinds, operation) : [this.#only]
      return this.#pages(chosen, told, signalOf(signal, operation)) as AsyncGenerator<ExportedRecord<K>>
    } catch (error) {
      return this.#refused(error, operation) as AsyncGenerator<ExportedRecord<K>>
    }
  }

  /** An iteration that fails at its first step: nothing is thrown at the call. */
  // biome-ignore lint/correctness/useYield: it has nothing to give.
  async *#refused(error: unknown, operation: string): AsyncGenerator<never> {
    await this.#runner.refuse(error, operation)
  }

  async *#pages(
    kinds: readonly RecordKind[],
    onUnreadable: ExportOptions['onUnreadable'],
    signal: AbortSignal | undefined,
  ): AsyncGenerator<ExportedRecord> {
    for (const kind of kinds) {
      for await (const page of this.#records.pages(kind, () => checkSignal(signal))) {
        for (const entry of page.unreadable) {
          const unreadable = unreadableOf(kind, entry)
          if (onUnreadable === undefined) throw this.#unreadable(unreadable)
          await onUnreadable(unreadable)
        }
        for (const record of page.records) {
          checkSignal(signal)
          if (!isOver(record, Date.now())) yield { kind, ...record } as ExportedRecord
        }
      }
    }
  }

  #unreadable({ id, message }: RejectedRecord): Error {
    return errorOf('CORRUPT_DATA', message, { backend: this.#records.backend, operation: `${this.#prefix}exportAll`, id })
  }

  /** Stores records as they are, in batches. */
  async importRecords(given: Given<object>, options: ImportOptions | undefined): Promise<KindCounts> {
    const operation = `${this.#prefix}importRecords`
    let terms: { onConflict: OnConflict; onRejected: OnRejected | undefined }
    try {
      const taken = optionsOf(options, IMPORT, operation, this.#records.backend)
      terms = {
        onConflict: wordOf(taken.onConflict, 'onConflict', ON_CONFLICT, operation),
        onRejected: functionOf(taken.onRejected, 'onRejected', operation),
      }
      const iterable = given as Partial<Iterable<object> & AsyncIterable<object>> | undefined
      if (typeof given !== 'object' || (!iterable?.[Symbol.asyncIterator] && !iterable?.[Symbol.iterator])) {
        throw invalidArgument(`${operation} takes records: an iterable of them`, operation, this.#records.backend)
      }
    } catch (error) {
      return await this.#runner.refuse(error, operation)
    }
    const counts: MovedCounts = {}
    const rejected: RejectedRecord[] = []
    try {
      for await (const { kind, records } of this.#batches(given, operation)) {
        const fates = await this.#records.importRecords(kind, records as never, terms.onConflict)
        const of = noCounts()
        for (const [index, fate] of fates.entries()) {
          const record = records[index] as AnyRecord
          if (fate === 'stored') addCounts(of, { ...noCounts(), transferred: 1, bytes: bytesOf(kind, record) })
          else if (typeof fate === 'string') of[fate] += 1
          else {
            of.failed += 1
            const one = { ...subjectOf(kind, record), code: fate.code, message: fate.message }
            if (rejected.length < MAX_REJECTED) rejected.push(one)
            await terms.onRejected?.(one)
          }
        }
        counts[kind] ??= noCounts()
        addCounts(counts[kind], of)
      }
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error)
      const isEarly = error instanceof SagaStoreError && error.code === 'INVALID_ARGUMENT'
      throw isEarly ? error : this.#failed(`ended by an error: ${why}`, operation, counts, rejected, error)
    }
    const sum = sumOf(counts)
    if (sum.failed === 0) return sum
    const [first] = rejected
    const message = `${sum.failed} records could not be stored; the first: ${first?.kind} '${String(first?.id).slice(0, 80)}': ${first?.message}`
    throw this.#failed(message, operation, counts, rejected)
  }

  #failed(message: string, operation: string, counts: MovedCounts, rejected: RejectedRecord[], cause?: unknown): Error {
    const error = errorOf('TRANSFER', message, { backend: this.#records.backend, operation, cause })
    return Object.assign(error, { counts, rejected })
  }

  /** Records of one kind that are stored together. */
  async *#batches(given: Given<object>, operation: string): AsyncGenerator<{ kind: RecordKind; records: AnyRecord[] }> {
    let kind: RecordKind | undefined
    let records: AnyRecord[] = []
    let bytes = 0
    for await (const one of given) {
      if (typeof one !== 'object' || one === null) {
        throw invalidArgument('a record must be an object', operation, this.#records.backend)
      }
      const { kind: named = this.#only, ...record } = one as { kind?: RecordKind }
      if (named === undefined || !RECORD_KINDS.includes(named) || (this.#only !== undefined && named !== this.#only)) {
        const expected = this.#only ?? RECORD_KINDS.join("', '")
        throw invalidArgument(`the kind of a record must be '${expected}'`, operation, this.#records.backend)
      }
      if (kind !== undefined && records.length > 0 && (kind !== named || records.length >= PAGE.limit || bytes >= PAGE.maxBytes)) {
        yield { kind, records }
        records = []
        bytes = 0
      }
      kind = named
      records.push(record as AnyRecord)
      bytes += sizeOf(kind, record as AnyRecord)
    }
    if (kind !== undefined && records.length > 0) yield { kind, records }
  }

  /** How many records of a kind there are. */
  async countOf(kind: RecordKind): Promise<number> {
    return (await this.#records.count(kind)).count
  }

  /** How many records of each kind there are. */
  async counts(options: { kinds?: Iterable<RecordKind> } | undefined): Promise<RecordCounts> {
    let kinds: RecordKind[]
    try {
      kinds = kindsOf(optionsOf(options, COUNT, 'count', this.#records.backend).kinds, 'count')
    } catch (error) {
      return await this.#runner.refuse(error, 'count')
    }
    const counts: RecordCounts = {}
    for (const kind of kinds) counts[kind] = await this.#records.count(kind)
    return counts
  }
}

/** How many records there are; `approximate`: it is an estimate. Those that have expired and are still stored count, too. */
export type RecordCounts = { [Kind in RecordKind]?: { count: number; approximate: boolean } }

/** Of what may be no record at all: that is found out behind the boundary. */
function sizeOf(kind: RecordKind, record: AnyRecord): number {
  try {
    return bytesOf(kind, record)
  } catch {
    return 0
  }
}
