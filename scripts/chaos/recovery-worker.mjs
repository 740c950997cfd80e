// A worker process: claims sagas, runs their steps, and tells the parent process of each end of a step that is stored.

import { appendFileSync } from 'node:fs'
import sagastore from '../../index.js'

/** Short, so that what a killed worker had is soon another one's. */
const LEASE_MS = 600
const IDLE_MS = 50
/** The lease is another one's; or the server could not be asked in time. */
const EXPECTED = ['LEASE_LOST', 'TIMEOUT', 'CONNECTION']

/**
 * @typedef {object} Task
 * @property {object} options of `openStore`
 * @property {string} name of the sagas
 * @property {string} effects a file
 * @property {number} steps
 * @property {number} pauseMs how long a step takes
 * @property {number} atOnce
 * @property {string} workerId
 */

/** @type {Task} */
const { options, name, effects, steps, pauseMs, atOnce, workerId } = JSON.parse(process.argv[2] ?? '')
const store = sagastore.openStore(/** @type {any} */ (options))
const { executions } = store
let isRunning = true
process.on('message', () => {
  isRunning = false
})
// Without its parent nobody waits for it.
process.on('disconnect', () => process.exit(0))

/** @param {number} ms */
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms))

/** @param {import('../../index.js').SagaRun<{ n: number }>} run */
async function work(run) {
  const done = new Set((await run.steps()).filter(({ status }) => status === 'completed').map(({ stepName }) => stepName))
  for (let n = 1; n <= steps; n++) {
    const step = `step-${n}`
    if (done.has(step)) continue
    await run.checkpoint({ steps: [{ stepName: step, action: 'act', status: 'started' }] })
    await pause(pauseMs * Math.random())
    run.signal.throwIfAborted()
    appendFileSync(effects, `${run.sagaId} ${step}\n`)
    await pause(pauseMs * Math.random())
    const { token } = run
    const { firstSeq } = await run.checkpoint({
      expectedVersion: run.version,
      context: { n },
      steps: [{ stepName: step, action: 'act', status: 'completed', result: { token } }],
    })
    process.send?.({ sagaId: run.sagaId, seq: firstSeq, step, token })
  }
  await run.complete()
}

async function claimAndWork() {
  while (isRunning) {
    try {
      const [run] = await executions.claim({ workerId, leaseMs: LEASE_MS, names: [name], maxRecoveryAttempts: 100 })
      if (run === undefined) await pause(IDLE_MS)
      else await work(/** @type {import('../../index.js').SagaRun<{ n: number }>} */ (run))
    } catch (/** @type {any} */ error) {
      if (!EXPECTED.includes(error.code)) process.send?.({ error: `${workerId}: ${error.code} ${error.message}` })
      await pause(IDLE_MS)
    }
  }
}

await Promise.all(Array.from({ length: atOnce }, claimAndWork))
await store.close()
process.disconnect()
