// An order saga of four steps and a timeout.
// 1. A worker process dies in the middle of the saga. The next one goes on where the state says.
// 2. An order that nobody has paid for times out, and is compensated.
// A worker claims the saga before it acts. So two workers never do the same step.
//   npm start [-- URL]     a SQLite file by default, or postgres:, redis:, mongodb:, dynamodb:
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { openStore, type SagaMetadata, type SagaStates, type SagaStore, SagaStoreError, type SagaTransaction, type Stored } from 'sagastore'

const NAME = 'OrderSaga'
const STEPS = ['reserve-stock', 'charge-card', 'book-carrier', 'send-confirmation']
const PAYMENT_WITHIN_MS = 60_000
/** After this much silence a worker counts as dead. */
const LEASE_MS = 1_000

/** The state of a saga. */
interface Order {
  metadata: SagaMetadata & { version: number }
  order: string
  /** The steps that were done, in their order. */
  done: string[]
  /** Who works at it, and how long others leave it alone. */
  worker: { id: string; until: number }
  compensating?: boolean
  compensated?: boolean
}

/** What each step would ask other services to do. */
async function act(step: string, order: string) {
  console.log(`   [${process.pid}] order ${order}: ${step}`)
  await sleep(20)
}

/** Runs `work` in a transaction. A MongoDB that is no replica set has none: there the writes are done in their order. */
const together = (store: SagaStore, work: (tx: SagaStore | SagaTransaction) => Promise<void>) =>
  store.capabilities.transactions === 'none' ? work(store) : store.transaction(work)

const me = () => ({ id: `worker-${process.pid}`, until: Date.now() + LEASE_MS })

/** Whether the write was done. False: another worker was quicker. */
async function won(write: Promise<void>): Promise<boolean> {
  try {
    await write
    return true
  } catch (error) {
    if (error instanceof SagaStoreError && ['ALREADY_EXISTS', 'CONCURRENCY_CONFLICT'].includes(error.code)) return false
    throw error
  }
}

/** Claims an order's saga for this worker: begins it, or takes it over from a dead worker. */
async function claim(states: SagaStates, order: string): Promise<{ saga?: Order; over?: boolean }> {
  const found = await states.getByCorrelationId<Order>(NAME, order)
  if (found === null) {
    const now = new Date()
    const timeoutExpiresAt = new Date(now.getTime() + PAYMENT_WITHIN_MS)
    const metadata = { sagaId: `saga-${order}`, version: 1, createdAt: now, updatedAt: now, timeoutExpiresAt }
    const saga: Order = { metadata, order, done: [], worker: me() }
    return (await won(states.insert(NAME, order, saga))) ? { saga } : {}
  }
  if (found.metadata.isCompleted || found.compensating) return { over: true }
  if (found.worker.until > Date.now()) return {}
  const { version } = found.metadata
  const saga: Order = { ...found, worker: me() }
  if (!(await won(states.update(NAME, saga, version)))) return {}
  saga.metadata.version = version + 1
  return { saga }
}

/** Handles a message for an order. False: another worker has the saga, so the message must be delivered again. */
async function handle(store: SagaStore, order: string, diesAfter: number): Promise<boolean> {
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
async function compensate(store: SagaStore, now: Date) {
  const { states } = store
  const given = await states.claimTimedOut<Order>({ sagaName: NAME, workerId: me().id, leaseMs: 10_000, now })
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
async function asWorker(url: string, work: (store: SagaStore) => Promise<void>) {
  const store = openStore(url)
  await store.initialize() // Every process may call it. It also finds out what the server lacks.
  await work(store)
  await store.close()
}

/** Delivers the message again and again, until a worker has handled it. */
async function deliver(store: SagaStore, order: string, diesAfter: number) {
  while (!(await handle(store, order, diesAfter))) await sleep(200)
}

async function main(given: string | undefined) {
  const directory = mkdtempSync(join(tmpdir(), 'sagastore-order-saga-'))
  const url = given ?? `sqlite://${join(directory, 'orders.db')}`
  const worker = (order: string, diesAfter: number) => {
    const args = [...process.execArgv, fileURLToPath(import.meta.url), '--work', url, order, String(diesAfter)]
    return spawnSync(process.execPath, args, { stdio: 'inherit' }).signal
  }
  const run = Date.now()
  const [first, second] = [`${run}-1`, `${run}-2`] as const
  const store = openStore(url)
  const stateOf = async (order: string) => (await store.states.getByCorrelationId(NAME, order)) as Stored<Order>
  try {
    await store.initialize()
    console.log('1. A worker takes the order, and is killed after its third step')
    console.log(`   it ended by ${worker(first, 3)}; ${JSON.stringify((await stateOf(first)).done)} are done`)

    console.log('2. The message is delivered again: the next worker takes the saga over and does what is left')
    worker(first, 0)
    const saga = await stateOf(first)
    console.log(`   version ${saga.metadata.version}, completed: ${saga.metadata.isCompleted}`)

    console.log('3. Another order is reserved, and nobody pays')
    worker(second, 1)
    await compensate(store, new Date(Date.now() + PAYMENT_WITHIN_MS))
    const late = await stateOf(second)
    console.log(`   compensated: ${late.compensated}, completed: ${late.metadata.isCompleted}`)

    for (const order of [first, second]) {
      await store.states.deleteByCorrelationId(NAME, order)
      for (const step of STEPS) await store.delete(`slip-${order}-${step}`)
    }
    console.log('Done.')
  } finally {
    await store.close()
    rmSync(directory, { recursive: true, force: true })
  }
}

const [mode, first = '', second = ''] = process.argv.slice(2)
if (mode === '--work') await asWorker(first, (store) => deliver(store, second, Number(process.argv[5])))
else if (mode === '--compensate') await asWorker(first, (store) => compensate(store, new Date(Number(second))))
else await main(mode)
