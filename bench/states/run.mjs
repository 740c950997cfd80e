// Saga state beside stores written by hand: `node bench/states/run.mjs redis`, with the server's URL in the environment.

import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { markdownTable } from 'markdown-table'
import { requiredVariable } from '../backends/index.mjs'
import { describeAddon, describeCommit, describeMachine, describeVersions } from '../machine.mjs'
import { orderOf } from '../plan.mjs'
import { runTrial } from '../process.mjs'
import { middleOf, roundedText } from '../report.mjs'

const TRIAL = fileURLToPath(new URL('trial.mjs', import.meta.url))
const RESULTS = fileURLToPath(new URL('../results/', import.meta.url))
const PEERS = /** @type {Record<string, { peer: string, variable: string }>} */ ({
  redis: { peer: 'ioredis', variable: 'REDIS_URL' },
  postgres: { peer: 'pg', variable: 'POSTGRES_URL' },
  mongodb: { peer: 'mongodb', variable: 'MONGODB_URL' },
})
/** What an operation should come to beside the one written by hand, 32 in flight. */
const TARGET = { throughput: 1.5, loop: 0.5 }
const SAGAS = 640

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    size: { type: 'string', default: '2048' },
    concurrency: { type: 'string', default: '1,32' },
    rounds: { type: 'string', default: '3' },
    seconds: { type: 'string', default: '0.5' },
    quick: { type: 'boolean', default: false },
  },
})

const WORKERS = values.quick ? 4 : 32
const ROUNDS_OF_A_WORKER = values.quick ? 2 : 10

/** @param {string} backend */
async function compare(backend) {
  const { peer, variable } = PEERS[backend]
  const url = requiredVariable(variable)
  const size = Number(values.size)
  const rounds = values.quick ? 1 : Number(values.rounds)
  const sagas = backend === 'mongodb' || values.quick ? SAGAS / 10 : SAGAS
  const stores = [peer, 'sagastore']
  const run = `bench_${Date.now()}_`
  const pace = (/** @type {number} */ concurrency) => ({
    concurrency,
    warmup: values.quick ? 0 : 0.3,
    seconds: values.quick ? 0.05 : Number(values.seconds),
    minimum: values.quick ? concurrency : 4 * concurrency,
  })
  const trial = (/** @type {string} */ store, /** @type {any} */ kind, concurrency = 1) =>
    runTrial(
      { kind, store, url, place: run + store, sagas, size, workers: WORKERS, rounds: ROUNDS_OF_A_WORKER, pace: pace(concurrency) },
      `${backend} ${store} ${kind}`,
      TRIAL,
    )
  for (const store of stores) await trial(store, 'seed')
  const cells = []
  for (const kind of ['get', 'update']) {
    for (const concurrency of values.concurrency.split(',').map(Number)) {
      /** @type {Record<string, any[]>} */
      const trials = Object.fromEntries(stores.map((store) => [store, []]))
      for (let round = 0; round < rounds; round++) {
        for (const store of orderOf(stores, round)) trials[store].push(await trial(store, kind, concurrency))
      }
      const of = (/** @type {string} */ store, /** @type {string} */ figure) => middleOf(trials[store].map((one) => one[figure]))
      cells.push({
        kind,
        concurrency,
        rows: stores.map((store) => ({
          store,
          ...Object.fromEntries(['throughput', 'p50', 'p99', 'loop', 'cpu'].map((f) => [f, of(store, f)])),
        })),
        ratio: Object.fromEntries(['throughput', 'p99', 'loop'].map((f) => [f, of('sagastore', f) / of(peer, f)])),
      })
      process.stderr.write(`${backend}: ${kind}, ${concurrency} in flight\n`)
    }
  }
  const contention = []
  for (const store of stores) contention.push({ store, ...(await trial(store, 'contention')) })
  return { backend, peer, cells, contention }
}

/** @param {Awaited<ReturnType<typeof compare>>} compared */
function tables({ backend, peer, cells, contention }) {
  const header = [
    'operation',
    'in flight',
    `${peer} ops/s`,
    'sagastore',
    'x',
    'target',
    `loop us/op, ${peer}`,
    'sagastore',
    'ratio',
    'target',
  ]
  const body = cells.map(({ kind, concurrency, rows: [theirs, ours], ratio }) => [
    ...[kind, String(concurrency), roundedText(theirs.throughput), roundedText(ours.throughput), roundedText(ratio.throughput)],
    ...[concurrency === 32 ? `${TARGET.throughput}` : '', roundedText(theirs.loop), roundedText(ours.loop), roundedText(ratio.loop)],
    concurrency === 32 ? `${TARGET.loop}` : '',
  ])
  const lost = contention.map(({ store, lost, expected, seconds }) => `${store} ${lost} of ${expected} in ${seconds.toFixed(2)} s`)
  return [
    `### ${backend}`,
    '',
    markdownTable([header, ...body]),
    '',
    `Updates lost by ${WORKERS} workers on one saga: ${lost.join(', ')}.`,
    '',
  ].join('\n')
}

const startedAt = new Date()
const compared = []
for (const backend of positionals.length > 0 ? positionals : Object.keys(PEERS)) compared.push(await compare(backend))
const peers = compared.map(({ peer }) => ({ name: peer, module: peer, package: peer, peer, operations: [] }))
const circumstances = {
  startedAt: startedAt.toISOString(),
  ...describeCommit(),
  machine: describeMachine(),
  addon: describeAddon(),
  versions: describeVersions(/** @type {any} */ (peers)),
  options: values,
}
if (!values.quick) {
  const file = join(RESULTS, `states-${startedAt.toISOString().replaceAll(':', '-').slice(0, 19)}-${positionals.join('-')}.json`)
  mkdirSync(dirname(file), { recursive: true })
  writeFileSync(file, `${JSON.stringify({ ...circumstances, compared }, null, 2)}\n`)
}
process.stdout.write(`${compared.map(tables).join('\n')}\n`)
