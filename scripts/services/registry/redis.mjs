import { startLocalRedis } from '../redis.mjs'

/** @type {import('../registry.mjs').Service} */
export const service = {
  name: 'redis',
  variable: 'REDIS_URL',
  start: async (ledger) => (await startLocalRedis({}, { ledger })).url,
  compose: {
    services: ['redis'],
    ports: ['REDIS_PORT'],
    url: ([port]) => `redis://127.0.0.1:${port}`,
  },
}
