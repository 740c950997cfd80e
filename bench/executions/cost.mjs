// What a saga of ten steps takes on a server or in a file: bytes that stay, bytes that are written on the way, updates
// that leave the indexes alone (HOT). Each question is asked before and after the sagas of one store.

import { readdirSync, statSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

/**
 * @typedef {object} Reading
 * @property {number} stored bytes
 * @property {number} [written] bytes; the trial tells them where this is missing
 * @property {{ updates: number, hot: number }} [updates]
 *
 * @typedef {{ read: () => Promise<Reading>, close: () => Promise<void> }} Gauge
 */

/** @type {Record<string, (url: string, place: string) => Promise<Gauge>>} */
export const GAUGES = {
  // What was written is told by the process that has done it.
  async sqlite(_url, place) {
    const [directory, name] = [dirname(place), basename(place)]
    const files = () => readdirSync(directory).filter((file) => file.startsWith(name) && file.endsWith('.db'))
    return {
      read: async () => ({ stored: files().reduce((sum, file) => sum + statSync(join(directory, file)).size, 0) }),
      close: async () => undefined,
    }
  },
  async postgres(url) {
    const { default: driver } = await import('pg')
    const client = new driver.Client({ connectionString: url })
    await client.connect()
    const sql = `select coalesce(sum(pg_total_relation_size(relid)), 0)::float8 as stored,
      (pg_current_wal_lsn() - '0/0'::pg_lsn)::float8 as written,
      coalesce(sum(n_tup_upd), 0)::float8 as updates, coalesce(sum(n_tup_hot_upd), 0)::float8 as hot from pg_stat_user_tables`
    return {
      async read() {
        // A backend tells its counts when it ends, or after a second.
        await sleep(1_500)
        const { stored, written, updates, hot } = (await client.query(sql)).rows[0]
        return { stored, written, updates: { updates, hot } }
      },
      close: () => client.end(),
    }
  },
  async redis(url) {
    const { Redis } = await import('ioredis')
    const client = new Redis(url)
    const field = (/** @type {string} */ info, /** @type {string} */ name) => Number(new RegExp(`${name}:(\\d+)`).exec(info)?.[1])
    return {
      async read() {
        const [memory, stats] = [await client.info('memory'), await client.info('stats')]
        return { stored: field(memory, 'used_memory'), written: field(stats, 'total_net_input_bytes') }
      },
      close: async () => client.disconnect(),
    }
  },
}

/**
 * @param {Reading} before
 * @param {Reading} after
 * @param {number} sagas
 * @param {number} [written] what the trial tells of itself
 */
export function costOf(before, after, sagas, written) {
  const all = after.written === undefined ? (written ?? Number.NaN) : after.written - (before.written ?? 0)
  const updates = (after.updates?.updates ?? 0) - (before.updates?.updates ?? 0)
  const hot = (after.updates?.hot ?? 0) - (before.updates?.hot ?? 0)
  return {
    stored: (after.stored - before.stored) / sagas,
    written: all / sagas,
    ...(updates > 0 && { hot: hot / updates }),
  }
}
