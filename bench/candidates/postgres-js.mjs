import postgres from 'postgres'

/** @type {import('../trial.mjs').Open} */
export async function open({ place: { url, schema, table } }) {
  // Prepares statements by itself; `max: 10` is its default too.
  const sql = postgres(url, { max: 10, onnotice: () => {} })
  const name = sql(`${schema}.${table}`)
  return {
    client: sql,
    async initialize() {
      await sql`create table if not exists ${name} (id text primary key, data bytea not null, expires_at timestamptz)`
      await sql`create index if not exists ${sql(`${table}_expires_at`)} on ${name} (expires_at)`
    },
    put: (id, data, expiresAt) => sql`insert into ${name} (id, data, expires_at) values (${id}, ${data}, ${expiresAt})
      on conflict (id) do update set data = excluded.data, expires_at = excluded.expires_at`,
    async get(id) {
      const rows = await sql`select data from ${name} where id = ${id} and (expires_at is null or expires_at > now())`
      if (rows.length === 0) throw new Error(`no payload ${id}`)
      return rows[0].data
    },
    close: () => sql.end(),
  }
}
