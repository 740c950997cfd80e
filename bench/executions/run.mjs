// The execution log beside logs written by hand: `node bench/executions/run.mjs postgres`, with the server's URL in the environment.

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
import { costOf, GAUGES } from './cost.mjs'
import { placeOf } from './stores.mjs'

/**
 * @typedef {object} Compared
 * @property {string} name
 * @property {string[]} peers
 * @property {string} [variable] of the server's URL
 * @property {string} [durability]
 * @property {Record<string, number>} aims checkpoints, 32 in flight, beside each peer
 * @property {string[]} [engines] that only run whole sagas
 * @property {boolean} [claims] whether the peers claim as well
 */

const TRIAL = fileURLToPath(new URL('trial.mjs', import.meta.url))
const RESULTS = fileURLToPath(new URL('../results/', import.meta.url))
/** @type {Record<string, Compared[]>} */
const BACKENDS = {
  sqlite: [
    { name: 'sqlite, normal', peers: ['better-sqlite3'], durability: 'normal', aims: { 'better-sqlite3': 2 }, claims: true },
    { name: 'sqlite, full', peers: ['better-sqlite3'], durability: 'full', aims: { 'better-sqlite3': 5 }, claims: true },
  ],
  postgres: [
    {
      name: 'postgres',
      peers: ['pg, one statement', 'pg, four statements'],
      engines: ['dbos'],
      variable: 'POSTGRES_URL',
      aims: { 'pg, one statement': 1.5, 'pg, four statements': 4 },
      claims: true,
    },
  ],
  redis: [{ name: 'redis', peers: ['ioredis'], variable: 'REDIS_URL', aims: { ioredis: 1.5 }, claims: true }],
  mongodb: [{ name: 'mongodb', peers: ['mongodb'], variable: 'MONGODB_URL', aims: {} }],
  dynamodb: [{ name: 'dynamodb', peers: ['aws-sdk'], variable: 'DYNAMODB_URL', aims: {} }],
}
const LOOP_AIM = 0.3
const SEED_LIMIT_MS = 3_600_000
/** So many sagas tell what one costs. */
const COST_SAGAS = 1_000
/** Entries of a log to which checkpoints are added. */
const HISTORIES = [10, 100, 10_000]
const MODULES = /** @type {Record<string, string>} */ ({
  'pg, one statement': 'pg',
  'pg, four statements': 'pg',
  dbos: '@dbos-inc/dbos-sdk',
  'aws-sdk': '@aws-sdk/client-dynamodb',
})

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    concurrency: { type: 'string', default: '1,32,256' },
    due: { type: 'string', default: '20000' },
    finished: { type: 'string', default: '20000' },
    rounds: { type: 'string', default: '3' },
    seconds: { type: 'string', default: '0.5' },
    quick: { type: 'boolean', default: false },
  },
})

/** @param {Compared} compared */
async function compare({ name, peers, variable, durability, aims, engines = [], claims = false }) {
  const backend = name.split(',')[0]
  const url = variable === undefined ? 'sqlite:' : requiredVariable(variable)
  const rounds = values.quick ? 1 : Number(values.rounds)
  const stores = [...peers, ...engines, 'sagastore']
  const { place, clean } = placeOf(backend, `bench_${Date.now()}_`)
  const base = {
    url,
    durability,
    sagas: values.quick ? 8 : 640,
    due: claims ? (values.quick ? 400 : Number(values.due)) : 0,
    finished: claims ? (values.quick ? 10 : Number(values.finished)) : 0,
  }
  const pace = (/** @type {number} */ concurrency) => ({
    concurrency,
    warmup: values.quick ? 0 : 0.2,
    seconds: values.quick ? 0.02 : Number(values.seconds),
    minimum: values.quick ? concurrency : 2 * concurrency,
  })
  let round = 0
  const trial = (/** @type {string} */ store, /** @type {any} */ kind, concurrency = 1, /** @type {object} */ more = {}) =>
    runTrial(
      { ...base, kind, store, place: `${place}${stores.indexOf(store)}`, round: round++, pace: pace(concurrency), ...more },
      `${name} ${store} ${kind}`,
      TRIAL,
    )
  try {
    const cells = []
    const concurrencies = (values.quick ? '1,4' : values.concurrency).split(',').map(Number)
    const kinds = [
      ...concurrencies.map((concurrency) => ({ kind: 'checkpoint', concurrency })),
      { kind: 'saga', concurrency: values.quick ? 2 : 32 },
      ...(claims ? [{ kind: 'claim', concurrency: values.quick ? 1 : 8 }] : []),
    ]
    // Nothing is measured while these are put, and a million of them take minutes.
    if (claims) for (const store of [...peers, 'sagastore']) await trial(store, 'seed', 1, { limitMs: SEED_LIMIT_MS })
    for (const { kind, concurrency } of kinds) {
      const others = kind === 'saga' ? [...peers, ...engines] : peers
      const compared = [...others, 'sagastore']
      /** @type {Record<string, any[]>} */
      const trials = Object.fromEntries(compared.map((store) => [store, []]))
      for (let turn = 0; turn < rounds; turn++) {
        for (const store of orderOf(compared, turn)) trials[store].push(await trial(store, kind, concurrency))
      }
      const of = (/** @type {string} */ store, /** @type {string} */ figure) => middleOf(trials[store].map((one) => one[figure]))
      for (const peer of others) {
        const row = (/** @type {string} */ store) => ({
          throughput: of(store, 'throughput'),
          loop: of(store, 'loop'),
          p99: of(store, 'p99'),
        })
        const [theirs, ours] = [row(peer), row('sagastore')]
        const aim = kind === 'checkpoint' && concurrency === 32 ? aims[peer] : undefined
        cells.push({ kind, concurrency, peer, theirs, ours, aim })
      }
      process.stderr.write(`${name}: ${kind}, ${concurrency} in flight\n`)
    }
    const costs = []
    const gauge = await GAUGES[backend]?.(url, place)
    for (const store of gauge ? [...peers, 'sagastore'] : []) {
      const sagas = values.quick ? 8 : COST_SAGAS
      const before = await gauge.read()
      const { written } = await trial(store, 'cost', 1, { sagas })
      costs.push({ store, ...costOf(before, await gauge.read(), sagas, written) })
    }
    await gauge?.close()
    const histories = []
    for (const entries of values.quick ? [10] : HISTORIES) {
      histories.push({ entries, ...(await trial('sagastore', 'history', 1, { entries, limitMs: SEED_LIMIT_MS })) })
    }
    process.stderr.write(`${name}: cost, histories\n`)
    return { name, cells, costs, histories }
  } finally {
    clean()
  }
}

/** @param {Awaited<ReturnType<typeof compare>>} compared */
function table({ name, cells, costs, histories }) {
  const header = ['operation', 'in flight', 'beside', 'ops/s', 'sagastore', 'x', 'aim', 'loop us/op', 'sagastore', 'ratio', 'aim']
  const body = cells.map(({ kind, concurrency, peer, theirs, ours, aim }) => [
    ...[kind === 'claim' ? 'claim of 10' : kind === 'saga' ? 'saga of ten steps' : kind, String(concurrency), peer],
    ...[theirs.throughput, ours.throughput, ours.throughput / theirs.throughput].map(roundedText),
    aim === undefined ? '' : String(aim),
    ...[theirs.loop, ours.loop, ours.loop / theirs.loop].map(roundedText),
    aim === undefined ? '' : String(LOOP_AIM),
  ])
  const cost = costs.map(({ store, stored, written, hot }) => [
    ...[store, roundedText(stored), roundedText(written)],
    hot === undefined ? '' : roundedText(hot),
  ])
  const costHeader = ['a saga of ten steps', 'bytes stored', 'bytes written', 'HOT']
  const history = histories.map(({ entries, checkpoint, page }) => [
    entries.toLocaleString('en'),
    roundedText(checkpoint),
    roundedText(page),
  ])
  const historyHeader = ['entries of the log', 'checkpoint ms', 'newest 100 ms']
  return [
    ...[`### ${name}`, '', markdownTable([header, ...body]), ''],
    ...(cost.length > 0 ? [markdownTable([costHeader, ...cost]), ''] : []),
    ...[markdownTable([historyHeader, ...history]), ''],
  ].join('\n')
}

const startedAt = new Date()
const compared = []
for (const backend of positionals.length > 0 ? positionals : Object.keys(BACKENDS)) {
  for (const one of BACKENDS[backend]) compared.push(await compare(one))
}
const names = [...new Set(compared.flatMap(({ cells }) => cells.map(({ peer }) => MODULES[peer] ?? peer)))]
const circumstances = {
  startedAt: startedAt.toISOString(),
  ...describeCommit(),
  machine: describeMachine(),
  addon: describeAddon(),
  versions: describeVersions(/** @type {any} */ (names.map((name) => ({ name, module: name, package: name, peer: name, operations: [] })))),
  options: values,
}
if (!values.quick) {
  const file = join(RESULTS, `executions-${startedAt.toISOString().replaceAll(':', '-').slice(0, 19)}-${positionals.join('-')}.json`)
  mkdirSync(dirname(file), { recursive: true })
  writeFileSync(file, `${JSON.stringify({ ...circumstances, compared }, null, 2)}\n`)
}
process.stdout.write(`${compared.map(table).join('\n')}\n`)
