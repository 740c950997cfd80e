import { startRedisCluster } from '../services/servers.mjs'
import { sleep, writeThrough } from './writers.mjs'

/**
 * Three masters that sync each write. Without replicas: what a master had acknowledged and not yet passed on is
 * lost in a failover by Redis' own rules, and no client can help it.
 */
export async function run(/** @type {{ seconds: number, report: (text: string) => void }} */ { seconds, report }) {
  const cluster = await startRedisCluster({ appendonly: true })
  try {
    return await on(cluster, { seconds, report })
  } finally {
    await cluster[Symbol.asyncDispose]()
  }
}

/**
 * @param {import('../services/servers.mjs').RedisCluster} cluster
 * @param {{ seconds: number, report: (text: string) => void }} options
 */
async function on(cluster, { seconds, report }) {
  const { nodes } = cluster
  for (const node of nodes) await node.command('CONFIG', 'SET', 'appendfsync', 'always')
  let turn = 0
  const nextNode = () => /** @type {(typeof nodes)[number]} */ (nodes[turn++ % nodes.length])
  const allIsWell = async () => {
    for (const node of nodes) while (!(await node.command('CLUSTER', 'INFO')).includes('cluster_state:ok')) await sleep(50)
  }
  return await writeThrough({
    options: { url: cluster.url },
    seconds,
    report,
    expected: ['CONNECTION', 'TIMEOUT', 'CONCURRENCY_CONFLICT', 'ALREADY_EXISTS', 'NOT_FOUND'],
    disasters: [
      [
        'kill -9 of a node',
        async () => {
          const node = nextNode()
          await node.kill()
          await sleep(500)
          await node.start()
          await node.command('CONFIG', 'SET', 'appendfsync', 'always')
          await allIsWell()
        },
      ],
      [
        'a node is frozen for 3 s',
        async () => {
          const node = nextNode()
          await node.pause()
          await sleep(3000)
          await node.resume()
          await allIsWell()
        },
      ],
      [
        'kill -9 of all nodes',
        async () => {
          await Promise.all(nodes.map((node) => node.kill()))
          await Promise.all(nodes.map((node) => node.start()))
          for (const node of nodes) await node.command('CONFIG', 'SET', 'appendfsync', 'always')
          await allIsWell()
        },
      ],
    ],
  })
}
