// What the commands show and mend, with --json, on every backend that processes share.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type AnyStoreOptions, openStore, type SagaStore } from '../../index.js'
import { missing, targets, temporaryDirectory } from '../support/targets'
import { done, json, sagastore } from './command-line'

const NAMES = ['sqlite', 'postgres', 'redis', 'redis cluster', 'mongodb', 'dynamodb']

describe.each(targets.filter(({ name }) => NAMES.includes(name)))('$name', (target) => {
  const skipped = missing(target)
  let store: SagaStore
  let how: string[]

  beforeAll(async () => {
    if (skipped) return
    const { url, ...options } = target.options()
    const file = join(temporaryDirectory(), 'options.json')
    writeFileSync(file, JSON.stringify(options))
    const urlFile = join(temporaryDirectory(), 'url')
    writeFileSync(urlFile, `${url}\n`)
    how = ['--url-file', urlFile, '--options-file', file]
    store = openStore({ url, ...options } as AnyStoreOptions)
  })

  afterAll(async () => {
    await store?.close()
  })

  const run = (...args: string[]) => sagastore([...args, ...how])
  const values = async (...args: string[]) => {
    const { code, values, stderr } = await json([...args, ...how])
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    return values
  }

  it.skipIf(skipped)('init, health, stats', async () => {
    const [made] = (await json(['init', ...how])).values
    expect(made).toMatchObject({ backend: store.backend })
    const { code, values: healths } = await json(['health', ...how])
    expect([code, healths]).toEqual([0, [expect.objectContaining({ status: 'healthy', backend: store.backend })]])
    const [counts] = await values('stats')
    expect(counts).toMatchObject({ payloads: { count: 0 }, executions: { total: 0 }, outbox: { dead: 0 } })
    expect(await done(['stats', ...how])).toMatch(/payloads\n {2}stored/)
  })

  it.skipIf(skipped)('put, get, list, delete', async () => {
    const bytes = Buffer.from(Array.from({ length: 70_000 }, (_, n) => n % 256))
    const put = await sagastore(['put', 'slip-4711-1', '--expires-in', '1h', ...how], { input: bytes })
    expect(put).toMatchObject({ code: 0, stderr: '' })
    expect((await run('get', 'slip-4711-1')).bytes.equals(bytes)).toBe(true)
    const [found] = await values('get', 'slip-4711-1')
    expect(found).toMatchObject({ id: 'slip-4711-1', bytes: 70_000, data: { base64: bytes.toString('base64') } })
    await store.put('slip-4711-2', Buffer.from('two'))
    await store.put('other', Buffer.from('three'))
    const listed = (await values('list', '--prefix', 'slip-')) as { id: string; expiresAt?: string }[]
    expect(listed.sort((a, b) => (a.id < b.id ? -1 : 1))).toEqual([
      { id: 'slip-4711-1', bytes: 70_000, expiresAt: expect.stringMatching(/^\d{4}-/) },
      { id: 'slip-4711-2', bytes: 3 },
    ])
    expect(await values('list', '--limit', '1')).toHaveLength(1)
    expect(await run('delete', 'slip-4711-2')).toMatchObject({ code: 2, stdout: '' })
    expect(await store.has('slip-4711-2')).toBe(true)
    expect(await json(['delete', 'slip-4711-2', 'never', '--yes', ...how])).toMatchObject({
      code: 3,
      values: [
        { id: 'slip-4711-2', deleted: true },
        { id: 'never', deleted: false },
      ],
    })
    expect(await run('get', 'slip-4711-2')).toMatchObject({ code: 1, stdout: '', stderr: expect.stringContaining('NOT_FOUND') })
  })

  it.skipIf(skipped)('states', async () => {
    const timeoutExpiresAt = new Date(Date.now() - 60_000)
    await store.states.insert('OrderSaga', 'order-1', { metadata: { sagaId: 'saga-1', timeoutExpiresAt }, total: 1 })
    await store.states.insert('OrderSaga', 'order-2', { metadata: { sagaId: 'saga-2', isCompleted: true }, total: 2 })
    expect(await values('states', 'get', 'OrderSaga', 'saga-1')).toMatchObject([{ metadata: { sagaId: 'saga-1', version: 1 }, total: 1 }])
    expect(await values('states', 'get', 'OrderSaga', 'order-2', '--correlation')).toMatchObject([{ total: 2 }])
    // On DynamoDB the lists follow a moment later.
    await expect.poll(() => values('states', 'list', 'OrderSaga')).toHaveLength(2)
    await expect.poll(() => values('states', 'list', 'OrderSaga', '--active')).toMatchObject([{ total: 1 }])
    expect(await values('states', 'count', 'OrderSaga', '--completed')).toEqual([{ sagaName: 'OrderSaga', count: 1 }])
    expect(await values('states', 'timed-out')).toMatchObject([{ sagaName: 'OrderSaga', state: { total: 1 } }])
    expect(await values('states', 'reindex')).toMatchObject([{ unreadable: 0 }])
    expect(await values('states', 'delete', 'OrderSaga', 'saga-2', '--yes')).toEqual([
      { sagaName: 'OrderSaga', sagaId: 'saga-2', deleted: true },
    ])
    expect(await run('states', 'get', 'OrderSaga', 'saga-2')).toMatchObject({ code: 1, stdout: '' })
    expect((await run('states', 'get', 'OrderSaga', 'saga-1')).stdout).toContain('"total": 1')
  })

  it.skipIf(skipped)('executions', async () => {
    const steps = [{ stepName: 'reserve', status: 'failed' as const, error: new Error('out of stock') }]
    await store.executions.create('order-1', 'OrderSaga', { total: 1 }, { status: 'running', steps, tags: ['eu'] })
    await store.executions.create('order-2', 'OrderSaga', { total: 2 }, { status: 'completed' })
    await expect.poll(() => values('executions', 'list')).toHaveLength(2)
    expect(await values('executions', 'list', '--status', 'completed', '--name', 'OrderSaga')).toMatchObject([{ sagaId: 'order-2' }])
    expect(await values('executions', 'list', '--tag', 'eu')).toMatchObject([{ sagaId: 'order-1' }])
    const [shown] = await values('executions', 'show', 'order-1')
    expect(shown).toMatchObject({
      execution: { sagaId: 'order-1', context: { total: 1 } },
      steps: [{ stepName: 'reserve', status: 'failed' }],
    })
    expect((await run('executions', 'show', 'order-1')).stdout).toContain('out of stock')
    expect(await values('executions', 'parked')).toEqual([])
    expect(await json(['executions', 'redrive', 'order-1', ...how])).toMatchObject({ code: 3, values: [{ redriven: 0, notParked: 1 }] })
    if (store.backend === 'mongodb' && !canClaim) return
    await park(store, 'order-1')
    await expect.poll(() => values('executions', 'parked')).toMatchObject([{ sagaId: 'order-1' }])
    expect(await values('executions', 'redrive', '--all')).toEqual([{ redriven: 1, notParked: 0 }])
    await expect.poll(() => values('executions', 'parked')).toEqual([])
  })

  /** FerretDB 1 cannot claim. */
  const canClaim = process.env.MONGODB_URL === undefined || process.env.MONGODB_CLAIMS === '1'

  it.skipIf(skipped)('outbox', async () => {
    await store.outbox.insert<unknown>([
      { eventId: 'e-1', eventType: 'OrderPlaced', payload: { total: 1 }, partitionKey: 'order-1', sagaId: 'order-1' },
      { eventId: 'e-2', eventType: 'OrderPaid', payload: Buffer.from('bytes'), partitionKey: 'order-1' },
    ])
    await store.outbox.updateStatus('e-1', 'dead_letter', 'refused')
    await expect.poll(() => values('outbox', 'list')).toHaveLength(2)
    await expect.poll(() => values('outbox', 'dead')).toMatchObject([{ eventId: 'e-1', lastError: 'refused' }])
    expect(await values('outbox', 'list', '--status', 'pending')).toMatchObject([
      { eventId: 'e-2', payload: { base64: Buffer.from('bytes').toString('base64') } },
    ])
    expect(await json(['outbox', 'requeue', 'e-1', 'e-2', ...how])).toMatchObject({ code: 3, values: [{ requeued: 1, notDead: 1 }] })
    await store.outbox.updateStatus('e-1', 'dead_letter', 'refused again')
    await expect.poll(() => values('outbox', 'dead')).toHaveLength(1)
    expect(await values('outbox', 'requeue', '--partition-key', 'order-1')).toEqual([{ requeued: 1, notDead: 0 }])
    await store.outbox.updateStatus('e-1', 'dead_letter')
    expect(await run('outbox', 'discard', 'e-1')).toMatchObject({ code: 2 })
    expect(await values('outbox', 'discard', 'e-1', '--yes')).toEqual([{ discarded: 1, notDead: 0 }])
    expect(await values('outbox', 'stuck')).toEqual([])
    if (store.backend === 'mongodb' && !canClaim) return
    await expect.poll(() => store.outbox.claim({ workerId: 'w' })).toHaveLength(1)
    await expect.poll(() => values('outbox', 'stuck', '--older-than', '1ms')).toMatchObject([{ eventId: 'e-2', workerId: 'w' }])
    expect(await values('outbox', 'stuck', '--older-than', '1ms', '--release')).toEqual([{ released: 1 }])
  })

  it.skipIf(skipped)('inspect finds an id in every kind', async () => {
    const id = 'everywhere'
    await store.put(id, Buffer.from('payload'))
    await store.states.insert('OrderSaga', id, { metadata: { sagaId: 'saga-3' }, total: 3 })
    await store.executions.create(id, 'OtherSaga', {})
    await store.outbox.insert([
      { eventId: id, eventType: 'OrderPlaced', payload: 1 },
      { eventId: 'e-3', eventType: 'OrderPlaced', payload: 1, sagaId: id },
    ])
    await store.inbox.accept('billing', id)
    const kinds = ['payload', 'execution', 'event', 'events of the saga', 'saga', 'message']
    const found = () => values('inspect', id) as Promise<{ found: string }[]>
    await expect.poll(async () => (await found()).map((one) => one.found)).toEqual(kinds)
    const quick = (await values('inspect', id, '--quick', '--name', 'OrderSaga')) as { found: string }[]
    expect(quick.map((one) => one.found).sort()).toEqual(kinds.filter((kind) => kind !== 'message').sort())
    const human = await run('inspect', id)
    expect(human).toMatchObject({ code: 0, stderr: '' })
    expect(human.stdout).toContain("saga 'OrderSaga', found by its correlation id")
    expect(await run('inspect', 'nowhere')).toMatchObject({
      code: 1,
      stdout: '',
      stderr: expect.stringContaining("nothing has the id 'nowhere'"),
    })
  })

  it.skipIf(skipped)('cleanup', async () => {
    await store.put('late', Buffer.from('x'), new Date(Date.now() + 500))
    await new Promise((resolve) => setTimeout(resolve, 600))
    expect(await values('cleanup')).toEqual([{ removed: expect.any(Number) }])
    expect(await run('get', 'late')).toMatchObject({ code: 1 })
  })
})

/** Has a worker die with it as often as it takes. */
async function park(store: SagaStore, sagaId: string): Promise<void> {
  for (let attempt = 0; attempt < 40; attempt += 1) {
    const [run] = await store.executions.claim({ workerId: 'w', maxRecoveryAttempts: 1 })
    await run?.release({ error: new Error('it failed'), retryAt: new Date() })
    if ((await store.executions.load(sagaId)).parkedAt !== null) return
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  throw new Error('it was not parked')
}
