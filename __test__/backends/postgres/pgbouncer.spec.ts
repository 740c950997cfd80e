import pg from 'pg'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { openStore } from '../../../index.js'
import { type PgBouncerServer, startPgBouncer } from '../../../scripts/services/servers.mjs'
import { eventually } from '../../support/promises'
import { missing, type Target, targets } from '../../support/targets'

const [target] = targets.filter(({ name }) => name === 'postgres') as [Target]
const POOL_SIZE = 3

/** With more parameters. */
function withQuery(url: string, more: string): string {
  return `${url}${url.includes('?') ? '&' : '?'}${more}`
}

describe.skipIf(missing(target))('PgBouncer', () => {
  const poolers = new Map<string, PgBouncerServer>()

  beforeAll(async () => {
    for (const poolMode of ['transaction', 'session'] as const) {
      poolers.set(
        poolMode,
        await startPgBouncer({ server: target.options().url, poolMode, poolSize: poolMode === 'session' ? 20 : POOL_SIZE }),
      )
    }
  }, 180_000)

  afterAll(async () => {
    for (const pooler of poolers.values()) await pooler.remove()
  })

  const urlOf = (poolMode: string) => (poolers.get(poolMode) as PgBouncerServer).url

  /** Channels on which the server's sessions listen that the pooler has: all of them, one transaction on each. */
  async function listening(): Promise<string[]> {
    const clients = Array.from({ length: POOL_SIZE }, () => new pg.Client(urlOf('transaction')))
    try {
      const asked = clients.map(async (client) => {
        await client.connect()
        await client.query('begin')
        const { rows } = await client.query('select pg_backend_pid() as pid, array(select pg_listening_channels()) as channels')
        return rows[0] as { pid: number; channels: string[] }
      })
      const sessions = await Promise.all(asked)
      expect(new Set(sessions.map(({ pid }) => pid)).size).toBe(POOL_SIZE)
      return sessions.flatMap(({ channels }) => channels)
    } finally {
      for (const client of clients) await client.end()
    }
  }

  for (const parameter of ['statement_cache_capacity=0', 'pgbouncer=true']) {
    it(`in transaction mode (${parameter}): events of others are found by polling, health says so, and nobody's session listens`, async () => {
      const options = target.options()
      await using far = openStore(options)
      await far.initialize()
      await using store = openStore({ ...options, url: withQuery(urlOf('transaction'), parameter) })
      const seen: unknown[] = []
      await using relay = store.outbox.relay((event) => {
        seen.push(event.payload)
      })
      await eventually('health says so', async () => (await store.health()).status === 'degraded')
      const health = await store.health()
      expect(health.details).toMatchObject({ outboxListens: 0 })
      expect(health.message).toContain('events of other processes are found by polling')
      expect(health.message).toContain('PgBouncer')
      await far.outbox.insert([1, 2, 3].map((payload) => ({ eventType: 'A', payload })))
      await store.outbox.insert({ eventType: 'A', payload: 4 })
      await store.transaction(async (tx) => {
        await tx.outbox.insert({ eventType: 'A', payload: 5 })
      })
      await eventually('all are found', () => relay.stats.acked === 5)
      expect(seen.sort()).toEqual([1, 2, 3, 4, 5])
      expect(await listening()).toEqual([])
    }, 60_000)
  }

  it('in session mode: it listens', async () => {
    const options = target.options()
    await using far = openStore(options)
    await far.initialize()
    await using store = openStore({ ...options, url: urlOf('session') })
    await using relay = store.outbox.relay(() => undefined)
    await eventually('it listens', async () => (await store.health()).details?.outboxListens === 1)
    await far.outbox.insert({ eventType: 'A', payload: 1 })
    await eventually('it is found', () => relay.stats.acked === 1)
    expect(await store.health()).toMatchObject({ status: 'healthy', details: { outboxListens: 1 } })
  }, 60_000)
})
