// One trial in a fresh process. It is told over IPC what to do, answers with the figures, and ends.

import { readFileSync } from 'node:fs'
import { answerTask } from '../answer.mjs'
import { measure } from '../measure.mjs'
import { LOGS } from './stores.mjs'

/**
 * @typedef {object} Task
 * @property {'seed' | 'checkpoint' | 'saga' | 'claim' | 'cost' | 'history'} kind
 * @property {string} store
 * @property {string} url
 * @property {string} place
 * @property {string} [durability]
 * @property {number} sagas how many there are to write to
 * @property {number} due how many there are to claim
 * @property {number} finished how many have ended beside them
 * @property {number} round tells the sagas of one trial from those of another
 * @property {number} [entries] of the log whose growth is measured
 * @property {number} [limitMs] how long the trial may take
 * @property {import('../measure.mjs').Pace} pace
 */

const STEPS = 10
const CLAIMED_AT_ONCE = 10

/** @param {number} count @param {(number: number) => Promise<void>} work */
async function each(count, work) {
  for (let from = 0; from < count; from += 200) {
    await Promise.all(Array.from({ length: Math.min(200, count - from) }, (_, at) => work(from + at)))
  }
}

/** What this process has written into files so far, in bytes; Linux tells it. */
function writtenBytes() {
  try {
    return Number(/^wchar: (\d+)$/m.exec(readFileSync('/proc/self/io', 'utf8'))?.[1])
  } catch {
    return Number.NaN
  }
}

/** @param {Task} task */
async function run({ kind, store, url, place, durability, sagas, due, finished, entries = 0, round, pace }) {
  const log = await LOGS[store](url, place, { ...(durability !== undefined && { durability }) })
  try {
    switch (kind) {
      case 'seed':
        await each(finished, (n) => log.create(`finished-${n}`, false, true))
        await each(due, (n) => log.create(`due-${n}`, true))
        return undefined
      case 'checkpoint': {
        // Each slot has sagas of its own, and knows their versions as an engine does.
        const share = Math.max(1, Math.floor(sagas / pace.concurrency))
        const name = (/** @type {number} */ slot, /** @type {number} */ at) => `c${round}-${slot}-${at}`
        await each(share * pace.concurrency, (n) => log.create(name(Math.floor(n / share), n % share), false))
        const turns = Array.from({ length: pace.concurrency }, () => 0)
        return await measure(
          (slot) => {
            const turn = turns[slot]++
            return log.checkpoint(name(slot, turn % share), Math.floor(turn / share) + 1, `step-${turn}`, { ok: true, turn })
          },
          (done) => {
            if (!done) throw new Error('a checkpoint was refused')
          },
          pace,
        )
      }
      case 'saga': {
        let number = 0
        return await measure(
          async () => {
            await log.saga(`s${round}-${process.pid}-${number++}`, STEPS)
            return true
          },
          () => undefined,
          pace,
        )
      }
      case 'cost': {
        const before = writtenBytes()
        await each(sagas, (n) => log.saga(`k${round}-${n}`, STEPS))
        return { written: writtenBytes() - before }
      }
      case 'history': {
        const id = `h${round}`
        await log.create(id, false)
        let version = 1
        const add = async () => {
          const done = await log.checkpoint(id, version, `step-${version}`, { ok: true, step: version })
          version += 1
          return done
        }
        while (version <= entries) await add()
        const checked = (/** @type {boolean} */ done) => {
          if (!done) throw new Error('a checkpoint was refused')
        }
        const grown = await measure(add, checked, pace)
        const read =
          log.history &&
          (await measure(
            () => log.history?.(id, 100),
            () => undefined,
            pace,
          ))
        return { checkpoint: grown.p50, ...(read && { page: read.p50 }) }
      }
      case 'claim':
        return await measure(
          () => log.claim(CLAIMED_AT_ONCE),
          (ids) => {
            if (ids.length === 0) throw new Error('nothing is due any more: seed more')
          },
          pace,
        )
    }
  } finally {
    await log.close()
  }
}

answerTask(run)
