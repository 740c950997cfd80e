// `npm run chaos`: writers on a server that is killed, frozen and misconfigured, and a ledger of what came of each write.

import { constants } from 'node:os'
import { parseArgs } from 'node:util'

const SCENARIOS = ['sqlite', 'postgres', 'redis', 'cluster', 'recovery', 'outbox']
/** Those that run on a store in place of servers of their own. */
const ON_STORES = ['recovery', 'outbox']

const USAGE = `npm run chaos -- ${SCENARIOS.join('|')} [--seconds N] [--quiet] [--url URL]

  --seconds N   how long the writers write (default 60); starting and checking come on top
  --quiet       the ledger alone
  --url URL     recovery, outbox: the store (default: an SQLite file)
  --events N    outbox: how many are inserted (default 400 a second, at most 20000)
  --keys N      outbox: how many partition keys they have (default 64)

Exit code 0: every acknowledged write is there, none is doubled, every promise has settled. 1: not so. 2: wrong use.`

/** @param {string[]} args */
function parse(args) {
  const { values, positionals } = parseArgs({
    args,
    allowPositionals: true,
    options: {
      seconds: { type: 'string', default: '60' },
      quiet: { type: 'boolean' },
      url: { type: 'string' },
      events: { type: 'string' },
      keys: { type: 'string' },
      help: { type: 'boolean', short: 'h' },
    },
  })
  if (values.help) return undefined
  const [name, ...rest] = positionals
  if (name === undefined || !SCENARIOS.includes(name)) throw new Error(`name a scenario: ${SCENARIOS.join(', ')}`)
  if (rest.length > 0) throw new Error(`one scenario at a time, and not '${rest[0]}' too`)
  const seconds = Number(values.seconds)
  if (!(seconds >= 1 && seconds <= 86_400)) throw new Error(`--seconds is a number from 1 to 86400, not '${values.seconds}'`)
  if (values.url !== undefined && !ON_STORES.includes(name))
    throw new Error('--url is for recovery and outbox: the others start their own servers')
  return { name, seconds, quiet: values.quiet === true, ...(values.url !== undefined && { url: values.url }), ...numbersOf(name, values) }
}

/**
 * @param {string} name
 * @param {{ events?: string, keys?: string }} values
 */
function numbersOf(name, { events, keys }) {
  /** @type {Record<string, number>} */
  const numbers = {}
  for (const [option, value] of Object.entries({ events, keys })) {
    if (value === undefined) continue
    const number = Number(value)
    if (name !== 'outbox') throw new Error(`--${option} is for outbox`)
    if (!(Number.isInteger(number) && number >= 8 && number <= 1e7)) {
      throw new Error(`--${option} is a whole number from 8 to 10000000, not '${value}'`)
    }
    numbers[option] = number
  }
  return numbers
}

async function main() {
  let options
  try {
    options = parse(process.argv.slice(2))
  } catch (error) {
    process.stderr.write(`${/** @type {Error} */ (error).message}\n\n${USAGE}\n`)
    process.exit(2)
  }
  if (options === undefined) {
    process.stdout.write(`${USAGE}\n`)
    return
  }
  const { name, seconds, quiet, ...more } = options
  // The servers of a scenario end with this process.
  for (const signal of /** @type {const} */ (['SIGINT', 'SIGTERM'])) process.on(signal, () => process.exit(128 + constants.signals[signal]))
  const began = performance.now()
  const { run } = await import(`./${name}.mjs`)
  /** @param {string} text */
  const report = (text) => {
    if (!quiet) process.stderr.write(`${((performance.now() - began) / 1000).toFixed(1).padStart(6)} s  ${text}\n`)
  }
  const ledger = await run({ seconds, report, ...more })
  process.stdout.write(`${ledger}\n`)
  process.exit(ledger.holds ? 0 : 1)
}

await main()
