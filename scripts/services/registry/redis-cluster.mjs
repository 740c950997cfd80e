import { redisUrl } from '../redis.mjs'
import { startLocalRedisCluster } from '../redis-cluster.mjs'

/** @type {import('../registry.mjs').Service} */
export const service = {
  name: 'redis-cluster',
  variable: 'REDIS_CLUSTER_URL',
  start: async (ledger) => (await startLocalRedisCluster({}, ledger)).url,
  compose: {
    services: ['redis-cluster-1', 'redis-cluster-2', 'redis-cluster-3'],
    ports: ['REDIS_CLUSTER_PORT_1', 'REDIS_CLUSTER_PORT_2', 'REDIS_CLUSTER_PORT_3'],
    url: (ports) =>
      redisUrl(
        'redis-cluster',
        {},
        ports.map((port) => ({ host: '127.0.0.1', port })),
      ),
  },
}
