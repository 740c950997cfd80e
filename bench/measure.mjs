import { monitorEventLoopDelay, performance } from 'node:perf_hooks'
import { Histogram } from './histogram.mjs'

const OVERTIME = 10

/**
 * @typedef {object} Measured
 * @property {number} operations completed in the measured time
 * @property {number} seconds
 * @property {number} throughput operations per second
 * @property {number} p50 ms
 * @property {number} p99 ms
 * @property {number} loop event-loop time per operation, us
 * @property {number} cpu of all threads of this process per operation, us
 * @property {number} [delay] how late a timer of 1 ms is in 99 % of cases, ms
 *
 * @typedef {object} Pace
 * @property {number} concurrency
 * @property {number} warmup seconds
 * @property {number} seconds
 * @property {number} minimum operations to be measured; for this the time is prolonged, up to tenfold
 * @property {boolean} [delay] whether the delay of the event loop is measured, which costs a little of it
 */

/**
 * A closed loop: each of `concurrency` slots starts its next operation when its last one has ended.
 *
 * An operation's latency runs from the end of the slot's previous one. With an asynchronous driver that is when
 * it is called; with a synchronous one it includes the wait for the other slots, as in a server whose requests
 * queue for the event loop.
 *
 * @param {(slot: number, turn: number) => unknown} operation
 * @param {(result: any) => void} check throws if an operation's result is wrong
 * @param {Pace} pace
 * @returns {Promise<Measured>}
 */
export async function measure(operation, check, { concurrency, warmup, seconds, minimum, delay }) {
  const latencies = new Histogram()
  const delays = delay ? monitorEventLoopDelay({ resolution: 1 }) : undefined
  let turn = 0
  let completed = 0
  /** @type {ReturnType<typeof snapshot> | undefined} */
  let from
  /** @type {ReturnType<typeof snapshot> | undefined} */
  let to
  const warmFrom = performance.now()

  /** The measured time begins and ends when an operation is completed, so that batches are counted whole. */
  const onCompletion = (/** @type {number} */ ready, /** @type {number} */ now) => {
    completed += 1
    if (from === undefined) {
      if (now - warmFrom < warmup * 1000 || completed < concurrency) return
      completed = 0
      delays?.enable()
      from = snapshot()
      return
    }
    latencies.record(now - ready)
    const elapsed = now - from.now
    if (elapsed < seconds * 1000 || (completed < minimum && elapsed < seconds * 1000 * OVERTIME)) return
    to = snapshot()
  }

  const work = async (/** @type {number} */ slot) => {
    let ready = performance.now()
    while (to === undefined) {
      check(await operation(slot, turn++))
      const now = performance.now()
      if (to === undefined) onCompletion(ready, now)
      ready = now
    }
  }
  await Promise.all(Array.from({ length: concurrency }, (_, slot) => work(slot)))

  if (from === undefined || to === undefined) throw new Error('nothing was measured')
  delays?.disable()
  const elapsed = (to.now - from.now) / 1000
  return {
    operations: completed,
    seconds: elapsed,
    throughput: completed / elapsed,
    p50: latencies.quantile(0.5),
    p99: latencies.quantile(0.99),
    loop: ((to.loop.active - from.loop.active) * 1000) / completed,
    cpu: (to.cpu.user + to.cpu.system - from.cpu.user - from.cpu.system) / completed,
    // The figure includes the timer's own millisecond. Without a sample the event loop never came to its timers.
    ...(delays && delays.count > 0 && { delay: Math.max(0, delays.percentile(99) / 1e6 - 1) }),
  }
}

function snapshot() {
  return { now: performance.now(), loop: performance.eventLoopUtilization(), cpu: process.cpuUsage() }
}
