import type { SagaStore } from '../index'
import { type PayloadRecord, type PayloadSize, type RecordKind, type Records, type RecordsOfKinds, recordsOf } from '../moving/records'
import { Told } from './spec'

/** The whole records of a store. */
function recordsIn(store: SagaStore): Records {
  const records = recordsOf(store)
  if (records === undefined) throw new Told('cli.js and index.js are of different versions')
  return records
}

/** Payloads without their bytes, page by page. */
export async function* sizesOf(
  store: SagaStore,
  signal: AbortSignal,
  onUnreadable: (key: string, why: string) => void,
): AsyncGenerator<PayloadSize> {
  for await (const { records, unreadable } of recordsIn(store).pagesOfSizes()) {
    for (const [key, why] of unreadable) onUnreadable(key, why)
    yield* records
    if (signal.aborted) return
  }
}

/** All records of a kind, page by page. */
export async function* scanOf<K extends RecordKind>(store: SagaStore, kind: K, signal: AbortSignal): AsyncGenerator<RecordsOfKinds[K]> {
  for await (const { records } of recordsIn(store).pages(kind)) {
    yield* records
    if (signal.aborted) return
  }
}

/** A payload as it is stored; undefined if there is none. It may have expired. */
export async function payloadRecord(store: SagaStore, id: string): Promise<PayloadRecord | undefined> {
  const [record] = await recordsIn(store).fetch('payloads', [id])
  return record ?? undefined
}
