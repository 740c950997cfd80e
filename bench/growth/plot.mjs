// docs/growth.svg: throughput, latency and event-loop time, by what grows.

import * as echarts from 'echarts'
import { AXES } from './axes.mjs'

const WIDTH = 960
const HEIGHT = 620
/** Colours that can be seen on white and on black. */
const TEXT = '#808080'
const COLORS = /** @type {Record<string, string>} */ ({ redis: '#d6604d', sqlite: '#4393c3', postgres: '#8073ac', dynamodb: '#e08214' })

/** What is drawn of each axis, above and below. */
const ROWS = /** @type {const} */ ([
  { top: 44, name: 'operations per second', of: (/** @type {import('./run.mjs').Point} */ point) => point.throughput },
  { top: 334, name: 'event-loop time, us', of: (/** @type {import('./run.mjs').Point} */ point) => point.loop },
])
const PANEL = { width: 240, height: 200, left: [56, 376, 696] }

/**
 * @param {import('./run.mjs').Grown[]} all one for each backend
 * @returns {string} SVG
 */
export function drawingOf(all) {
  const panels = ROWS.flatMap((row) => AXES.map((axis, column) => ({ row, axis, column })))
  const chart = echarts.init(null, null, { renderer: 'svg', ssr: true, width: WIDTH, height: HEIGHT })
  const faint = { splitLine: { lineStyle: { color: TEXT, opacity: 0.2 } } }
  chart.setOption({
    animation: false,
    backgroundColor: 'transparent',
    textStyle: { color: TEXT, fontFamily: 'sans-serif' },
    title: panels.map(({ row, axis, column }) => ({
      ...{ top: row.top - 32, left: PANEL.left[column] - 40, text: `${row.name}, by ${axis.label}` },
      textStyle: { color: TEXT, fontSize: 12 },
    })),
    legend: { bottom: 0, textStyle: { color: TEXT } },
    grid: panels.map(({ row, column }) => ({ top: row.top, left: PANEL.left[column], width: PANEL.width, height: PANEL.height })),
    xAxis: panels.map(({ axis }, gridIndex) => ({
      ...{ gridIndex, type: 'category', data: axis.steps.map(axis.textOf), ...faint },
      axisLabel: { color: TEXT, fontSize: 10, rotate: 35 },
    })),
    yAxis: panels.map((_, gridIndex) => ({ gridIndex, type: 'log', axisLabel: { color: TEXT, fontSize: 10 }, ...faint })),
    series: panels.flatMap(({ row, axis }, panel) =>
      all.flatMap(({ backend, points }) =>
        /** @type {const} */ (['put', 'get']).flatMap((operation) => {
          const own = points.filter((point) => point.axis === axis.name && point.operation === operation)
          if (own.length === 0) return []
          return {
            ...{ type: 'line', name: `${backend} ${operation}`, xAxisIndex: panel, yAxisIndex: panel, symbolSize: 5 },
            lineStyle: { type: operation === 'put' ? 'solid' : 'dashed' },
            color: COLORS[backend],
            data: axis.steps.map((at) => {
              const point = own.find((point) => point.at === at)
              return point === undefined ? null : Number(row.of(point).toPrecision(3))
            }),
          }
        }),
      ),
    ),
  })
  const svg = chart.renderToSVGString()
  chart.dispose()
  return svg
}
