import { type Move, type Place, writtenCheckpoint } from './checkpoint'
import { addCounts, lookedAt, noCounts } from './measure'
import type { RecordKind } from './records'
import type { KindCounts, MovedCounts, TransferProgress } from './types'

/** A batch on its way. */
export interface Batch {
  /** What the next page begins behind; null: that was the last one. */
  readonly cursor: string | null
  /** What has become of its records, once all of that is known. */
  counts?: KindCounts
}

/** What is being moved. */
interface Current {
  kind: RecordKind
  count: number
  approximate: boolean
  /** When it began, and how many were looked at before. */
  began: number
  before: number
}

/** Counts what happens to records, and knows where to go on. */
export class Tally {
  /** Of everything that the target has answered. */
  readonly counts: MovedCounts
  readonly #move: Move
  /** Up to here everything is acknowledged: batches are, one behind the other. */
  #place: Place
  /** The checkpoint of a dry run: nothing was moved, so that the real one begins where this one has. */
  readonly #fixed: string | undefined
  #batches: Batch[] = []
  readonly #began = performance.now()
  /** Of the kind that is moved. */
  #kind: Current | undefined

  constructor(move: Move, place: Place, isDry: boolean) {
    this.#move = move
    this.#place = place
    this.#fixed = isDry ? writtenCheckpoint(move, place) : undefined
    this.counts = structuredClone(place.counts)
    for (const kind of move.kinds) this.counts[kind] ??= noCounts()
  }

  get checkpoint(): string {
    return this.#fixed ?? writtenCheckpoint(this.#move, this.#place)
  }

  get elapsedMs(): number {
    return performance.now() - this.#began
  }

  /** The kinds that are still to be moved, and where. */
  left(): { kind: RecordKind; after: string | undefined }[] {
    const { at } = this.#place
    if (at === null) return []
    const { kinds } = this.#move
    return kinds.slice(kinds.indexOf(at.kind)).map((kind) => ({ kind, after: kind === at.kind ? (at.cursor ?? undefined) : undefined }))
  }

  of(kind: RecordKind): KindCounts {
    this.counts[kind] ??= noCounts()
    return this.counts[kind]
  }

  /** A kind is begun, of which there are about so many records. */
  begin(kind: RecordKind, total: { count: number; approximate: boolean }): void {
    this.#batches = []
    this.#kind = { kind, ...total, began: performance.now(), before: lookedAt(this.of(kind)) }
  }

  /** A batch is on its way. */
  send(batch: Batch): void {
    this.#batches.push(batch)
  }

  /** All is known of a batch. Whether the checkpoint has moved. */
  settle(kind: RecordKind, batch: Batch, counts: KindCounts): boolean {
    batch.counts = counts
    let hasMoved = false
    for (let [first] = this.#batches; first?.counts !== undefined; [first] = this.#batches) {
      this.#batches.shift()
      const settled = this.#place.counts[kind] ?? noCounts()
      addCounts(settled, first.counts)
      const next = first.cursor === null ? this.#move.kinds[this.#move.kinds.indexOf(kind) + 1] : kind
      this.#place = {
        at: next === undefined ? null : { kind: next, cursor: first.cursor },
        counts: { ...this.#place.counts, [kind]: settled },
      }
      hasMoved = true
    }
    return hasMoved
  }

  progress(isDone = false): TransferProgress {
    const { kind, count, approximate, began, before } = this.#kind as Current
    const counts = this.of(kind)
    const done = lookedAt(counts)
    const total = isDone ? done : Math.max(count, done)
    const seconds = (performance.now() - began) / 1_000
    const recordsPerSecond = seconds > 0 ? (done - before) / seconds : 0
    return {
      kind,
      total,
      approximate: approximate && !isDone,
      ...counts,
      elapsedMs: this.elapsedMs,
      percentComplete: total === 0 || isDone ? 100 : Math.min(100, (done / total) * 100),
      recordsPerSecond,
      etaMs: isDone ? 0 : recordsPerSecond > 0 ? ((total - done) / recordsPerSecond) * 1_000 : null,
      checkpoint: this.checkpoint,
    }
  }
}
