import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { makeCertificates } from './certificates.mjs'
import { findOnPath, findOrInstall } from './install.mjs'
import { ledgerOfThisProcess } from './ledger.mjs'
import { LocalServer, startOrRemove } from './local-server.mjs'
import { redisCommand } from './resp.mjs'

/**
 * @typedef {import('./ledger.mjs').Ledger} Ledger
 * @typedef {import('./servers.mjs').RedisOptions} RedisOptions
 */

export function findRedis() {
  return findOnPath('redis-server')
}

/** One redis-server process, configured by a file, so that no password shows up in the process list. */
export class RedisServer extends LocalServer {
  /** @type {string | undefined} */
  caFile
  #program
  #settings
  #flags
  #credentials
  #configured = false

  /**
   * @param {object} options
   * @param {string} options.program path of redis-server
   * @param {Ledger} options.ledger
   * @param {string} [options.name]
   * @param {number} [options.port]
   * @param {(server: RedisServer) => Promise<string[]>} options.settings lines of the configuration file
   * @param {{ username?: string, password?: string }} options.credentials
   * @param {string[]} [options.flags] arguments after the configuration file
   */
  constructor({ program, ledger, name = 'redis', port, settings, credentials, flags = [] }) {
    super({ name, ledger, port })
    this.#program = program
    this.#settings = settings
    this.#credentials = credentials
    this.#flags = flags
  }

  get url() {
    return redisUrl('redis', this.#credentials, [this])
  }

  /**
   * @param {...(string | number)} command
   * @returns {Promise<any>}
   */
  async command(...command) {
    return await redisCommand({ port: this.port, caFile: this.caFile, ...this.#credentials }, command)
  }

  /** @returns {Promise<[string, string[]]>} */
  async commandLine() {
    const file = join(this.directory, 'redis.conf')
    // Sentinel and CONFIG REWRITE keep roles in this file: a later start must find what they wrote.
    if (!this.#configured) writeFileSync(file, `${(await this.#settings(this)).join('\n')}\n`, { mode: 0o600 })
    return [this.#program, [file, ...this.#flags]]
  }

  async checkReady() {
    // While it loads its data, Redis answers PING and everything else with -LOADING, but not INFO.
    const info = parseInfo(await this.command('INFO'))
    if (Number(info.process_id) !== this.pid) throw new Error(`process ${info.process_id} has taken port ${this.port}`)
    if (info.loading === '1') throw new Error('loading its data')
    this.#configured = true
  }
}

/**
 * @param {RedisOptions} [options]
 * @param {{ ledger?: Ledger, cluster?: boolean }} [internal]
 * @returns {Promise<RedisServer>}
 */
export async function startLocalRedis(options = {}, { ledger = ledgerOfThisProcess(), cluster = false } = {}) {
  const program = await findOrInstall({ find: findRedis, package: 'redis-server', brew: 'redis' })
  const server = new RedisServer({
    program,
    ledger,
    port: options.port,
    name: cluster ? 'redis-cluster-node' : 'redis',
    credentials: options.aclUser ? { username: options.aclUser.name, password: options.aclUser.password } : { password: options.password },
    settings: (self) => redisSettings(self, options, cluster),
  })
  return await startOrRemove(server)
}

/**
 * @param {RedisServer} server
 * @param {RedisOptions} options
 * @param {boolean} cluster
 */
async function redisSettings(server, { password, aclUser, tls, appendonly, maxmemory, replicaOf, withoutCommands = [] }, cluster) {
  const { port, directory } = server
  const lines = [
    'bind 127.0.0.1',
    `dir ${quote(directory)}`,
    'save ""',
    `appendonly ${appendonly ? 'yes' : 'no'}`,
    // The default makes a new replica wait 5 seconds for others to share its transfer with.
    'repl-diskless-sync-delay 0',
  ]
  if (tls) {
    const { caFile, certFile, keyFile } = await makeCertificates(directory)
    server.caFile = caFile
    lines.push('port 0', `tls-port ${port}`, 'tls-auth-clients no', 'tls-replication yes')
    // Clients need no certificate, so this one only serves a replica to check its master.
    lines.push(
      `tls-ca-cert-file ${quote(replicaOf?.caFile ?? caFile)}`,
      `tls-cert-file ${quote(certFile)}`,
      `tls-key-file ${quote(keyFile)}`,
    )
  } else {
    lines.push(`port ${port}`)
  }
  // masterauth on a master too: after a failover it returns as a replica.
  if (password !== undefined) lines.push(`requirepass ${quote(password)}`, `masterauth ${quote(password)}`)
  else if (aclUser) lines.push('user default off')
  if (aclUser) lines.push(`user ${aclUser.name} on ${quote(`>${aclUser.password}`)} ~* &* +@all`)
  for (const name of withoutCommands) lines.push(`rename-command ${name} ""`)
  if (maxmemory !== undefined) lines.push(`maxmemory ${maxmemory}`, 'maxmemory-policy noeviction')
  if (replicaOf) lines.push(`replicaof ${replicaOf.host} ${replicaOf.port}`)
  if (cluster) {
    lines.push('cluster-enabled yes', 'cluster-node-timeout 2000', 'cluster-announce-ip 127.0.0.1')
    lines.push(`cluster-config-file nodes-${port}.conf`)
  }
  return lines
}

/**
 * The forms that fred reads: further nodes, and a Sentinel's service name, are query parameters.
 *
 * @param {'redis' | 'redis-cluster' | 'redis-sentinel'} scheme
 * @param {{ username?: string, password?: string }} credentials
 * @param {Array<{ host: string, port: number, caFile?: string }>} nodes
 * @param {Array<[string, string]>} [parameters]
 */
export function redisUrl(scheme, { username = '', password }, [first, ...others], parameters = []) {
  const tls = first.caFile ? scheme.replace('redis', 'rediss') : scheme
  const user = password === undefined ? '' : `${encodeURIComponent(username)}:${encodeURIComponent(password)}@`
  const query = [
    ...parameters.map(([key, value]) => `${key}=${encodeURIComponent(value)}`),
    ...others.map(({ host, port }) => `node=${host}:${port}`),
  ]
  return `${tls}://${user}${first.host}:${first.port}${query.length > 0 ? `?${query.join('&')}` : ''}`
}

/**
 * @param {string} text the reply to INFO or CLUSTER INFO
 * @returns {Record<string, string>}
 */
export function parseInfo(text) {
  return Object.fromEntries(
    text
      .split('\r\n')
      .filter((line) => line.includes(':'))
      .map((line) => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 1)]),
  )
}

/** @param {string} text */
function quote(text) {
  return JSON.stringify(text)
}
