// What is put into an outbox, and how it is taken out again.

import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'

/**
 * @typedef {object} Event
 * @property {string} id
 * @property {string} [key] events of one key are to be published in their order
 * @property {{ order: string, note: string }} payload
 *
 * @typedef {object} Outbox
 * @property {(events: Event[]) => Promise<unknown>} insert all or none
 * @property {(event: Event) => Promise<unknown>} [together] in one transaction with a row of the application
 * @property {(count: number, workers: number) => Promise<void>} drain so many events are handed out, 100 at once, and
 *   acknowledged; there are no others
 * @property {(onEvent: (id: string) => void) => Promise<() => Promise<void>>} [listen] hands out what is inserted from now on
 * @property {() => Promise<unknown>} close
 *
 * @typedef {(url: string, place: string, options: { durability?: string, keyed: boolean, listens: boolean }) => Promise<Outbox>} Open
 */

/** So many are inserted, and claimed, at once. */
export const BATCH = 100
export const LEASE_MS = 60_000
const PAYLOAD = { order: 'o-4711', note: 'x'.repeat(950) }

/** @param {string} [key] @returns {Event} */
export function newEvent(key) {
  return { id: randomUUID(), payload: PAYLOAD, ...(key !== undefined && { key }) }
}

/**
 * Workers that claim and acknowledge until all is done.
 *
 * @param {(worker: number) => Promise<number>} turn claims a batch and acknowledges it; how many there were
 */
export function drained(turn) {
  return async (/** @type {number} */ count, /** @type {number} */ workers) => {
    let done = 0
    const work = async (/** @type {number} */ worker) => {
      while (done < count) {
        const some = await turn(worker)
        done += some
        // What is left is in other hands, or behind them.
        if (some === 0) await sleep(1)
      }
    }
    await Promise.all(Array.from({ length: workers }, (_, worker) => work(worker)))
    if (done !== count) throw new Error(`${done} events were handed out in place of ${count}`)
  }
}
