// A worker process: a relay that writes a line for each event that it publishes.

import { appendFileSync } from 'node:fs'
import sagastore from '../../index.js'

/**
 * @typedef {object} Task
 * @property {object} options of `openStore`
 * @property {string} name of the run
 * @property {string} published a file
 * @property {string} workerId
 * @property {number} leaseMs
 */

/** @type {Task} */
const { options, name, published, workerId, leaseMs } = JSON.parse(process.argv[2] ?? '')
const store = sagastore.openStore(/** @type {any} */ (options))
// Without its parent nobody waits for it.
process.on('disconnect', () => process.exit(0))

/**
 * @param {import('../../index.js').Claim<{ name: string }>} event
 * @param {import('../../index.js').OutboxContext} context
 */
async function publish(event, { signal }) {
  // Left by a run that did not come to its end.
  if (event.payload.name !== name) return
  await new Promise((resolve) => setTimeout(resolve, Math.random() * 4))
  signal.throwIfAborted()
  if (Math.random() < 0.02) throw new Error('not now')
  appendFileSync(published, `${event.eventId} ${workerId}\n`)
}

const relay = store.outbox.relay(/** @type {any} */ (publish), { workerId, concurrency: 8, batchSize: 50, leaseMs })
relay.done.catch((error) => process.send?.({ error: `${workerId}: ${error.message}` }))
process.on('message', async () => {
  await relay.stop()
  await store.close()
  process.disconnect()
})
