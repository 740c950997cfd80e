import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { findOnPath, findOrInstall, ServiceUnavailable } from './install.mjs'
import { ledgerOfThisProcess } from './ledger.mjs'
import { LocalServer, startOrRemove } from './local-server.mjs'

/**
 * @typedef {import('./ledger.mjs').Ledger} Ledger
 * @typedef {import('./servers.mjs').MongoOptions} MongoOptions
 */

const SOURCE = fileURLToPath(new URL('ferretdb/', import.meta.url))
const BINARIES = fileURLToPath(new URL('../../.services/bin/', import.meta.url))

export function findGo() {
  return findOnPath('go') ?? ['/usr/local/go/bin/go', '/opt/homebrew/bin/go'].find((path) => existsSync(path))
}

/**
 * FerretDB on SQLite: what speaks MongoDB's protocol where no mongod can be installed. It has no TTL
 * indexes, no transactions and no replica set.
 */
export class MongoServer extends LocalServer {
  #program

  /**
   * @param {object} options
   * @param {string} options.program
   * @param {Ledger} options.ledger
   * @param {number} [options.port]
   */
  constructor({ program, ledger, port }) {
    super({ name: 'mongodb', ledger, port })
    this.#program = program
  }

  get url() {
    return `mongodb://${this.host}:${this.port}/`
  }

  /** @returns {Promise<[string, string[]]>} */
  async commandLine() {
    const data = join(this.directory, 'data')
    mkdirSync(data, { recursive: true })
    return [this.#program, [`${this.host}:${this.port}`, data]]
  }

  async checkReady() {
    const pid = await serverPid(this)
    if (pid !== this.pid) throw new Error(`process ${pid} has taken port ${this.port}`)
  }
}

/**
 * @param {MongoOptions} [options]
 * @param {Ledger} [ledger]
 * @returns {Promise<MongoServer>}
 */
export async function startLocalMongo(options = {}, ledger = ledgerOfThisProcess()) {
  return await startOrRemove(new MongoServer({ program: await builtProgram(), ledger, port: options.port }))
}

/** @type {Promise<string> | undefined} */
let building

/** The program, built by Go if that has not been done: a minute and a half the first time. */
function builtProgram() {
  building ??= build()
  return building
}

async function build() {
  const hash = createHash('sha256')
  for (const file of ['main.go', 'go.mod', 'go.sum']) hash.update(readFileSync(join(SOURCE, file)))
  const program = join(BINARIES, `ferretdb-${hash.digest('hex').slice(0, 12)}`)
  if (existsSync(program)) return program
  const go = await findOrInstall({ find: findGo, package: 'golang-go', brew: 'go' })
  process.stderr.write('services: building FerretDB with Go, which takes a minute or two the first time\n')
  mkdirSync(BINARIES, { recursive: true })
  // Somebody else may be building it as well: each under a name of its own, and the last one stays.
  const unfinished = `${program}.${process.pid}`
  try {
    await promisify(execFile)(go, ['build', '-trimpath', '-o', unfinished, '.'], {
      cwd: SOURCE,
      env: { ...process.env, CGO_ENABLED: '0', GOFLAGS: '-mod=readonly' },
      maxBuffer: 1 << 24,
    })
    renameSync(unfinished, program)
  } catch (error) {
    const { stderr = '', message } = /** @type {{ stderr?: string, message: string }} */ (error)
    const end = (stderr || message).trimEnd().split('\n').slice(-15).join('\n')
    throw new ServiceUnavailable(
      `FerretDB cannot be built: it needs Go 1.24 or later (or 1.21, which fetches that) and the Go module proxy, once. ` +
        `A Docker engine, or MONGODB_URL of a MongoDB server, does as well.\n${end}`,
    )
  } finally {
    rmSync(unfinished, { force: true })
  }
  return program
}

/**
 * Asks a server for `serverStatus`, in the bytes of OP_MSG, and finds the `pid` in its answer.
 * https://www.mongodb.com/docs/manual/reference/mongodb-wire-protocol/
 *
 * @param {{ host: string, port: number }} server
 * @returns {Promise<number>}
 */
function serverPid({ host, port }) {
  const fields = Buffer.from('\x10serverStatus\0\x01\0\0\0\x02$db\0\x06\0\0\0admin\0\0', 'latin1')
  const message = Buffer.alloc(25 + fields.length)
  message.writeInt32LE(message.length, 0)
  message.writeInt32LE(2013, 12)
  message.writeInt32LE(4 + fields.length, 21)
  fields.copy(message, 25)
  return new Promise((resolve, reject) => {
    const socket = connect({ host, port }, () => socket.write(message))
    socket.setTimeout(2000, () => socket.destroy(new Error('no answer within 2 s')))
    let answer = Buffer.alloc(0)
    socket.on('data', (chunk) => {
      answer = Buffer.concat([answer, chunk])
      if (answer.length < 16 || answer.length < answer.readInt32LE(0)) return
      const at = answer.indexOf('pid\0')
      socket.destroy()
      if (at < 1) reject(new Error('its answer has no pid'))
      // A long, or an int: both are as good as their lower half.
      else resolve(answer.readInt32LE(at + 4))
    })
    socket.once('error', reject)
    socket.once('close', () => reject(new Error('closed the connection')))
  })
}
