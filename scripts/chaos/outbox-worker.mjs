// A worker process: relays that write a line for each event that they publish.

import { appendFileSync } from 'node:fs'
import sagastore from '../../index.js'

/**
 * @typedef {object} Task
 * @property {object} options of `openStore`
 * @property {string} name of the run
 * @property {string} published a file
 * @property {string} workerId
 * @property {number} leaseMs
 * @property {number} relays how many
 */

/** @type {Task} */
const { options, name, published, workerId, leaseMs, relays: count } = JSON.parse(process.argv[2] ?? '')
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

const relays = Array.from({ length: count }, (_, n) =>
  store.outbox.relay(/** @type {any} */ (publish), { workerId: `${workerId}-${n}`, concurrency: 8, batchSize: 50, leaseMs }),
)
for (const { done } of relays) done.catch((error) => process.send?.({ error: `${workerId}: ${error.message}` }))
process.on('message', async () => {
  await Promise.all(relays.map((relay) => relay.stop()))
  await store.close()
  process.disconnect()
})
