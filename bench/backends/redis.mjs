import { Redis } from 'ioredis'
import { borrowing, requiredVariable } from './index.mjs'

/** @type {import('./index.mjs').Backend} */
export const backend = {
  keepsData: true,
  candidates: [
    { name: 'ioredis', module: 'ioredis', package: 'ioredis', peer: 'ioredis', operations: ['put', 'get'] },
    { name: 'node-redis', module: 'node-redis', package: 'redis', peer: 'ioredis', operations: ['put', 'get'] },
    { name: 'sagastore', module: 'sagastore', peer: 'ioredis', operations: ['put', 'get'] },
  ],
  clients: [
    { name: 'ioredis', package: 'ioredis' },
    { name: 'node-redis', package: 'redis' },
  ].flatMap(borrowing),
  async enter() {
    const url = requiredVariable('REDIS_URL')
    const redis = new Redis(url, { lazyConnect: true, retryStrategy: () => null })
    await redis.connect()
    const prefixOf = (/** @type {import('./index.mjs').Candidate} */ { name }) => `sagastore-bench:${name.replaceAll(/\W/g, '-')}`
    return {
      place: (candidate) => ({ url, prefix: prefixOf(candidate) }),
      settle: async () => {},
      // Key by key and not FLUSHDB: the server may hold somebody's data.
      async clear(candidate, ids) {
        if (ids.length > 0) await redis.del(ids.map((id) => `${prefixOf(candidate)}:${id}`))
      },
      async describe() {
        const info = await redis.info()
        const setting = async (/** @type {string} */ name) => (await redis.config('GET', name))[1]
        return {
          'redis-server': /^redis_version:(.*)\r$/m.exec(info)?.[1] ?? 'unknown',
          appendonly: await setting('appendonly'),
          save: (await setting('save')) || 'never',
        }
      },
      close: async () => {
        await redis.quit()
      },
    }
  },
}
