import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { findOnPath, findOrInstall } from './install.mjs'
import { ledgerOfThisProcess } from './ledger.mjs'
import { LocalServer, startOrRemove } from './local-server.mjs'
import { expectLoginPrompt, unprivilegedUser } from './postgres.mjs'

/** @typedef {import('./servers.mjs').PgBouncerOptions} PgBouncerOptions */

/** A pooler in front of a PostgreSQL server: it knows one user and one database, those of the server's URL. */
export class PgBouncerServer extends LocalServer {
  #program
  #server
  #poolMode
  #poolSize

  /**
   * @param {object} options
   * @param {string} options.program
   * @param {import('./ledger.mjs').Ledger} options.ledger
   * @param {URL} options.server
   * @param {string} options.poolMode
   * @param {number} options.poolSize
   */
  constructor({ program, ledger, server, poolMode, poolSize }) {
    // It does not run as root.
    super({ name: 'pgbouncer', ledger, osUser: unprivilegedUser('PgBouncer') })
    this.#program = program
    this.#server = server
    this.#poolMode = poolMode
    this.#poolSize = poolSize
  }

  get user() {
    return decodeURIComponent(this.#server.username)
  }

  get database() {
    return this.#server.pathname.slice(1)
  }

  get url() {
    const url = new URL(this.#server)
    url.host = `${this.host}:${this.port}`
    return url.href
  }

  /** @returns {Promise<[string, string[]]>} */
  async commandLine() {
    const quoted = (/** @type {string} */ text) => `"${text.replaceAll('"', '""')}"`
    const settings = {
      listen_addr: this.host,
      listen_port: this.port,
      unix_socket_dir: '',
      auth_type: 'scram-sha-256',
      auth_file: this.#write('users.txt', `${quoted(this.user)} ${quoted(decodeURIComponent(this.#server.password))}\n`),
      pool_mode: this.#poolMode,
      default_pool_size: this.#poolSize,
      max_client_conn: 200,
      ignore_startup_parameters: 'extra_float_digits,options',
    }
    const lines = Object.entries(settings).map(([name, value]) => `${name} = ${value}`)
    const upstream = `${this.database} = host=${this.#server.hostname} port=${this.#server.port}`
    return [this.#program, [this.#write('pgbouncer.ini', `[databases]\n${upstream}\n[pgbouncer]\n${lines.join('\n')}\n`)]]
  }

  async checkReady() {
    await expectLoginPrompt(this)
  }

  /**
   * @param {string} name
   * @param {string} text
   */
  #write(name, text) {
    const path = join(this.directory, name)
    writeFileSync(path, text, { mode: 0o600 })
    this.giveToOsUser(path)
    return path
  }
}

/** Debian keeps it where programs for the machine's owner are. */
export function findPgBouncer() {
  return findOnPath('pgbouncer', ['/usr/sbin', '/usr/local/sbin'])
}

/**
 * @param {PgBouncerOptions} options
 * @param {import('./ledger.mjs').Ledger} [ledger]
 */
export async function startLocalPgBouncer(options, ledger = ledgerOfThisProcess()) {
  const { server, poolMode = 'transaction', poolSize = 4 } = options
  const program = await findOrInstall({ find: findPgBouncer, package: 'pgbouncer', brew: 'pgbouncer' })
  return await startOrRemove(new PgBouncerServer({ program, ledger, server: new URL(server), poolMode, poolSize }))
}
