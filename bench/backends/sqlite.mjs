import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { isBuiltin } from 'node:module'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import Database from 'better-sqlite3'
import { borrowing, writeBack } from './index.mjs'

// Not in the system's temporary directory, which is memory on many machines: `full` would cost nothing there.
const RESULTS = fileURLToPath(new URL('../results/', import.meta.url))

/** @type {import('./index.mjs').Backend} */
export const backend = {
  keepsData: true,
  // Only puts show what durability costs.
  candidates: [...durable('normal', ['put', 'get']), ...durable('full', ['put'])],
  clients: [
    { name: 'better-sqlite3', package: 'better-sqlite3' },
    { name: 'drizzle', module: 'drizzle-sqlite', package: 'drizzle-orm' },
    // Node.js 20 has no node:sqlite.
    ...(isBuiltin('node:sqlite') ? [{ name: 'node:sqlite', module: 'node-sqlite' }] : []),
  ].flatMap(borrowing),
  async enter() {
    mkdirSync(RESULTS, { recursive: true })
    const directory = mkdtempSync(join(RESULTS, 'sqlite-'))
    const remove = () => rmSync(directory, { recursive: true, force: true })
    process.once('exit', remove)
    const fileOf = (/** @type {import('./index.mjs').Candidate} */ { name }) => join(directory, `${name.replaceAll(/\W/g, '-')}.db`)
    return {
      place: (candidate, { seeding }) => ({
        file: fileOf(candidate),
        durability: !seeding && candidate.name.endsWith(' full') ? 'full' : 'normal',
      }),
      settle: writeBack,
      async clear(candidate) {
        for (const ending of ['', '-wal', '-shm']) rmSync(`${fileOf(candidate)}${ending}`, { force: true })
      },
      async describe() {
        const db = new Database(':memory:')
        const version = db.prepare('select sqlite_version()').pluck().get()
        db.close()
        return { "better-sqlite3's SQLite": String(version) }
      },
      close: async () => remove(),
    }
  },
}

/**
 * @param {'normal' | 'full'} durability
 * @param {Array<'put' | 'get'>} operations
 * @returns {import('./index.mjs').Candidate[]}
 */
function durable(durability, operations) {
  const peer = `better-sqlite3 ${durability}`
  return [
    { name: peer, module: 'better-sqlite3', package: 'better-sqlite3', peer, operations },
    { name: `sagastore ${durability}`, module: 'sagastore', peer, operations },
  ]
}
