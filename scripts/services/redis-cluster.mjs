import { setTimeout as sleep } from 'node:timers/promises'
import { ledgerOfThisProcess } from './ledger.mjs'
import { parseInfo, redisUrl, startLocalRedis } from './redis.mjs'

const SLOTS = 16_384
const FORM_TIMEOUT_MS = 60_000

/**
 * @typedef {import('./redis.mjs').RedisServer} RedisServer
 * @typedef {import('./servers.mjs').RedisClusterOptions} RedisClusterOptions
 */

/**
 * @param {RedisClusterOptions} [options]
 * @param {import('./ledger.mjs').Ledger} [ledger]
 */
export async function startLocalRedisCluster(options = {}, ledger = ledgerOfThisProcess()) {
  const { nodes: masterCount = 3, replicas = 0, password, appendonly } = options
  const total = masterCount * (1 + replicas)
  const started = await Promise.allSettled(
    Array.from({ length: total }, () => startLocalRedis({ password, appendonly }, { ledger, cluster: true })),
  )
  const nodes = started.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []))
  const remove = async () => {
    await Promise.all(nodes.map((node) => node.remove()))
  }
  try {
    for (const result of started) if (result.status === 'rejected') throw result.reason
    await form(nodes, masterCount)
  } catch (error) {
    await remove()
    throw error
  }
  return {
    url: redisUrl('redis-cluster', { password }, nodes),
    nodes,
    stop: remove,
    [Symbol.asyncDispose]: remove,
  }
}

/**
 * What `redis-cli --cluster create` does, without its pauses and without the password on a command line.
 *
 * @param {RedisServer[]} nodes masters first, then the replicas in turn
 * @param {number} masterCount
 */
async function form(nodes, masterCount) {
  const masters = nodes.slice(0, masterCount)
  const replicas = nodes.slice(masterCount)
  await Promise.all(
    masters.map(async (node, i) => {
      const first = Math.floor((SLOTS * i) / masterCount)
      const end = Math.floor((SLOTS * (i + 1)) / masterCount)
      // ADDSLOTSRANGE would need Redis 7.
      await node.command('CLUSTER', 'ADDSLOTS', ...Array.from({ length: end - first }, (_, n) => first + n))
    }),
  )
  // Different epochs from the start, or the nodes settle the collisions one by one later.
  await Promise.all(nodes.map((node, i) => node.command('CLUSTER', 'SET-CONFIG-EPOCH', i + 1)))
  // Every pair, as gossip alone spreads the news over seconds.
  for (const [i, node] of nodes.entries()) {
    for (const other of nodes.slice(i + 1)) await node.command('CLUSTER', 'MEET', other.host, other.port)
  }
  await until('every node knows every other', async () => {
    const views = await Promise.all(nodes.map((node) => node.command('CLUSTER', 'NODES')))
    return views.every((view) => view.trim().split('\n').length === nodes.length && !view.includes('handshake'))
  })
  await Promise.all(
    replicas.map(async (replica, i) => {
      await replica.command('CLUSTER', 'REPLICATE', await masters[i % masterCount].command('CLUSTER', 'MYID'))
    }),
  )
  await until('all slots are served and all replicas in sync', async () => {
    const states = await Promise.all(nodes.map(async (node) => parseInfo(await node.command('CLUSTER', 'INFO')).cluster_state))
    const links = await Promise.all(replicas.map(async (node) => parseInfo(await node.command('INFO')).master_link_status))
    const views = await Promise.all(nodes.map((node) => node.command('CLUSTER', 'NODES')))
    return (
      states.every((state) => state === 'ok') &&
      links.every((link) => link === 'up') &&
      views.every((view) => (view.match(/slave/g) ?? []).length === replicas.length)
    )
  })
}

/**
 * @param {string} what
 * @param {() => Promise<boolean>} condition
 */
export async function until(what, condition) {
  for (const deadline = Date.now() + FORM_TIMEOUT_MS; Date.now() < deadline; await sleep(50)) {
    if (await condition()) return
  }
  throw new Error(`not within ${FORM_TIMEOUT_MS / 1000} s: ${what}`)
}
