// The whole comparison for one backend: `node bench/run.mjs redis`, with the server's URL in the environment.

import { mkdirSync, writeFileSync } from 'node:fs'
import { constants } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { loadBackend } from './backends/index.mjs'
import { describeAddon, describeCommit, describeMachine, describeVersions } from './machine.mjs'
import { optionsFor, parseOptions, USAGE } from './options.mjs'
import { claimIds } from './payloads.mjs'
import { chooseCandidates, orderOf, planOf, withTargets } from './plan.mjs'
import { runTrial } from './process.mjs'
import { documentOf, rowsOf, sizeText } from './report.mjs'

/**
 * @typedef {import('./backends/index.mjs').Candidate} Candidate
 * @typedef {import('./plan.mjs').Cell} Cell
 * @typedef {import('./report.mjs').Row} Row
 * @typedef {import('./options.mjs').BackendOptions} Options
 */

const RESULTS = fileURLToPath(new URL('results/', import.meta.url))
/** Three rounds are enough if the fastest and the slowest differ by no more than this part of the median. */
const STEADY = 0.2
/** What the harness itself costs. It is part of every figure. */
const NOTHING = /** @type {Candidate} */ ({ name: 'nothing', module: 'nothing', peer: 'nothing', operations: ['put', 'get'] })

class Run {
  /** @type {Row[]} */
  rows = []
  /** @type {Array<Cell & { loop: number }>} */
  harness = []
  /** @type {string[]} */
  leftOut = []
  #options
  #backend
  #arena
  #candidates

  /**
   * @param {Options} options
   * @param {import('./backends/index.mjs').Backend} backend
   * @param {import('./backends/index.mjs').Arena} arena
   * @param {Candidate[]} candidates
   */
  constructor(options, backend, arena, candidates) {
    this.#options = options
    this.#backend = backend
    this.#arena = arena
    this.#candidates = candidates
  }

  async all() {
    for (const { size, ids, cells, leftOut } of planOf(this.#options, this.#arena)) {
      this.leftOut.push(...leftOut.map(labelOf))
      if (cells.length === 0) continue
      for (const candidate of this.#candidates) {
        await this.#arena.clear(candidate, claimIds(ids))
        if (this.#backend.keepsData) await this.#trial(candidate, 'seed', { operation: 'put', size, concurrency: 1 }, ids)
      }
      for (const cell of cells) await this.#cell(cell, ids)
      for (const candidate of this.#candidates) await this.#arena.clear(candidate, claimIds(ids))
    }
  }

  /**
   * @param {Cell} cell
   * @param {number} ids
   */
  async #cell(cell, ids) {
    const results = this.#candidates
      .filter(({ operations }) => operations.includes(cell.operation))
      .map((candidate) => ({ candidate, trials: /** @type {import('./report.mjs').Trial[]} */ ([]) }))
    if (!this.#options.quick) {
      const { loop } = await this.#trial(NOTHING, cell.operation, cell, ids)
      this.harness.push({ ...cell, loop })
    }
    const { rounds, mostRounds } = this.#options
    const isEnough = () => rowsOf(cell, results).every(({ spread }) => spread <= STEADY)
    for (let round = 0; round < mostRounds && (round < rounds || !isEnough()); round++) {
      for (const { candidate, trials } of orderOf(results, round)) {
        if (!this.#options.quick) await this.#arena.settle(candidate)
        trials.push(await this.#trial(candidate, cell.operation, cell, ids))
      }
    }
    this.rows.push(...rowsOf(cell, results))
    process.stderr.write(`${labelOf(cell)}: ${results.map(({ candidate }) => candidate.name).join(', ')}\n`)
  }

  /**
   * @param {Candidate} candidate
   * @param {'seed' | 'put' | 'get'} kind
   * @param {Cell} cell
   * @param {number} ids
   */
  #trial(candidate, kind, cell, ids) {
    const { quick } = this.#options
    const { seconds, warmup } = candidate === NOTHING ? { seconds: 0.2, warmup: 0.2 } : this.#options
    const { size, concurrency } = cell
    return runTrial(
      {
        kind,
        module: candidate.module,
        on: candidate.on,
        backend: this.#options.backend,
        place: candidate === NOTHING ? {} : this.#arena.place(candidate, { seeding: kind === 'seed' }),
        slips: this.#backend.slips ?? false,
        scattered: this.#options.scattered,
        seedFirst: candidate !== NOTHING && !this.#backend.keepsData,
        size,
        ids,
        pace: { concurrency, warmup, seconds, minimum: quick ? concurrency : Math.max(100, 4 * concurrency) },
      },
      `${candidate.name}, ${kind === 'seed' ? `seeding ${sizeText(size)}` : labelOf(cell)}`,
    )
  }
}

/** @param {Cell} cell */
function labelOf({ operation, size, concurrency }) {
  return `${operation} ${sizeText(size)}, ${concurrency} in flight`
}

/** @param {Options} options */
async function main(options) {
  const backend = await loadBackend(options.backend)
  const all = (options.client ? backend.clients : backend.candidates) ?? []
  const candidates = chooseCandidates(options.targets ? withTargets(all, options.backend) : all, options.peers)
  const startedAt = new Date()
  const circumstances = {
    backend: options.backend,
    startedAt: startedAt.toISOString(),
    command: `npm run bench -- ${process.argv.slice(2).join(' ')}`,
    ...describeCommit(),
    machine: describeMachine(),
    addon: describeAddon(),
    versions: describeVersions(candidates),
    options,
  }
  const { addon, machine } = circumstances
  if (addon.build === 'debug') warn(`${addon.file} is a debug build: its figures mean nothing`)
  if (machine.loadAtStart > machine.cores / 4) warn(`something else is running here (load ${machine.loadAtStart.toFixed(2)})`)
  const arena = await backend.enter()
  const run = new Run(options, backend, arena, candidates)
  let complete = false
  try {
    const server = await arena.describe()
    try {
      await run.all()
      complete = true
    } finally {
      const finishedAt = new Date().toISOString()
      const { harness, leftOut, rows } = run
      const file = fileFor(options, startedAt)
      mkdirSync(dirname(file), { recursive: true })
      const results = { ...circumstances, server, finishedAt, complete, leftOut, harness, rows }
      writeFileSync(file, `${JSON.stringify(results, null, 2)}\n`)
      if (rows.length > 0) process.stdout.write(`${documentOf(results)}\n`)
      process.stderr.write(`${complete ? 'Everything' : 'What there is'}: ${file}\n`)
    }
  } finally {
    await arena.close()
  }
}

/**
 * @param {Options} options
 * @param {Date} startedAt
 */
function fileFor({ backend, client, json }, startedAt) {
  const name = client ? `${backend}-client` : backend
  return json === undefined ? join(RESULTS, `${name}-${startedAt.toISOString().replaceAll(':', '-').slice(0, 19)}.json`) : resolve(json)
}

/** @param {string} text */
function warn(text) {
  process.stderr.write(`WARNING: ${text}\n`)
}

// With `exit`, so that everything that was set up is removed again.
for (const signal of /** @type {const} */ (['SIGINT', 'SIGTERM', 'SIGHUP'])) {
  process.once(signal, () => process.exit(128 + constants.signals[signal]))
}

try {
  const options = parseOptions(process.argv.slice(2))
  if (options === undefined) process.stdout.write(`${USAGE}\n`)
  else for (const backend of options.backends) await main(optionsFor(options, backend))
} catch (error) {
  process.stderr.write(`bench: ${error instanceof Error ? error.message : error}\n`)
  process.exitCode = 1
}
