import { markdownTable } from 'markdown-table'

/**
 * @typedef {import('./measure.mjs').Measured & { rss: number }} Trial
 * @typedef {Pick<Trial, 'throughput' | 'p50' | 'p99' | 'loop' | 'cpu' | 'rss'>} Figures
 *
 * @typedef {object} Row
 * @property {string} candidate
 * @property {string} peer
 * @property {'put' | 'get'} operation
 * @property {number} size
 * @property {number} concurrency
 * @property {Figures} median of the rounds
 * @property {Figures} ratio to the peer's median
 * @property {{ us: number, targetUs: number }} [overhead] on a borrowed client: event-loop time per operation beyond the peer's
 * @property {number} spread between the fastest and the slowest round, as a part of the median throughput
 * @property {Trial[]} rounds
 */

const FIGURES = /** @type {const} */ (['throughput', 'p50', 'p99', 'loop', 'cpu', 'rss'])
/** Event-loop time that a put on a borrowed client may cost more than one written by hand. */
const TARGET_US = 30
const HEADER = [
  ...['in flight', 'candidate', 'ops/s', 'p50 ms', 'p99 ms', 'loop us/op', 'CPU us/op', 'RSS MB'],
  ...['x', 'loop', 'p99', 'RSS', 'spread'],
]
const PAIRS_HEADER = [
  ...['in flight', 'client', 'ops/s by hand', 'store', 'x'],
  ...['loop us/op by hand', 'store', 'difference', 'target', 'CPU us/op by hand', 'store', 'spread'],
]

/**
 * @param {import('./plan.mjs').Cell} cell
 * @param {Array<{ candidate: import('./backends/index.mjs').Candidate, trials: Trial[] }>} results
 * @returns {Row[]}
 */
export function rowsOf(cell, results) {
  const medians = new Map(results.map(({ candidate, trials }) => [candidate.name, medianFigures(trials)]))
  return results.map(({ candidate: { name, peer, on }, trials }) => {
    const median = /** @type {Figures} */ (medians.get(name))
    const reference = /** @type {Figures} */ (medians.get(peer))
    const throughputs = trials.map(({ throughput }) => throughput)
    return {
      candidate: name,
      peer,
      ...cell,
      median,
      ratio: figures((figure) => median[figure] / reference[figure]),
      ...(on !== undefined && { overhead: { us: median.loop - reference.loop, targetUs: TARGET_US } }),
      spread: (Math.max(...throughputs) - Math.min(...throughputs)) / median.throughput,
      rounds: trials,
    }
  })
}

/**
 * Circumstances and tables, as aligned Markdown: for a terminal and for docs/benchmarks.md alike.
 *
 * @param {any} results as in the JSON file
 */
export function documentOf(results) {
  const { backend, complete, command, commit, changed, machine, addon, versions, server, options, leftOut, harness, rows } = results
  const list = (/** @type {Record<string, string>} */ named) => Object.entries(named).map(([name, value]) => `${name} ${value}`)
  return [
    `## ${backend}${options.client ? ', borrowed clients' : ''}${complete ? '' : ' (incomplete)'}`,
    '',
    `\`${command}\` at commit ${commit}${changed ? ' with changes' : ''}, ${addon.build} build.`,
    `${machine.cpu}, ${machine.cores} cores, ${machine.memoryGiB} GiB, ${machine.system}, Node.js ${machine.node}.`,
    `${[...list(versions), ...list(server)].join(', ')}.`,
    options.quick ? 'A quick run: it shows that everything works, and its figures mean nothing.' : methodOf(options, harness),
    ...(leftOut.length > 0 ? [`Left out, because this server would take too long: ${leftOut.join('; ')}.`] : []),
    '',
    tablesOf(rows),
  ].join('\n')
}

/**
 * @param {import('./options.mjs').BackendOptions} options
 * @param {Array<import('./plan.mjs').Cell & { loop: number }>} harness
 */
function methodOf({ rounds, mostRounds, seconds }, harness) {
  const loops = harness.map(({ loop }) => loop)
  const floor = `${Math.min(...loops).toFixed(2)} to ${Math.max(...loops).toFixed(2)} us`
  const count = mostRounds === rounds ? rounds : `${rounds} to ${mostRounds}`
  return `Medians of ${count} rounds of ${seconds} s. The harness itself takes ${floor} of event-loop time per operation, in every figure.`
}

/**
 * One table for each operation and size.
 *
 * @param {Row[]} rows
 */
function tablesOf(rows) {
  const groups = groupBy(rows, titleOf)
  return [...groups].map(([title, group]) => `### ${title}\n\n${tableOf(group)}`).join('\n\n')
}

/** @param {Row[]} rows */
function tableOf(rows) {
  return rows.some(({ overhead }) => overhead !== undefined) ? pairsTableOf(rows) : candidatesTableOf(rows)
}

/**
 * One line for each client: written by hand, and by a store that borrows it.
 *
 * @param {Row[]} rows
 */
function pairsTableOf(rows) {
  let shown = 0
  const lines = rows.flatMap(({ peer, concurrency, median, ratio, overhead, spread }) => {
    const byHand = rows.find((row) => row.candidate === peer && row.concurrency === concurrency)
    if (overhead === undefined || byHand === undefined) return []
    const inFlight = concurrency === shown ? '' : String(concurrency)
    shown = concurrency
    const signed = `${overhead.us < 0 ? '' : '+'}${overhead.us.toFixed(1)}`
    return [
      [
        ...[inFlight, peer, wholeText(byHand.median.throughput), wholeText(median.throughput), ratioText(ratio.throughput)],
        ...[
          digitsText(byHand.median.loop),
          digitsText(median.loop),
          signed,
          `${overhead.us <= overhead.targetUs ? '' : 'over '}${overhead.targetUs}`,
        ],
        ...[digitsText(byHand.median.cpu), digitsText(median.cpu), percentText(Math.max(byHand.spread, spread))],
      ],
    ]
  })
  return markdownTable([PAIRS_HEADER, ...lines], { align: PAIRS_HEADER.map((title) => (title === 'client' ? 'l' : 'r')) })
}

/** @param {Row[]} rows */
function candidatesTableOf(rows) {
  const lines = rows.map((row, index) => {
    const { median, ratio } = row
    const isFirst = rows[index - 1]?.concurrency !== row.concurrency
    const ratios = row.candidate === row.peer ? ['', '', '', ''] : [ratio.throughput, ratio.loop, ratio.p99, ratio.rss].map(ratioText)
    return [
      ...[isFirst ? String(row.concurrency) : '', row.candidate, wholeText(median.throughput)],
      ...[median.p50, median.p99, median.loop, median.cpu].map(digitsText),
      ...[wholeText(median.rss / 1e6), ...ratios, row.rounds.length > 1 ? percentText(row.spread) : ''],
    ]
  })
  return markdownTable([HEADER, ...lines], { align: HEADER.map((title) => (title === 'candidate' ? 'l' : 'r')) })
}

/** @param {Row} row */
function titleOf({ operation, size }) {
  return `${operation}, ${sizeText(size)}`
}

/** @param {number[]} numbers */
export function middleOf(numbers) {
  return [...numbers].sort((a, b) => a - b)[Math.floor(numbers.length / 2)]
}

/**
 * Three digits.
 *
 * @param {number} number
 */
export function roundedText(number) {
  return number >= 100 ? number.toFixed(0) : number >= 10 ? number.toFixed(1) : number.toFixed(2)
}

/** @param {number} bytes */
export function sizeText(bytes) {
  if (bytes >= 2 ** 20 && bytes % 2 ** 20 === 0) return `${bytes / 2 ** 20} MiB`
  return bytes >= 1024 && bytes % 1024 === 0 ? `${bytes / 1024} KiB` : `${bytes} B`
}

/**
 * @template T
 * @param {T[]} items
 * @param {(item: T) => string} keyOf
 */
function groupBy(items, keyOf) {
  /** @type {Map<string, T[]>} */
  const groups = new Map()
  for (const item of items) groups.set(keyOf(item), [...(groups.get(keyOf(item)) ?? []), item])
  return groups
}

/** @param {Trial[]} trials */
function medianFigures(trials) {
  return figures((figure) => median(trials.map((trial) => trial[figure])))
}

/** @param {(figure: keyof Figures) => number} figureOf */
function figures(figureOf) {
  return /** @type {Figures} */ (Object.fromEntries(FIGURES.map((figure) => [figure, figureOf(figure)])))
}

/** @param {number[]} values */
function median(values) {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = Math.floor(sorted.length / 2)
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
}

/** @param {number} value */
function wholeText(value) {
  return Math.round(value).toLocaleString('en-US')
}

/**
 * Three digits that count: 0.0123, 1.23, 12.3, 123, 1234.
 *
 * @param {number} value
 */
function digitsText(value) {
  return value >= 100 ? String(Math.round(value)) : value.toPrecision(3)
}

/** @param {number} share */
function percentText(share) {
  return `${Math.round(share * 100)} %`
}

/** @param {number} value */
function ratioText(value) {
  return value >= 10 ? value.toFixed(1) : value.toFixed(2)
}
