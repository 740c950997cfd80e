import { zlibText } from '../candidates/zlib-map.mjs'
import { Slip } from '../payloads.mjs'
import { backend as memory } from './memory.mjs'

const SAMPLE_BYTES = 256 * 1024

/** @type {import('./index.mjs').Backend} */
export const backend = {
  ...memory,
  slips: true,
  candidates: [
    { name: 'zlib + base64', module: 'zlib-map', peer: 'zlib + base64', operations: ['put', 'get'] },
    { name: 'sagastore', module: 'sagastore', peer: 'zlib + base64', operations: ['put', 'get'] },
  ],
  async enter() {
    return { ...(await memory.enter()), describe }
  },
}

/** How much of a payload is stored. */
async function describe() {
  const { MemorySagaStore } = await import('../../index.js')
  const sample = new Slip(SAMPLE_BYTES).next()
  const store = new MemorySagaStore({ compression: 'zstd' })
  await store.put('sample', sample)
  const { payloads } = await store.statistics()
  await store.close()
  const share = (/** @type {number} */ bytes) => `${((100 * bytes) / sample.length).toFixed(1)} % of 256 KiB`
  return { 'zlib + base64': share((await zlibText(sample)).length), sagastore: share(payloads.bytes) }
}
