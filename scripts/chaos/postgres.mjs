import pg from 'pg'
import { startPostgres } from '../services/servers.mjs'
import { sleep, writeThrough } from './writers.mjs'

/** A server with fsync on, as it comes: killed, restarted, frozen, its sessions ended, read-only for a while. */
export async function run(/** @type {{ seconds: number, report: (text: string) => void }} */ { seconds, report }) {
  const server = await startPostgres()
  try {
    return await on(server, { seconds, report })
  } finally {
    await server[Symbol.asyncDispose]()
  }
}

/**
 * @param {import('../services/servers.mjs').PostgresServer} server
 * @param {{ seconds: number, report: (text: string) => void }} options
 */
async function on(server, { seconds, report }) {
  /** @param {string[]} statements */
  const query = async (...statements) => {
    const client = new pg.Client(server.url)
    // The server ends sessions here, and the client would say so as an event.
    client.on('error', () => {})
    await client.connect()
    for (const statement of statements) await client.query(statement)
    await client.end()
  }
  const endSessions = 'select pg_terminate_backend(pid) from pg_stat_activity where pid <> pg_backend_pid()'
  return await writeThrough({
    options: { url: server.url },
    seconds,
    report,
    expected: ['CONNECTION', 'TIMEOUT', 'CONCURRENCY_CONFLICT', 'ALREADY_EXISTS', 'NOT_FOUND'],
    disasters: [
      [
        'kill -9',
        async () => {
          await server.kill()
          await sleep(500)
          await server.start()
        },
      ],
      ['every session is ended', () => query(endSessions)],
      [
        'read-only, then writable',
        async () => {
          // Of the role: sessions keep what they were opened with, as after a failover.
          await query('alter role current_user set default_transaction_read_only = on', endSessions)
          await sleep(1000)
          await query('set default_transaction_read_only = off', 'alter role current_user reset default_transaction_read_only')
        },
      ],
      [
        'frozen for 3 s',
        async () => {
          await server.pause()
          await sleep(3000)
          await server.resume()
        },
      ],
      ['restart', () => server.restart('immediate')],
    ],
  })
}
