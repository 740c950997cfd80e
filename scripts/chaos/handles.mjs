// In a writer process, beside what writer.mjs does: handles of another SQLite library on the store's file, opened
// and closed at random, that write rows of their own, and payloads of the store in their transactions.

import { createRequire } from 'node:module'
import sagastore from '../../index.js'
import { payloadOf } from './ledger.mjs'
import { sleep } from './writers.mjs'

/**
 * @typedef {{ exec(sql: string): unknown, prepare(sql: string): { run(...values: unknown[]): unknown, get(): unknown }, close(): unknown }} Handle
 * @typedef {import('./writer.mjs').Task & { handles: { library: 'better-sqlite3' | 'node:sqlite', path: string } }} Task
 */

/** Blocks this thread, so that it is short. */
const BUSY_MS = 100
const HANDLES_AT_MOST = 3

const task = /** @type {Task} */ (JSON.parse(process.argv[2] ?? ''))
const { library, path } = task.handles
const require = createRequire(import.meta.url)
const store = sagastore.openStore(task.options)
/** @type {Handle[]} */
const open = []
let isRunning = true
let next = 0

process.on('message', () => {
  isRunning = false
})

/** @returns {Handle} */
function another() {
  if (library === 'better-sqlite3') return new (require('better-sqlite3'))(path, { timeout: BUSY_MS })
  return new (require('node:sqlite').DatabaseSync)(path, { timeout: BUSY_MS })
}

/** @template T @param {T[]} from */
function any(from) {
  return /** @type {T} */ (from[Math.floor(Math.random() * from.length)])
}

/**
 * Tells of a write as writer.mjs does; `handle` keeps its numbers apart.
 *
 * @param {(key: string, value: string) => Promise<unknown> | unknown} work answers false if it was undone
 */
async function write(work) {
  const number = next++
  const key = `${task.name}.row${number}`
  const value = `${key}:${60 + (number % 7) * 1500}`
  process.send?.({ handle: true, number, begun: { kind: 'put', key, value } })
  try {
    const isKept = (await work(key, value)) !== false
    process.send?.({ handle: true, number, ...(isKept ? { resolved: true } : { rejected: 'ROLLBACK', message: '' }) })
  } catch (error) {
    const { code, errcode, message } = /** @type {{ code?: string, errcode?: number, message: string }} */ (error)
    // better-sqlite3 says it in `code`, node:sqlite in the low byte of `errcode`.
    const isBusy = code?.startsWith('SQLITE_BUSY') || (errcode !== undefined && (errcode & 255) === 5)
    process.send?.({ handle: true, number, rejected: isBusy ? 'BUSY' : (code ?? 'none'), message })
  }
}

/** @param {Handle} db @param {string} key @param {string} value */
function insert(db, key, value) {
  db.prepare('insert into others values (?, ?)').run(key, payloadOf(value))
}

/** @param {Handle} db @param {(key: string, value: string) => Promise<unknown> | unknown} work */
function inTransaction(db, work) {
  return write(async (key, value) => {
    db.exec('begin immediate')
    try {
      await work(key, value)
      const isKept = Math.random() < 0.7
      db.exec(isKept ? 'commit' : 'rollback')
      return isKept
    } catch (error) {
      db.exec('rollback')
      throw error
    }
  })
}

/** @type {Array<(db: Handle) => unknown>} */
const ACTS = [
  (db) => write((key, value) => insert(db, key, value)),
  (db) => inTransaction(db, (key, value) => insert(db, key, value)),
  (db) =>
    inTransaction(db, async (key, value) => {
      insert(db, key, value)
      await sleep(Math.random() * 5)
    }),
  // A payload of the store's, read back as a row: it joins.
  (db) =>
    inTransaction(db, (key, value) =>
      sagastore.withTransaction(db, async () => {
        await store.put(`in-${key}`, payloadOf(value))
        db.exec(`insert into others select '${key}', data from saga_store where id = 'in-${key}'`)
      }),
    ),
  (db) => db.prepare('select count(*) from others').get(),
  (db) => db.exec('pragma wal_checkpoint(passive)'),
]

/** Until the parent process says stop. */
export async function run() {
  while (isRunning) {
    try {
      if (open.length === 0 || (open.length < HANDLES_AT_MOST && Math.random() < 0.3)) open.push(another())
      await any(ACTS)(any(open))
      if (Math.random() < 0.3) open.splice(Math.floor(Math.random() * open.length), 1)[0]?.close()
    } catch (error) {
      if (!/locked|busy/i.test(/** @type {Error} */ (error).message)) throw error
    }
    await sleep(Math.random() * 4)
  }
  for (const db of open) db.close()
  await store.close()
}
