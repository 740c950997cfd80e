import { errorOf } from '../errors'
import { checkSignal, isRetryable, pause } from './arguments'
import type { Move, Place } from './checkpoint'
import type { SeenRecord, Sink, Source } from './ends'
import { type AnyRecord, addCounts, bytesOf, isOver, noCounts, subjectOf, sumOf, unreadableOf } from './measure'
import type { Pace } from './pace'
import type { Fate, OnConflict, RecordKind, RecordPage } from './records'
import { type Batch, Tally } from './tally'
import type { KindCounts, OnRejected, RejectedRecord, TransferProgress, TransferResult } from './types'

/** How records are moved. */
export interface Terms {
  /** Such as `transfer`. */
  operation: string
  kinds: readonly RecordKind[]
  batchSize: number
  concurrency: number
  onError: 'fail' | 'skip' | 'retry'
  onConflict: OnConflict
  onRejected: OnRejected | undefined
  dryRun: boolean
  pace: Pace
  signal: AbortSignal | undefined
  /** Whether the move can go on at a checkpoint. */
  resumes: boolean
}

/** Bytes of a page. */
const PAGE_BYTES = 8 * 1_024 * 1_024
/** The error has so many of the records that could not be moved. */
const MAX_REJECTED = 100
/** How often what may pass by itself is tried again with `retry`: for about half a minute. */
const RETRIES = 8
const FIRST_PAUSE_MS = 100
const LONGEST_PAUSE_MS = 10_000

/** A record could not be moved, and the move ends with it. */
class Rejection extends Error {}

/**
 * Moves records from a source into a target: pages are read one after the other, and several of them are written at
 * once. A page that is read waits until another one is written: no more than those are in memory.
 */
export class Mover {
  readonly #source: Source
  readonly #sink: Sink
  readonly #terms: Terms
  readonly #tally: Tally
  readonly #rejected: RejectedRecord[] = []
  readonly #tell: (progress: TransferProgress) => void

  constructor(source: Source, sink: Sink, terms: Terms, place: Place, tell: (progress: TransferProgress) => void) {
    this.#source = source
    this.#sink = sink
    this.#terms = terms
    this.#tell = tell
    const move: Move = { source: source.where, target: sink.where, kinds: terms.kinds }
    this.#tally = new Tally(move, place, terms.dryRun)
  }

  /** Moves everything. Rejects with `TRANSFER` if something could not be moved. */
  async run(): Promise<TransferResult> {
    const { dryRun, kinds } = this.#terms
    try {
      await this.#source.open()
      if (!dryRun) await this.#sink.open(kinds, this.#source.where)
    } catch (error) {
      await this.#close(false)
      throw error
    }
    try {
      for (const { kind, after } of this.#tally.left()) await this.#moveKind(kind, after)
      await this.#source.close(true)
      if (!dryRun) await this.#sink.close(true)
    } catch (error) {
      await this.#close(false)
      throw this.failure(error)
    }
    const { failed } = sumOf(this.#tally.counts)
    if (failed > 0) throw this.failure(new Rejection())
    return this.result()
  }

  result(): TransferResult {
    const { counts, elapsedMs, checkpoint } = this.#tally
    return { ...sumOf(counts), counts, elapsedMs, checkpoint, dryRun: this.#terms.dryRun }
  }

  /** `TRANSFER`, with all that is known. */
  failure(cause: unknown, message = this.#why(cause)): Error {
    const { operation, resumes } = this.#terms
    const error = errorOf('TRANSFER', message, {
      operation,
      retryable: isRetryable(cause),
      cause: cause instanceof Rejection ? undefined : cause,
    })
    const { counts, checkpoint } = this.#tally
    return Object.assign(error, { counts, rejected: this.#rejected, ...(resumes && { checkpoint }) })
  }

  #why(cause: unknown): string {
    const { failed, ...rest } = sumOf(this.#tally.counts)
    const moved = `${rest.transferred} transferred, ${failed} failed, ${rest.skipped} skipped, ${rest.expired} expired`
    if (!(cause instanceof Rejection)) {
      const isStopped = this.#terms.signal?.aborted === true
      const why = cause instanceof Error ? cause.message : String(cause)
      return isStopped ? `stopped: ${moved}` : `ended by an error: ${why} (${moved})`
    }
    const [first] = this.#rejected
    const which = first === undefined ? '' : `; the first: ${first.kind} '${first.id.slice(0, 80)}': ${first.message}`
    return `${failed} records could not be moved${which} (${moved})`
  }

  async #close(isWhole: boolean): Promise<void> {
    // Why the move has ended is more than why it cannot be closed.
    await this.#source.close(isWhole).catch(() => undefined)
    if (!this.#terms.dryRun) await this.#sink.close(isWhole).catch(() => undefined)
  }

  async #moveKind(kind: RecordKind, from: string | undefined): Promise<void> {
    const { pace, batchSize, dryRun, signal } = this.#terms
    const most = Math.min(this.#terms.concurrency, this.#sink.concurrency, kind === 'outbox' ? 1 : Number.POSITIVE_INFINITY)
    checkSignal(signal)
    this.#tally.begin(kind, await this.#patiently(() => this.#source.count(kind)))
    this.#tell(this.#tally.progress())
    const running = new Set<Promise<void>>()
    let failure: { error: unknown } | undefined
    try {
      for (let after = from; failure === undefined; ) {
        checkSignal(signal)
        const page = await this.#patiently((): Promise<RecordPage<SeenRecord>> => {
          const terms = [kind, after, pace.limit(batchSize), pace.maxBytes(PAGE_BYTES)] as const
          return dryRun ? this.#source.look(...terms) : this.#source.page(...terms)
        })
        while (running.size >= most) await Promise.race(running)
        if (failure !== undefined) break
        await pace.take(
          page.records.length,
          page.records.reduce((sum, record) => sum + bytesOf(kind, record), 0),
        )
        checkSignal(signal)
        const batch: Batch = { cursor: page.cursor }
        this.#tally.send(batch)
        const writing: Promise<void> = this.#write(kind, page, batch)
          .catch((error) => {
            failure ??= { error }
          })
          .finally(() => running.delete(writing))
        running.add(writing)
        if (page.cursor === null) break
        after = page.cursor
      }
    } finally {
      await Promise.all(running)
    }
    if (failure !== undefined) throw (failure as { error: unknown }).error
    this.#tell(this.#tally.progress(true))
  }

  async #write(kind: RecordKind, page: RecordPage<SeenRecord>, batch: Batch): Promise<void> {
    const counts = noCounts()
    const rejected = page.unreadable.map((entry) => unreadableOf(kind, entry))
    const fates = this.#terms.dryRun ? this.#looked(page.records) : await this.#put(kind, page.records as AnyRecord[])
    fates.forEach((fate, index) => {
      const record = page.records[index] as SeenRecord
      if (fate === 'stored') {
        counts.transferred += 1
        counts.bytes += bytesOf(kind, record)
      } else if (fate === 'skipped') counts.skipped += 1
      else if (fate === 'expired') counts.expired += 1
      else rejected.push({ ...subjectOf(kind, record as AnyRecord), code: fate.code, message: fate.message })
    })
    counts.failed = rejected.length
    addCounts(this.#tally.of(kind), counts)
    await this.#reject(rejected)
    // The batch stays open: whoever goes on begins before it.
    if (rejected.length > 0 && this.#terms.onError !== 'skip') throw new Rejection()
    if (this.#tally.settle(kind, batch, counts)) this.#tell(this.#tally.progress())
  }

  async #reject(rejected: readonly RejectedRecord[]): Promise<void> {
    this.#rejected.push(...rejected.slice(0, MAX_REJECTED - this.#rejected.length))
    for (const one of rejected) await this.#terms.onRejected?.(one)
  }

  /** What a dry run knows of the fates. */
  #looked(records: readonly SeenRecord[]): Fate[] {
    const now = Date.now()
    return records.map((record) => {
      if (isOver(record, now)) return 'expired'
      if (!('bytes' in record || 'data' in record)) return 'stored'
      const size = 'bytes' in record ? record.bytes : record.data.byteLength
      const limit = this.#sink.maxPayloadBytes(record.id)
      if (size <= limit) return 'stored'
      return { code: 'PAYLOAD_TOO_LARGE', message: `the payload has ${size} bytes; the limit is ${limit}`, retryable: false }
    })
  }

  async #put(kind: RecordKind, records: readonly AnyRecord[]): Promise<Fate[]> {
    if (records.length === 0) return []
    const { onConflict, onError, signal } = this.#terms
    // What is written again meets itself where the id must be free.
    const put = (some: readonly AnyRecord[]) =>
      onConflict === 'fail' ? this.#sink.put(kind, some, onConflict) : this.#patiently(() => this.#sink.put(kind, some, onConflict))
    const fates = await put(records)
    if (onError !== 'retry') return fates
    for (let attempt = 0; attempt < RETRIES; attempt += 1) {
      const again = fates.flatMap((fate, index) => (typeof fate === 'object' && fate.retryable ? [index] : []))
      if (again.length === 0) break
      await pause(pauseBefore(attempt), signal)
      const others = await put(again.map((index) => records[index] as AnyRecord))
      again.forEach((index, place) => {
        fates[index] = others[place] as Fate
      })
    }
    return fates
  }

  /** With `retry`, what fails and may pass by itself is tried again. */
  async #patiently<T>(work: () => Promise<T>): Promise<T> {
    for (let attempt = 0; ; attempt += 1) {
      try {
        return await work()
      } catch (error) {
        const { onError, signal } = this.#terms
        if (onError !== 'retry' || attempt >= RETRIES || !isRetryable(error)) throw error
        await pause(pauseBefore(attempt), signal)
      }
    }
  }
}

function pauseBefore(attempt: number): number {
  return Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** attempt) * (0.5 + Math.random() / 2)
}

/** What has become of nothing yet. */
export function startOf(kinds: readonly RecordKind[]): Place {
  const counts: Record<string, KindCounts> = {}
  return { at: { kind: kinds[0] as RecordKind, cursor: null }, counts }
}
