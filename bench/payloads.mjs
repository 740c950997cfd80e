// Ids and bytes of the payloads: the same for every candidate.

import { createHash, randomFillSync, randomUUID } from 'node:crypto'

const RING_BYTES = 64 * 1024 * 1024
const QUICK_RING_BYTES = 1 * 1024 * 1024
const RING_MAX = 10_000
/** Bytes between two changes in a payload: fewer than SQLite's smallest usual page, as it does not write a page that stays the same. */
const STAMP_EVERY = 4000

/**
 * How many payloads a candidate holds. Puts replace them in turn, so the amount of data stays the same however
 * fast a candidate is; four for each put in flight, so that two of one id hardly ever meet.
 *
 * @param {number} size
 * @param {number} concurrency the highest
 * @param {{ quick: boolean, scans: boolean }} how
 */
export function ringSize(size, concurrency, { quick, scans }) {
  if (scans) return concurrency
  const wanted = Math.min(RING_MAX, Math.floor((quick ? QUICK_RING_BYTES : RING_BYTES) / Math.max(size, 1)))
  return Math.max(wanted, concurrency * (quick ? 1 : 4))
}

/**
 * Claim ids as a saga engine makes them. The digest puts them in no order, as with random routing slip ids.
 *
 * @param {number} count
 */
export function claimIds(count) {
  return Array.from({ length: count }, (_, index) => {
    const hex = createHash('sha1').update(String(index)).digest('hex')
    return `slip-${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20, 32)}-1767225600000`
  })
}

/**
 * Another order than that of the seeding, the same in every process.
 *
 * @param {string[]} ids
 */
export function shuffled(ids) {
  const order = ids.map((id) => ({ id, rank: createHash('sha1').update(`order ${id}`).digest('hex') }))
  return order.sort((a, b) => (a.rank < b.rank ? -1 : 1)).map(({ id }) => id)
}

/** Random bytes (routing slips are compressed by their engine), other ones at each call of `next`. */
export class Payload {
  #data
  #stamps
  #stamp = randomFillSync(new Uint32Array(1))[0]

  /** @param {number} size */
  constructor(size) {
    // In memory of its own: small Buffers of Buffer.alloc share one block of memory.
    const memory = new ArrayBuffer(size)
    this.#data = Buffer.from(memory)
    this.#stamps = new Uint32Array(memory, 0, Math.floor(size / 4))
    randomFillSync(this.#data)
  }

  /** Every call uses the same memory: call it only when the put before has settled. */
  next() {
    this.#stamp += 1
    for (let at = 0; at < this.#stamps.length; at += STAMP_EVERY / 4) this.#stamps[at] = this.#stamp
    return this.#data
  }
}

/** Routing slips as an engine writes them, which compress to about a quarter; other ones at each call of `next`. */
export class Slip {
  #data
  #turn = 0

  /** @param {number} size */
  constructor(size) {
    const words = ['reserve', 'charge', 'ship', 'notify', 'pending', 'done', 'EUR', 'USD', 'DE', 'FR', 'US']
    const word = () => words[Math.floor(Math.random() * words.length)]
    let text = ''
    while (text.length < size) {
      const step = {
        step: word(),
        state: word(),
        orderId: randomUUID(),
        address: { country: word(), zip: Math.floor(Math.random() * 1e5) },
        amount: { value: Math.floor(Math.random() * 1e6) / 100, currency: word() },
        startedAt: new Date(Date.now() - Math.random() * 1e9).toISOString(),
        compensation: { url: `https://orders.example.com/${word()}/undo`, retries: 3 },
      }
      text += `${JSON.stringify(step)},`
    }
    this.#data = Buffer.from(text.slice(0, size))
  }

  next() {
    this.#turn += 1
    const stamp = this.#turn.toString().padStart(10, '0')
    for (let at = 0; at + stamp.length <= this.#data.length; at += STAMP_EVERY) this.#data.write(stamp, at, 'latin1')
    return this.#data
  }
}
