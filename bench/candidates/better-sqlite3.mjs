import Database from 'better-sqlite3'
import { TABLE } from './sqlite-table.mjs'

/** @type {import('../trial.mjs').Open} */
export async function open({ place: { file, durability } }) {
  const db = new Database(file)
  db.pragma('journal_mode = WAL')
  db.pragma(`synchronous = ${durability}`)
  db.exec(TABLE)
  const put = db.prepare(`insert into claims (id, data, expires_at) values (?, ?, ?)
    on conflict (id) do update set data = excluded.data, expires_at = excluded.expires_at`)
  const get = db.prepare('select data from claims where id = ? and (expires_at is null or expires_at > ?)').pluck()
  return {
    client: db,
    async initialize() {},
    // Synchronous, as the library is: the event loop waits.
    put(id, data, expiresAt) {
      put.run(id, data, expiresAt.getTime())
    },
    get(id) {
      const data = get.get(id, Date.now())
      if (data === undefined) throw new Error(`no payload ${id}`)
      return data
    },
    async close() {
      db.close()
    },
  }
}
