import { inspect } from 'node:util'
import pg from 'pg'
import { describe, expect, it } from 'vitest'
import { openStore } from '../../../index.js'
import { startPostgres } from '../../../scripts/services/servers.mjs'
import { initializesFromEightProcesses, putsInFlight, recovers, survivesFreeze } from '../../support/faults'
import { eventually, rejectionOf } from '../../support/promises'
import { missing, randomName, sql, targets, temporarySchema } from '../../support/targets'

const target = targets.find(({ name }) => name === 'postgres') as (typeof targets)[number]
const url = process.env.POSTGRES_URL ?? ''
const withParameter = (parameter: string) => `${url}${url.includes('?') ? '&' : '?'}${parameter}`

describe.skipIf(missing(target))('the format', () => {
  it('is the documented table, with an index on the expiry', async () => {
    const schema = temporarySchema()
    await using store = openStore({ url, schema })
    await store.initialize()
    const at = new Date('2036-02-03T04:05:06.789Z')
    await store.put('a', Buffer.from([0, 255]), at)
    await store.put('b', Buffer.alloc(0))
    expect(await sql(`select id, data, expires_at from ${schema}.saga_store order by id`)).toEqual([
      { id: 'a', data: Buffer.from([0, 255]), expires_at: at },
      { id: 'b', data: Buffer.alloc(0), expires_at: null },
    ])
    const columns = await sql(
      'select column_name, data_type, is_nullable from information_schema.columns where table_schema = $1 and table_name = $2 order by column_name',
      [schema, 'saga_store'],
    )
    expect(columns.map((column) => Object.values(column).join(' '))).toEqual([
      'data bytea NO',
      'expires_at timestamp with time zone YES',
      'id text NO',
    ])
    const indexes = await sql('select indexdef from pg_indexes where schemaname = $1', [schema])
    expect(indexes.map(({ indexdef }) => String(indexdef)).join()).toContain('(expires_at)')
  })

  it('is found again where the server quotes all names', async () => {
    const schema = temporarySchema()
    const quoting = withParameter(`options=${encodeURIComponent('-c quote_all_identifiers=on')}`)
    for (const each of [url, quoting, quoting]) {
      await using store = openStore({ url: each, schema })
      await store.initialize()
      await store.put('a', Buffer.from('x'), new Date(Date.now() + 3_600_000))
      expect(await store.get('a')).toEqual(Buffer.from('x'))
      await store.states.save('Order', { metadata: { sagaId: crypto.randomUUID() } })
      await store.executions.create(crypto.randomUUID(), 'Order', { a: 1 })
      await store.outbox.insert({ eventType: 'placed', payload: { a: 1 } })
      expect(await store.inbox.accept('shop', crypto.randomUUID())).toBe(true)
      expect(await store.health()).toMatchObject({ status: 'healthy' })
    }
  })

  it('names the rights that a role lacks, table by table, and a database that is read-only', async () => {
    const schema = temporarySchema()
    await using owner = openStore({ url, schema })
    await owner.initialize()
    const role = randomName('role')
    await sql(`create role ${role} login password 'secret'; grant usage on schema ${schema} to ${role};
      grant select, insert, update, delete on all tables in schema ${schema} to ${role};
      revoke insert, delete on ${schema}.saga_instances from ${role}; revoke all on ${schema}.saga_outbox from ${role}`)
    const asRole = new URL(url)
    asRole.username = role
    asRole.password = 'secret'
    const client = new pg.Pool({ connectionString: asRole.href })
    try {
      for (const way of [{ url: asRole.href }, { client }]) {
        const warnings: string[] = []
        const quiet = () => {}
        const logger = { debug: quiet, info: quiet, error: quiet, warn: (message: string) => void warnings.push(message) }
        await using store = openStore({ ...way, schema, logger } as never)
        await store.initialize()
        const message = expect.stringMatching(/saga_instances": insert, delete;.*saga_outbox": select, insert, update, delete$/)
        expect(await store.health()).toMatchObject({ status: 'degraded', message })
        expect(warnings.join('; ')).toMatch(/saga_instances": insert, delete;.*saga_outbox": select, insert, update, delete/)
        await store.put('a', Buffer.from('x'))
      }
      const readOnly = withParameter(`options=${encodeURIComponent('-c default_transaction_read_only=on')}`)
      const warnings: string[] = []
      const quiet = () => {}
      const logger = { debug: quiet, info: quiet, error: quiet, warn: (message: string) => void warnings.push(message) }
      await using store = openStore({ url: readOnly, schema, logger })
      await store.initialize()
      expect(warnings.join()).toContain('read-only')
      expect(await store.health()).toMatchObject({ status: 'degraded', message: expect.stringContaining('read-only') })
    } finally {
      await client.end()
      await sql(`drop owned by ${role}; drop role ${role}`)
    }
  })

  it('is kept behind a pooler (pgbouncer=true), where nobody listens', async () => {
    const schema = temporarySchema()
    await using store = openStore({ url: withParameter('pgbouncer=true'), schema })
    await store.initialize()
    await store.put('a', Buffer.from('x'))
    const relay = store.outbox.relay(async () => {})
    await store.outbox.insert({ eventType: 'placed', payload: { a: 1 } })
    await eventually('the event is published', async () => (await store.outbox.pendingCount()) === 0)
    await relay.stop()
    const asked = store.transaction((tx) => tx.query('select 1::int as one, $1::text as word', ['a']))
    expect(await asked).toEqual([{ one: 1, word: 'a' }])
    expect((await store.health()).details).toMatchObject({ outboxListens: 0 })
  })

  it('reads and writes an existing TIMESTAMP column as UTC, whatever the time zone of others is', async () => {
    const schema = temporarySchema()
    await sql(`create schema ${schema}`)
    await sql(`create table ${schema}.saga_store (id varchar(255) primary key, data bytea not null, expires_at timestamp not null)`)
    const soon = new Date(Date.now() + 1_800_000)
    const utc = (at: Date) => at.toISOString().replace('T', ' ').replace('Z', '')
    await sql(
      `insert into ${schema}.saga_store values ('theirs', 'x', '${utc(soon)}'), ('gone', 'x', '${utc(new Date(Date.now() - 1_800_000))}')`,
    )
    const zoned = withParameter(`options=${encodeURIComponent('-c timezone=America/New_York')}`)
    for (const each of [url, zoned]) {
      await using store = openStore({ url: each, schema })
      await store.initialize()
      expect(await store.has('theirs')).toBe(true)
      expect(await store.has('gone')).toBe(false)
      const at = new Date('2036-07-01T12:00:00.123Z')
      await store.put('ours', Buffer.from('x'), at)
      await store.put('soon', Buffer.from('x'), soon)
      expect(await store.has('soon')).toBe(true)
      const [row] = await sql(`select expires_at::text as at from ${schema}.saga_store where id = 'ours'`)
      expect(row?.at).toBe('2036-07-01 12:00:00.123')
    }
    await using store = openStore({ url, schema })
    expect(await store.purgeExpired()).toBe(1)
    expect(await store.has('theirs')).toBe(true)
  })

  it('names the columns of a table that is none of ours', async () => {
    const schema = temporarySchema()
    await sql(`create schema ${schema}`)
    await sql(`create table ${schema}.saga_store (id bigint primary key, payload jsonb)`)
    await using store = openStore({ url, schema })
    const error = await rejectionOf(store.initialize())
    expect(error.message).toMatch(/saga_store.*id is int8.*data is missing.*expires_at is missing/)
    expect(error).toMatchObject({ retryable: false })
  })

  it('says to call initialize() when the table is missing', async () => {
    await using store = openStore({ url, schema: temporarySchema() })
    expect((await rejectionOf(store.put('id', Buffer.from('x')))).message).toContain('initialize()')
    expect((await rejectionOf(store.get('id'))).message).toContain('initialize()')
    expect(await store.health()).toMatchObject({ status: 'degraded', message: expect.stringContaining('initialize()') })
    await store.initialize()
    await store.put('id', Buffer.from('x'))
  })

  it('is initialized from eight processes at once', async () => {
    for (let round = 0; round < 3; round++) {
      const schema = temporarySchema()
      await initializesFromEightProcesses({ url, schema })
      expect(await sql(`select count(*)::int as n from ${schema}.saga_store`)).toEqual([{ n: 8 }])
    }
  })
})

describe('ways in that fail', () => {
  it('a wrong password, a missing database: said at once, not retryable, without the password', async () => {
    await using server = await startPostgres({ password: 'right' })
    const { port, user } = server
    for (const [bad, message] of [
      [`postgres://${user}:hunter2@127.0.0.1:${port}/postgres`, /password/],
      [`postgres://${user}:right@127.0.0.1:${port}/nowhere`, /nowhere/],
      [`postgres://stranger:hunter2@127.0.0.1:${port}/postgres`, /stranger|password/],
    ] as const) {
      await using store = openStore(bad)
      const began = performance.now()
      const error = await rejectionOf(store.put('id', Buffer.from('x')))
      expect(error).toMatchObject({ code: 'CONNECTION', retryable: false })
      expect(inspect(error, { depth: 10 })).toMatch(message)
      expect(inspect(error, { depth: 10 })).not.toContain('hunter2')
      expect(performance.now() - began).toBeLessThan(3000)
    }
  })
})

describe('a bad day', () => {
  it('restarted (crash and recovery) with 64 puts in flight', async () => {
    await using server = await startPostgres()
    await using store = openStore({ url: server.url, operationTimeoutMs: 8000, connectTimeoutMs: 3000 })
    await store.initialize()
    const stored = await putsInFlight(
      store,
      async () => {
        await server.restart('immediate')
        await new Promise((resume) => setTimeout(resume, 300))
        await server.restart('fast')
        await new Promise((resume) => setTimeout(resume, 300))
      },
      10_000,
    )
    await recovers(store)
    const found = await store.getMany([...stored.keys()])
    for (const [id, data] of stored) expect(found.get(id)?.equals(data), id).toBe(true)
  }, 90_000)

  it('frozen, then awake again', async () => {
    await using server = await startPostgres()
    await using store = openStore({ url: server.url, operationTimeoutMs: 700, connectTimeoutMs: 700 })
    await store.initialize()
    await survivesFreeze(store, server)
  })

  it('a database that allows no writes says so', async () => {
    await using server = await startPostgres()
    await using store = openStore({ url: server.url, retry: { attempts: 1 } })
    await store.initialize()
    await store.put('id', Buffer.from('x'))
    await sql('alter system set default_transaction_read_only = on', [], server.url)
    await sql('select pg_reload_conf()', [], server.url)
    await new Promise((resume) => setTimeout(resume, 300))
    const error = await rejectionOf(store.put('id', Buffer.from('y')))
    expect(error).toMatchObject({ code: 'CONNECTION', retryable: true })
    expect(error.message).toMatch(/read-only/)
    expect((await store.get('id')).toString()).toBe('x')
  })
  it('sessions that were opened while the server was read-only are not kept', async () => {
    await using server = await startPostgres()
    await using store = openStore({ url: server.url, retry: { attempts: 1 } })
    await store.initialize()
    // Of the role: a session keeps what it was opened with, as after a failover.
    await sql('alter role current_user set default_transaction_read_only = on', [], server.url)
    await sql('select pg_terminate_backend(pid) from pg_stat_activity where pid <> pg_backend_pid()', [], server.url)
    await eventually('the store has sessions that are read-only', () =>
      Promise.all(Array.from({ length: 4 }, () => store.find('id'))).then(
        () => true,
        () => false,
      ),
    )
    expect(await rejectionOf(store.put('id', Buffer.from('x')))).toMatchObject({ code: 'CONNECTION', retryable: true, sqlState: '25006' })
    await Promise.all(Array.from({ length: 4 }, () => store.find('id')))
    await sql('begin; set transaction read write; alter role current_user reset default_transaction_read_only; commit', [], server.url)
    // The sessions of before are read-only still: the first put finds that out, for all of them.
    const first = await rejectionOf(store.put('id', Buffer.from('x')))
    expect(first).toMatchObject({ code: 'CONNECTION', sqlState: '25006' })
    await Promise.all(Array.from({ length: 4 }, (_, n) => store.put(`id-${n}`, Buffer.from('x'))))
    // And with retries nobody hears of it.
    await using patient = openStore(server.url)
    await sql('alter role current_user set default_transaction_read_only = on', [], server.url)
    await patient.find('id')
    await sql('begin; set transaction read write; alter role current_user reset default_transaction_read_only; commit', [], server.url)
    await patient.put('id', Buffer.from('y'))
    await patient.transaction(async (tx) => tx.put('id', Buffer.from('z')))
  })

  it('a session that the server ends in the middle of a transaction is a broken connection', async () => {
    await using server = await startPostgres()
    await using store = openStore(server.url)
    await store.initialize()
    await sql("alter role current_user set idle_in_transaction_session_timeout = '200ms'", [], server.url)
    await sql('select pg_terminate_backend(pid) from pg_stat_activity where pid <> pg_backend_pid()', [], server.url)
    await eventually('the store has sessions of now', () =>
      store.find('a').then(
        () => true,
        () => false,
      ),
    )
    const late = store.transaction(async (tx) => {
      await tx.put('a', Buffer.from('a'))
      await new Promise((resume) => setTimeout(resume, 600))
      await tx.put('b', Buffer.from('b'))
    })
    expect(await rejectionOf(late)).toMatchObject({ code: 'CONNECTION', retryable: true, sqlState: '25P03' })
    expect(await store.has('a')).toBe(false)
  })
})
