import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, describe, expect, it } from 'vitest'
import { type ExportedRecord, MemorySagaStore, type OnConflict, type SagaStore } from '../../index.js'
import { cannotClaim } from '../executions/backends'
import type { Executor } from '../support/executors'
import { rejectionOf } from '../support/promises'
import { allOf, fill, KEEPING } from './records'

async function listOf(store: SagaStore): Promise<ExportedRecord[]> {
  const records: ExportedRecord[] = []
  for await (const record of store.exportAll()) records.push(record)
  return records
}

/** Long enough to be moved, also by a machine that is busy. */
const LIFE_MS = 6_000

const at = (ms: number) => new Date(ms)
const soon = () => new Date(Date.now() + 3_600_000)

/** Two records of each kind with the same key: the second one is the newer one. */
function pairs(expiresAt: Date): [ExportedRecord, ExportedRecord][] {
  const state = (version: number) => ({
    kind: 'states' as const,
    sagaName: 'Order',
    sagaId: 's',
    correlationId: `c-${version}`,
    version,
    isCompleted: false,
    createdAt: at(1_700_000_000_000),
    updatedAt: at(1_700_000_000_000 + version),
    state: JSON.stringify({
      n: version,
      metadata: {
        sagaId: 's',
        version,
        createdAt: at(1_700_000_000_000).toJSON(),
        updatedAt: at(1_700_000_000_000 + version).toJSON(),
        isCompleted: false,
      },
    }),
  })
  const execution = (version: number) => ({
    kind: 'executions' as const,
    sagaId: 'x',
    name: 'Order',
    status: 'running',
    context: JSON.stringify({ n: version }),
    tags: [`v${version}`],
    version,
    dueAt: at(1_700_000_000_000),
    attempts: 0,
    createdAt: at(1_700_000_000_000),
    updatedAt: at(1_700_000_000_000 + version),
    entries: Array.from(
      { length: version },
      (_, n) => [n + 1, `step-${n}`, 'act', 'completed', `id-${version}-${n}`, null, null, at(1_700_000_000_000)] as never,
    ),
  })
  const event = (deliveries: number) => ({
    kind: 'outbox' as const,
    eventId: 'e',
    eventType: 'Placed',
    payload: JSON.stringify({ n: deliveries }),
    partitionKey: `k-${deliveries}`,
    occurredAt: at(1_700_000_000_000),
    operation: 'op',
    status: 'pending',
    createdAt: at(1_700_000_000_000),
    retryCount: 0,
    deliveries,
  })
  const message = (ms: number) => ({
    kind: 'inbox' as const,
    consumer: 'Mailer',
    messageId: 'm',
    operation: `op-${ms}`,
    expiresAt: at(expiresAt.getTime() + ms),
  })
  return [
    [
      { kind: 'payloads', id: 'p', data: Buffer.from('old'), expiresAt },
      { kind: 'payloads', id: 'p', data: Buffer.from('new') },
    ],
    [state(1), state(2)],
    [execution(1), execution(2)],
    [event(1), event(2)],
    [message(1), message(2)],
  ]
}

/** The rules of whole records, the same on every backend. */
export function movingBehavior(executor: Executor): void {
  const canClaim = !cannotClaim(executor)
  describe('whole records', () => {
    const opened: SagaStore[] = []
    const open = async (more?: object) => {
      const store = await executor.open(more)
      opened.push(store)
      return store
    }
    const memory = (more?: object) => {
      const store = new MemorySagaStore({ url: 'memory://', ...more })
      opened.push(store)
      return store
    }
    afterEach(async () => {
      for (const store of opened.splice(0)) await store.close()
    })

    it('arrive as they were, and are what they were for those who work with them', async () => {
      // Where nothing can be claimed, what was claimed elsewhere arrives all the same.
      const source = canClaim ? await open(KEEPING) : memory(KEEPING)
      const held = await fill(source)
      const before = await allOf(source)
      expect([...before.values()].map(({ kind }) => kind).sort()).toEqual([
        ...Array(4).fill('executions'),
        ...Array(3).fill('inbox'),
        ...Array(9).fill('outbox'),
        ...Array(7).fill('payloads'),
        ...Array(6).fill('states'),
      ])
      const between = memory(KEEPING)
      expect(await between.importRecords(source.exportAll())).toMatchObject({ transferred: before.size, skipped: 0, failed: 0 })
      expect(await allOf(between)).toEqual(before)
      const target = await open(KEEPING)
      expect(await target.importRecords(between.exportAll())).toMatchObject({ transferred: before.size, skipped: 0, failed: 0 })
      expect(await allOf(target)).toEqual(before)
      expect(await target.importRecords(between.exportAll())).toMatchObject({ transferred: 0, skipped: before.size, failed: 0 })
      expect(await target.importRecords(between.exportAll(), { onConflict: 'overwrite' })).toMatchObject({ failed: 0 })
      expect(await allOf(target)).toEqual(before)
      await source.close()

      // Payloads.
      expect((await target.get('p-large')).equals(Buffer.alloc(50_000, 'compressible '))).toBe(true)
      expect((await target.get('p-empty')).length).toBe(0)

      // Saga state.
      const { states } = target
      expect(await states.getByCorrelationId('Order', 'c-updated')).toMatchObject({ total: 4, metadata: { version: 1 } })
      const open_ = (await states.getById('Order', 's-open')) as { metadata: { sagaId: string; version: number } }
      await states.update('Order', open_, open_.metadata.version)
      expect(await rejectionOf(states.update('Order', open_, open_.metadata.version))).toMatchObject({ code: 'CONCURRENCY_CONFLICT' })
      expect(
        await rejectionOf(states.insert('Order', 'c-done', { ...open_, metadata: { ...open_.metadata, sagaId: 'other' } })),
      ).toMatchObject({
        code: 'ALREADY_EXISTS',
      })
      expect((await states.findTimedOut({ sagaName: 'Order' })).map(({ state }) => state.metadata.sagaId)).toEqual(['s-overdue'])
      expect(await states.countByName('Order', { completed: true })).toBe(1)

      // Executions.
      const { executions } = target
      const { token } = held.run
      expect(await rejectionOf(executions.checkpoint('x-leased', { context: { n: 3 } }))).toMatchObject({ code: 'LEASE_LOST' })
      const again = { token, operationId: 'op-1', context: { n: 2 } }
      const { version } = await executions.load('x-leased')
      expect(await executions.checkpoint('x-leased', again)).toMatchObject({ version })
      expect((await executions.load('x-leased')).version).toBe(version)
      const step = { stepName: 'reserve', action: 'act' as const, status: 'completed' as const, stepId: 'r1' }
      expect(await executions.checkpoint('x-leased', { token, steps: [step] })).toMatchObject({ firstSeq: 1 })
      expect((await executions.history('x-leased')).entries.length).toBe(2)
      const { entries } = await executions.history('x-long')
      expect(entries.map(({ seq }) => seq)).toEqual(Array.from({ length: 120 }, (_, n) => n + 1))
      expect((await executions.list({ tag: 'vip' })).items.map(({ sagaId }) => sagaId)).toEqual(['x-pending'])
      if (canClaim) {
        const claimed = await executions.claim({ workerId: 'w9', limit: 10 })
        expect(claimed.map(({ sagaId }) => sagaId)).toEqual(['x-long'])
        for (const run of claimed) await run.release()
      }
      expect(await executions.cleanup({ olderThanMs: 0 })).toBe(1)

      // Outbox.
      const { outbox } = target
      if (canClaim) {
        expect(await outbox.ack(held.claims)).toMatchObject({ lost: [] })
        const next = await outbox.claim({ workerId: 'w3' })
        expect(next.map(({ eventId }) => eventId)).toEqual(['e-full', 'e-behind', 'e-last'])
        await outbox.ack(next)
      }
      expect(await outbox.blockedKeys()).toMatchObject(['k-dead'])
      expect(await outbox.requeue(held.dead)).toBe(1)
      if (canClaim) {
        const freed = await outbox.claim({ workerId: 'w3' })
        expect(freed.map(({ eventId }) => eventId)).toEqual(['e-dead', 'e-behind-dead'])
        await outbox.ack(freed)
      }
      expect(await outbox.get('e-sent')).toMatchObject({ status: 'sent' })
      expect(await outbox.get('e-later')).toMatchObject({ status: 'pending' })
      expect((await outbox.bySaga('x-leased')).events.map(({ eventId }) => eventId)).toEqual(['e-full'])

      // Inbox.
      expect(await target.inbox.accept('Mailer', 'm-1')).toBe(false)
      expect(await target.inbox.accept('Mailer', 'm-3')).toBe(true)
    }, 60_000)

    it.each<[OnConflict, 'old' | 'new', 'old' | 'new']>([
      ['skip-existing', 'old', 'new'],
      ['overwrite', 'new', 'old'],
      ['newer', 'new', 'new'],
    ])(
      'that meet others of their key: %s',
      async (onConflict, ofNewer, ofOlder) => {
        const expiresAt = soon()
        const both = pairs(expiresAt)
        const expected = async (which: 'old' | 'new') => {
          const alone = memory()
          await alone.importRecords(both.map((pair) => pair[which === 'old' ? 0 : 1]))
          return await allOf(alone)
        }
        const [older, newer] = [both.map(([one]) => one), both.map(([, other]) => other)]
        for (const [first, second, which] of [
          [older, newer, ofNewer],
          [newer, older, ofOlder],
        ] as const) {
          const target = await open()
          expect(await target.importRecords(first)).toMatchObject({ transferred: 5 })
          const isStored = which === (second === newer ? 'new' : 'old')
          expect(await target.importRecords(second, { onConflict })).toMatchObject(
            isStored ? { transferred: 5, skipped: 0 } : { transferred: 0, skipped: 5 },
          )
          expect(await allOf(target)).toEqual(await expected(which))
          // Nothing of what was replaced is left.
          const isOld = which === 'old'
          expect(await target.states.getByCorrelationId('Order', isOld ? 'c-2' : 'c-1')).toBe(null)
          expect((await target.executions.list({ tag: isOld ? 'v2' : 'v1' })).items).toEqual([])
          expect((await target.executions.history('x')).entries.length).toBe(isOld ? 1 : 2)
          if (!canClaim) continue
          const claims = await target.outbox.claim({ workerId: 'w' })
          expect(claims.map(({ partitionKey }) => partitionKey)).toEqual([isOld ? 'k-1' : 'k-2'])
          await target.outbox.ack(claims)
        }
      },
      60_000,
    )

    it('that meet others of their key: fail', async () => {
      const both = pairs(soon())
      const target = await open()
      await target.importRecords(both.map(([one]) => one))
      const before = await allOf(target)
      const rejected: string[] = []
      const error = await rejectionOf(
        target.importRecords(
          both.map(([, other]) => other),
          { onConflict: 'fail', onRejected: ({ kind, code }) => void rejected.push(`${kind} ${code}`) },
        ),
      )
      expect(error.code).toBe('TRANSFER')
      expect(rejected.sort()).toEqual(['executions', 'inbox', 'outbox', 'payloads', 'states'].map((kind) => `${kind} ALREADY_EXISTS`))
      expect(await allOf(target)).toEqual(before)
    }, 60_000)

    it('of which one cannot be stored leave the others alone', async () => {
      const target = await open()
      const [, [state]] = pairs(soon()) as [unknown, [ExportedRecord & { kind: 'states' }, unknown]]
      await target.importRecords([state])
      const rejected: string[] = []
      const given: ExportedRecord[] = [
        { ...state, sagaId: 's-2', correlationId: 'c-2', state: state.state.replace('"sagaId":"s"', '"sagaId":"s-2"') },
        // Another saga has its correlation id.
        { ...state, sagaId: 's-3' },
        { ...state, sagaId: 's-4', correlationId: 'c-4', version: -1 },
        { ...state, sagaId: 's-5', correlationId: 'c-5', state: '{' },
        { ...state, sagaId: 's-6', correlationId: 'c-6', state: state.state.replace('"sagaId":"s"', '"sagaId":"s-6"') },
      ]
      const error = await rejectionOf(
        target.importRecords(given, { onConflict: 'overwrite', onRejected: ({ id, code }) => void rejected.push(`${id} ${code}`) }),
      )
      expect(error).toMatchObject({ code: 'TRANSFER', counts: { states: { transferred: 2, failed: 3 } } })
      expect(rejected).toEqual(['s-3 ALREADY_EXISTS', 's-4 INVALID_ARGUMENT', 's-5 CORRUPT_DATA'])
      expect(await target.states.countByName('Order')).toBe(3)
    }, 60_000)

    it('whose time is over are counted, not stored; others take their place', async () => {
      const [source, target] = [await open({ defaultTtlMs: LIFE_MS }), await open()]
      const metadata = { sagaId: 's', version: 0, createdAt: new Date(), updatedAt: new Date(), isCompleted: false }
      await source.states.insert('Order', 'c', { metadata })
      await source.put('p', Buffer.from('x'), new Date(Date.now() + LIFE_MS))
      await source.inbox.accept('Mailer', 'm', { ttlMs: LIFE_MS })
      const records = await listOf(source)
      expect(records.length).toBe(3)
      await target.importRecords(records)
      const before = await allOf(target)
      expect(before.size).toBe(3)
      await sleep(LIFE_MS + 300)
      expect(await (await open()).importRecords(records)).toMatchObject({ transferred: 0, expired: 3 })
      expect(await listOf(target)).toEqual([])
      const [first] = records.filter(({ kind }) => kind === 'payloads') as [ExportedRecord & { kind: 'payloads' }]
      const [second] = records.filter(({ kind }) => kind === 'states') as [ExportedRecord & { kind: 'states' }]
      const fresh = [
        { ...first, expiresAt: soon() },
        { ...second, expiresAt: soon(), correlationId: 'c-2' },
      ]
      expect(await target.importRecords(fresh, { onConflict: 'fail' })).toMatchObject({ transferred: 2 })
      expect((await target.get('p')).toString()).toBe('x')
      expect(await target.states.getByCorrelationId('Order', 'c-2')).not.toBe(null)
    }, 60_000)

    it('are no part of a transaction', async () => {
      const store = await open()
      await store.put('p', Buffer.from('x'))
      const records = await listOf(store)
      for (const call of [() => listOf(store), () => store.importRecords(records)]) {
        const error = await rejectionOf(store.transaction(async () => void (await call())))
        // What an import has come to is told with its cause.
        expect((error.cause as { code?: string } | undefined)?.code ?? error.code).toBe('UNSUPPORTED')
      }
    }, 60_000)

    it('that are there throughout are all found, whatever comes and goes meanwhile', async () => {
      const source = await open()
      const payloads = (name: string, count: number) =>
        Array.from({ length: count }, (_, n) => ({ id: `${name}-${n}`, data: Buffer.from(`${name} ${n}`) }))
      const [stays, goes] = [payloads('stays', 1_200), payloads('goes', 300)]
      await source.putMany([...stays, ...goes])
      const found = new Set<string>()
      let n = 0
      for await (const record of source.exportAll({ kinds: ['payloads'] })) {
        found.add(record.id)
        n += 1
        if (n % 5 === 0) await source.delete(`goes-${n / 5}`)
        if (n % 7 === 0) await source.put(`comes-${n}`, Buffer.from('x'))
        if (n % 11 === 0) await source.put(`stays-${n % 1_200}`, Buffer.from('again'))
      }
      expect(stays.filter(({ id }) => !found.has(id))).toEqual([])
    }, 60_000)
  })
}
