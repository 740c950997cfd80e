import { findOrInstall } from './install.mjs'
import { ledgerOfThisProcess } from './ledger.mjs'
import { startOrRemove } from './local-server.mjs'
import { findRedis, parseInfo, RedisServer, redisUrl, startLocalRedis } from './redis.mjs'
import { until } from './redis-cluster.mjs'

/** @typedef {import('./servers.mjs').RedisSentinelOptions} RedisSentinelOptions */

/**
 * One master, one replica, and the sentinels that watch them.
 *
 * @param {RedisSentinelOptions} [options]
 * @param {import('./ledger.mjs').Ledger} [ledger]
 */
export async function startLocalSentinel(options = {}, ledger = ledgerOfThisProcess()) {
  const { sentinels: count = 3, serviceName = 'mymaster', password } = options
  const program = await findOrInstall({ find: findRedis, package: 'redis-server', brew: 'redis' })
  /** @type {RedisServer[]} */
  const servers = []
  const remove = async () => {
    await Promise.all(servers.map((server) => server.remove()))
  }
  try {
    const master = await startLocalRedis({ password }, { ledger })
    servers.push(master)
    const replica = await startLocalRedis({ password, replicaOf: master }, { ledger })
    servers.push(replica)
    // A sentinel asks its master for replicas when it connects and then every 10 seconds only.
    await until('the replica is in sync', async () => {
      const seen = parseInfo(await master.command('INFO'))
      return parseInfo(await replica.command('INFO')).master_link_status === 'up' && /state=online/.test(seen.slave0)
    })
    const watching = Array.from({ length: count }, () => {
      const sentinel = new RedisServer({
        program,
        ledger,
        name: 'redis-sentinel',
        credentials: { password },
        flags: ['--sentinel'],
        settings: async (self) => sentinelSettings(self, master, { count, serviceName, password }),
      })
      servers.push(sentinel)
      return sentinel
    })
    await Promise.all(watching.map(startOrRemove))
    await until('the sentinels know the replica and one another', async () => {
      const views = await Promise.all(watching.map((one) => one.command('SENTINEL', 'MASTER', serviceName)))
      return views.map(toRecord).every((view) => view['num-slaves'] === '1' && view['num-other-sentinels'] === String(count - 1))
    })
    return {
      // Without its feature `sentinel-auth` fred sends the server's password to the sentinels, with it
      // the one in the query: the same password serves both.
      url: redisUrl('redis-sentinel', { password }, watching, [
        ['sentinelServiceName', serviceName],
        ...(password === undefined ? [] : [/** @type {[string, string]} */ (['sentinelPassword', password])]),
      ]),
      serviceName,
      master,
      replica,
      sentinels: watching,
      stop: remove,
      [Symbol.asyncDispose]: remove,
    }
  } catch (error) {
    await remove()
    throw error
  }
}

/**
 * @param {RedisServer} self
 * @param {RedisServer} master
 * @param {{ count: number, serviceName: string, password?: string }} options
 */
function sentinelSettings(self, master, { count, serviceName, password }) {
  const quorum = Math.floor(count / 2) + 1
  const lines = [
    'bind 127.0.0.1',
    `port ${self.port}`,
    `dir ${JSON.stringify(self.directory)}`,
    'sentinel announce-ip 127.0.0.1',
    `sentinel monitor ${serviceName} ${master.host} ${master.port} ${quorum}`,
    `sentinel down-after-milliseconds ${serviceName} 1000`,
    `sentinel failover-timeout ${serviceName} 3000`,
    `sentinel parallel-syncs ${serviceName} 1`,
  ]
  if (password !== undefined) {
    lines.push(`requirepass ${JSON.stringify(password)}`, `sentinel auth-pass ${serviceName} ${JSON.stringify(password)}`)
  }
  return lines
}

/**
 * @param {string[]} flat
 * @returns {Record<string, string>}
 */
function toRecord(flat) {
  return Object.fromEntries(flat.flatMap((key, i) => (i % 2 === 0 ? [[key, flat[i + 1]]] : [])))
}
