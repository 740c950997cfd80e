// The result of a run over all backends: the targets beside the figures, one file of results, the picture.

import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { markdownTable } from 'markdown-table'
import { isOf } from './plan.mjs'
import { drawingOf } from './plot.mjs'
import { sizeText } from './report.mjs'
import { TARGETS } from './targets.mjs'

const RESULTS = fileURLToPath(new URL('results/', import.meta.url))
const PICTURE = fileURLToPath(new URL('../docs/benchmarks.svg', import.meta.url))
const HEADER = ['backend', 'candidate', 'operation', 'size', 'in flight', 'x', 'target', 'loop', 'target', 'RSS', 'spread', '']

/** @typedef {{ backend: string, rows: import('./report.mjs').Row[], [circumstance: string]: any }} Results as a run writes them */

/**
 * @param {string[]} files of one run for each backend; they become one
 * @param {string} date
 * @param {boolean} quick a picture of figures that mean nothing is not drawn
 */
export async function summarize(files, date, quick) {
  const runs = files.map((file) => /** @type {Results} */ (JSON.parse(readFileSync(file, 'utf8'))))
  process.stdout.write(`\n## Targets\n\n${targetsTable(runs)}\n`)
  mkdirSync(RESULTS, { recursive: true })
  const file = join(RESULTS, `${date}.json`)
  writeFileSync(file, `${JSON.stringify({ runs }, null, 2)}\n`)
  for (const part of files) rmSync(part)
  process.stderr.write(`Everything: ${file}\n`)
  if (quick) return
  writeFileSync(PICTURE, drawingOf(runs))
  process.stderr.write(`Drawn: ${PICTURE}\n`)
}

/** @param {Results[]} runs */
export function targetsTable(runs) {
  const lines = runs.flatMap(({ backend, rows }) =>
    TARGETS[backend].flatMap((target) => {
      const row = rows.find((row) => row.candidate === target.candidate && isOf(target, row))
      if (row === undefined) return []
      const { throughput, loop, rss } = row.ratio
      const misses = [target.x !== undefined && throughput < target.x, target.loop !== undefined && loop > target.loop]
      return [
        [
          ...[backend, row.candidate, row.operation, sizeText(row.size), String(row.concurrency)],
          ...[throughput.toFixed(2), limitText(target.x), loop.toFixed(2), limitText(target.loop), rss.toFixed(2)],
          ...[`${Math.round(row.spread * 100)} %`, misses.includes(true) ? 'missed' : ''],
        ],
      ]
    }),
  )
  return markdownTable([HEADER, ...lines], { align: HEADER.map((_, index) => (index < 3 ? 'l' : 'r')) })
}

/** @param {number | undefined} limit */
function limitText(limit) {
  return limit === undefined ? '' : String(limit)
}
