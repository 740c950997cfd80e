import { execFile, execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { appendFileSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { findOrInstall, findPostgres, ServiceUnavailable } from './install.mjs'
import { ledgerOfThisProcess } from './ledger.mjs'
import { LocalServer, startOrRemove } from './local-server.mjs'
import { descendants, identify, send } from './os-process.mjs'

/** @typedef {import('./servers.mjs').PostgresOptions} PostgresOptions */

const USER = 'sagastore'
const DATABASE = 'postgres'
const STOP_SIGNAL = /** @type {const} */ ({ smart: 'SIGTERM', fast: 'SIGINT', immediate: 'SIGQUIT' })

export class PostgresServer extends LocalServer {
  user = USER
  database = DATABASE
  password
  #bin
  #settings
  #initialized = false

  /**
   * @param {object} options
   * @param {string} options.bin directory of PostgreSQL's programs
   * @param {import('./ledger.mjs').Ledger} options.ledger
   * @param {string} options.password
   * @param {Record<string, string>} options.settings
   */
  constructor({ bin, ledger, password, settings }) {
    // SIGQUIT and not SIGKILL: after SIGKILL its System V shared memory segment would stay for good.
    super({ name: 'postgres', ledger, osUser: unprivilegedUser('PostgreSQL'), discardSignal: STOP_SIGNAL.immediate })
    this.#bin = bin
    this.#settings = settings
    this.password = password
  }

  get url() {
    return `postgres://${this.user}:${encodeURIComponent(this.password)}@${this.host}:${this.port}/${this.database}`
  }

  /** @param {'smart' | 'fast' | 'immediate'} [mode] as `pg_ctl stop --mode`; the data stays for `start()` */
  async stop(mode = 'fast') {
    await this.stopBy(STOP_SIGNAL[mode])
  }

  /** @param {'smart' | 'fast' | 'immediate'} [mode] immediate is a crash: clients are cut off, and recovery follows */
  async restart(mode = 'fast') {
    await this.stop(mode)
    await this.start()
  }

  /** The whole server at once, as in a crash of its machine. */
  async kill() {
    if (this.pid === undefined) return
    send(this.pid, 'SIGSTOP')
    const all = [this.pid, ...descendants(this.pid)]
    for (const one of all) send(one, 'SIGKILL')
    await this.waitForExit()
    while (all.some((one) => identify(one) !== undefined)) await sleep(5)
    this.#removeLeftovers()
  }

  /** @returns {Promise<[string, string[]]>} */
  async commandLine() {
    if (!this.#initialized) await this.#initialize()
    this.#initialized = true
    return [join(this.#bin, 'postgres'), ['-D', this.#data, '-p', String(this.port)]]
  }

  async checkReady() {
    const owner = Number(readFileSync(join(this.#data, 'postmaster.pid'), 'utf8').split('\n')[0])
    if (owner !== this.pid) throw new Error(`process ${owner} holds the data directory`)
    await expectLoginPrompt(this)
  }

  async #initialize() {
    const passwordFile = join(this.directory, 'password')
    writeFileSync(passwordFile, this.password, { mode: 0o600 })
    this.giveToOsUser(passwordFile)
    const locale = process.platform === 'linux' ? 'C.UTF-8' : 'C'
    try {
      await promisify(execFile)(
        join(this.#bin, 'initdb'),
        [
          ...['--pgdata', this.#data, '--username', this.user, '--pwfile', passwordFile],
          ...['--auth-host=scram-sha-256', '--auth-local=scram-sha-256'],
          ...['--locale', locale, '--encoding=UTF8', '--no-sync', '--no-instructions'],
        ],
        { ...this.osUser, cwd: this.directory, env: { PATH: process.env.PATH, LC_ALL: 'C' } },
      )
    } catch (error) {
      const { stdout, stderr } = /** @type {{ stdout: string, stderr: string }} */ (error)
      throw new Error(`initdb failed:\n${stdout}\n${stderr}`, { cause: error })
    } finally {
      rmSync(passwordFile)
    }
    const settings = {
      listen_addresses: this.host,
      unix_socket_directories: '',
      // Files in the data directory instead of /dev/shm, so that a killed server leaves none behind.
      dynamic_shared_memory_type: 'mmap',
      ...this.#settings,
    }
    const lines = Object.entries(settings).map(([name, value]) => `${name} = '${value.replaceAll("'", "''")}'\n`)
    appendFileSync(join(this.#data, 'postgresql.conf'), lines.join(''))
  }

  #removeLeftovers() {
    const pidFile = join(this.#data, 'postmaster.pid')
    let segment
    try {
      // Its seventh line: key and id of the shared memory segment.
      segment = readFileSync(pidFile, 'utf8').split('\n')[6]?.trim().split(/\s+/)[1]
    } catch {
      return
    }
    if (segment) execFile('ipcrm', ['--shmem-id', segment], () => {})
    // Another process may get the old pid, and a starting server would take it for a running one.
    rmSync(pidFile, { force: true })
  }

  get #data() {
    return join(this.directory, 'data')
  }
}

/**
 * @param {PostgresOptions} [options]
 * @param {import('./ledger.mjs').Ledger} [ledger]
 * @returns {Promise<PostgresServer>}
 */
export async function startLocalPostgres(options = {}, ledger = ledgerOfThisProcess()) {
  const { password = randomBytes(12).toString('hex'), settings = {} } = options
  const bin = await findOrInstall({ find: findPostgres, package: 'postgresql', brew: 'postgresql' })
  return await startOrRemove(new PostgresServer({ bin, ledger, password, settings }))
}

/**
 * Some servers refuse to run as root.
 *
 * @param {string} what
 */
export function unprivilegedUser(what) {
  if (process.getuid?.() !== 0) return undefined
  for (const name of ['postgres', 'nobody']) {
    try {
      const id = (/** @type {string} */ flag) =>
        Number(execFileSync('id', [flag, name], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }))
      return { uid: id('-u'), gid: id('-g') }
    } catch {
      // no such user
    }
  }
  throw new ServiceUnavailable(`${what} does not run as root, and there is no user postgres or nobody`)
}

/**
 * Begins a login as libpq would. A server that is not ready answers with an error (57P03) where a ready
 * one asks for the password. https://www.postgresql.org/docs/current/protocol-message-formats.html
 *
 * @param {{ host: string, port: number, user: string, database: string }} server
 * @returns {Promise<void>}
 */
export function expectLoginPrompt({ host, port, user, database }) {
  return new Promise((resolve, reject) => {
    const parameters = Buffer.from(`user\0${user}\0database\0${database}\0\0`)
    const startup = Buffer.alloc(8 + parameters.length)
    startup.writeInt32BE(startup.length, 0)
    startup.writeInt32BE(3 << 16, 4)
    parameters.copy(startup, 8)
    const socket = connect({ host, port }, () => socket.write(startup))
    socket.setTimeout(2000, () => socket.destroy(new Error('no answer within 2 s')))
    socket.once('data', (reply) => {
      const type = String.fromCharCode(reply[0])
      socket.destroy()
      if (type === 'R') resolve()
      else reject(new Error(`answered the login with message ${type}: ${reply.toString('utf8', 5).replaceAll('\0', ' ')}`))
    })
    socket.once('error', reject)
    socket.once('close', () => reject(new Error('closed the connection')))
  })
}
