import { parseArgs } from 'node:util'
import { BACKENDS, CLIENT_BACKENDS, usualSizes } from './backends/index.mjs'
import { TARGETS } from './targets.mjs'

export const USAGE = `Usage: npm run bench -- [OPTION...]
       npm run bench -- redis|postgres|sqlite|mongodb|dynamodb|memory|compression [OPTION...]
       npm run bench -- [redis|postgres|sqlite|mongodb|dynamodb] --client [OPTION...]
       npm run bench -- growth [redis|sqlite|postgres|dynamodb] [--rounds N] [--seconds S] [--quick]
       npm run bench -- floor [memory|sqlite|redis|postgres] [--quick]
       npm run bench -- states [redis|postgres|mongodb] [--size BYTES] [--concurrency N,...] [--rounds N] [--seconds S] [--quick]
       npm run bench -- executions [sqlite|postgres|redis|mongodb|dynamodb] [--concurrency N,...] [--due N] [--finished N]
                                   [--rounds N] [--seconds S] [--quick]
       npm run bench -- outbox [sqlite|postgres|redis|mongodb|dynamodb] [--events N] [--keys N] [--workers N,...]
                               [--rounds N] [--seconds S] [--quick]

Without a backend: everything that has a target, in under fifteen minutes, with the targets beside the figures;
writes bench/results/TIME.json and docs/benchmarks.svg.

  --targets             of one backend only what has a target
  --client              puts on borrowed clients, each compared with the same put written by hand
  --size BYTES,...      payload sizes     (1024,32768,262144; dynamodb: 1024,32768,358400; --client: 1024,32768)
  --concurrency N,...   operations in flight                        (1,32,256; --client: 1,32)
  --scattered           puts replace payloads in no order, in place of the oldest first
  --rounds N            trials of each figure, the median counts    (3, 5 where they differ by a fifth)
  --seconds S           measured time of a trial                    (1; --targets: 0.5)
  --peers NAME,...      compare with these only
  --json FILE           where everything goes    (bench/results/BACKEND[-client]-TIME.json)
  --quick               one short round of everything: shows that it works, measures nothing

REDIS_URL, POSTGRES_URL, MONGODB_URL or DYNAMODB_URL is used if it is set; otherwise a server is started for the run.`

/**
 * @typedef {object} Options
 * @property {string[]} backends one, or with `client` all that have clients
 * @property {boolean} client
 * @property {boolean} targets
 * @property {number[] | undefined} sizes none: the usual ones
 * @property {number[]} concurrencies
 * @property {boolean} scattered
 * @property {number} rounds
 * @property {number} mostRounds where the first ones differ
 * @property {number} seconds
 * @property {number} warmup seconds
 * @property {string[]} peers names or packages of candidates; empty for all
 * @property {string | undefined} json
 * @property {boolean} quick
 *
 * @typedef {Omit<Options, 'backends' | 'sizes'> & { backend: string, sizes: number[] }} BackendOptions
 */

/**
 * @param {string[]} args
 * @returns {Options | undefined} undefined when only help is wanted
 */
export function parseOptions(args) {
  const { values, positionals } = parseArgs({
    args,
    allowPositionals: true,
    options: {
      size: { type: 'string' },
      client: { type: 'boolean', default: false },
      targets: { type: 'boolean', default: false },
      concurrency: { type: 'string' },
      scattered: { type: 'boolean', default: false },
      rounds: { type: 'string' },
      seconds: { type: 'string' },
      peers: { type: 'string', default: '' },
      json: { type: 'string' },
      quick: { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
    },
  })
  if (values.help) return undefined
  const { quick, client } = values
  const isForAll = positionals.length === 0
  const targets = values.targets || (isForAll && !client)
  if (client && values.targets) throw new Error('--client and --targets are two things to measure: one of them, please')
  const known = client ? CLIENT_BACKENDS : targets ? Object.keys(TARGETS) : BACKENDS
  if (!isForAll && (positionals.length !== 1 || !known.includes(positionals[0]))) {
    throw new Error(`one backend of ${known.join(', ')}, please`)
  }
  const narrowing = /** @type {const} */ (['json', 'peers', 'size', 'concurrency']).find((name) => values[name])
  if (isForAll && narrowing !== undefined && !(client && ['size', 'concurrency'].includes(narrowing))) {
    throw new Error(`--${narrowing} is for one backend: name it`)
  }
  const rounds = number('rounds', values.rounds ?? (quick ? '1' : '3'), 1)
  return {
    backends: isForAll ? known : positionals,
    client,
    targets,
    sizes: values.size === undefined ? undefined : numbers('size', values.size, 0),
    concurrencies: numbers('concurrency', values.concurrency ?? (client ? '1,32' : '1,32,256'), 1),
    scattered: values.scattered,
    rounds,
    mostRounds: values.rounds === undefined && !quick ? rounds + 2 : rounds,
    seconds: positive('seconds', values.seconds ?? (quick ? '0.05' : targets ? '0.5' : '1')),
    // V8 compiles libraries that wrap others late, Prisma above all. After half a second it still interprets them.
    warmup: quick ? 0 : client ? 2 : targets ? 0.3 : 0.5,
    peers: values.peers.split(',').filter(Boolean),
    json: values.json,
    quick,
  }
}

/**
 * @param {Options} options
 * @param {string} backend
 * @returns {BackendOptions}
 */
export function optionsFor({ backends, sizes, ...options }, backend) {
  return { ...options, backend, sizes: sizes ?? usualSizes(backend, options.client) }
}

/**
 * @param {string} name
 * @param {string} text
 * @param {number} minimum
 */
function numbers(name, text, minimum) {
  return text.split(',').map((part) => number(name, part, minimum))
}

/**
 * @param {string} name
 * @param {string} text
 * @param {number} minimum
 */
function number(name, text, minimum) {
  const value = text.trim() === '' ? Number.NaN : Number(text)
  if (!Number.isSafeInteger(value) || value < minimum) throw new Error(`--${name}: '${text}' is no whole number from ${minimum} on`)
  return value
}

/**
 * @param {string} name
 * @param {string} text
 */
function positive(name, text) {
  const value = Number(text)
  if (!(value > 0 && Number.isFinite(value))) throw new Error(`--${name}: '${text}' is no number above 0`)
  return value
}
