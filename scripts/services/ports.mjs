import { createServer } from 'node:net'

// Below Linux's ephemeral range (32768 and up): an outgoing connection of some other process can
// never take the port of a server that a test has stopped and is about to start again. The upper
// bound leaves room for a Redis Cluster node's bus port, which is the port plus 10000.
const LOWEST = 12_000
const HIGHEST = 21_999
const CLUSTER_BUS_OFFSET = 10_000

/** @type {Set<number>} Ports given out by this process, listening yet or not. */
const taken = new Set()

/**
 * A TCP port on 127.0.0.1 that nobody listens on right now. Another process can still take it before
 * the caller binds it, so a caller retries with another port when its server reports "in use".
 *
 * @returns {Promise<number>}
 */
export async function freePort() {
  for (let attempt = 0; attempt < 200; attempt++) {
    const port = LOWEST + Math.floor(Math.random() * (HIGHEST - LOWEST + 1))
    if (taken.has(port)) continue
    taken.add(port)
    if ((await isFree(port)) && (await isFree(port + CLUSTER_BUS_OFFSET))) return port
    taken.delete(port)
  }
  throw new Error(`no free port between ${LOWEST} and ${HIGHEST} on 127.0.0.1`)
}

/** @param {number} count */
export async function freePorts(count) {
  const ports = []
  while (ports.length < count) ports.push(await freePort())
  return ports
}

/**
 * @param {number} port
 * @returns {Promise<boolean>}
 */
function isFree(port) {
  return new Promise((resolve) => {
    const probe = createServer()
    probe.once('error', () => resolve(false))
    probe.listen({ host: '127.0.0.1', port, exclusive: true }, () => probe.close(() => resolve(true)))
  })
}
