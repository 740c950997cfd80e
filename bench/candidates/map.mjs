// A Map: the memory store without the way to native code and back.

/** @type {import('../trial.mjs').Open} */
export async function open() {
  /** @type {Map<string, { data: Buffer, expiresAt: number }>} */
  const payloads = new Map()
  return {
    async initialize() {},
    async put(id, data, expiresAt) {
      payloads.set(id, { data: Buffer.from(data), expiresAt: expiresAt.getTime() })
    },
    async get(id) {
      const payload = payloads.get(id)
      if (payload === undefined || payload.expiresAt <= Date.now()) throw new Error(`no payload ${id}`)
      return payload.data
    },
    async close() {},
  }
}
