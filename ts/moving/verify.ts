import { createHash } from 'node:crypto'
import { type Accepted, optionsOf } from '../arguments'
import { invalidArgument, SagaStoreError } from '../errors'
import type { SagaStore } from '../store/store'
import { checkedRecords, checkSignal, kindsOf, signalOf } from './arguments'
import { differenceOf } from './compare'
import { type AnyRecord, bytesOf, isOver, subjectOf } from './measure'
import { keyOf, PAGE, type RecordKey, type RecordKind, type RecordPage, type Records } from './records'
import type { Difference, Verification, VerifyOptions } from './types'

const VERIFY: Accepted<VerifyOptions> = { kinds: true, sample: true, signal: true }

/** Keys of records that are fetched together. */
const FETCHED = 100
const MAX_IDS = 1_000

/**
 * Compares two stores, record by record: the raw bytes of payloads and all fields of the others. JSON is compared as JSON:
 * in PostgreSQL the order of its keys is another one. What has expired is left out. Nothing is written, and neither side
 * is blocked: what changes meanwhile may be told as different.
 *
 * @throws InvalidArgumentError if an option is wrong
 */
export async function verify(source: SagaStore, target: SagaStore, options?: VerifyOptions): Promise<Verification> {
  const operation = 'verify'
  const [from, to] = [checkedRecords(source, 'the source', operation), checkedRecords(target, 'the target', operation)]
  const { kinds, sample = 1, signal } = optionsOf(options, VERIFY, operation)
  if (!(typeof sample === 'number' && sample > 0 && sample <= 1)) {
    throw invalidArgument("option 'sample' must be a number above 0, and at most 1", operation)
  }
  const verifier = new Verifier(from, to, sample, signalOf(signal, operation))
  for (const kind of kindsOf(kinds, operation)) await verifier.compare(kind)
  return verifier.found()
}

/** Stands for a record that a side has and cannot read. */
const UNREADABLE = 'unreadable'
type Unreadable = typeof UNREADABLE

class Verifier {
  readonly #source: Records
  readonly #target: Records
  readonly #sample: number
  readonly #signal: AbortSignal | undefined
  readonly #counts = { same: 0, missing: 0, extra: 0, bytes: 0, expiry: 0, version: 0, unreadable: 0 }
  readonly #ids: Difference[] = []

  constructor(source: Records, target: Records, sample: number, signal: AbortSignal | undefined) {
    this.#source = source
    this.#target = target
    this.#sample = sample
    this.#signal = signal
  }

  found(): Verification {
    const { same, missing, extra, unreadable, ...different } = this.#counts
    const wrong = missing + extra + unreadable + different.bytes + different.expiry + different.version
    return { equal: wrong === 0, same, missing, extra, different, unreadable, ids: this.#ids }
  }

  async compare(kind: RecordKind): Promise<void> {
    // A part of them is fetched from both sides; all of them are read page by page.
    const isWhole = this.#sample === 1
    for await (const { records, unreadable } of this.#pages(this.#source, kind, !isWhole)) {
      for (const [key] of unreadable) this.#note(kind, key, 'unreadable')
      for (const group of this.#groups(kind, records)) await this.#compareSome(kind, group, isWhole)
    }
    for await (const { records, unreadable } of this.#pages(this.#target, kind, true)) {
      for (const [key] of unreadable) this.#note(kind, key, 'unreadable')
      for (const group of this.#groups(kind, records)) await this.#lookForExtra(kind, group)
    }
  }

  async #compareSome(kind: RecordKind, chosen: readonly AnyRecord[], isWhole: boolean): Promise<void> {
    const keys = chosen.map((record) => keyOf(kind, record as never))
    const [here, there] = await Promise.all([
      isWhole ? chosen : this.#fetch(this.#source, kind, keys),
      this.#fetch(this.#target, kind, keys),
    ])
    chosen.forEach((record, index) => {
      const [one, other] = [here[index], there[index]]
      // Gone meanwhile.
      if (one == null) return
      const { id, name } = subjectOf(kind, record)
      const what = one === UNREADABLE || other === UNREADABLE ? 'unreadable' : other == null ? 'missing' : differenceOf(kind, one, other)
      if (what === undefined) this.#counts.same += 1
      else this.#note(kind, id, what, name)
    })
  }

  async #lookForExtra(kind: RecordKind, chosen: readonly AnyRecord[]): Promise<void> {
    const keys = chosen.map((record) => keyOf(kind, record as never))
    const there = await this.#fetch(this.#source, kind, keys)
    chosen.forEach((record, index) => {
      const { id, name } = subjectOf(kind, record)
      if (there[index] == null) this.#note(kind, id, 'extra', name)
    })
  }

  /** Pages of a side. `isLight`: payloads without their bytes. */
  #pages(side: Records, kind: RecordKind, isLight: boolean): AsyncGenerator<RecordPage<AnyRecord>> {
    const check = () => checkSignal(this.#signal)
    const pages = isLight && kind === 'payloads' ? side.pagesOfSizes(check) : side.pages(kind, check)
    return pages as AsyncGenerator<RecordPage<AnyRecord>>
  }

  /** The records that are to be compared, in groups that fit into memory. */
  *#groups(kind: RecordKind, records: readonly AnyRecord[]): Generator<AnyRecord[]> {
    const now = Date.now()
    let group: AnyRecord[] = []
    let bytes = 0
    for (const record of records) {
      if (isOver(record, now) || !this.#isChosen(kind, record)) continue
      group.push(record)
      bytes += bytesOf(kind, record)
      if (group.length < FETCHED && bytes < PAGE.maxBytes) continue
      yield group
      group = []
      bytes = 0
    }
    if (group.length > 0) yield group
  }

  /** The records of these keys; null where there is none. */
  async #fetch(side: Records, kind: RecordKind, keys: readonly RecordKey[]): Promise<(AnyRecord | Unreadable | null)[]> {
    checkSignal(this.#signal)
    try {
      return await side.fetch(kind, keys)
    } catch (error) {
      if (!(error instanceof SagaStoreError && error.code === 'CORRUPT_DATA')) throw error
      if (keys.length === 1) return [UNREADABLE]
    }
    const found: (AnyRecord | Unreadable | null)[] = []
    for (const key of keys) found.push(...(await this.#fetch(side, kind, [key])))
    return found
  }

  /** Both sides choose the same records. */
  #isChosen(kind: RecordKind, record: AnyRecord): boolean {
    if (this.#sample === 1) return true
    const key = String(keyOf(kind, record as never))
    return createHash('sha256').update(key).digest().readUInt32BE(0) < this.#sample * 2 ** 32
  }

  #note(kind: RecordKind, id: string, what: Difference['what'], name?: string): void {
    this.#counts[what] += 1
    if (this.#ids.length < MAX_IDS) this.#ids.push({ kind, id, ...(name !== undefined && { name }), what })
  }
}
