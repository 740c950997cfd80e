import { Kysely, PostgresDialect, sql } from 'kysely'
import pg from 'pg'
import { dataOf, statementsOf } from './statements.mjs'

/** @type {import('../trial.mjs').Open} */
export async function open({ place: { url, schema, table } }) {
  const pool = new pg.Pool({ connectionString: url, max: 10 })
  const db = new Kysely({ dialect: new PostgresDialect({ pool }) })
  const name = sql.table(`${schema}.${table}`)
  return {
    client: db,
    async initialize() {
      const { create, index } = statementsOf(`${schema}.${table}`)
      await pool.query(create)
      await pool.query(index)
    },
    put: (id, data, expiresAt) =>
      sql`insert into ${name} (id, data, expires_at) values (${id}, ${data}, ${expiresAt})
        on conflict (id) do update set data = excluded.data, expires_at = excluded.expires_at`.execute(db),
    async get(id) {
      const { rows } = await sql`select data from ${name} where id = ${id} and (expires_at is null or expires_at > now())`.execute(db)
      return dataOf(rows, id)
    },
    close: () => db.destroy(),
  }
}
