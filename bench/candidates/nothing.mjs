// Does nothing: what the harness itself costs.

/** @type {import('../trial.mjs').Open} */
export async function open({ size }) {
  const data = Buffer.alloc(size)
  return {
    async initialize() {},
    async put() {},
    async get() {
      return data
    },
    async close() {},
  }
}
