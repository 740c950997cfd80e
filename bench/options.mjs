import { parseArgs } from 'node:util'
import { BACKENDS, usualSizes } from './backends/index.mjs'

export const USAGE = `Usage: npm run bench -- redis|postgres|sqlite|mongodb|dynamodb|memory [OPTION...]

  --size BYTES,...      payload sizes     (1024,32768,262144; dynamodb: 1024,32768,358400)
  --concurrency N,...   operations in flight                        (1,32,256)
  --rounds N            trials of each figure, the median counts    (3)
  --seconds S           measured time of a trial                    (1)
  --peers NAME,...      compare with these only
  --json FILE           where everything goes    (bench/results/BACKEND-TIME.json)
  --quick               one short round of everything: shows that it works, measures nothing

REDIS_URL, POSTGRES_URL, MONGODB_URL or DYNAMODB_URL is used if it is set; otherwise a server is started for the run.`

/**
 * @typedef {object} Options
 * @property {string} backend
 * @property {number[]} sizes
 * @property {number[]} concurrencies
 * @property {number} rounds
 * @property {number} seconds
 * @property {number} warmup seconds
 * @property {string[]} peers names or packages of candidates; empty for all
 * @property {string | undefined} json
 * @property {boolean} quick
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
      concurrency: { type: 'string', default: '1,32,256' },
      rounds: { type: 'string' },
      seconds: { type: 'string' },
      peers: { type: 'string', default: '' },
      json: { type: 'string' },
      quick: { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
    },
  })
  if (values.help) return undefined
  const [backend] = positionals
  if (positionals.length !== 1 || !BACKENDS.includes(backend)) throw new Error(`one backend of ${BACKENDS.join(', ')}, please`)
  const { quick } = values
  return {
    backend,
    sizes: values.size === undefined ? usualSizes(backend) : numbers('size', values.size, 0),
    concurrencies: numbers('concurrency', values.concurrency, 1),
    rounds: number('rounds', values.rounds ?? (quick ? '1' : '3'), 1),
    seconds: positive('seconds', values.seconds ?? (quick ? '0.05' : '1')),
    warmup: quick ? 0 : 0.5,
    peers: values.peers.split(',').filter(Boolean),
    json: values.json,
    quick,
  }
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
