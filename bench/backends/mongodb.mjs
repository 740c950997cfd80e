import { MongoClient } from 'mongodb'
import { borrowing, requiredVariable, writeBack } from './index.mjs'

const FERRETDB_1 = 'FerretDB 1.x'

/** @type {import('./index.mjs').Backend} */
export const backend = {
  keepsData: true,
  candidates: [
    { name: 'mongodb', module: 'mongodb', package: 'mongodb', peer: 'mongodb', operations: ['put', 'get'] },
    { name: 'sagastore', module: 'sagastore', peer: 'mongodb', operations: ['put', 'get'] },
  ],
  clients: borrowing({ name: 'mongodb', package: 'mongodb' }),
  async enter() {
    const url = requiredVariable('MONGODB_URL')
    const database = databaseOf(url)
    const client = new MongoClient(url)
    const server = await describe(client)
    // Collections of the URL's own database: the user may have no rights on another one.
    const collectionOf = (/** @type {import('./index.mjs').Candidate} */ { name }) => `sagastore_bench_${name.replaceAll(' ', '_')}`
    const drop = async (/** @type {import('./index.mjs').Candidate} */ candidate) => {
      await client.db(database).dropCollection(collectionOf(candidate))
    }
    return {
      place: (candidate) => ({ url, database, collection: collectionOf(candidate) }),
      // Otherwise the next candidate pays for the checkpoint of this one. Not every server has this command.
      async settle() {
        await client
          .db('admin')
          .command({ fsync: 1 })
          .catch(() => {})
        await writeBack()
      },
      clear: drop,
      describe: async () => server,
      ...(FERRETDB_1 in server && { scans: true, isFeasible: isFeasibleOnFerretDB }),
      async close() {
        for (const candidate of [...backend.candidates, ...(backend.clients ?? [])]) await drop(candidate)
        await client.close()
      },
    }
  },
}

/**
 * FerretDB on SQLite: its queries do not use its indexes. Each operation reads everything that is stored, and waits for
 * all the others. After ten seconds it fails.
 *
 * @param {import('../plan.mjs').Cell} cell
 * @param {boolean} quick
 */
function isFeasibleOnFerretDB({ size, concurrency }, quick) {
  return size * concurrency ** 2 <= (quick ? 64 : 256) * 2 ** 20
}

/**
 * As sagastore reads it.
 *
 * @param {string} url
 */
function databaseOf(url) {
  const path = /^[^:]+:\/\/[^/?]*\/([^?]+)/.exec(url)?.[1]
  return path === undefined ? 'sagas' : decodeURIComponent(path)
}

/**
 * A server that only speaks MongoDB's protocol is named as such: its figures are not MongoDB's.
 *
 * @param {MongoClient} client
 * @returns {Promise<Record<string, string>>}
 */
async function describe(client) {
  const admin = client.db('admin')
  const { version, ferretdbVersion, ferretdb } = await admin.command({ buildInfo: 1 })
  // 1.x, which does not know its own version where it is embedded; 2.x has an object instead.
  if (ferretdbVersion !== undefined) return { [FERRETDB_1]: `${ferretdbVersion} (it answers as MongoDB ${version})` }
  if (ferretdb !== undefined) return { FerretDB: `${ferretdb.version} (it answers as MongoDB ${version})` }
  const { setName, hosts, msg } = await admin.command({ hello: 1 })
  const single = msg === 'isdbgrid' ? 'sharded' : 'standalone'
  return { MongoDB: version, deployment: setName === undefined ? single : `replica set of ${hosts.length}` }
}
