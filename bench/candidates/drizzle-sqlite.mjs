import Database from 'better-sqlite3'
import { sql } from 'drizzle-orm'
import { drizzle } from 'drizzle-orm/better-sqlite3'
import { TABLE } from './sqlite-table.mjs'

/** @type {import('../trial.mjs').Open} */
export async function open({ place: { file, durability } }) {
  const handle = new Database(file)
  handle.pragma('journal_mode = WAL')
  handle.pragma(`synchronous = ${durability}`)
  handle.exec(TABLE)
  const db = drizzle(handle)
  return {
    client: db,
    async initialize() {},
    put(id, data, expiresAt) {
      db.run(sql`insert into claims (id, data, expires_at) values (${id}, ${data}, ${expiresAt.getTime()})
        on conflict (id) do update set data = excluded.data, expires_at = excluded.expires_at`)
    },
    get(id) {
      /** @type {{ data: Buffer } | undefined} */
      const row = db.get(sql`select data from claims where id = ${id} and (expires_at is null or expires_at > ${Date.now()})`)
      if (row === undefined) throw new Error(`no payload ${id}`)
      return row.data
    },
    async close() {
      handle.close()
    },
  }
}
