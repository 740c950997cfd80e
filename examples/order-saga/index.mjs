// An order saga of five steps and a timeout: a worker process dies in the middle of it, the next one goes on where
// the state says; an order that nobody has paid for times out and is compensated.
// node examples/order-saga/index.mjs [URL]: an SQLite file by default, or postgres:, redis:, mongodb:, dynamodb:
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { AlreadyExistsError, openStore } from 'sagastore'

const NAME = 'OrderSaga'
const STEPS = ['reserve-stock', 'charge-card', 'book-carrier', 'send-confirmation', 'close']
const PAYMENT_WITHIN_MS = 60_000

/** What each step would ask other services to do. */
const act = (step, order) => console.log(`   [${process.pid}] order ${order}: ${step}`)

/** In a transaction, unless the server has none (a MongoDB that is no replica set): then in this order. */
const together = (store, work) => (store.capabilities.transactions === 'none' ? work(store) : store.transaction(work))

/** A message for an order: begins its saga, or goes on with the one that is there. */
async function handle(store, order, diesAfter) {
  const { states } = store
  let saga = await states.getByCorrelationId(NAME, order)
  if (saga === null) {
    const now = new Date()
    const timeoutExpiresAt = new Date(now.getTime() + PAYMENT_WITHIN_MS)
    saga = { metadata: { sagaId: `saga-${order}`, version: 1, createdAt: now, updatedAt: now, timeoutExpiresAt }, order, done: [] }
    try {
      await states.insert(NAME, order, saga)
    } catch (error) {
      // Another worker was quicker: the message is its.
      if (error instanceof AlreadyExistsError) return
      throw error
    }
  }
  for (const step of STEPS.slice(saga.done.length)) {
    act(step, order)
    const { version } = saga.metadata
    saga.done.push(step)
    Object.assign(saga.metadata, { updatedAt: new Date(), isCompleted: step === 'close' })
    // What the step has changed and the message that goes out belong together: both are stored, or neither.
    await together(store, async (tx) => {
      await tx.put(`slip-${order}-${step}`, Buffer.from(JSON.stringify({ order, step })), new Date(Date.now() + 3_600_000))
      await tx.states.update(NAME, saga, version)
    })
    saga.metadata.version = version + 1
    if (saga.done.length === diesAfter) process.kill(process.pid, 'SIGKILL')
  }
}

/** Sagas whose time is over are undone, in the opposite order of what they have done. */
async function compensate(store, now) {
  for (const { sagaName, state } of await store.states.findTimedOut({ now })) {
    for (const step of [...state.done].reverse()) act(`undo ${step}`, state.order)
    await store.states.modify(sagaName, state.metadata.sagaId, (saga) => {
      saga.compensated = true
      saga.metadata.isCompleted = true
      return saga
    })
  }
}

async function work(url, order, diesAfter) {
  const store = openStore(url)
  await store.initialize() // Each process may; and what its server lacks is known then.
  await handle(store, order, diesAfter)
  await store.close()
}

async function main(given) {
  const directory = mkdtempSync(join(tmpdir(), 'sagastore-order-saga-'))
  const url = given ?? `sqlite://${join(directory, 'orders.db')}`
  const worker = (order, diesAfter) =>
    spawnSync(process.execPath, [fileURLToPath(import.meta.url), '--work', url, order, String(diesAfter)], { stdio: 'inherit' }).signal
  const run = Date.now()
  const [first, second] = [`${run}-1`, `${run}-2`]
  const store = openStore(url)
  try {
    await store.initialize()
    console.log('1. A worker takes the order, and is killed after its third step')
    console.log(`   it ended by ${worker(first, 3)}; ${JSON.stringify((await store.states.getByCorrelationId(NAME, first)).done)} are done`)

    console.log('2. The message is delivered again: the next worker does what is left')
    worker(first, 0)
    const saga = await store.states.getByCorrelationId(NAME, first)
    console.log(`   version ${saga.metadata.version}, completed: ${saga.metadata.isCompleted}`)

    console.log('3. Another order is reserved, and nobody pays')
    worker(second, 1)
    await compensate(store, new Date(Date.now() + PAYMENT_WITHIN_MS))
    const late = await store.states.getByCorrelationId(NAME, second)
    console.log(`   compensated: ${late.compensated}, completed: ${late.metadata.isCompleted}`)

    for (const order of [first, second]) await store.states.deleteByCorrelationId(NAME, order)
    console.log('Done.')
  } finally {
    await store.close()
    rmSync(directory, { recursive: true, force: true })
  }
}

const [mode, ...rest] = process.argv.slice(2)
if (mode === '--work') await work(rest[0], rest[1], Number(rest[2]))
else await main(mode)
