// One trial in a fresh process. It is told over IPC what to do, answers with the figures, and ends.

import { readFileSync } from 'node:fs'
import { answerTask } from './answer.mjs'
import { measure } from './measure.mjs'
import { claimIds, Payload, Slip, shuffled } from './payloads.mjs'

/**
 * @typedef {object} Opened A claim check on one driver, as a person would write it.
 * @property {() => Promise<void>} initialize creates its table
 * @property {(id: string, data: Buffer, expiresAt: Date) => unknown} put a promise, unless the driver is synchronous
 * @property {(id: string) => Promise<Buffer> | Buffer} get
 * @property {() => Promise<void>} close
 * @property {any} [client] the driver's, that a store can borrow
 *
 * @typedef {(where: { backend: string, place: any, size: number, on?: string }) => Promise<Opened>} Open Exported as `open` by each candidate.
 *
 * @typedef {object} Task
 * @property {'seed' | 'put' | 'get'} kind
 * @property {string} module
 * @property {string} [on] module of the candidate whose client a store borrows
 * @property {string} backend
 * @property {any} place
 * @property {boolean} seedFirst the candidate keeps nothing from one process to the next
 * @property {boolean} [scattered] puts replace payloads in no order, in place of the oldest first
 * @property {boolean} [slips] the payloads are text that can be compressed, not random bytes
 * @property {number} size bytes
 * @property {number} ids how many
 * @property {number} [sample] so many of them are used at most, spread over all
 * @property {number} [seeders] puts in flight while what is there at the start is put
 * @property {import('./measure.mjs').Pace} pace
 */

const SEEDERS = 16
/** At most so much of it is under way at once. */
const SEEDING_BYTES = 64 * 1024 * 1024
const EXPIRES_AT = new Date(Date.now() + 24 * 3600 * 1000)

answerTask(run)

/** @param {Task} task */
async function run(task) {
  /** @type {{ open: import('./trial.mjs').Open }} */
  const { open } = await import(`./candidates/${task.module}.mjs`)
  const candidate = await open(task)
  try {
    if (task.kind === 'seed' || task.seedFirst) await seed(candidate, task)
    if (task.kind === 'seed') return undefined
    const measured = await (task.kind === 'put' ? measurePut : measureGet)(candidate, task)
    return { ...measured, rss: peakRss() }
  } finally {
    await candidate.close()
  }
}

/**
 * @param {Opened} candidate
 * @param {Task} task
 */
async function seed(candidate, { size, slips, ids: count, seeders = SEEDERS }) {
  await candidate.initialize()
  const ids = claimIds(count)
  let next = 0
  const work = async () => {
    const payload = payloadOf(size, slips)
    while (next < ids.length) await candidate.put(ids[next++], payload.next(), EXPIRES_AT)
  }
  await Promise.all(Array.from({ length: Math.min(seeders, Math.ceil(SEEDING_BYTES / (size + 1))) }, work))
  await expectRoundTrip(candidate, ids[0], payloadOf(size, slips).next())
}

/**
 * @param {Opened} candidate
 * @param {string} id
 * @param {Buffer} put
 */
async function expectRoundTrip(candidate, id, put) {
  await candidate.put(id, put, EXPIRES_AT)
  if (!put.equals(await candidate.get(id))) throw new Error('what came back is not what was put')
}

/**
 * @param {Opened} candidate
 * @param {Task} task
 */
function measurePut(candidate, { size, slips, scattered, ids: count, sample, pace }) {
  // In the order of the seeding the oldest goes first, as new claims come and old ones go.
  const seeded = sampled(claimIds(count), sample)
  const ids = scattered ? shuffled(seeded) : seeded
  // One for each slot: the bytes may not change while their put is under way.
  const payloads = Array.from({ length: pace.concurrency }, () => payloadOf(size, slips))
  const put = (/** @type {number} */ slot, /** @type {number} */ turn) =>
    candidate.put(ids[turn % ids.length], payloads[slot].next(), EXPIRES_AT)
  return measure(put, () => {}, pace)
}

/**
 * @param {Opened} candidate
 * @param {Task} task
 */
function measureGet(candidate, { size, ids: count, sample, pace }) {
  const ids = shuffled(sampled(claimIds(count), sample))
  const get = (/** @type {number} */ _slot, /** @type {number} */ turn) => candidate.get(ids[turn % ids.length])
  const check = (/** @type {Buffer} */ data) => {
    if (data.length !== size) throw new Error(`${data.length} bytes came back instead of ${size}`)
  }
  return measure(get, check, pace)
}

/**
 * @param {string[]} ids
 * @param {number} [count]
 */
function sampled(ids, count = ids.length) {
  const every = Math.ceil(ids.length / count)
  return ids.filter((_, index) => index % every === 0)
}

/**
 * @param {number} size
 * @param {boolean} [slips]
 */
function payloadOf(size, slips) {
  return slips ? new Slip(size) : new Payload(size)
}

/** Bytes. Not `maxRSS`: on Linux it begins with the size of the process that this one was forked from. */
function peakRss() {
  try {
    const kilobytes = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1]
    if (kilobytes !== undefined) return Number(kilobytes) * 1024
  } catch {
    // Not Linux.
  }
  return process.resourceUsage().maxRSS * 1024
}
