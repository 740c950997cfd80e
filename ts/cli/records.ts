import type { SagaStore } from '../index'
import { type PayloadRecord, type PayloadSize, type RecordKind, type Records, type RecordsOfKinds, recordsOf } from '../moving/records'
import { Told } from './spec'

/** Records that are asked for at a time. */
const PAGE = 500

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
  const records = recordsIn(store)
  let after: string | undefined
  do {
    const page = await records.sizes({ limit: PAGE, ...(after !== undefined && { after }) })
    for (const [key, why] of page.unreadable) onUnreadable(key, why)
    yield* page.records
    after = page.cursor ?? undefined
  } while (after !== undefined && !signal.aborted)
}

/** All records of a kind, page by page. */
export async function* scanOf<K extends RecordKind>(store: SagaStore, kind: K, signal: AbortSignal): AsyncGenerator<RecordsOfKinds[K]> {
  const records = recordsIn(store)
  let after: string | undefined
  do {
    const page = await records.scan(kind, { limit: PAGE, ...(after !== undefined && { after }) })
    yield* page.records
    after = page.cursor ?? undefined
  } while (after !== undefined && !signal.aborted)
}

/** A payload as it is stored; undefined if there is none. It may have expired. */
export async function payloadRecord(store: SagaStore, id: string): Promise<PayloadRecord | undefined> {
  const [record] = await recordsIn(store).fetch('payloads', [id])
  return record ?? undefined
}
