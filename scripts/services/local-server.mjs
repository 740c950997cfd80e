import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { chownSync, closeSync, fchownSync, openSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { canBindToParent, descendants, isStopped, send } from './os-process.mjs'
import { freePort } from './ports.mjs'

const START_TIMEOUT_MS = 30_000
const STOP_TIMEOUT_MS = 10_000
/** @type {Set<string>} */
const ENDING = new Set(['SIGKILL', 'SIGTERM', 'SIGINT', 'SIGQUIT', 'SIGABRT', 'SIGSEGV'])
const PORT_TAKEN = /address already in use|failed listening on port/i

/**
 * @typedef {import('./ledger.mjs').Ledger} Ledger
 * @typedef {object} LocalServerOptions
 * @property {string} name in error messages and the temporary directory's name
 * @property {Ledger} ledger
 * @property {number} [port] a free one when missing
 * @property {{ uid: number, gid: number }} [osUser] the unprivileged user to run as
 * @property {NodeJS.Signals} [discardSignal] stops the server when its data is to be thrown away anyway
 */

/** A server program of this machine, on its own port and in its own temporary directory. */
export class LocalServer {
  host = '127.0.0.1'
  /** @type {number} */
  port
  /** @type {string} */
  directory
  /** @type {Ledger} */
  ledger
  /** @type {{ uid: number, gid: number } | undefined} */
  osUser
  #name
  #discardSignal
  #portIsFixed
  #readUpTo = 0
  /** @type {import('node:child_process').ChildProcess | undefined} */
  #child

  /** @param {LocalServerOptions} options */
  constructor({ name, ledger, port, osUser, discardSignal = 'SIGKILL' }) {
    this.#name = name
    this.#discardSignal = discardSignal
    this.#portIsFixed = port !== undefined
    this.ledger = ledger
    this.port = port ?? 0
    this.osUser = osUser
    this.directory = ledger.makeDirectory(name)
    this.giveToOsUser(this.directory)
  }

  /**
   * The program and its arguments for `this.port`; called before each start.
   *
   * @returns {Promise<[command: string, args: string[]]>}
   */
  async commandLine() {
    throw new Error('not implemented')
  }

  /**
   * Resolves when this very process, not one that took its port, serves requests; throws until then.
   *
   * @returns {Promise<void>}
   */
  async checkReady() {
    throw new Error('not implemented')
  }

  /** @returns {number | undefined} */
  get pid() {
    return this.#isRunning() ? this.#child?.pid : undefined
  }

  /** First start: on a free port, and on another one when somebody else was quicker. Later: same port, same data. */
  async start() {
    if (this.#isRunning()) throw new Error(`${this.#name} on port ${this.port} is running already`)
    if (this.port !== 0) this.#portIsFixed = true
    for (let attempt = 1; ; attempt++) {
      if (!this.#portIsFixed) this.port = await freePort()
      try {
        return await this.#startOnce()
      } catch (error) {
        await this.kill()
        if (this.#portIsFixed || attempt === 5 || !PORT_TAKEN.test(String(error))) throw error
      }
    }
  }

  /** @param {NodeJS.Signals} [signal] waits for the end of the process if the signal is one that ends it */
  async kill(signal = 'SIGKILL') {
    if (this.pid === undefined) return
    send(this.pid, signal)
    if (ENDING.has(signal)) await this.waitForExit()
  }

  /** Freezes the server with all its processes: connections stay open, nothing answers. */
  async pause() {
    if (this.pid === undefined) throw new Error(`${this.#name} on port ${this.port} does not run`)
    // The parent first, so that it starts no further child in between.
    send(this.pid, 'SIGSTOP')
    const all = [this.pid, ...descendants(this.pid)]
    for (const child of all.slice(1)) send(child, 'SIGSTOP')
    while (!all.every(isStopped)) await sleep(1)
  }

  async resume() {
    if (this.pid === undefined) throw new Error(`${this.#name} on port ${this.port} does not run`)
    for (const child of descendants(this.pid)) send(child, 'SIGCONT')
    send(this.pid, 'SIGCONT')
  }

  /** Orderly; the data stays for another `start()` until `remove()` or the end of this process. */
  async stop() {
    await this.stopBy('SIGTERM')
  }

  /** Stops the server and deletes its data. */
  async remove() {
    if (this.pid !== undefined) await this.stopBy(this.#discardSignal)
    this.ledger.removeDirectory(this.directory)
  }

  async [Symbol.asyncDispose]() {
    await this.remove()
  }

  /** @param {number} [lines] the last ones only */
  log(lines) {
    const text = readFileSync(this.#logFile, 'utf8')
    return lines === undefined ? text : text.trimEnd().split('\n').slice(-lines).join('\n')
  }

  /** @param {NodeJS.Signals} signal */
  async stopBy(signal) {
    if (this.pid === undefined) return
    send(this.pid, signal)
    if (signal !== 'SIGKILL') await this.resume().catch(() => {})
    await this.waitForExit()
  }

  async waitForExit() {
    const child = this.#child
    if (!child || !this.#isRunning()) return
    child.ref()
    const timer = setTimeout(() => this.#killTree(), STOP_TIMEOUT_MS)
    await once(child, 'exit')
    clearTimeout(timer)
  }

  /** @param {string} path */
  giveToOsUser(path) {
    if (this.osUser) chownSync(path, this.osUser.uid, this.osUser.gid)
  }

  async #startOnce() {
    const [command, args] = await this.commandLine()
    const child = await this.#spawn(command, args)
    const deadline = Date.now() + START_TIMEOUT_MS
    for (;;) {
      if (!this.#isRunning()) throw this.#startError(`ended with ${child.signalCode ?? `exit code ${child.exitCode}`}`)
      try {
        return await this.checkReady()
      } catch (error) {
        if (Date.now() > deadline) {
          throw this.#startError(`was not ready within ${START_TIMEOUT_MS / 1000} s (${/** @type {Error} */ (error).message})`)
        }
      }
      await sleep(20)
    }
  }

  /**
   * @param {string} command
   * @param {string[]} args
   */
  async #spawn(command, args) {
    const log = openSync(this.#logFile, 'a', 0o600)
    if (this.osUser) fchownSync(log, this.osUser.uid, this.osUser.gid)
    this.#readUpTo = readFileSync(this.#logFile).length
    // With a parent-death signal the server ends with this thread even after kill -9, and can have a
    // session of its own, which keeps a terminal's Ctrl-C for the tests that still use the server.
    const bound = !this.ledger.kept && canBindToParent()
    const [file, argv] = bound ? ['setpriv', ['--pdeathsig', this.#discardSignal.slice(3), '--', command, ...args]] : [command, args]
    const child = spawn(file, argv, {
      ...this.osUser,
      cwd: this.directory,
      // Nothing of the caller's: PGDATA, PGPORT and the like would reach the server.
      env: { PATH: process.env.PATH, LC_ALL: 'C' },
      stdio: ['ignore', log, log],
      detached: bound || this.ledger.kept,
    })
    closeSync(log)
    await once(child, 'spawn')
    const pid = /** @type {number} */ (child.pid)
    this.ledger.addProcess(pid, this.#discardSignal)
    child.once('exit', () => this.ledger.removeProcess(pid))
    child.unref()
    this.#child = child
    return child
  }

  #isRunning() {
    return this.#child !== undefined && this.#child.exitCode === null && this.#child.signalCode === null
  }

  #killTree() {
    if (this.pid === undefined) return
    for (const one of [...descendants(this.pid), this.pid]) send(one, 'SIGKILL')
  }

  /** @param {string} what */
  #startError(what) {
    const log = readFileSync(this.#logFile).subarray(this.#readUpTo).toString('utf8').trimEnd().split('\n').slice(-20).join('\n')
    return new Error(`${this.#name} on port ${this.port} ${what}. The end of its log:\n${log}`)
  }

  get #logFile() {
    return join(this.directory, 'server.log')
  }
}

/**
 * @template {LocalServer} S
 * @param {S} server
 */
export async function startOrRemove(server) {
  try {
    await server.start()
    return server
  } catch (error) {
    await server.remove()
    throw error
  }
}
