import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import Database from 'better-sqlite3'
import { afterEach, describe, expect, it } from 'vitest'
import { openStore, type SagaStore } from '../../index.js'
import { rejectionOf } from '../support/promises'
import { missing, sql, temporaryDirectory, temporarySchema } from '../support/targets'

const opened: SagaStore[] = []

afterEach(async () => {
  for (const store of opened.splice(0)) await store.close()
})

const order = (sagaId: string, rest: object = {}) => ({ metadata: { sagaId }, ...rest })

describe('stored states', () => {
  it('that do not parse are CORRUPT_DATA', async () => {
    const path = join(temporaryDirectory(), 'sagas.db')
    await using store = openStore(`sqlite://${path}`)
    await store.initialize()
    for (const id of ['text', 'none', 'date']) await store.states.insert('Order', id, order(id))
    const database = new Database(path)
    const set = database.prepare('update saga_instances set state = ? where id = ?')
    set.run('{"metadata"', 'text')
    set.run('{"total": 1}', 'none')
    set.run('{"metadata": {"sagaId": "date", "version": 1, "createdAt": "soon"}}', 'date')
    database.close()
    for (const [id, message] of [
      ['text', 'is no JSON'],
      ['none', 'has no metadata'],
      ['date', 'metadata.createdAt'],
    ] as const) {
      const error = await rejectionOf(store.states.getById('Order', id))
      expect(error).toMatchObject({ code: 'CORRUPT_DATA', id, backend: 'sqlite' })
      expect(error.message).toContain(message)
    }
  })
})

describe('the table of sagas', () => {
  it('may be missing when cleanup() runs, before initialize has made it', async () => {
    await using store = openStore(`sqlite://${join(temporaryDirectory(), 'old.db')}`)
    await store.initialize()
    await store.transaction((tx) => tx.query('drop table saga_instances'))
    await store.put('late', Buffer.from('x'), new Date(Date.now() + 5))
    await sleep(10)
    await store.cleanup()
    expect((await store.statistics()).payloads.count).toBe(0)
  })

  it('is printed for people who run their own migrations', async () => {
    await using store = openStore({ url: 'postgres://u@localhost/d', schema: 'app', statesTableName: 'sagas' })
    const text = store.schemaSql()
    expect(text).toContain('create table if not exists "app"."sagas"')
    expect(text).toContain('create table if not exists "app"."saga_store"')
    expect(text.trimEnd().endsWith(';')).toBe(true)
    await using other = openStore('memory://')
    expect(() => other.schemaSql()).toThrow(expect.objectContaining({ code: 'UNSUPPORTED' }))
  })

  const isMissing = missing({ name: 'postgres', available: process.env.POSTGRES_URL !== undefined, variable: 'POSTGRES_URL' })

  it.skipIf(isMissing)('printed and run by hand is as initialize makes it', async () => {
    const url = process.env.POSTGRES_URL as string
    const describeTables = (schema: string) =>
      sql(
        `select table_name, column_name, data_type, is_nullable, collation_name from information_schema.columns where table_schema = $1 order by 1, 2`,
        [schema],
      )
    const indexes = async (schema: string) =>
      (await sql('select indexdef from pg_indexes where schemaname = $1 order by 1', [schema])).map((row) =>
        (row.indexdef as string).replaceAll(schema, 'schema'),
      )
    const [byHand, initialized] = [temporarySchema(), temporarySchema()]
    await using one = openStore({ url, schema: byHand })
    await sql(one.schemaSql())
    await one.initialize()
    await using two = openStore({ url, schema: initialized })
    await two.initialize()
    expect(await describeTables(byHand)).toEqual(await describeTables(initialized))
    expect((await indexes(byHand)).sort()).toEqual((await indexes(initialized)).sort())
    await one.states.insert('Order', 'order-1', order('s-1'))
  })

  it.skipIf(isMissing)('made by @saga-bus/store-postgres is brought up to date, with its sagas', async () => {
    const schema = temporarySchema()
    await sql(`create schema "${schema}"`)
    await sql(`create table "${schema}".saga_instances (id varchar(128) not null, saga_name varchar(128) not null,
      correlation_id varchar(256) not null, version integer not null, is_completed boolean not null default false, state jsonb not null,
      created_at timestamptz not null default now(), updated_at timestamptz not null default now(), primary key (saga_name, id))`)
    await sql(`create unique index theirs on "${schema}".saga_instances (saga_name, correlation_id)`)
    const state = {
      metadata: {
        sagaId: 's-1',
        version: 3,
        isCompleted: true,
        createdAt: '2026-01-01T00:00:00.000Z',
        updatedAt: '2026-01-02T00:00:00.000Z',
      },
      total: 1,
    }
    await sql(`insert into "${schema}".saga_instances values ('s-1', 'Order', 'order-1', 3, true, $1, '2026-01-01', '2026-01-02')`, [
      JSON.stringify(state),
    ])
    const stores = Array.from({ length: 4 }, () => openStore({ url: process.env.POSTGRES_URL as string, schema }))
    opened.push(...stores)
    await Promise.all(stores.map((store) => store.initialize()))
    const [store] = stores as [SagaStore]
    expect(await store.states.getByCorrelationId('Order', 'order-1')).toMatchObject({
      total: 1,
      metadata: { version: 3, createdAt: new Date('2026-01-01') },
    })
    await store.states.update('Order', order('s-1', { total: 2 }), 3)
    await store.states.insert('Order', 'order-2', { metadata: { sagaId: 's-2', isCompleted: true, updatedAt: new Date('2026-01-02') } })
    expect(await store.states.deleteCompletedBefore('Order', new Date('2026-02-01'))).toBe(1)
    expect(await store.states.countByName('Order', { completed: false })).toBe(1)
  })

  it.skipIf(isMissing)('of 100,000 sagas is never read as a whole', async () => {
    const schema = temporarySchema()
    const options = { url: process.env.POSTGRES_URL as string, schema }
    // Making an index reads the table; a server counts what a connection has done when that ends, at the latest.
    const first = openStore(options)
    await first.initialize()
    await first.close()
    await using store = openStore(options)
    await sql(`insert into "${schema}".saga_instances (id, saga_name, correlation_id, version, is_completed, state, created_at, updated_at, completed_at, timeout_at, expires_at)
      select 's-' || n, 'Name' || n % 20, 'o-' || n, 1, n % 2 = 0, '{"metadata": {"sagaId": "x"}}', now(), now(), case when n % 2 = 0 then now() end,
      case when n % 10 = 1 then now() + n * interval '1 second' end, case when n % 7 = 0 then now() + n * interval '1 second' end from generate_series(1, 100000) n`)
    await sql(`analyze "${schema}".saga_instances`)
    // What the store itself has run, as the server has planned it.
    const scans = async () =>
      Number(
        (await sql('select seq_scan from pg_stat_user_tables where schemaname = $1 and relname = $2', [schema, 'saga_instances']))[0]
          ?.seq_scan,
      )
    const settledScans = async () => {
      // Counters arrive late; a session tells its own at the latest when it has been idle for a while.
      await sleep(1_200)
      return await scans()
    }
    const before = await settledScans()
    await store.states.insert('Name1', 'new', order('new'))
    await rejectionOf(store.states.insert('Name1', 'o-1', order('taken')))
    await rejectionOf(store.states.update('Name1', order('s-1'), 9))
    await store.states.update('Name1', order('s-1'), 1)
    await Promise.all(Array.from({ length: 40 }, (_, n) => store.states.update('Name1', order(`s-${n * 20 + 21}`), 1)))
    await store.states.getById('Name1', 's-1')
    await store.states.getByCorrelationId('Name1', 'o-1')
    const together = Array.from({ length: 40 }, (_, n) => n * 20 + 1041)
    const lookups = together.flatMap((n) => [
      store.states.getById('Name1', `s-${n}`),
      store.states.getByCorrelationId('Name1', `o-${n}`),
      store.states.getById('Name1', `missing-${n}`),
    ])
    expect((await Promise.all(lookups)).map((state) => state !== null)).toEqual(together.flatMap(() => [true, true, false]))
    const { cursor } = await store.states.findByName('Name1', { limit: 50 })
    await store.states.findByName('Name1', { limit: 50, completed: false, cursor: cursor as string })
    await store.states.countByName('Name1')
    await store.states.countByName('Name1', { completed: false })
    await store.states.findTimedOut({ limit: 50 })
    await store.states.findTimedOut({ limit: 50, sagaName: 'Name1' })
    await store.states.claimTimedOut({ workerId: 'a', leaseMs: 1_000, limit: 5, now: new Date(Date.now() + 50_000) })
    await store.states.claimTimedOut({ workerId: 'a', leaseMs: 1_000, limit: 5, now: new Date(Date.now() + 90_000), sagaName: 'Name1' })
    await store.states.deleteCompletedBefore('Name2', new Date(0))
    await store.states.delete('Name1', 's-1')
    await store.states.deleteByCorrelationId('Name1', 'o-21')
    await store.purgeExpired()
    await store.close()
    expect(await settledScans()).toBe(before)
  })
})
