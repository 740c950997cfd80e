// One trial in a fresh process. It is told over IPC what to do, answers with the figures, and ends.

import { answerTask } from '../answer.mjs'
import { measure } from '../measure.mjs'
import { STORES } from './stores.mjs'

/**
 * @typedef {object} Task
 * @property {'seed' | 'get' | 'update' | 'contention'} kind
 * @property {string} store
 * @property {string} url
 * @property {string} place
 * @property {number} sagas how many
 * @property {number} size bytes of a state, roughly
 * @property {number} workers of the contention
 * @property {number} rounds of each worker
 * @property {import('../measure.mjs').Pace} pace
 */

const PARTS = ['reserve-stock', 'charge-card', 'book-carrier', 'send-confirmation']

/** @param {number} number @param {number} size @returns {import('./stores.mjs').State} */
function stateOf(number, size) {
  const at = new Date(1_764_000_000_000 + number)
  const steps = Array.from({ length: Math.max(1, Math.round(size / 80)) }, (_, step) => ({
    step: PARTS[step % PARTS.length],
    status: 'done',
    at: at.toISOString(),
    n: step,
  }))
  return { metadata: { sagaId: `saga-${number}`, version: 1, createdAt: at, updatedAt: at, isCompleted: false }, total: 0, steps }
}

/** @param {Task} task */
async function run({ kind, store, url, place, sagas: count, size, workers, rounds, pace }) {
  const sagas = await STORES[store](url, place, Math.max(pace.concurrency, workers))
  try {
    const order = (/** @type {number} */ turn) => `order-${(turn * 7919) % count}`
    switch (kind) {
      case 'seed':
        for (let from = 0; from < count; from += 50) {
          const some = Array.from({ length: Math.min(50, count - from) }, (_, at) => from + at)
          await Promise.all(some.map((number) => sagas.insert(`order-${number}`, stateOf(number, size))))
        }
        return undefined
      case 'get':
        return await measure(
          (_slot, turn) => sagas.get(order(turn)),
          (state) => {
            if (state === null) throw new Error('a saga is missing')
          },
          pace,
        )
      case 'update': {
        // The version is known, as in an engine that keeps what it has handled. Each slot has sagas of its own.
        /** @type {Map<string, import('./stores.mjs').State>} */
        const known = new Map()
        const share = Math.floor(count / pace.concurrency)
        const turns = Array.from({ length: pace.concurrency }, () => 0)
        const update = async (/** @type {number} */ slot) => {
          const id = `order-${slot * share + (turns[slot]++ % share)}`
          const state = known.get(id) ?? /** @type {import('./stores.mjs').State} */ (await sagas.get(id))
          known.set(id, state)
          state.total += 1
          const done = await sagas.update(id, state, state.metadata.version)
          state.metadata.version += 1
          return done
        }
        for (let slot = 0; slot < pace.concurrency; slot++) for (let turn = 0; turn < share; turn++) await prefetch(slot * share + turn)
        async function prefetch(/** @type {number} */ number) {
          const id = `order-${number}`
          known.set(id, /** @type {import('./stores.mjs').State} */ (await sagas.get(id)))
        }
        return await measure(
          update,
          (done) => {
            if (!done) throw new Error('an update was refused')
          },
          pace,
        )
      }
      case 'contention': {
        const from = (await sagas.get('order-0'))?.total
        const began = performance.now()
        const worker = async () => {
          for (let round = 0; round < rounds; ) {
            const state = /** @type {import('./stores.mjs').State} */ (await sagas.get('order-0'))
            if (await sagas.update('order-0', { ...state, total: state.total + 1 }, state.metadata.version)) round += 1
          }
        }
        await Promise.all(Array.from({ length: workers }, worker))
        const seconds = (performance.now() - began) / 1000
        const expected = workers * rounds
        return { lost: expected - ((await sagas.get('order-0'))?.total - from), seconds, expected }
      }
    }
  } finally {
    await sagas.close()
  }
}

answerTask(run)
