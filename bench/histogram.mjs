const PER_E = 100
const SMALLEST_MS = 0.0001
const BUCKETS = Math.ceil(Math.log(1e6 / SMALLEST_MS) * PER_E)

/** Latencies in buckets that are 1 % wide. It takes 10 kB however many there are, so the memory measured is the candidate's. */
export class Histogram {
  #counts = new Uint32Array(BUCKETS)
  #total = 0

  /** @param {number} ms */
  record(ms) {
    const bucket = ms <= SMALLEST_MS ? 0 : Math.min(BUCKETS - 1, (Math.log(ms / SMALLEST_MS) * PER_E) | 0)
    this.#counts[bucket] += 1
    this.#total += 1
  }

  /**
   * @param {number} share 0.99 for p99
   * @returns {number} ms, the middle of the bucket
   */
  quantile(share) {
    const rank = Math.max(1, Math.ceil(this.#total * share))
    let seen = 0
    for (const [bucket, count] of this.#counts.entries()) {
      seen += count
      if (seen >= rank) return SMALLEST_MS * Math.exp((bucket + 0.5) / PER_E)
    }
    return Number.NaN
  }
}
