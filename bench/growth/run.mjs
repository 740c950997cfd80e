// How cost grows, with operations in flight, size and number of payloads: `node bench/growth/run.mjs redis`, with
// the server's URL in the environment. Prints a table; what --json names is for `drawingOf`.

import { writeFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { markdownTable } from 'markdown-table'
import { loadBackend } from '../backends/index.mjs'
import { describeAddon, describeCommit, describeMachine } from '../machine.mjs'
import { claimIds, ringSize } from '../payloads.mjs'
import { runTrial } from '../process.mjs'
import { middleOf, roundedText } from '../report.mjs'
import { AXES } from './axes.mjs'

/**
 * @typedef {import('./axes.mjs').Axis} Axis
 *
 * @typedef {object} Point
 * @property {string} axis
 * @property {'put' | 'get'} operation
 * @property {number} at in flight, bytes, or payloads stored
 * @property {number} throughput operations per second
 * @property {number} p50 ms
 * @property {number} p99 ms
 * @property {number} loop event-loop time per operation, us
 *
 * @typedef {object} Grown
 * @property {string} backend
 * @property {Point[]} points
 * @property {Record<string, string>} server
 */

/** So many of the stored payloads are used, spread over all. */
const SAMPLE = 20_000

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    rounds: { type: 'string', default: '3' },
    seconds: { type: 'string', default: '0.4' },
    json: { type: 'string' },
    quick: { type: 'boolean', default: false },
  },
})
const quick = values.quick
const rounds = quick ? 1 : Number(values.rounds)
const seconds = quick ? 0.02 : Number(values.seconds)

/**
 * @param {string} name
 * @returns {Promise<Grown>}
 */
async function grow(name) {
  const backend = await loadBackend(name)
  const candidate = backend.candidates.find(({ module }) => module === 'sagastore')
  if (candidate === undefined) throw new Error(`nothing to measure on ${name}`)
  const arena = await backend.enter()
  /** @type {Point[]} */
  const points = []
  try {
    for (const axis of AXES.filter(({ backends }) => backends.includes(name))) {
      const steps = quick ? axis.steps.slice(0, 2) : axis.steps.filter((at) => at <= (axis.limits?.[name] ?? Number.POSITIVE_INFINITY))
      for (const at of steps) {
        const { size, concurrency } = axis.cell(at)
        const ids = axis.name === 'keys' ? at : ringSize(size, concurrency, { quick, scans: false })
        const task = {
          backend: name,
          module: candidate.module,
          seedFirst: false,
          size,
          ids,
          sample: SAMPLE,
          scattered: true,
          // Nothing is measured while these are put.
          seeders: 256,
        }
        const label = `${name}, ${axis.title} ${axis.textOf(at)}`
        // On this axis the whole table is dropped with its payloads.
        const clear = () => arena.clear(candidate, axis.name === 'keys' ? [] : claimIds(ids))
        await clear()
        await runTrial(
          {
            ...task,
            kind: 'seed',
            place: arena.place(candidate, { seeding: true }),
            pace: { concurrency: 1, warmup: 0, seconds: 60, minimum: 1 },
          },
          label,
        )
        for (const operation of /** @type {const} */ (['put', 'get'])) {
          const trials = []
          for (let round = 0; round < rounds; round++) {
            if (!quick) await arena.settle(candidate)
            const pace = { concurrency, warmup: quick ? 0 : 0.2, seconds, minimum: quick ? concurrency : Math.max(20, 2 * concurrency) }
            trials.push(
              await runTrial(
                { ...task, kind: operation, place: arena.place(candidate, { seeding: false }), pace },
                `${label}, ${operation}`,
              ),
            )
          }
          const of = (/** @type {string} */ figure) => middleOf(trials.map((trial) => trial[figure]))
          points.push({
            ...{ axis: axis.name, operation, at },
            ...{ throughput: of('throughput'), p50: of('p50'), p99: of('p99'), loop: of('loop') },
          })
        }
        await clear()
        process.stderr.write(`${label}\n`)
      }
    }
    return { backend: name, points, server: await arena.describe() }
  } finally {
    await arena.close()
  }
}

/** @param {Grown} grown */
function tableOf({ backend, points }) {
  const header = [backend, '', ...['put ops/s', 'p50 ms', 'p99 ms', 'loop us/op'], ...['get ops/s', 'p50 ms', 'p99 ms', 'loop us/op']]
  const lines = AXES.flatMap((axis) =>
    [...new Set(points.filter((point) => point.axis === axis.name).map(({ at }) => at))].map((at) => {
      const figures = /** @type {const} */ (['put', 'get']).flatMap((operation) => {
        const point = points.find((point) => point.axis === axis.name && point.operation === operation && point.at === at)
        return point === undefined ? [] : [point.throughput, point.p50, point.p99, point.loop]
      })
      return [axis.title, axis.textOf(at), ...figures.map(roundedText)]
    }),
  )
  return markdownTable([header, ...lines], { align: header.map((_, index) => (index === 0 ? 'l' : 'r')) })
}

const grown = await grow(positionals[0])
process.stdout.write(`${tableOf(grown)}\n\n`)
const circumstances = { startedAt: new Date().toISOString(), ...describeCommit(), machine: describeMachine(), addon: describeAddon() }
if (values.json !== undefined) writeFileSync(values.json, `${JSON.stringify({ ...circumstances, ...grown }, null, 2)}\n`)
