import { Redis } from 'ioredis'

/** @type {import('../trial.mjs').Open} */
export async function open({ place: { url, prefix } }) {
  const redis = new Redis(url)
  return {
    client: redis,
    async initialize() {},
    put: (id, data, expiresAt) => redis.set(`${prefix}:${id}`, data, 'PXAT', expiresAt.getTime()),
    async get(id) {
      const data = await redis.getBuffer(`${prefix}:${id}`)
      if (data === null) throw new Error(`no payload ${id}`)
      return data
    },
    async close() {
      await redis.quit()
    },
  }
}
