// What every runtime must be able to do: all kinds, threads, compression, large payloads, errors, transactions, clients.
import assert from 'node:assert'
import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ConcurrencyError, NotFoundError, openStore, SagaStoreError } from 'sagastore'

const directory = mkdtempSync(join(tmpdir(), 'sagastore-smoke-'))
const soon = new Date(Date.now() + 60_000)

async function payloads(store) {
  for (const bytes of [0, 14, 70_000, 1_500_000]) {
    const data = randomBytes(bytes)
    await store.put(`slip-${bytes}`, data, soon)
    const read = await store.get(`slip-${bytes}`)
    assert.ok(Buffer.isBuffer(read))
    assert.ok(read.equals(data), `${bytes} bytes`)
  }
  const ids = Array.from({ length: 100 }, (_, n) => `many-${n}`)
  await store.putMany(ids.map((id) => ({ id, data: Buffer.from(id), expiresAt: soon })))
  const all = await Promise.all(ids.map((id) => store.get(id)))
  assert.deepStrictEqual(all.map(String), ids)
  await assert.rejects(store.get('none'), (error) => {
    assert.ok(error instanceof NotFoundError && error instanceof SagaStoreError && error instanceof Error)
    return error.code === 'NOT_FOUND' && error.id === 'none'
  })
  assert.strictEqual(await store.delete('slip-14'), true)
}

async function states(store) {
  await store.states.insert('Order', 'o-1', { metadata: { sagaId: 's-1' }, n: 1 })
  const order = await store.states.getByCorrelationId('Order', 'o-1')
  assert.ok(order.metadata.createdAt instanceof Date)
  await store.states.update('Order', { ...order, n: 2 }, 1)
  await assert.rejects(store.states.update('Order', order, 1), ConcurrencyError)
}

async function executions(store) {
  const run = await store.executions.start('e-1', 'Order', { order: 1 }, { workerId: 'w', leaseMs: 10_000 })
  await run.logStep('charge', 'act', 'started')
  await run.checkpoint({ steps: [{ stepName: 'charge', status: 'completed', result: { paid: true } }] })
  await run.complete()
  assert.strictEqual((await store.executions.load('e-1')).status, 'completed')
}

async function outbox(store) {
  await store.outbox.insert({ eventType: 'Placed', payload: { n: 1 } })
  const seen = []
  const relay = store.outbox.relay((event) => seen.push(event.payload.n), { pollMs: 50 })
  while (seen.length === 0) await new Promise((resolve) => setTimeout(resolve, 10))
  await relay.stop()
  assert.deepStrictEqual(seen, [1])
  assert.strictEqual((await store.inbox.run('consumer', 'm-1', async () => 'done')).ran, true)
  assert.strictEqual((await store.inbox.run('consumer', 'm-1', async () => 'done')).ran, false)
}

async function transactions(store) {
  await assert.rejects(
    store.transaction(async (tx) => {
      await tx.put('rolled-back', Buffer.from('x'))
      throw new Error('no')
    }),
    /^Error: no$/,
  )
  assert.strictEqual(await store.has('rolled-back'), false)
}

const urls = ['memory://', `sqlite://${join(directory, 'smoke.db')}`, ...process.argv.slice(2)]
for (const url of urls) {
  const isShared = /^(redis|postgres)/.test(url)
  const name = `smoke_${randomBytes(4).toString('hex')}`
  const store = openStore({ url, compression: 'zstd', ...(isShared ? { namespace: name } : {}) })
  await store.initialize()
  await payloads(store)
  await states(store)
  await executions(store)
  if (store.capabilities.transactions === 'interactive') {
    await outbox(store)
    await transactions(store)
  }
  assert.strictEqual((await store.health()).status, 'healthy')
  await store.close()
  await assert.rejects(store.get('slip-0'), { code: 'CLOSED' })
}
rmSync(directory, { recursive: true, force: true })
assert.throws(() => openStore('sqlite:x.db?nothing=1'), { code: 'INVALID_ARGUMENT' })
// The process ends by itself: nothing holds it.
console.log('all well')
