import { afterEach } from 'vitest'
import { type AnyStoreOptions, openStore, type SagaStore } from '../../index.js'
import { targets } from '../support/targets'

/**
 * Backends between which records are moved here, by name; the rules of each one are in `behavior.ts`. MOVING_BACKENDS names
 * others: `MOVING_BACKENDS=redis,mongodb npm test -- moving/transfer`.
 */
export const BACKENDS: readonly string[] = (process.env.MOVING_BACKENDS ?? 'memory,sqlite').split(',')

const open: SagaStore[] = []

/** Options of a store on data of its own. */
export function optionsOn(backend: string): AnyStoreOptions & { url: string } {
  const target = targets.find(({ name }) => name === backend)
  if (target === undefined) throw new Error(`no target is called '${backend}'`)
  return target.options()
}

/** A store on data of its own, which is closed after the test. */
export async function storeOn(backend: string, more: object = {}): Promise<SagaStore> {
  return await storeAt({ ...optionsOn(backend), ...more })
}

/** The same, with these options. */
export async function storeAt(options: object): Promise<SagaStore> {
  const store = openStore(options as AnyStoreOptions)
  open.push(store)
  await store.initialize()
  return store
}

afterEach(async () => {
  for (const store of open.splice(0)) await store.close()
})

const HOUR = 3_600_000

/** Payloads with a name that tells their number. */
export async function fillPayloads(store: SagaStore, count: number, bytes = 20): Promise<void> {
  const entries = Array.from({ length: count }, (_, index) => ({
    id: `p-${String(index).padStart(6, '0')}`,
    data: Buffer.alloc(bytes, String(index)),
    ...(index % 3 === 0 && { expiresAt: new Date(Date.now() + HOUR + index) }),
  }))
  for (let at = 0; at < count; at += 500) await store.putMany(entries.slice(at, at + 500))
}

/** Records of all kinds, in all their states. */
export async function fill(store: SagaStore, count = 20): Promise<void> {
  await fillPayloads(store, count)
  await store.put('empty', Buffer.alloc(0))
  for (let index = 0; index < count; index += 1) {
    const metadata = {
      sagaId: `saga-${index}`,
      isCompleted: index % 4 === 0,
      timeoutExpiresAt: index % 5 === 0 ? new Date(Date.now() + HOUR) : null,
    }
    const state = { metadata, total: index, text: 'ä\u{1F600}"\\' }
    await store.states.insert('Order', `order-${index}`, state)
    if (index % 2 === 0) await store.states.modify('Order', `saga-${index}`, (known) => ({ ...known, total: -index }))
    await store.executions.create(`run-${index}`, 'order', { index }, { tags: ['t', `t${index % 3}`], metadata: { by: 'test' } })
    await store.executions.logStep(`run-${index}`, 'reserve', 'act', 'completed', { n: index })
    await store.inbox.accept('consumer', `message-${index}`)
  }
  const [run] = await store.executions.claim({ workerId: 'w', leaseMs: HOUR, limit: 1, statuses: ['pending'], renew: false } as never)
  await run?.checkpoint({ context: { claimed: true }, steps: [{ stepName: 'pay', action: 'act', status: 'started' }] } as never)
  const events = Array.from({ length: count }, (_, index) => ({
    eventId: `event-${String(index).padStart(4, '0')}`,
    eventType: 'OrderPlaced',
    payload: index % 2 === 0 ? { index } : Buffer.from([index, 0, 255]),
    headers: { trace: `t${index}` },
    ...(index % 3 === 0 && { partitionKey: `key-${index % 2}` }),
  }))
  await store.outbox.insert(events as never)
  const claimed = await store.outbox.claim({ workerId: 'w', batchSize: 4, leaseMs: HOUR })
  await store.outbox.fail(claimed.slice(0, 1), { error: new Error('not now') })
  await store.outbox.updateStatus(`event-${String(count - 1).padStart(4, '0')}`, 'dead_letter', 'never')
}

/** All records of a store, in an order that does not depend on the backend. */
export async function everything(store: SagaStore, kinds?: ('payloads' | 'states' | 'executions' | 'outbox' | 'inbox')[]) {
  const records: Record<string, unknown>[] = []
  for await (const record of store.exportAll(kinds === undefined ? {} : { kinds })) records.push(record as never)
  const key = (record: Record<string, unknown>) =>
    [record.kind, record.sagaName, record.consumer, record.id, record.sagaId, record.eventId, record.messageId].join('\0')
  return records.sort((one, other) => (key(one) < key(other) ? -1 : 1))
}

/** How many living payloads, or sagas, a store has: `count()` of a server may be an estimate. */
export async function howMany(store: SagaStore, kind: 'payloads' | 'states' = 'payloads'): Promise<number> {
  return (await everything(store, [kind])).length
}
