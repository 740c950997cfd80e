// A writer process: several slots that put, delete, insert, update and remove until they are told to stop, and
// tell the parent process of each write, before it begins and when it has settled.

import sagastore from '../../index.js'
import { payloadOf } from './ledger.mjs'

/**
 * @typedef {import('./ledger.mjs').Entry} Entry
 * @typedef {object} Task
 * @property {string} name of this writer: its keys begin with it
 * @property {Record<string, unknown>} options of `openStore`
 * @property {number} slots
 * @property {number} settleWithinMs
 * @property {number} [pauseMs] between two writes of a slot
 * @property {string} [beside] a module whose `run` works in this process as well
 */

const SAGA = 'Chaos'
/** A shared saga takes writes for so long; then there is a new one. */
const SHARED_FOR_MS = 1000
const UPDATES_AT_MOST = 50

/** @type {Task} */
const task = JSON.parse(process.argv[2] ?? '')
const store = sagastore.openStore(task.options)
let isRunning = true
let next = 0

/**
 * Whether it has been acknowledged.
 *
 * @param {Entry} begun
 * @param {() => Promise<unknown>} write
 */
async function write(begun, write) {
  const number = next++
  process.send?.({ number, begun })
  const timer = setTimeout(() => process.send?.({ number, overdue: true }), task.settleWithinMs)
  try {
    await write()
    process.send?.({ number, resolved: true })
    return true
  } catch (error) {
    const { code = 'none', message } = /** @type {{ code?: string, message: string }} */ (error)
    process.send?.({ number, rejected: code, message })
    await pause(20)
    return false
  } finally {
    clearTimeout(timer)
  }
}

/** Also keeps the loop from starving the messages. @param {number} [ms] */
function pause(ms = task.pauseMs ?? 0) {
  return new Promise((resume) => setTimeout(resume, ms))
}

/** @param {string} slot */
async function writePayloads(slot) {
  for (let n = 0; isRunning; n++) {
    const key = `${slot}-p${n}`
    for (let turn = 0; isRunning && turn < 5; turn++) {
      const value = `${key}.${turn}:${turn % 5 === 4 ? 40_000 : 60 + (n % 400)}`
      const isDelete = turn === 3
      const isStored = isDelete
        ? await write({ kind: 'delete', key }, () => store.delete(key))
        : await write({ kind: 'put', key, value }, () => store.put(key, payloadOf(value)))
      if (!isStored) break
      await pause()
    }
  }
}

/** @param {string} key */
function insert(key) {
  return write({ kind: 'insert', key }, () =>
    store.states.insert(SAGA, `correlation-${key}`, {
      tokens: [],
      metadata: { sagaId: key, version: 1, createdAt: new Date(), updatedAt: new Date(), isCompleted: false },
    }),
  )
}

/**
 * @param {string} key
 * @param {string} value
 */
function update(key, value) {
  return write({ kind: 'update', key, value }, () =>
    store.states.modify(SAGA, key, (/** @type {{ tokens: string[] }} */ state) => ({ ...state, tokens: [...state.tokens, value] })),
  )
}

/** Sagas of its own, and updates of one that all writers share. @param {string} slot */
async function writeStates(slot) {
  for (let n = 0; isRunning; n++) {
    const key = `${slot}-s${n}`
    const shared = `shared-${Math.floor(Date.now() / SHARED_FOR_MS)}`
    let isThere = await insert(key)
    for (let turn = 0; isRunning && isThere && turn < 4; turn++) {
      isThere = await update(key, `${key}.${turn}`)
      await pause()
    }
    if (n % 2 === 0) await write({ kind: 'remove', key }, () => store.states.delete(SAGA, key))
    for (let turn = 0; isRunning && turn < 2; turn++) {
      const state = await store.states.getById(SAGA, shared).catch(() => undefined)
      if (state === null) await insert(shared)
      else if (state !== undefined && state.tokens.length < UPDATES_AT_MOST) await update(shared, `${key}.shared.${turn}`)
      await pause()
    }
  }
}

process.on('message', () => {
  isRunning = false
})
process.on('disconnect', () => process.exit(0))
const beside = task.beside === undefined ? undefined : (await import(task.beside)).run()
const slots = Array.from({ length: task.slots }, (_, n) => (n % 2 === 0 ? writePayloads : writeStates)(`${task.name}.${n}`))
await Promise.all([...slots, beside])
await store.close().catch(() => {})
process.disconnect()
