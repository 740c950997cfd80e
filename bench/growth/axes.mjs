// What grows, and in which steps.

import { sizeText } from '../report.mjs'

const KIB = 1024
const MIB = 1024 * KIB

/**
 * @typedef {object} Axis
 * @property {string} name
 * @property {string} title of a step
 * @property {string} label of all of them
 * @property {string[]} backends
 * @property {number[]} steps
 * @property {Record<string, number>} [limits] where a backend ends
 * @property {(at: number) => { size: number, concurrency: number }} cell what is measured there
 * @property {(at: number) => string} textOf
 */

/** @type {Axis[]} */
export const AXES = [
  {
    name: 'inFlight',
    title: 'in flight',
    label: 'operations in flight',
    backends: ['redis', 'sqlite', 'postgres', 'dynamodb'],
    steps: [1, 4, 16, 64, 256, 1024, 4096],
    cell: (concurrency) => ({ size: KIB, concurrency }),
    textOf: String,
  },
  {
    name: 'size',
    title: 'payload',
    label: 'size of a payload',
    backends: ['redis', 'sqlite', 'postgres', 'dynamodb'],
    steps: [0, KIB, 4 * KIB, 16 * KIB, 64 * KIB, 256 * KIB, MIB, 4 * MIB, 16 * MIB],
    limits: { dynamodb: 256 * KIB },
    cell: (size) => ({ size, concurrency: 1 }),
    textOf: sizeText,
  },
  {
    name: 'keys',
    title: 'stored',
    label: 'payloads stored',
    backends: ['sqlite', 'postgres'],
    steps: [1e3, 1e4, 1e5, 1e6],
    cell: () => ({ size: 128, concurrency: 1 }),
    textOf: (count) => count.toLocaleString('en'),
  },
]

export const BACKENDS = [...new Set(AXES.flatMap(({ backends }) => backends))]
