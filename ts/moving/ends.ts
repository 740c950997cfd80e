import type { StoreFacts } from './facts'
import type { AnyRecord } from './measure'
import type { Fate, OnConflict, RecordKind, RecordPage, Records } from './records'

/** A record of a dry run may be without its bytes. */
export type SeenRecord = AnyRecord | { id: string; bytes: number; expiresAt?: Date }

/** Where records come from. */
export interface Source {
  /** What it is, for checkpoints: without a password. */
  readonly where: string
  /** Before anything is read. */
  open(): Promise<void>
  count(kind: RecordKind): Promise<{ count: number; approximate: boolean }>
  /** A page of what is behind a cursor. */
  page(kind: RecordKind, after: string | undefined, limit: number, maxBytes: number): Promise<RecordPage<AnyRecord>>
  /** The same, for a dry run: payloads may be without their bytes. */
  look(kind: RecordKind, after: string | undefined, limit: number, maxBytes: number): Promise<RecordPage<SeenRecord>>
  /** After the last page (`isWhole`), or where the move has ended before. */
  close(isWhole: boolean): Promise<void>
}

/** Where records go. */
export interface Sink {
  /** What it is, for checkpoints: without a password. */
  readonly where: string
  /** Batches that can be written at once. */
  readonly concurrency: number
  /** The largest payload that it takes under an id. */
  maxPayloadBytes(id: string): number
  /** Before anything is written. */
  open(kinds: readonly RecordKind[], source: string): Promise<void>
  put(kind: RecordKind, records: readonly AnyRecord[], onConflict: OnConflict): Promise<Fate[]>
  /** After the last batch (`isWhole`), or where the move has ended before. */
  close(isWhole: boolean): Promise<void>
}

/** The most that a store takes in one call. */
export const MAX_BATCH = 1_000

/** A store as a source. */
export class StoreSource implements Source {
  readonly where: string
  readonly #records: Records

  constructor(records: Records, facts: StoreFacts) {
    this.where = facts.where
    this.#records = records
  }

  async open(): Promise<void> {}

  count(kind: RecordKind): Promise<{ count: number; approximate: boolean }> {
    return this.#records.count(kind)
  }

  page(kind: RecordKind, after: string | undefined, limit: number, maxBytes: number): Promise<RecordPage<AnyRecord>> {
    return this.#records.scan(kind, { limit, maxBytes, ...(after !== undefined && { after }) })
  }

  look(kind: RecordKind, after: string | undefined, limit: number, maxBytes: number): Promise<RecordPage<SeenRecord>> {
    if (kind !== 'payloads') return this.page(kind, after, limit, maxBytes)
    return this.#records.sizes({ limit, ...(after !== undefined && { after }) })
  }

  async close(): Promise<void> {}
}

/** A store as a target. */
export class StoreSink implements Sink {
  readonly where: string
  readonly concurrency = 32
  readonly #records: Records
  readonly #facts: StoreFacts

  constructor(records: Records, facts: StoreFacts) {
    this.where = facts.where
    this.#records = records
    this.#facts = facts
  }

  maxPayloadBytes(id: string): number {
    return this.#facts.maxPayloadBytes(id)
  }

  async open(): Promise<void> {}

  put(kind: RecordKind, records: readonly AnyRecord[], onConflict: OnConflict): Promise<Fate[]> {
    return this.#records.importRecords(kind, records as never, onConflict)
  }

  async close(): Promise<void> {}
}
