import { sql } from 'drizzle-orm'
import { drizzle } from 'drizzle-orm/node-postgres'
import pg from 'pg'
import { dataOf, statementsOf } from './statements.mjs'

/** @type {import('../trial.mjs').Open} */
export async function open({ place: { url, schema, table } }) {
  const pool = new pg.Pool({ connectionString: url, max: 10 })
  const db = drizzle(pool)
  const name = sql.raw(`${schema}.${table}`)
  return {
    client: db,
    async initialize() {
      const { create, index } = statementsOf(`${schema}.${table}`)
      await pool.query(create)
      await pool.query(index)
    },
    put: (id, data, expiresAt) =>
      db.execute(sql`insert into ${name} (id, data, expires_at) values (${id}, ${data}, ${expiresAt})
        on conflict (id) do update set data = excluded.data, expires_at = excluded.expires_at`),
    async get(id) {
      const { rows } = await db.execute(sql`select data from ${name} where id = ${id} and (expires_at is null or expires_at > now())`)
      return dataOf(rows, id)
    },
    close: () => pool.end(),
  }
}
