import pg from 'pg'

/** @type {import('../trial.mjs').Open} */
export async function open({ place: { url, schema, table } }) {
  const pool = new pg.Pool({ connectionString: url, max: 10 })
  const name = `${schema}.${table}`
  // A name makes it a prepared statement, once on each connection.
  const put = {
    name: 'put',
    text: `insert into ${name} (id, data, expires_at) values ($1, $2, $3)
      on conflict (id) do update set data = excluded.data, expires_at = excluded.expires_at`,
  }
  const get = { name: 'get', text: `select data from ${name} where id = $1 and (expires_at is null or expires_at > now())` }
  return {
    async initialize() {
      await pool.query(`create table if not exists ${name} (id text primary key, data bytea not null, expires_at timestamptz)`)
    },
    put: (id, data, expiresAt) => pool.query({ ...put, values: [id, data, expiresAt] }),
    async get(id) {
      const { rows } = await pool.query({ ...get, values: [id] })
      if (rows.length === 0) throw new Error(`no payload ${id}`)
      return rows[0].data
    },
    close: () => pool.end(),
  }
}
