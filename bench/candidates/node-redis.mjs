import { createClient, RESP_TYPES } from 'redis'

/** @type {import('../trial.mjs').Open} */
export async function open({ place: { url, prefix } }) {
  const client = createClient({ url })
  await client.connect()
  const binary = client.withTypeMapping({ [RESP_TYPES.BLOB_STRING]: Buffer })
  return {
    client,
    async initialize() {},
    put: (id, data, expiresAt) => client.set(`${prefix}:${id}`, data, { expiration: { type: 'PXAT', value: expiresAt.getTime() } }),
    async get(id) {
      const data = await binary.get(`${prefix}:${id}`)
      if (data === null) throw new Error(`no payload ${id}`)
      return data
    },
    async close() {
      await client.close()
    },
  }
}
