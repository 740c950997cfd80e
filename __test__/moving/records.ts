import type { AnyStoreOptions, Claim, ExportedRecord, SagaRun, SagaStore } from '../../index.js'

/** Options under which sent events are kept, one failure makes a dead letter, and payloads are compressed. */
export const KEEPING = {
  compression: 'zstd',
  outbox: { retainSentMs: 3_600_000, maxRetries: 0 },
} satisfies Partial<AnyStoreOptions>

/** What whoever works with a store has in the hand. */
export interface Held {
  /** A claim of two events. */
  claims: Claim[]
  /** A leased execution. */
  run: SagaRun
  /** Ids of dead letters. */
  dead: string[]
}

const inAnHour = () => new Date(Date.now() + 3_600_000)

function state(sagaId: string, more: object = {}, metadata: object = {}) {
  const now = new Date(Math.floor(Date.now() / 1_000) * 1_000 + 123)
  return {
    ...more,
    metadata: { sagaId, version: 0, createdAt: now, updatedAt: now, isCompleted: false, ...metadata },
  }
}

/** Records of every kind, in every condition that they can be in. */
export async function fill(store: SagaStore): Promise<Held> {
  await store.put('p-plain', Buffer.from('plain'))
  await store.put('p-expires', Buffer.from('expires'), inAnHour())
  await store.put('p-year-9999', Buffer.from('late'), new Date('9999-12-31T23:59:59.999Z'))
  await store.put('p-empty', Buffer.alloc(0))
  await store.put('p-large', Buffer.alloc(50_000, 'compressible '), inAnHour())
  await store.put('p-bytes', Buffer.from(Array.from({ length: 256 }, (_, n) => n)))
  await store.put('p-ünï/cödé:1', Buffer.from('x'))

  const { states } = store
  await states.insert('Order', 'c-open', state('s-open', { total: 3, text: 'ä "quoted" \u0001' }))
  await states.insert('Order', 'c-updated', state('s-updated'))
  await states.modify('Order', 's-updated', (found: { metadata: object }) => ({ ...found, total: 4 }))
  await states.insert('Order', 'c-timeout', state('s-timeout', {}, { timeoutMs: 1_000, timeoutExpiresAt: inAnHour() }))
  await states.insert('Order', 'c-overdue', state('s-overdue', {}, { timeoutExpiresAt: new Date(Date.now() - 60_000) }))
  await states.insert('Order', 'c-done', state('s-done', {}, { isCompleted: true }))
  await states.insert('Payment', 'c-open', state('s-open'))

  const { executions } = store
  await executions.create('x-pending', 'Order', { n: 1 }, { dueAt: inAnHour(), tags: ['eu', 'vip'], metadata: { by: 'test' } })
  const run = await executions.start('x-leased', 'Order', { n: 1 }, { workerId: 'w1', leaseMs: 600_000 })
  await run.checkpoint({
    context: { n: 2 },
    operationId: 'op-1',
    steps: [
      { stepName: 'reserve', action: 'act', status: 'completed', stepId: 'r1', result: { ok: true } },
      { stepName: 'charge', action: 'act', status: 'started', attempt: 2, details: 'again' },
    ],
  })
  await executions.create('x-done', 'Order', {}, { status: 'running' })
  await executions.updateStatus('x-done', 'completed')
  await executions.create('x-long', 'Order', null, { status: 'running', subStatus: 'waiting' })
  for (let n = 0; n < 3; n += 1) {
    const steps = Array.from({ length: 40 }, (_, step) => ({
      stepName: `step-${n}-${step}`,
      action: 'act' as const,
      status: 'completed' as const,
      result: 'x'.repeat(200),
    }))
    await executions.checkpoint('x-long', { steps })
  }

  const { outbox } = store
  const event = (eventId: string, more: object = {}) => ({ eventId, eventType: 'Placed', payload: { eventId }, ...more })
  await outbox.insert([event('e-sent'), event('e-dead', { partitionKey: 'k-dead' })])
  const [sent, dead] = (await outbox.claim({ workerId: 'w1' })) as [Claim, Claim]
  await outbox.ack([sent])
  await outbox.fail([dead], { error: 'no "ü"' })
  await outbox.insert([event('e-claimed-1', { partitionKey: 'k1' }), event('e-claimed-2', { payload: Buffer.from([0, 255]) })])
  const claims = await outbox.claim({ workerId: 'w2', leaseMs: 600_000 })
  await outbox.insert(
    event('e-full', {
      sagaId: 'x-leased',
      aggregateType: 'Order',
      aggregateId: 'o-1',
      headers: { trace: 'ä' },
      routingKey: 'orders.eu',
      occurredAt: new Date(1_700_000_000_123),
    }),
  )
  await outbox.insert([
    event('e-behind', { partitionKey: 'k1' }),
    event('e-behind-dead', { partitionKey: 'k-dead' }),
    event('e-later', { availableAt: inAnHour() }),
    event('e-last', { partitionKey: 'k2' }),
  ])

  await store.inbox.accept('Mailer', 'm-1')
  await store.inbox.accept('Mailer', 'm-2', { ttlMs: 3_600_000 })
  await store.inbox.accept('Billing', 'm-1')
  return { claims, run, dead: [dead.eventId] }
}

const nameOf = (record: ExportedRecord): string =>
  JSON.stringify(
    record.kind === 'states'
      ? [record.sagaName, record.sagaId]
      : record.kind === 'inbox'
        ? [record.consumer, record.messageId]
        : record.kind === 'payloads'
          ? record.id
          : record.kind === 'outbox'
            ? record.eventId
            : record.sagaId,
  )

/** All records of a store by kind and key; a record that comes twice is the same. */
export async function allOf(store: SagaStore): Promise<Map<string, ExportedRecord>> {
  const all = new Map<string, ExportedRecord>()
  for await (const record of store.exportAll()) all.set(`${record.kind} ${nameOf(record)}`, plain(record))
  return new Map([...all].sort(([one], [other]) => (one < other ? -1 : 1)))
}

/**
 * Buffers and other views of bytes are compared by what is in them, a saga's state by what it says: PostgreSQL's `jsonb`
 * has spaces and an order of its own.
 */
function plain(record: ExportedRecord): ExportedRecord {
  const bytes = (value: unknown) => (value instanceof Uint8Array ? Buffer.from(value).toString('base64') : value)
  const properties = Object.fromEntries(Object.entries(record).map(([name, value]) => [name, bytes(value)]))
  if (record.kind === 'states') properties.state = JSON.parse(record.state)
  return properties as unknown as ExportedRecord
}
