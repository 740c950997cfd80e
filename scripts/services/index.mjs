#!/usr/bin/env node
// The servers that all tests share: `up`, `down`, or `run -- COMMAND` with the servers up meanwhile.

import { spawn } from 'node:child_process'
import { rmSync } from 'node:fs'
import { constants } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { isRunning, Ledger, readRecord, stopAll, sweep, UP_STATE } from './ledger.mjs'
import { allServices, startServices } from './registry.mjs'

const USAGE = `Usage: node scripts/services/index.mjs up [--only NAME,...]
       node scripts/services/index.mjs down
       node scripts/services/index.mjs run [--only NAME,...] -- COMMAND [ARGUMENT...]

  up     starts the servers and prints the variables: eval "$(node scripts/services/index.mjs up)"
  down   stops the servers of 'up', and what killed runs have left behind
  run    starts the servers, runs COMMAND with the variables, stops the servers, exits as COMMAND did

  --only NAME,...  these servers only

A server whose variable is set already is not started.
SAGASTORE_SERVICES=local uses programs of this machine even where a Docker engine runs.`

const GRACE_MS = 10_000

/** @param {string} text */
const report = (text) => process.stderr.write(`services: ${text}\n`)

/** @param {NodeJS.Signals} signal */
const exitCodeOf = (signal) => 128 + constants.signals[signal]

/** @param {string[]} names empty for all */
async function missingServices(names) {
  const services = await allServices()
  const unknown = names.filter((name) => !services.some((service) => service.name === name))
  if (unknown.length > 0) {
    throw new Error(`no service ${unknown.join(', ')}; there are ${services.map(({ name }) => name).join(', ')}`)
  }
  return services.filter(({ name, variable }) => (names.length === 0 || names.includes(name)) && !process.env[variable])
}

/**
 * @param {import('./registry.mjs').Service[]} services
 * @param {Ledger} ledger
 */
async function startOrSkip(services, ledger) {
  const { variables, unavailable } = await startServices(services, ledger)
  if (unavailable.length > 0 && isCi()) throw new Error(unavailable.join('\n'))
  for (const message of unavailable) report(`WARNING, tests will be skipped: ${message}`)
  return variables
}

function isCi() {
  return !['', '0', 'false'].includes(process.env.CI ?? '')
}

/** @param {string[]} only */
async function up(only) {
  const services = await missingServices(only)
  const variables = (await variablesOfRunningUp(services)) ?? (await startKept(services))
  for (const [name, url] of Object.entries(variables)) process.stdout.write(`export ${name}='${url}'\n`)
}

/** @param {import('./registry.mjs').Service[]} services */
async function variablesOfRunningUp(services) {
  const record = readRecord(UP_STATE)
  if (!record) return undefined
  if (!record.ready && isRunning(record.owner)) throw new Error(`another 'up' is at work (process ${record.owner.pid})`)
  if (!record.ready || !record.processes.every(isRunning)) {
    down()
    return undefined
  }
  const missing = services.filter(({ variable }) => !(variable in record.variables))
  if (missing.length > 0) throw new Error(`up already, but without ${missing.map(({ name }) => name).join(', ')}: run 'down' first`)
  return Object.fromEntries(services.map(({ variable }) => [variable, record.variables[variable]]))
}

/** @param {import('./registry.mjs').Service[]} services */
async function startKept(services) {
  sweep()
  const ledger = new Ledger({ file: UP_STATE, kept: true })
  for (const signal of /** @type {const} */ (['SIGINT', 'SIGTERM', 'SIGHUP'])) {
    process.once(signal, () => {
      ledger.stopEverything()
      process.exit(exitCodeOf(signal))
    })
  }
  try {
    const variables = await startOrSkip(services, ledger)
    ledger.setReady(variables)
    return variables
  } catch (error) {
    ledger.stopEverything()
    throw error
  }
}

function down() {
  const record = readRecord(UP_STATE)
  if (record) {
    stopAll(record)
    rmSync(UP_STATE, { force: true })
  }
  sweep()
}

/**
 * @param {string[]} only
 * @param {string[]} command
 * @returns {Promise<number>} the exit code
 */
async function run(only, [program, ...args]) {
  const services = await missingServices(only)
  sweep()
  const ledger = new Ledger()
  /** @type {import('node:child_process').ChildProcess | undefined} */
  let child
  /** @type {NodeJS.Signals | undefined} */
  let interrupted
  for (const signal of /** @type {const} */ (['SIGINT', 'SIGTERM', 'SIGHUP'])) {
    process.on(signal, () => {
      // Before the command runs there is only the ledger's `exit` handler to wait for.
      if (!child) process.exit(exitCodeOf(signal))
      if (interrupted) return child.kill('SIGKILL')
      interrupted = signal
      // A terminal has sent its Ctrl-C to the command as well; twice would mean "at once" to many programs.
      if (!(signal === 'SIGINT' && process.stdin.isTTY)) child.kill(signal)
      setTimeout(() => child?.kill('SIGKILL'), GRACE_MS).unref()
    })
  }
  const variables = await startOrSkip(services, ledger)
  const running = spawn(program, args, { stdio: 'inherit', env: { ...process.env, ...variables } })
  child = running
  const exitCode = await new Promise((resolve) => {
    running.once('error', (error) => {
      report(`${program}: ${error.message}`)
      resolve(127)
    })
    running.once('exit', (code, signal) => resolve(signal ? exitCodeOf(signal) : (code ?? 1)))
  })
  ledger.stopEverything()
  // Reap the servers here: in a container, PID 1 may never do it for processes that it inherits.
  await sleep(20)
  return exitCode
}

async function main() {
  const argv = process.argv.slice(2)
  const separator = argv.includes('--') ? argv.indexOf('--') : argv.length
  const command = argv.slice(separator + 1)
  const { values, positionals } = parseArgs({
    args: argv.slice(0, separator),
    options: { only: { type: 'string', default: '' }, help: { type: 'boolean', short: 'h', default: false } },
    allowPositionals: true,
  })
  const only = values.only.split(',').filter(Boolean)
  const [action] = positionals
  if (values.help) process.stdout.write(`${USAGE}\n`)
  else if (positionals.length !== 1 || (action === 'run') !== command.length > 0) throw new Error(USAGE)
  else if (action === 'up') await up(only)
  else if (action === 'down') down()
  else if (action === 'run') process.exit(await run(only, command))
  else throw new Error(USAGE)
}

main().catch((error) => {
  report(error.message)
  process.exit(1)
})
