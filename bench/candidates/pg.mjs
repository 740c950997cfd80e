import pg from 'pg'
import { dataOf, statementsOf } from './statements.mjs'

/** @type {import('../trial.mjs').Open} */
export async function open({ place: { url, schema, table, named } }) {
  const pool = new pg.Pool({ connectionString: url, max: 10 })
  const { create, index, ...statements } = statementsOf(`${schema}.${table}`)
  // A name makes it a prepared statement, once on each connection.
  const put = { ...(named && { name: 'put' }), text: statements.put }
  const get = { ...(named && { name: 'get' }), text: statements.get }
  return {
    client: pool,
    async initialize() {
      await pool.query(create)
      await pool.query(index)
    },
    put: (id, data, expiresAt) => pool.query({ ...put, values: [id, data, expiresAt] }),
    async get(id) {
      const { rows } = await pool.query({ ...get, values: [id] })
      return dataOf(rows, id)
    },
    close: () => pool.end(),
  }
}
