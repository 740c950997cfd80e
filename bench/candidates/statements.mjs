/**
 * The claim check of a person, for `pg` and the libraries on top of it: only how they are called differs.
 * Without the index, removing what has expired would read the whole table.
 *
 * @param {string} table
 */
export function statementsOf(table) {
  return {
    create: `create table if not exists ${table} (id text primary key, data bytea not null, expires_at timestamptz)`,
    index: `create index if not exists ${table.split('.').at(-1)}_expires_at on ${table} (expires_at)`,
    put: `insert into ${table} (id, data, expires_at) values ($1, $2, $3)
      on conflict (id) do update set data = excluded.data, expires_at = excluded.expires_at`,
    get: `select data from ${table} where id = $1 and (expires_at is null or expires_at > now())`,
  }
}

/**
 * @param {any[]} rows
 * @param {string} id
 */
export function dataOf(rows, id) {
  if (rows.length === 0) throw new Error(`no payload ${id}`)
  return rows[0].data
}
