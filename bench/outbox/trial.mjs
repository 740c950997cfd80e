// One trial in a fresh process. It is told over IPC what to do, answers with the figures, and ends.

import { performance } from 'node:perf_hooks'
import { setTimeout as sleep } from 'node:timers/promises'
import { answerTask } from '../answer.mjs'
import { Histogram } from '../histogram.mjs'
import { measure } from '../measure.mjs'
import { BATCH, newEvent } from './events.mjs'
import { OUTBOXES } from './stores.mjs'

/**
 * @typedef {object} Task
 * @property {'insert' | 'batch' | 'transaction' | 'drain' | 'latency'} kind
 * @property {string} store
 * @property {string} url
 * @property {string} place
 * @property {string} [durability]
 * @property {number} events how many there are to drain, or to wait for
 * @property {number} keys of how many keys they are; 0: of none
 * @property {number} workers
 * @property {import('../measure.mjs').Pace} pace
 */

const GIVE_UP_MS = 10_000
/** Who asks twice a second is not asked 300 times. */
const LATENCY_MS = 20_000

/** @param {import('./events.mjs').Outbox} outbox @param {Task} task */
async function drain(outbox, { events, keys, workers }) {
  // DynamoDB has at most 100 items in one insertion, and an event with a key is two.
  const most = keys > 0 ? BATCH / 2 : BATCH
  for (let from = 0; from < events; from += most) {
    const size = Math.min(most, events - from)
    await outbox.insert(Array.from({ length: size }, (_, at) => newEvent(keys > 0 ? `key-${(from + at) % keys}` : undefined)))
  }
  const [began, loop, cpu] = [performance.now(), performance.eventLoopUtilization(), process.cpuUsage()]
  await outbox.drain(events, workers)
  const seconds = (performance.now() - began) / 1_000
  const { user, system } = process.cpuUsage(cpu)
  const { active } = performance.eventLoopUtilization(loop)
  return { throughput: events / seconds, loop: (active * 1_000) / events, cpu: (user + system) / events }
}

/** From the answer to an insertion until its event is handed out, one after the other. @param {import('./events.mjs').Outbox} outbox @param {Task} task */
async function latency(outbox, { events }) {
  /** @type {Map<string, (at: number) => void>} */
  const waiting = new Map()
  const stop = await outbox.listen?.((id) => waiting.get(id)?.(performance.now()))
  if (stop === undefined) return undefined
  const latencies = new Histogram()
  try {
    const end = performance.now() + LATENCY_MS
    for (let n = 0; n < events && performance.now() < end; n++) {
      const event = newEvent()
      const handed = new Promise((resolve) => waiting.set(event.id, resolve))
      await outbox.insert([event])
      const stored = performance.now()
      const at = await Promise.race([handed, sleep(GIVE_UP_MS, undefined, { ref: false })])
      if (at === undefined) throw new Error(`an event was not handed out within ${GIVE_UP_MS} ms`)
      latencies.record(Math.max(0, at - stored))
      waiting.delete(event.id)
      // At another moment of whoever polls.
      await sleep(Math.random() * 20)
    }
  } finally {
    await stop()
  }
  return { p50: latencies.quantile(0.5), p99: latencies.quantile(0.99) }
}

/** @param {Task} task */
async function run(task) {
  const { kind, store, url, place, durability, keys, pace } = task
  const options = { keyed: keys > 0, listens: kind === 'latency', ...(durability !== undefined && { durability }) }
  const outbox = await OUTBOXES[store](url, place, options)
  try {
    if (kind === 'drain') return await drain(outbox, task)
    if (kind === 'latency') return await latency(outbox, task)
    const { together } = outbox
    if (kind === 'transaction' && together === undefined) return undefined
    const size = kind === 'batch' ? BATCH : 1
    const { throughput, loop, cpu, p99 } = await measure(
      () => (kind === 'transaction' ? together?.(newEvent()) : outbox.insert(Array.from({ length: size }, () => newEvent()))),
      () => undefined,
      pace,
    )
    return { throughput: throughput * size, loop: loop / size, cpu: cpu / size, p99 }
  } catch (/** @type {any} */ error) {
    // A server without it: there is nothing to compare.
    if (store === 'sagastore' && error.code === 'UNSUPPORTED') return undefined
    throw error
  } finally {
    await outbox.close()
  }
}

answerTask(run)
