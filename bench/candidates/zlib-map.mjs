// What saga engines do to large slips today: deflate on libuv's threads, then base64, because the slip is a text.

import { promisify } from 'node:util'
import { deflate, inflate } from 'node:zlib'

/** @param {Buffer} data */
export async function zlibText(data) {
  return (await promisify(deflate)(data)).toString('base64')
}

/** @type {import('../trial.mjs').Open} */
export async function open() {
  /** @type {Map<string, { text: string, expiresAt: number }>} */
  const payloads = new Map()
  return {
    async initialize() {},
    async put(id, data, expiresAt) {
      payloads.set(id, { text: await zlibText(data), expiresAt: expiresAt.getTime() })
    },
    async get(id) {
      const payload = payloads.get(id)
      if (payload === undefined || payload.expiresAt <= Date.now()) throw new Error(`no payload ${id}`)
      return promisify(inflate)(Buffer.from(payload.text, 'base64'))
    },
    async close() {},
  }
}
