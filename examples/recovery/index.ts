// An order saga of six steps. Two worker processes take what is due; each saga is one worker's at a time.
// 1. The first worker is killed (-9) in the middle of a step.
// 2. The second one takes the saga over when the lease is over, and does what is left.
// 3. The fifth step fails for good: it undoes what was done, in the opposite order.
// 4. The log is printed as a timeline.
//   npm start [-- URL]     a SQLite file by default, or postgres:, redis:, mongodb:, dynamodb:
import { type ChildProcessByStdio, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Readable, Writable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { openStore, type SagaRun } from 'sagastore'

/** After this much silence a worker counts as dead. A living one renews its lease by itself. */
const LEASE_MS = 1_500
const NAME = 'OrderSaga'

interface Order {
  order: string
}

/** What a step has asked another service for. */
type Result = { reservation?: string; payment?: string; truck?: number }

interface Step {
  name: string
  /** The key is the same at each attempt: by it the other side knows a repetition. */
  act(order: Order, key: string): Promise<unknown>
  undo?(order: Order, result: Result): Promise<void>
}

const STEPS: Step[] = [
  { name: 'check-customer', act: async () => ({ credit: 'good' }) },
  {
    name: 'reserve-stock',
    act: async ({ order }) => ({ reservation: `r-${order}` }),
    undo: async (_, { reservation }) => say(`release ${reservation}`),
  },
  { name: 'charge-card', act: slowly, undo: async (_, { payment }) => say(`refund ${payment}`) },
  { name: 'book-carrier', act: async () => ({ truck: 7 }), undo: async (_, { truck }) => say(`cancel truck ${truck}`) },
  {
    name: 'print-label',
    act: async () => {
      throw new Error('the address does not exist')
    },
  },
  { name: 'send-confirmation', act: async () => 'sent' },
]

/** In this step the first worker dies. */
async function slowly(_order: Order, key: string) {
  say(`charging under the key ${key.replace(/^.*\//, '')} …`)
  await sleep(process.env.DIES === 'yes' ? 60_000 : 50)
  return { payment: 'p-1' }
}

function say(text: string) {
  process.stdout.write(`   [${process.env.WORKER}] ${text}\n`)
}

/** Does what is left of a saga. */
async function work(run: SagaRun<Order>) {
  const known = new Map((await run.steps()).map((step) => [step.stepName, step]))
  if (known.size > 0)
    say(`takes the saga over, ${[...known.values()].filter(({ status }) => status === 'completed').length} steps are done`)
  for (const { name, act } of run.status === 'running' ? STEPS : []) {
    if (known.get(name)?.status === 'completed') continue
    await run.logStep(name, 'act', 'started')
    try {
      const result = await act(run.context, `${run.sagaId}/${name}`)
      await run.checkpoint({ steps: [{ stepName: name, status: 'completed', result }] })
    } catch (error) {
      // Not this worker's any more: another one goes on.
      if (run.signal.aborted) return
      say(`${name} failed: ${(error as Error).message}`)
      await run.checkpoint({ status: 'compensating', lastError: error, steps: [{ stepName: name, status: 'failed', error }] })
      break
    }
  }
  if (run.status === 'running') return await run.complete()
  for (const { stepName, status, result } of (await run.steps()).reverse()) {
    if (status !== 'completed') continue
    await STEPS.find(({ name }) => name === stepName)?.undo?.(run.context, result as Result)
    await run.checkpoint({ steps: [{ stepName, status: 'compensated' }] })
  }
  await run.compensated()
}

/** A worker process: takes what is due, until it is told to stop. */
async function worker(url: string, name: string) {
  const store = openStore({ url, recoveryBackoffMs: 100 })
  await store.initialize()
  let isOver = false
  process.stdin.once('data', () => {
    isOver = true
  })
  const workerId = `${process.env.WORKER}-${process.pid}`
  process.stdout.write('ready\n')
  while (!isOver) {
    for (const run of await store.executions.claim<Order>({ workerId, leaseMs: LEASE_MS, names: [name] })) await work(run)
    await sleep(100)
  }
  await store.close()
}

/** Starts a worker; answers once it is ready. */
async function startWorker(url: string, worker: string, name: string, dies: boolean) {
  const env = { ...process.env, WORKER: worker, DIES: dies ? 'yes' : 'no' }
  const args = [...process.execArgv, fileURLToPath(import.meta.url), '--work', url, name]
  const child: ChildProcessByStdio<Writable, Readable, null> = spawn(process.execPath, args, { env, stdio: ['pipe', 'pipe', 'inherit'] })
  let heard: (text: string) => void = () => undefined
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    process.stdout.write(text.replace('ready\n', ''))
    heard(text)
  })
  /** Resolves when the worker says something like it. */
  const says = (part: string) =>
    new Promise<void>((resolve) => {
      heard = (text) => {
        if (text.includes(part)) resolve()
      }
    })
  await says('ready')
  return { child, says }
}

async function main(given: string | undefined) {
  const directory = mkdtempSync(join(tmpdir(), 'sagastore-recovery-'))
  const url = given ?? `sqlite://${join(directory, 'orders.db')}`
  // A name of its own: other sagas of the same database are none of this example's.
  const name = `${NAME}-${Date.now()}`
  const sagaId = `${name}/4711`
  const store = openStore(url)
  try {
    await store.initialize()
    await store.executions.create(sagaId, name, { order: '4711' }, { status: 'running' })
    console.log('1. The first worker takes the saga, and is killed in the middle of its third step')
    const first = await startWorker(url, 'first', name, true)
    await first.says('charging')
    const died = once(first.child, 'exit')
    first.child.kill('SIGKILL')
    console.log(`   it ended by ${(await died)[1]}`)
    const { status, workerId } = await store.executions.load(sagaId)
    console.log(`   the saga is ${status}, and still leased to ${workerId?.replace(/-\d+$/, '')}`)

    console.log('2. The second worker takes it over when the lease is over')
    const second = await startWorker(url, 'second', name, false)
    while (!(await store.executions.load(sagaId)).completedAt) await sleep(50)
    const ended = once(second.child, 'exit')
    second.child.stdin.end('enough\n')
    await ended

    const saga = await store.executions.load(sagaId)
    console.log(`3. The saga is ${saga.status}: ${saga.lastError}`)
    console.log('4. Its log')
    const { entries } = await store.executions.history(sagaId)
    for (const { seq, stepName, action, status, at } of entries) {
      const ms = at.getTime() - saga.createdAt.getTime()
      console.log(`   ${String(seq).padStart(2)} ${String(ms).padStart(5)} ms  ${stepName.padEnd(18)} ${action.padEnd(11)} ${status}`)
    }
    await store.executions.delete(sagaId)
    console.log('Done.')
  } finally {
    await store.close()
    rmSync(directory, { recursive: true, force: true })
  }
}

const [mode, ...rest] = process.argv.slice(2)
if (mode === '--work') await worker(rest[0] as string, rest[1] as string)
else await main(mode)
