// `npm run bench`, and what USAGE says: installs the drivers to compare with, starts the server, compares, stops it.

import { execFileSync, spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { constants } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseOptions, USAGE } from '../bench/options.mjs'
import { startDynamoDB, startMongo, startPostgres, startRedis } from './services/servers.mjs'

const BENCH = fileURLToPath(new URL('../bench/', import.meta.url))
const PICTURE = fileURLToPath(new URL('../docs/growth.svg', import.meta.url))
const INSTALLED = join(BENCH, 'node_modules', '.installed')

/**
 * Each starts the one server that its backend needs. PostgreSQL's as it comes, and not the one that the tests
 * share: that one does not wait for the disk.
 *
 * @type {Record<string, { variable: string, start: () => Promise<{ url: string, remove: () => Promise<void> }> }>}
 */
const SERVERS = {
  redis: { variable: 'REDIS_URL', start: () => startRedis() },
  postgres: { variable: 'POSTGRES_URL', start: () => startPostgres() },
  mongodb: { variable: 'MONGODB_URL', start: () => startMongo() },
  dynamodb: { variable: 'DYNAMODB_URL', start: () => startDynamoDB() },
}

/** @param {string[]} args */
async function main(args) {
  if (args[0] === 'states') return await runEach(args.slice(1), ['redis', 'postgres', 'mongodb'], join('states', 'run.mjs'))
  if (args[0] === 'executions' || args[0] === 'outbox') {
    const backends = ['sqlite', 'postgres', 'redis', 'mongodb', 'dynamodb']
    return await runEach(args.slice(1), backends, join(args[0], 'run.mjs'))
  }
  if (args[0] === 'growth') return await measureGrowth(args.slice(1))
  if (args[0] === 'floor') return await runEach(args.slice(1), ['memory', 'sqlite', 'redis', 'postgres'], join('floor', 'run.mjs'))
  const options = parseOptions(args)
  if (options === undefined) {
    process.stdout.write(`${USAGE}\n`)
    return
  }
  installPeers()
  const { backends } = options
  if (backends.length === 1) {
    process.exitCode = await runOn(backends[0], args)
    return
  }
  const date = new Date().toISOString().replaceAll(':', '-').slice(0, 19)
  const files = []
  for (const backend of backends) {
    const file = join(BENCH, 'results', `${date}-${backend}.json`)
    const code = await runOn(backend, [backend, ...args, ...(options.targets ? ['--targets', '--json', file] : [])])
    if (code !== 0) {
      process.exitCode = code
      return
    }
    files.push(file)
  }
  // What it needs is installed only now.
  const { summarize } = await import('../bench/summary.mjs')
  if (options.targets) await summarize(files, date, options.quick)
}

/**
 * A program on the backends that are named, or on all that it is for.
 *
 * @param {string[]} args
 * @param {string[]} backends
 * @param {string} program in bench/
 */
async function runEach(args, backends, program) {
  installPeers()
  const { named, options } = parted(args, backends)
  for (const backend of named.length > 0 ? named : backends) {
    const code = await runOn(backend, [backend, ...options], program)
    if (code !== 0) process.exitCode = code
  }
}

/**
 * @param {string[]} args
 * @param {string[]} backends
 */
function parted(args, backends) {
  return { named: args.filter((arg) => backends.includes(arg)), options: args.filter((arg) => !backends.includes(arg)) }
}

/**
 * `npm run bench -- growth [redis|sqlite|postgres|dynamodb]`
 *
 * @param {string[]} args
 */
async function measureGrowth(args) {
  installPeers()
  const { BACKENDS } = await import('../bench/growth/axes.mjs')
  const { named, options } = parted(args, BACKENDS)
  const date = new Date().toISOString().replaceAll(':', '-').slice(0, 19)
  const files = []
  for (const backend of named.length > 0 ? named : BACKENDS) {
    const file = join(BENCH, 'results', `growth-${date}-${backend}.json`)
    const code = await runOn(backend, [backend, ...options, '--json', file], join('growth', 'run.mjs'))
    if (code !== 0) {
      process.exitCode = code
      return
    }
    files.push(file)
  }
  const { drawingOf } = await import('../bench/growth/plot.mjs')
  // Made in any case, so that it is tried; kept when it shows everything.
  const drawing = drawingOf(files.map((file) => JSON.parse(readFileSync(file, 'utf8'))))
  if (named.length > 0 || options.includes('--quick')) return
  writeFileSync(PICTURE, drawing)
  process.stderr.write(`Drawn: ${PICTURE}\n`)
}

/**
 * @param {string} backend
 * @param {string[]} args
 * @param {string} [program] in bench/
 */
async function runOn(backend, args, program = 'run.mjs') {
  const needed = SERVERS[backend]
  const server = needed && !process.env[needed.variable] ? await needed.start() : undefined
  try {
    return await run(program, args, server ? { [needed.variable]: server.url } : {})
  } finally {
    await server?.remove()
  }
}

/** Once for each lockfile and each Node.js: better-sqlite3 is compiled for one. */
function installPeers() {
  const lock = createHash('sha256')
    .update(readFileSync(join(BENCH, 'package-lock.json')))
    .digest('hex')
  const wanted = `${lock} ${process.versions.modules}\n`
  if (existsSync(INSTALLED) && readFileSync(INSTALLED, 'utf8') === wanted) return
  process.stderr.write('bench: installing the drivers to compare with, one of which is compiled...\n')
  const npm = process.env.npm_execpath
  const [program, first] = npm?.endsWith('.js') ? [process.execPath, [npm]] : ['npm', []]
  execFileSync(program, [...first, 'ci'], { cwd: BENCH, env: { ...headersOfNode(), ...process.env }, stdio: ['ignore', 2, 2] })
  writeFileSync(INSTALLED, wanted)
}

/** Node's own headers, where its installation has them, instead of a download by node-gyp. */
function headersOfNode() {
  const prefix = dirname(dirname(process.execPath))
  return existsSync(join(prefix, 'include', 'node', 'node_api.h')) ? { npm_config_nodedir: prefix } : {}
}

/**
 * @param {string} program
 * @param {string[]} args
 * @param {Record<string, string>} variables
 * @returns {Promise<number>} the exit code
 */
function run(program, args, variables) {
  const child = spawn(process.execPath, [join(BENCH, program), ...args], { stdio: 'inherit', env: { ...process.env, ...variables } })
  for (const signal of /** @type {const} */ (['SIGINT', 'SIGTERM', 'SIGHUP'])) {
    // A terminal has sent its Ctrl-C to the child as well.
    process.on(signal, () => (signal === 'SIGINT' && process.stdin.isTTY ? undefined : child.kill(signal)))
  }
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('exit', (code, signal) => resolve(signal ? 128 + constants.signals[signal] : (code ?? 1)))
  })
}

main(process.argv.slice(2)).catch((error) => {
  process.stderr.write(`bench: ${error.message}\n`)
  process.exitCode = 1
})
