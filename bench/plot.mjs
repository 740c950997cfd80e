// docs/benchmarks.svg: event-loop time and throughput beside the peers, by backend and size.

import * as echarts from 'echarts'
import { sizeText } from './report.mjs'
import { TARGETS } from './targets.mjs'

const WIDTH = 960
const HEIGHT = 640
const IN_FLIGHT = 32
/** The largest is 350 KiB on DynamoDB. */
const SIZES = [1024, 32 * 1024, 256 * 1024]
/** Colours that can be seen on white and on black. */
const TEXT = '#808080'
const COLORS = ['#9ecae1', '#4292c6', '#08519c', '#fdd0a2', '#fd8d3c', '#a63603']

/**
 * @typedef {import('./report.mjs').Row} Row
 * @typedef {object} Group what one cluster of bars is about
 * @property {string} name
 * @property {Row[]} rows
 */

/**
 * @param {import('./summary.mjs').Results[]} runs
 * @returns {string} SVG
 */
export function drawingOf(runs) {
  const groups = runs.flatMap(groupsOf)
  const chart = echarts.init(null, null, { renderer: 'svg', ssr: true, width: WIDTH, height: HEIGHT })
  chart.setOption({
    animation: false,
    backgroundColor: 'transparent',
    textStyle: { color: TEXT, fontFamily: 'sans-serif' },
    color: COLORS,
    title: [
      titleAt(8, `Event-loop time per operation, in % of the driver's (lower is better), ${IN_FLIGHT} in flight`),
      titleAt(316, "Throughput, the driver's is 1 (higher is better); 350 KiB instead of 256 on DynamoDB"),
    ],
    legend: { bottom: 4, itemGap: 24, textStyle: { color: TEXT } },
    grid: [
      { top: 44, height: 220, left: 60, right: 20 },
      { top: 352, height: 200, left: 60, right: 20 },
    ],
    xAxis: [0, 1].map((gridIndex) => ({
      gridIndex,
      type: 'category',
      data: groups.map(({ name }) => name),
      axisLabel: { color: TEXT, interval: 0 },
      axisLine: { lineStyle: { color: TEXT } },
    })),
    yAxis: [
      {
        gridIndex: 0,
        type: 'value',
        axisLabel: { color: TEXT, formatter: '{value} %' },
        splitLine: { lineStyle: { color: TEXT, opacity: 0.3 } },
      },
      { gridIndex: 1, type: 'value', axisLabel: { color: TEXT }, splitLine: { lineStyle: { color: TEXT, opacity: 0.3 } } },
    ],
    series: [
      ...seriesOf(groups, 0, ({ ratio }) => Math.round(ratio.loop * 1000) / 10),
      ...seriesOf(groups, 1, ({ ratio }) => Math.round(ratio.throughput * 100) / 100),
    ],
  })
  const svg = chart.renderToSVGString()
  chart.dispose()
  return svg
}

/**
 * @param {number} top
 * @param {string} text
 */
function titleAt(top, text) {
  return { top, left: 12, text, textStyle: { color: TEXT, fontSize: 14 } }
}

/**
 * One cluster for each candidate that has a target.
 *
 * @param {import('./summary.mjs').Results} run
 * @returns {Group[]}
 */
function groupsOf({ backend, rows }) {
  const candidates = [...new Set(TARGETS[backend].map(({ candidate }) => candidate))]
  return candidates.map((candidate) => {
    const own = rows.filter((row) => row.candidate === candidate && row.concurrency === IN_FLIGHT)
    return { name: `${backend}${candidate.replace('sagastore', '')}\n(${own[0]?.peer ?? ''})`, rows: own }
  })
}

/**
 * @param {Group[]} groups
 * @param {number} grid
 * @param {(row: Row) => number} figureOf
 */
function seriesOf(groups, grid, figureOf) {
  return /** @type {const} */ (['put', 'get']).flatMap((operation) =>
    SIZES.map((_, place) => ({
      type: 'bar',
      name: `${operation} ${sizeText(SIZES[place])}`,
      xAxisIndex: grid,
      yAxisIndex: grid,
      data: groups.map(({ rows }) => {
        const found = rows.filter((row) => row.operation === operation).sort((a, b) => a.size - b.size)[place]
        return found === undefined ? null : figureOf(found)
      }),
    })),
  )
}
