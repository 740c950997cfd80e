import { fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import sagastore from '../../index.js'

const WORKER = fileURLToPath(new URL('recovery-worker.mjs', import.meta.url))
const WORKERS = 4
const SAGAS = 200
const STEPS = 10
/** How many sagas a worker has at once. */
const AT_ONCE = 3
/** Behind the last kill all must come to their end within this. */
const END_WITHIN_MS = 60_000
/** So many faults are shown in words. */
const SHOWN = 20

/**
 * @typedef {{ sagaId: string, seq: number, step: string, token: string }} Acknowledged
 *
 * Workers take sagas over from one another, and are killed (-9) at random. In the end:
 *
 * 1. each saga has ended, and was not parked;
 * 2. each step has had its effect at least once, and was completed once, under one token;
 * 3. each entry of the log that a worker was told of is there, in its place; the numbers have no gaps.
 *
 * @param {{ seconds: number, report: (text: string) => void, url?: string }} options
 */
export async function run({ seconds, report, url }) {
  const directory = mkdtempSync(join(tmpdir(), 'sagastore-recovery-'))
  const options = {
    url: url ?? `sqlite://${join(directory, 'sagas.db')}`,
    recoveryBackoffMs: 50,
    ...(url?.startsWith('dynamodb') && { credentials: { accessKeyId: 'local', secretAccessKey: 'local' } }),
  }
  const store = sagastore.openStore(/** @type {any} */ (options))
  try {
    await store.initialize()
    return await on(store, options, join(directory, 'effects'), { seconds, report })
  } finally {
    await store.close()
    rmSync(directory, { recursive: true, force: true })
  }
}

/**
 * @param {import('../../index.js').SagaStore} store
 * @param {object} options of the workers' stores
 * @param {string} effects a file: a line for each effect of a step
 * @param {{ seconds: number, report: (text: string) => void }} how
 */
async function on(store, options, effects, { seconds, report }) {
  const { executions } = store
  const name = `Recovery${process.pid}-${Date.now()}`
  const ids = Array.from({ length: SAGAS }, (_, n) => `${name}-${n}`)
  writeFileSync(effects, '')
  await Promise.all(ids.map((sagaId) => executions.create(sagaId, name, { n: 0 }, { status: 'running' })))

  /** @type {Acknowledged[]} */
  const acknowledged = []
  /** @type {string[]} */
  const errors = []
  // All of them together have work for the time of the kills.
  const pauseMs = (seconds * 1000 * WORKERS * AT_ONCE) / (SAGAS * STEPS) / 2
  let [generation, kills] = [0, 0]
  const start = () => {
    const task = { options, name, effects, steps: STEPS, pauseMs, atOnce: AT_ONCE, workerId: `worker-${generation++}` }
    const child = fork(WORKER, [JSON.stringify(task)])
    child.on('message', (/** @type {any} */ told) => {
      if ('error' in told) errors.push(told.error)
      else acknowledged.push(told)
    })
    return { child, ended: once(child, 'exit') }
  }
  const workers = Array.from({ length: WORKERS }, start)
  try {
    report(`${WORKERS} workers, ${SAGAS} sagas of ${STEPS} steps`)
    const end = performance.now() + seconds * 1000
    while (performance.now() < end) {
      await sleep(Math.min(1_500, 150 + seconds * 25) * (0.5 + Math.random()))
      const victim = Math.floor(Math.random() * WORKERS)
      const { child, ended } = workers[victim]
      child.kill('SIGKILL')
      await ended
      kills += 1
      workers[victim] = start()
    }
    report(`${kills} times kill -9`)
    const limit = performance.now() + END_WITHIN_MS
    while ((await executions.count({ name, status: 'completed' })) < SAGAS && performance.now() < limit) await sleep(200)
  } finally {
    for (const { child } of workers) child.send('stop')
    await Promise.all(workers.map(({ ended }) => ended))
  }
  report('checks')
  const checked = await check(store, ids, { effects, acknowledged, errors, kills })
  await Promise.all(ids.map((sagaId) => executions.delete(sagaId)))
  return checked
}

/**
 * @param {import('../../index.js').SagaStore} store
 * @param {string[]} ids
 * @param {{ effects: string, acknowledged: Acknowledged[], errors: string[], kills: number }} what
 */
async function check({ executions }, ids, { effects, acknowledged, errors, kills }) {
  const faults = [...errors]
  const had = new Map(ids.map((id) => [id, /** @type {Set<string>} */ (new Set())]))
  const lines = readFileSync(effects, 'utf8').split('\n').filter(Boolean)
  for (const line of lines) {
    const [id, step] = line.split(' ')
    had.get(id)?.add(step)
  }
  const told = new Map(ids.map((id) => [id, /** @type {Acknowledged[]} */ ([])]))
  for (const one of acknowledged) told.get(one.sagaId)?.push(one)
  let entries = 0
  for (const id of ids) {
    const { status, parkedAt } = await executions.load(id)
    if (status !== 'completed' || parkedAt !== null) faults.push(`${id} is ${status}${parkedAt === null ? '' : ', parked'}`)
    const log = []
    for (let after = 0; ; ) {
      const page = await executions.history(id, { after })
      log.push(...page.entries)
      if (page.cursor === undefined) break
      after = /** @type {number} */ (page.cursor)
    }
    entries += log.length
    if (log.some(({ seq }, at) => seq !== at + 1)) faults.push(`the log of ${id} has a gap`)
    for (let n = 1; n <= STEPS; n++) {
      const step = `step-${n}`
      const completed = log.filter((entry) => entry.stepName === step && entry.status === 'completed')
      if (completed.length !== 1) faults.push(`${step} of ${id} was completed ${completed.length} times`)
      if (!had.get(id)?.has(step)) faults.push(`${step} of ${id} had no effect`)
    }
    for (const { seq, step, token } of told.get(id) ?? []) {
      const entry = log[seq - 1]
      const result = /** @type {{ token?: string } | undefined} */ (entry?.result)
      if (entry?.stepName !== step || result?.token !== token) faults.push(`entry ${seq} of ${id} (${step}) is lost`)
    }
  }
  if (acknowledged.length === 0) faults.push('nothing was acknowledged')
  const figures = `${ids.length} sagas, ${entries} entries, ${acknowledged.length} acknowledged, ${lines.length} effects, ${kills} kills`
  const holds = faults.length === 0
  return {
    holds,
    toString: () =>
      [
        figures,
        ...faults.slice(0, SHOWN).map((fault) => `FAULT ${fault}`),
        ...(faults.length > SHOWN ? [`and ${faults.length - SHOWN} more faults`] : []),
        holds ? 'holds: nothing lost, doubled or unsettled' : 'DOES NOT HOLD',
      ].join('\n'),
  }
}

/** @param {number} ms */
function sleep(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms))
}
