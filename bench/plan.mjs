import { ringSize } from './payloads.mjs'
import { TARGETS } from './targets.mjs'

/**
 * @typedef {object} Cell What is compared between candidates.
 * @property {'put' | 'get'} operation
 * @property {number} size bytes
 * @property {number} concurrency
 */

/**
 * @param {import('./backends/index.mjs').Candidate[]} all
 * @param {string[]} peers names or packages; empty for all
 */
export function chooseCandidates(all, peers) {
  const isPeer = (/** @type {import('./backends/index.mjs').Candidate} */ { module }) => module !== 'sagastore'
  const isNamed = (/** @type {import('./backends/index.mjs').Candidate} */ candidate, /** @type {string} */ name) =>
    [candidate.name, candidate.module, candidate.package].includes(name)
  const unknown = peers.filter((name) => !all.some((candidate) => isPeer(candidate) && isNamed(candidate, name)))
  if (unknown.length > 0) {
    const names = all.filter(isPeer).map(({ name }) => `'${name}'`)
    throw new Error(`no peer ${unknown.join(', ')}: there are ${names.join(', ')}`)
  }
  const chosen = all.filter((candidate) => !isPeer(candidate) || peers.length === 0 || peers.some((name) => isNamed(candidate, name)))
  // If its peer is not in this run, a candidate is compared with the first one that is; but not one that borrows the peer's client.
  return chosen
    .map((candidate) => {
      const stays = chosen.some(({ name }) => name === candidate.peer)
      return stays || candidate.on !== undefined ? candidate : { ...candidate, peer: chosen[0].name }
    })
    .filter((candidate) => chosen.some(({ name, module }) => name === candidate.peer && module !== 'sagastore'))
}

/**
 * Those with a target, and their peers.
 *
 * @param {import('./backends/index.mjs').Candidate[]} all
 * @param {string} backend
 */
export function withTargets(all, backend) {
  const isAimed = (/** @type {string} */ name) => TARGETS[backend].some(({ candidate }) => candidate === name)
  const peers = all.filter(({ name }) => isAimed(name)).map(({ peer }) => peer)
  return all.filter(({ name }) => isAimed(name) || peers.includes(name))
}

/**
 * @typedef {object} SizePlan All that is compared with payloads of one size.
 * @property {number} size
 * @property {number} ids how many payloads each candidate holds
 * @property {Cell[]} cells
 * @property {Cell[]} leftOut would take too long on this server
 */

/**
 * @param {Pick<import('./options.mjs').BackendOptions, 'backend' | 'sizes' | 'concurrencies' | 'quick' | 'client' | 'targets'>} options
 * @param {import('./backends/index.mjs').Arena} arena
 * @returns {SizePlan[]}
 */
export function planOf({ backend, sizes, concurrencies, quick, client, targets }, { scans = false, isFeasible = () => true }) {
  const planned = targets ? TARGETS[backend] : []
  return (targets ? [...new Set(planned.map(({ size }) => size))] : sizes).map((size) => {
    const every = /** @type {Array<'put' | 'get'>} */ (client ? ['put'] : ['put', 'get']).flatMap((operation) =>
      (targets ? [...new Set(planned.map(({ concurrency }) => concurrency))] : concurrencies).map((concurrency) => ({
        operation,
        size,
        concurrency,
      })),
    )
    const cells = targets ? every.filter((cell) => planned.some((target) => isOf(target, cell))) : every
    const feasible = cells.filter((cell) => isFeasible(cell, quick))
    const most = Math.max(...feasible.map(({ concurrency }) => concurrency))
    return {
      size,
      ids: feasible.length === 0 ? 0 : ringSize(size, most, { quick, scans }),
      cells: feasible,
      leftOut: cells.filter((cell) => !feasible.includes(cell)),
    }
  })
}

/**
 * @param {Cell} target
 * @param {Cell} cell
 */
export function isOf(target, cell) {
  return target.operation === cell.operation && target.size === cell.size && target.concurrency === cell.concurrency
}

/**
 * Forwards and backwards in turn, so that no candidate always follows the same other one.
 *
 * @template T
 * @param {T[]} candidates
 * @param {number} round
 */
export function orderOf(candidates, round) {
  return round % 2 === 0 ? candidates : [...candidates].reverse()
}
