import { fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import sagastore from '../../index.js'
import { nodeWithSqlite } from '../node-sqlite.mjs'
import { Ledger } from './ledger.mjs'
import { checkWith, SETTLE_WITHIN_MS, sleep, WRITER } from './writers.mjs'

/** TIMEOUT: others have the lock for too long; BUSY: a handle says the same; ROLLBACK: a handle's own. */
const EXPECTED = ['TIMEOUT', 'BUSY', 'ROLLBACK', 'CONCURRENCY_CONFLICT', 'ALREADY_EXISTS', 'NOT_FOUND']
const CALM_MS = 1500

/**
 * One file, three processes, each with a store and with handles of better-sqlite3 or node:sqlite that come and go;
 * one of them is killed (-9) every now and then.
 *
 * @param {{ seconds: number, report: (text: string) => void }} options
 */
export async function run({ seconds, report }) {
  const directory = mkdtempSync(join(tmpdir(), 'sagastore-chaos-'))
  try {
    return await on(join(directory, 'sagas.db'), { seconds, report })
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
}

/**
 * @param {string} path
 * @param {{ seconds: number, report: (text: string) => void }} options
 */
async function on(path, { seconds, report }) {
  const ledger = new Ledger({ expected: EXPECTED })
  const options = { url: `sqlite://${path}`, operationTimeoutMs: 2000 }
  const store = sagastore.openStore({ ...options, operationTimeoutMs: 30_000 })
  await store.initialize()
  await store.transaction((tx) => tx.query('create table others (id text primary key, data blob)'))
  await store.close()

  const libraries = /** @type {const} */ (['better-sqlite3', 'node:sqlite', 'better-sqlite3'])
  let generation = 0
  /** @param {number} n */
  const start = (n) => {
    const library = /** @type {typeof libraries[number]} */ (libraries[n])
    // Of the few that the ledger can tell apart: who had it before is long dead.
    const number = (generation++ * 2) % 4096
    const handles = { library, path }
    const task = {
      name: `w${generation}`,
      options,
      slots: 4,
      settleWithinMs: SETTLE_WITHIN_MS,
      pauseMs: 2,
      beside: './handles.mjs',
      handles,
    }
    const child = fork(WRITER, [JSON.stringify(task)], {
      execPath: library === 'node:sqlite' ? nodeWithSqlite() : process.execPath,
    })
    child.on('message', (message) => {
      const told = /** @type {import('./ledger.mjs').Message & { handle?: true }} */ (message)
      ledger.record(number + (told.handle ? 1 : 0), told)
    })
    return { child, number, ended: once(child, 'exit'), told: once(child, 'disconnect') }
  }
  const writers = libraries.map((_, n) => start(n))
  try {
    report(`${writers.length} processes write, beside ${[...new Set(libraries)].join(' and ')}`)
    const end = performance.now() + seconds * 1000
    for (let n = 0; performance.now() < end - CALM_MS; n = (n + 1) % writers.length) {
      await sleep(CALM_MS)
      const writer = /** @type {typeof writers[number]} */ (writers[n])
      report(`kill -9, beside ${libraries[n]}`)
      if (writer.child.exitCode !== null) ledger.fault(`writer ${writer.number} ended with ${writer.child.exitCode}`)
      writer.child.kill('SIGKILL')
      // What it had told before it died has been entered then.
      await Promise.all([writer.ended, writer.told])
      ledger.killed(writer.number)
      ledger.killed(writer.number + 1)
      writers[n] = start(n)
    }
    await sleep(Math.max(CALM_MS, end - performance.now()))
    report('the writers end')
    for (const { child } of writers) if (child.connected) child.send('stop')
    const patience = sleep(SETTLE_WITHIN_MS + 10_000)
    for (const { child, number, ended } of writers) {
      await Promise.race([ended, patience])
      if (child.exitCode !== 0)
        ledger.fault(`writer ${number} ended with ${child.signalCode ?? child.exitCode ?? 'nothing: it still runs'}`)
    }
  } finally {
    for (const { child } of writers) child.kill('SIGKILL')
  }
  report('everything is looked at')
  // A file that is corrupt may not be readable at all.
  await check(ledger, sagastore.openStore({ ...options, operationTimeoutMs: 30_000 })).catch((error) => ledger.fault(String(error)))
  return ledger
}

/**
 * @param {Ledger} ledger
 * @param {import('../../index.js').SagaStore} store
 */
async function check(ledger, store) {
  const answers = await store.transaction((tx) => tx.query('pragma integrity_check'))
  for (const { integrity_check: answer } of answers) if (answer !== 'ok') ledger.fault(`integrity_check: ${answer}`)
  const rows = /** @param {string[]} ids */ (ids) =>
    store.transaction((tx) => tx.query('select id, data from others where id in (select value from json_each($1))', [JSON.stringify(ids)]))
  await checkWith(ledger, store, async (ids) => {
    const found = await store.getMany(ids)
    for (const row of await rows(ids)) found.set(String(row.id), Buffer.from(/** @type {Uint8Array} */ (row.data)))
    return found
  })
  await store.close()
}
