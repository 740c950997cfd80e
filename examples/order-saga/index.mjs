// An order saga of four steps and a timeout.
// 1. A worker process dies in the middle of the saga. The next one goes on where the state says.
// 2. An order that nobody has paid for times out, and is compensated.
// A worker claims the saga before it acts. So two workers never do the same step.
//   node examples/order-saga/index.mjs [URL]     a SQLite file by default, or postgres:, redis:, mongodb:, dynamodb:
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { openStore } from 'sagastore'

const NAME = 'OrderSaga'
const STEPS = ['reserve-stock', 'charge-card', 'book-carrier', 'send-confirmation']
const PAYMENT_WITHIN_MS = 60_000
/** After this much silence a worker counts as dead. */
const LEASE_MS = 1_000

/** What each step would ask other services to do. */
async function act(step, order) {
  console.log(`   [${process.pid}] order ${order}: ${step}`)
  await sleep(20)
}

/** Runs `work` in a transaction. A MongoDB that is no replica set has none: there the writes are done in their order. */
const together = (store, work) => (store.capabilities.transactions === 'none' ? work(store) : store.transaction(work))

const me = () => ({ id: `worker-${process.pid}`, until: Date.now() + LEASE_MS })

/** Whether the write was done. False: another worker was quicker. */
async function won(write) {
  try {
    await write
    return true
  } catch (error) {
    if (error.code === 'ALREADY_EXISTS' || error.code === 'CONCURRENCY_CONFLICT') return false
    throw error
  }
}

/** Claims an order's saga for this worker: begins it, or takes it over from a dead worker. */
async function claim(states, order) {
  const found = await states.getByCorrelationId(NAME, order)
  if (found === null) {
    const now = new Date()
    const timeoutExpiresAt = new Date(now.getTime() + PAYMENT_WITHIN_MS)
    const metadata = { sagaId: `saga-${order}`, version: 1, createdAt: now, updatedAt: now, timeoutExpiresAt }
    const saga = { metadata, order, done: [], worker: me() }
    return (await won(states.insert(NAME, order, saga))) ? { saga } : {}
  }
  if (found.metadata.isCompleted || found.compensating) return { over: true }
  if (found.worker.until > Date.now()) return {}
  const { version } = found.metadata
  const saga = { ...found, worker: me() }
  if (!(await won(states.update(NAME, saga, version)))) return {}
  saga.metadata.version = version + 1
  return { saga }
}

/** Handles a message for an order. False: another worker has the saga, so the message must be delivered again. */
async function handle(store, order, diesAfter) {
  const { saga, over } = await claim(store.states, order)
  if (over) return true
  if (saga === undefined) return false
  for (const step of STEPS.slice(saga.done.length)) {
    await act(step, order)
    const { version } = saga.metadata
    saga.done.push(step)
    saga.worker = me()
    Object.assign(saga.metadata, { updatedAt: new Date(), isCompleted: saga.done.length === STEPS.length })
    // The new state and the outgoing message belong together: both are stored, or neither.
    const write = together(store, async (tx) => {
      await tx.put(`slip-${order}-${step}`, Buffer.from(JSON.stringify({ order, step })), new Date(Date.now() + 3_600_000))
      await tx.states.update(NAME, saga, version)
    })
    if (!(await won(write))) return false
    saga.metadata.version = version + 1
    if (saga.done.length === diesAfter) process.kill(process.pid, 'SIGKILL')
  }
  return true
}

/** Undoes overdue sagas: their steps in the opposite order. Each saga is given to one worker. */
async function compensate(store, now) {
  const { states } = store
  const given = await states.claimTimedOut({ sagaName: NAME, workerId: me().id, leaseMs: 10_000, now })
  for (const { sagaName, state } of given) {
    const { version } = state.metadata
    // From here on a worker that still holds the old state gets a conflict: the version has changed.
    if (!(await won(states.update(sagaName, { ...state, compensating: true }, version)))) continue
    for (const step of [...state.done].reverse()) await act(`undo ${step}`, state.order)
    const metadata = { ...state.metadata, updatedAt: new Date(), isCompleted: true }
    await states.update(sagaName, { ...state, compensating: true, compensated: true, metadata }, version + 1)
  }
}

/** A worker process, with a store of its own. */
async function asWorker(url, work) {
  const store = openStore(url)
  await store.initialize() // Every process may call it. It also finds out what the server lacks.
  await work(store)
  await store.close()
}

/** Delivers the message again and again, until a worker has handled it. */
async function deliver(store, order, diesAfter) {
  while (!(await handle(store, order, diesAfter))) await sleep(200)
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

    console.log('2. The message is delivered again: the next worker takes the saga over and does what is left')
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
if (mode === '--work') await asWorker(rest[0], (store) => deliver(store, rest[1], Number(rest[2])))
else if (mode === '--compensate') await asWorker(rest[0], (store) => compensate(store, new Date(Number(rest[1]))))
else await main(mode)
