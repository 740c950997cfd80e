import { mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { isMainThread, threadId } from 'node:worker_threads'
import { composeDown } from './docker.mjs'
import { descendants, identify, send, sleepSync } from './os-process.mjs'

/**
 * @typedef {{ pid: number, identity: string, stopSignal: NodeJS.Signals }} OwnedProcess
 * @typedef {object} LedgerRecord What is on disk: enough for another process to clean up after this one.
 * @property {{ pid: number, identity: string }} owner
 * @property {boolean} ready `up` has finished
 * @property {Record<string, string>} variables
 * @property {OwnedProcess[]} processes
 * @property {string[]} directories
 * @property {string[]} projects Docker compose projects
 */

const STATE_DIRECTORY = fileURLToPath(new URL('../../.services/', import.meta.url))
export const UP_STATE = join(STATE_DIRECTORY, 'state.json')
const TEMP_PREFIX = 'sagastore-services-'

/**
 * Everything that one Node process has started and must take away again. It is written to `.services/`
 * before it is needed, so that `down`, or the next run, can clean up after a process that was killed.
 */
export class Ledger {
  #file
  /** @type {LedgerRecord} */
  #record
  #closed = false
  /** Servers outlive this process: the ledger of `up`. */
  kept

  /** @param {{ file?: string, kept?: boolean }} [options] */
  constructor({ file = join(STATE_DIRECTORY, `${process.pid}-${threadId}.json`), kept = false } = {}) {
    this.#file = file
    this.kept = kept
    this.#record = {
      owner: { pid: process.pid, identity: identify(process.pid) ?? '' },
      ready: false,
      variables: {},
      processes: [],
      directories: [],
      projects: [],
    }
    mkdirSync(STATE_DIRECTORY, { recursive: true, mode: 0o700 })
    // 'wx': of two `up` at once, one gets the file. Any other name is this process's own.
    if (kept) writeFileSync(file, JSON.stringify(this.#record), { flag: 'wx', mode: 0o600 })
    else process.once('exit', () => this.stopEverything())
  }

  /**
   * @param {number} pid
   * @param {NodeJS.Signals} stopSignal
   */
  addProcess(pid, stopSignal) {
    const identity = identify(pid)
    if (identity === undefined) return
    this.#record.processes.push({ pid, identity, stopSignal })
    this.#save()
  }

  /** @param {number} pid */
  removeProcess(pid) {
    this.#record.processes = this.#record.processes.filter((owned) => owned.pid !== pid)
    this.#save()
  }

  /**
   * @param {string} name
   * @returns {string} a new directory that only this user can enter
   */
  makeDirectory(name) {
    const directory = mkdtempSync(join(tmpdir(), `${TEMP_PREFIX}${name}-`))
    this.#record.directories.push(directory)
    this.#save()
    return directory
  }

  /** @param {string} directory */
  removeDirectory(directory) {
    removeTemporary(directory)
    this.#record.directories = this.#record.directories.filter((one) => one !== directory)
    this.#save()
  }

  /** @param {string} project */
  addProject(project) {
    this.#record.projects.push(project)
    this.#save()
  }

  /** @param {Record<string, string>} variables */
  setReady(variables) {
    this.#record.variables = variables
    this.#record.ready = true
    this.#save()
  }

  /** Synchronous, so that an `exit` handler can call it; a second call does nothing. */
  stopEverything() {
    if (this.#closed) return
    this.#closed = true
    stopAll(this.#record)
    rmSync(this.#file, { force: true })
  }

  #save() {
    if (this.#closed) return
    const { processes, directories, projects } = this.#record
    if (!this.kept && processes.length + directories.length + projects.length === 0) {
      rmSync(this.#file, { force: true })
      return
    }
    const next = `${this.#file}.${process.pid}.tmp`
    writeFileSync(next, JSON.stringify(this.#record, null, 2), { mode: 0o600 })
    renameSync(next, this.#file)
  }
}

/** @type {Ledger | undefined} */
let shared

/** The ledger of isolated servers: all of them go when this process exits, by a signal too. */
export function ledgerOfThisProcess() {
  if (shared) return shared
  const ledger = new Ledger()
  shared = ledger
  sweep()
  if (isMainThread) {
    for (const signal of /** @type {const} */ (['SIGINT', 'SIGTERM', 'SIGHUP'])) {
      const onSignal = () => {
        // Another listener, such as the test runner's, decides when to exit; the `exit` handler follows.
        if (process.listenerCount(signal) > 1) return
        ledger.stopEverything()
        process.removeListener(signal, onSignal)
        process.kill(process.pid, signal)
      }
      process.on(signal, onSignal)
    }
  }
  return ledger
}

/**
 * @param {string} file
 * @returns {LedgerRecord | undefined} undefined when there is no such file, or another process just removed it
 */
export function readRecord(file) {
  try {
    return JSON.parse(readFileSync(file, 'utf8'))
  } catch {
    return undefined
  }
}

/** @param {{ pid: number, identity: string }} one */
export function isRunning(one) {
  return identify(one.pid) === one.identity
}

/** Stops what processes that no longer run have left behind. Never touches the servers of `up`. */
export function sweep() {
  let names
  try {
    names = readdirSync(STATE_DIRECTORY)
  } catch {
    return
  }
  for (const name of names) {
    const file = join(STATE_DIRECTORY, name)
    if (file === UP_STATE || !name.endsWith('.json')) continue
    const record = readRecord(file)
    if (!record || isRunning(record.owner)) continue
    stopAll(record)
    rmSync(file, { force: true })
  }
}

/** @param {LedgerRecord} record */
export function stopAll(record) {
  const running = record.processes.filter(isRunning)
  for (const { pid, stopSignal } of running) {
    send(pid, stopSignal)
    // A paused server acts on a signal other than SIGKILL only once it is continued, and so do its children.
    if (stopSignal !== 'SIGKILL') for (const one of [pid, ...descendants(pid)]) send(one, 'SIGCONT')
  }
  const deadline = Date.now() + 5000
  while (running.some(isRunning) && Date.now() < deadline) sleepSync(5)
  for (const owned of running) {
    if (!isRunning(owned)) continue
    for (const one of [...descendants(owned.pid), owned.pid]) send(one, 'SIGKILL')
  }
  for (const project of record.projects) composeDown(project)
  for (const directory of record.directories) removeTemporary(directory)
}

/** @param {string} directory */
function removeTemporary(directory) {
  if (!basename(directory).startsWith(TEMP_PREFIX)) return
  // A server's last child may still write a file while the directory is being emptied.
  rmSync(directory, { recursive: true, force: true, maxRetries: 10, retryDelay: 20 })
}
