import { DatabaseSync } from 'node:sqlite'
import { TABLE } from './sqlite-table.mjs'

/** @type {import('../trial.mjs').Open} */
export async function open({ place: { file, durability } }) {
  const db = new DatabaseSync(file)
  db.exec(`pragma journal_mode = WAL; pragma synchronous = ${durability}`)
  db.exec(TABLE)
  const put = db.prepare(`insert into claims (id, data, expires_at) values (?, ?, ?)
    on conflict (id) do update set data = excluded.data, expires_at = excluded.expires_at`)
  const get = db.prepare('select data from claims where id = ? and (expires_at is null or expires_at > ?)')
  return {
    client: db,
    async initialize() {},
    // Synchronous, as the library is: the event loop waits.
    put(id, data, expiresAt) {
      put.run(id, data, expiresAt.getTime())
    },
    get(id) {
      const row = get.get(id, Date.now())
      if (row === undefined) throw new Error(`no payload ${id}`)
      return Buffer.from(/** @type {Uint8Array} */ (row.data))
    },
    async close() {
      db.close()
    },
  }
}
