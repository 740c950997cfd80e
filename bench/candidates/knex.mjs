import knex from 'knex'
import { dataOf, statementsOf } from './statements.mjs'

/** @type {import('../trial.mjs').Open} */
export async function open({ place: { url, schema, table } }) {
  const db = knex({ client: 'pg', connection: url, pool: { min: 0, max: 10 } })
  const { create, index, ...statements } = statementsOf(`${schema}.${table}`)
  // Knex has its own placeholders, in order as these are.
  const put = statements.put.replaceAll(/\$\d/g, '?')
  const get = statements.get.replaceAll(/\$\d/g, '?')
  return {
    client: db,
    async initialize() {
      await db.raw(create)
      await db.raw(index)
    },
    // A builder is run by its `then`.
    put: (id, data, expiresAt) => db.raw(put, [id, data, expiresAt]),
    async get(id) {
      const { rows } = await db.raw(get, [id])
      return dataOf(rows, id)
    },
    close: () => db.destroy(),
  }
}
