// The outbox beside queues, and beside outboxes written by hand: `node bench/outbox/run.mjs postgres`, with the server's URL in the environment.

import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { markdownTable } from 'markdown-table'
import { requiredVariable } from '../backends/index.mjs'
import { placeOf } from '../executions/stores.mjs'
import { describeAddon, describeCommit, describeMachine, describeVersions } from '../machine.mjs'
import { orderOf } from '../plan.mjs'
import { runTrial } from '../process.mjs'
import { middleOf, roundedText } from '../report.mjs'

/**
 * @typedef {object} Compared
 * @property {string} name
 * @property {string[]} peers
 * @property {string[]} [keyed] those of them that keep the order of a key
 * @property {string[]} [listening] those of them that hand out what is inserted without being asked
 * @property {string} [variable] of the server's URL
 * @property {string} [durability]
 * @property {Record<string, Record<string, number>>} [aims] how many times as many events per second, beside each peer, by operation
 * @property {number} [events] how many are drained at most: a trial may take a minute
 * @property {number} [order] events with a key beside events without one, at least
 *
 * @typedef {{ kind: import('./trial.mjs').Task['kind'], label: string, concurrency?: number, workers?: number, keys?: number }} Measured
 */

const TRIAL = fileURLToPath(new URL('trial.mjs', import.meta.url))
const RESULTS = fileURLToPath(new URL('../results/', import.meta.url))
/** @type {Record<string, Compared[]>} */
const BACKENDS = {
  sqlite: [
    { name: 'sqlite, normal', peers: ['better-sqlite3'], keyed: ['better-sqlite3'], durability: 'normal' },
    { name: 'sqlite, full', peers: ['better-sqlite3'], keyed: ['better-sqlite3'], durability: 'full' },
  ],
  postgres: [
    {
      name: 'postgres',
      peers: ['pg', 'pg-boss', 'graphile-worker'],
      keyed: ['pg', 'pg-boss', 'graphile-worker'],
      listening: ['pg', 'pg-boss', 'graphile-worker'],
      variable: 'POSTGRES_URL',
      aims: { 'pg-boss': { 'claim and ack': 3 }, 'graphile-worker': { 'claim and ack': 2 } },
      order: 0.5,
    },
  ],
  redis: [
    {
      name: 'redis',
      peers: ['ioredis', 'bullmq'],
      listening: ['ioredis', 'bullmq'],
      variable: 'REDIS_URL',
      aims: { bullmq: { 'insert 100': 3, 'claim and ack': 4 } },
      order: 1,
    },
  ],
  mongodb: [{ name: 'mongodb', peers: ['mongodb'], variable: 'MONGODB_URL' }],
  dynamodb: [{ name: 'dynamodb', peers: ['aws-sdk'], variable: 'DYNAMODB_URL', events: 1_000 }],
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    events: { type: 'string', default: '20000' },
    keys: { type: 'string', default: '10000' },
    rounds: { type: 'string', default: '3' },
    seconds: { type: 'string', default: '0.5' },
    workers: { type: 'string', default: '1,4' },
    quick: { type: 'boolean', default: false },
  },
})
const QUICK_EVENTS = 200

/** @returns {Measured[]} */
function operations() {
  const workers = values.workers.split(',').map(Number)
  const concurrency = values.quick ? 2 : 32
  return [
    { kind: 'insert', label: 'insert 1', concurrency },
    { kind: 'batch', label: 'insert 100', concurrency: values.quick ? 1 : 4 },
    { kind: 'transaction', label: 'insert 1 with a row', concurrency },
    ...workers.map((count) => /** @type {const} */ ({ kind: 'drain', label: 'claim and ack', workers: count })),
    { kind: 'drain', label: 'claim and ack, by key', workers: Math.max(...workers), keys: values.quick ? 100 : Number(values.keys) },
    { kind: 'latency', label: 'insert to handler' },
  ]
}

/** @param {Compared} compared */
async function compare({ name, peers, keyed = [], listening = [], variable, durability, aims = {}, order, events: most }) {
  const backend = name.split(',')[0]
  const url = variable === undefined ? 'sqlite:' : requiredVariable(variable)
  const rounds = values.quick ? 1 : Number(values.rounds)
  const { place, clean } = placeOf(backend, `bench_${Date.now()}_`)
  let number = 0
  const trial = (/** @type {string} */ store, /** @type {Measured} */ { kind, label, concurrency = 1, workers = 1, keys = 0 }) => {
    const events = values.quick ? QUICK_EVENTS : Math.min(Number(values.events), most ?? Number.POSITIVE_INFINITY)
    return runTrial(
      {
        ...{ kind, store, url, durability, workers, keys },
        // A place of its own: what others have left is not drained.
        place: `${place}${number++}`,
        events: kind === 'latency' ? (values.quick ? 3 : 300) : events,
        pace: {
          concurrency,
          warmup: values.quick ? 0 : 0.2,
          seconds: values.quick ? 0.02 : Number(values.seconds),
          minimum: values.quick ? concurrency : 2 * concurrency,
        },
      },
      `${name} ${store} ${label}`,
      TRIAL,
    )
  }
  try {
    const cells = []
    for (const operation of operations()) {
      const { kind, label, keys = 0 } = operation
      const others = kind === 'latency' ? listening : keys > 0 ? keyed : peers
      const compared = [...others, 'sagastore']
      /** @type {Record<string, any[]>} */
      const trials = Object.fromEntries(compared.map((store) => [store, []]))
      for (let turn = 0; turn < rounds; turn++) {
        const order = orderOf(compared, turn)
        // What ours refuses on this server is not tried with the others.
        if (turn === 0) order.sort((one, other) => Number(other === 'sagastore') - Number(one === 'sagastore'))
        for (const store of order) {
          const figures = await trial(store, operation)
          if (figures !== undefined) trials[store].push(figures)
          else if (store === 'sagastore') break
        }
        if (trials.sagastore.length === 0) break
      }
      const row = (/** @type {string} */ store) =>
        Object.fromEntries(
          ['throughput', 'loop', 'p50', 'p99'].map((figure) => [figure, middleOf(trials[store].map((one) => one[figure] ?? Number.NaN))]),
        )
      process.stderr.write(`${name}: ${label}${trials.sagastore.length === 0 ? ', which this server has not' : ''}\n`)
      if (trials.sagastore.length === 0) continue
      const ours = row('sagastore')
      const measured = others.filter((peer) => trials[peer].length > 0)
      for (const peer of measured.length > 0 ? measured : [undefined]) {
        cells.push({ ...operation, peer, theirs: peer === undefined ? undefined : row(peer), ours, aim: peer && aims[peer]?.[label] })
      }
    }
    return { name, cells, order }
  } finally {
    clean()
  }
}

/** @param {Awaited<ReturnType<typeof compare>>} compared */
function table({ name, cells, order }) {
  const text = (/** @type {number | undefined} */ figure) => (figure === undefined || Number.isNaN(figure) ? '' : roundedText(figure))
  const rates = cells.filter(({ kind }) => kind !== 'latency')
  const header = ['operation', 'in flight', 'beside', 'events/s', 'sagastore', 'x', 'aim', 'loop us/event', 'sagastore', 'ratio']
  const body = rates.map(({ label, concurrency, workers, peer = '', theirs, ours, aim }) => [
    ...[label, workers === undefined ? String(concurrency) : `${workers} workers`, peer],
    ...[theirs?.throughput, ours.throughput, theirs && ours.throughput / theirs.throughput].map(text),
    aim === undefined ? '' : String(aim),
    ...[theirs?.loop, ours.loop, theirs && ours.loop / theirs.loop].map(text),
  ])
  const waits = cells.filter(({ kind }) => kind === 'latency')
  const latencies = waits.map(({ label, peer = '', theirs, ours }) => [
    ...[label, peer],
    ...[theirs?.p50, ours.p50, theirs?.p99, ours.p99].map(text),
  ])
  const keyed = rates.find(({ keys = 0 }) => keys > 0)
  const plain = keyed && rates.find(({ kind, keys = 0, workers }) => kind === 'drain' && keys === 0 && workers === keyed.workers)
  const share = keyed && plain && roundedText(keyed.ours.throughput / plain.ours.throughput)
  return [
    ...[`### ${name}`, '', markdownTable([header, ...body]), ''],
    ...(share === undefined ? [] : [`With keys: ${share} of the rate without${order === undefined ? '' : ` (aim ${order})`}.`, '']),
    ...(latencies.length === 0 ? [] : [markdownTable([['', 'beside', 'p50 ms', 'sagastore', 'p99 ms', 'sagastore'], ...latencies]), '']),
  ].join('\n')
}

const startedAt = new Date()
const compared = []
for (const backend of positionals.length > 0 ? positionals : Object.keys(BACKENDS)) {
  for (const one of BACKENDS[backend]) compared.push(await compare(one))
}
const names = [...new Set(compared.flatMap(({ cells }) => cells.flatMap(({ peer }) => peer ?? [])))]
const circumstances = {
  startedAt: startedAt.toISOString(),
  ...describeCommit(),
  machine: describeMachine(),
  addon: describeAddon(),
  versions: describeVersions(
    /** @type {any} */ (
      names.map((name) => ({ name, package: name === 'aws-sdk' ? '@aws-sdk/client-dynamodb' : name, peer: name, operations: [] }))
    ),
  ),
  options: values,
}
if (!values.quick) {
  const file = join(RESULTS, `outbox-${startedAt.toISOString().replaceAll(':', '-').slice(0, 19)}-${positionals.join('-')}.json`)
  mkdirSync(dirname(file), { recursive: true })
  writeFileSync(file, `${JSON.stringify({ ...circumstances, compared }, null, 2)}\n`)
}
process.stdout.write(`${compared.map(table).join('\n')}\n`)
