/**
 * The targets of each backend, as ratios to the peer: the least throughput, and the most event-loop time per
 * operation. A figure that is left out has no target.
 *
 * @typedef {object} Target
 * @property {string} candidate
 * @property {'put' | 'get'} operation
 * @property {number} size bytes
 * @property {number} concurrency
 * @property {number} [x]
 * @property {number} [loop]
 */

const KIB = 1024
/** @type {Record<string, [size: number, concurrency: number]>} */
const CELLS = {
  small: [KIB, 32],
  crowd: [KIB, 256],
  medium: [32 * KIB, 32],
  large: [256 * KIB, 32],
  item: [350 * KIB, 32],
  alone: [KIB, 1],
}

/**
 * @param {string} candidate
 * @param {Record<string, [put: Limits | undefined, get?: Limits]>} cells
 * @typedef {{ x?: number, loop?: number }} Limits
 * @returns {Target[]}
 */
function targets(candidate, cells) {
  return Object.entries(cells).flatMap(([cell, limits]) =>
    limits.flatMap((limit, index) => {
      if (limit === undefined) return []
      const [size, concurrency] = CELLS[cell]
      return [
        { candidate, operation: index === 0 ? /** @type {const} */ ('put') : /** @type {const} */ ('get'), size, concurrency, ...limit },
      ]
    }),
  )
}

/** @type {Record<string, Target[]>} */
export const TARGETS = {
  redis: targets('sagastore', {
    small: [
      { x: 1.4, loop: 0.25 },
      { x: 1.1, loop: 0.3 },
    ],
    crowd: [{ x: 2 }, { x: 1.6 }],
    medium: [
      { x: 2, loop: 0.1 },
      { x: 1.25, loop: 0.4 },
    ],
    large: [
      { x: 2, loop: 0.05 },
      { x: 1.5, loop: 0.3 },
    ],
    alone: [{ loop: 0.4 }, { loop: 0.6 }],
  }),
  sqlite: [
    ...targets('sagastore normal', {
      small: [
        { x: 2.5, loop: 0.15 },
        { x: 1.3, loop: 0.5 },
      ],
      crowd: [{ x: 3 }, { x: 1.8 }],
      medium: [
        { x: 1.7, loop: 0.06 },
        { x: 2, loop: 0.25 },
      ],
      large: [
        { x: 1.4, loop: 0.05 },
        { x: 2, loop: 0.2 },
      ],
      alone: [undefined, { x: 0.9, loop: 1.2 }],
    }),
    ...targets('sagastore full', { small: [{ x: 5 }], crowd: [{ x: 12 }], medium: [{ x: 2.5 }], large: [{ x: 1.5 }] }),
  ],
  postgres: targets('sagastore', {
    small: [
      { x: 4, loop: 0.08 },
      { x: 4, loop: 0.1 },
    ],
    crowd: [{ x: 8 }, { x: 7 }],
    medium: [
      { x: 1.3, loop: 0.08 },
      { x: 2.3, loop: 0.12 },
    ],
    large: [{ loop: 0.1 }, { x: 4, loop: 0.08 }],
    alone: [
      { x: 1.05, loop: 0.3 },
      { x: 1.3, loop: 0.35 },
    ],
  }),
  dynamodb: targets('sagastore', {
    small: [
      { x: 2.5, loop: 0.06 },
      { x: 3.5, loop: 0.06 },
    ],
    crowd: [{ x: 4 }, { x: 6 }],
    medium: [
      { x: 1.6, loop: 0.06 },
      { x: 3, loop: 0.06 },
    ],
    item: [{ x: 1.2 }, { x: 2 }],
    alone: [
      { x: 1.5, loop: 0.08 },
      { x: 1.5, loop: 0.08 },
    ],
  }),
  mongodb: targets('sagastore', {
    small: [
      { x: 1.2, loop: 0.2 },
      { x: 1.2, loop: 0.2 },
    ],
    crowd: [{ x: 1.5 }, { x: 1.5 }],
    medium: [{ loop: 0.2 }, { loop: 0.2 }],
    large: [{ loop: 0.15 }, { loop: 0.15 }],
    alone: [{ loop: 0.4 }, { loop: 0.4 }],
  }),
}
