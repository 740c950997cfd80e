import { execFile } from 'node:child_process'
import { promisify } from 'node:util'

/**
 * @typedef {object} Candidate One row of the tables.
 * @property {string} name unique within the backend
 * @property {string} module file name in candidates/, without its ending
 * @property {string} [package] whose version is reported
 * @property {string} [on] module of the candidate whose client a store borrows
 * @property {string} peer name of the candidate that it is compared with; its own for the peer itself
 * @property {Array<'put' | 'get'>} operations
 *
 * @typedef {object} Arena A server or a directory, prepared for the candidates. Each has a place of its own there.
 * @property {(candidate: Candidate, purpose: { seeding: boolean }) => object} place
 *   what a trial's process is told, such as a table's name; seeding is not measured and may take short cuts
 * @property {(candidate: Candidate) => Promise<void>} settle what an earlier trial has left to do is done now, unmeasured
 * @property {(candidate: Candidate, ids: string[]) => Promise<void>} clear removes the candidate's data
 * @property {() => Promise<Record<string, string>>} describe version and settings of the server
 * @property {() => Promise<void>} close removes everything
 * @property {boolean} [scans] each operation reads through everything that is there: no more of that than is needed
 * @property {(cell: import('../plan.mjs').Cell, quick: boolean) => boolean} [isFeasible] whether there is time for it
 *
 * @typedef {object} Backend Each file beside this one exports one as `backend`.
 * @property {Candidate[]} candidates the named peer of each group comes right before those compared with it
 * @property {Candidate[]} [clients] the same for `--client`: see `borrowing`
 * @property {boolean} [slips] the payloads are text that can be compressed, not random bytes
 * @property {boolean} keepsData a payload is still there in another process
 * @property {() => Promise<Arena>} enter
 */

/** The last one is no backend: what compression costs in memory. */
export const BACKENDS = ['redis', 'postgres', 'sqlite', 'mongodb', 'dynamodb', 'memory', 'compression']
/** Those with client libraries for a store to borrow. */
export const CLIENT_BACKENDS = BACKENDS.filter((name) => !['memory', 'compression'].includes(name))

/**
 * Payload sizes where none are asked for. An item of DynamoDB ends at 400 KiB, with its id and the names in it.
 *
 * @param {string} name
 * @param {boolean} client
 */
export function usualSizes(name, client) {
  return client ? [1024, 32 * 1024] : [1024, 32 * 1024, name === 'dynamodb' ? 350 * 1024 : 256 * 1024]
}

/**
 * @param {string} name
 * @returns {Promise<Backend>}
 */
export async function loadBackend(name) {
  return (await import(`./${name}.mjs`)).backend
}

/**
 * A put that a person writes with a client library, and one of a store that borrows the same client.
 *
 * @param {{ name: string, module?: string, package?: string }} client `module` is the name unless it is given
 * @returns {Candidate[]}
 */
export function borrowing({ name, module = name, package: installed }) {
  const pair = { peer: name, operations: /** @type {Array<'put'>} */ (['put']) }
  return [
    { name, module, package: installed, ...pair },
    { name: `store on ${name}`, module: 'sagastore', on: module, ...pair },
  ]
}

/** @param {string} name */
export function requiredVariable(name) {
  const value = process.env[name]
  if (!value) throw new Error(`${name} is not set: start it through 'npm run bench', or set it yourself`)
  return value
}

/** The system writes its buffers to disk. Otherwise whoever comes next pays for the write-back of the one before. */
export async function writeBack() {
  await promisify(execFile)('sync').catch(() => {})
}
