import pg from 'pg'
import { borrowing, requiredVariable, writeBack } from './index.mjs'

const SCHEMA = 'sagastore_bench'

/** @type {import('./index.mjs').Backend} */
export const backend = {
  keepsData: true,
  candidates: [
    { name: 'pg', module: 'pg', package: 'pg', peer: 'pg', operations: ['put', 'get'] },
    { name: 'postgres.js', module: 'postgres-js', package: 'postgres', peer: 'pg', operations: ['put', 'get'] },
    { name: 'sagastore', module: 'sagastore', peer: 'pg', operations: ['put', 'get'] },
  ],
  clients: [
    { name: 'pg', package: 'pg' },
    { name: 'postgres.js', module: 'postgres-js', package: 'postgres' },
    { name: 'drizzle', package: 'drizzle-orm' },
    { name: 'kysely', package: 'kysely' },
    { name: 'knex', package: 'knex' },
    { name: 'prisma', package: '@prisma/client' },
  ].flatMap(borrowing),
  async enter() {
    const url = requiredVariable('POSTGRES_URL')
    const client = new pg.Client(url)
    await client.connect()
    const tableOf = (/** @type {import('./index.mjs').Candidate} */ { name }) => name.replaceAll(/\W/g, '_')
    await client.query(`drop schema if exists ${SCHEMA} cascade`)
    await client.query(`create schema ${SCHEMA}`)
    return {
      place: (candidate) => ({
        url,
        schema: SCHEMA,
        table: tableOf(candidate),
        // The same statement as the store's, which has no name: behind PgBouncer the connection may change.
        named: !backend.clients?.includes(candidate),
      }),
      // Otherwise the next candidate pays for the dead rows and the checkpoint of this one.
      async settle(candidate) {
        await client.query(`vacuum ${SCHEMA}.${tableOf(candidate)}`)
        await client.query('checkpoint')
        await writeBack()
      },
      async clear(candidate) {
        await client.query(`drop table if exists ${SCHEMA}.${tableOf(candidate)}`)
      },
      async describe() {
        const setting = async (/** @type {string} */ name) => (await client.query(`show ${name}`)).rows[0][name]
        /** @type {Record<string, string>} */
        const settings = { PostgreSQL: await setting('server_version') }
        for (const name of ['fsync', 'synchronous_commit', 'full_page_writes', 'shared_buffers', 'max_wal_size', 'jit']) {
          settings[name] = await setting(name)
        }
        return settings
      },
      async close() {
        await client.query(`drop schema if exists ${SCHEMA} cascade`)
        await client.end()
      },
    }
  },
}
