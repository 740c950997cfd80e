import { join } from 'node:path'
import Database from 'better-sqlite3'
import pg from 'pg'
import { describe, expect, it } from 'vitest'
import { type AnyStoreOptions, openStore, PostgresSagaStore, type SagaStore, SqliteSagaStore } from '../../index.js'
import { rejectionOf } from '../support/promises'
import { missing, sql, targets, temporaryDirectory, temporarySchema } from '../support/targets'

/** A kind of records: the name of its table, and a write of one. */
const kinds: [table: string, write: (store: SagaStore) => Promise<unknown>][] = [
  ['saga_store', (store) => store.put('a', Buffer.from('x'))],
  ['saga_instances', (store) => store.states.insert('Order', 'o-1', { metadata: { sagaId: 's-1' } })],
  ['saga_executions', (store) => store.executions.create('s-1', 'Order', {})],
  ['saga_outbox', (store) => store.outbox.insert({ eventType: 'placed', payload: 1 })],
  ['saga_inbox', (store) => store.inbox.accept('shop', 'm-1')],
]

/** Puts another table in the place of one, and has it named by everybody who meets it. */
async function isNamed(store: SagaStore, table: string, write: (store: SagaStore) => Promise<unknown>) {
  expect(await rejectionOf(write(store))).toMatchObject({ code: 'BACKEND', retryable: false, message: expect.stringContaining(table) })
  expect(await store.health()).toMatchObject({ status: 'degraded', message: expect.stringMatching(new RegExp(`${table}.* exists, but`)) })
  expect(await rejectionOf(store.initialize())).toMatchObject({ code: 'BACKEND', message: expect.stringContaining(table) })
}

describe.each(kinds)('another table in the place of %s', (table, write) => {
  it.each(['own', 'client'] as const)('is named, on SQLite (%s)', async (way) => {
    const path = join(temporaryDirectory(), 'sagas.db')
    await using first = openStore(`sqlite://${path}`)
    await first.initialize()
    await first.close()
    const handle = new Database(path)
    handle.exec(`drop table ${table}; create table ${table} (number integer not null)`)
    await using store = way === 'own' ? openStore(`sqlite://${path}`) : new SqliteSagaStore({ client: handle })
    await isNamed(store, table, write)
    await store.close()
    handle.close()
  })

  const target = targets.find(({ name }) => name === 'postgres') as (typeof targets)[number]

  it.skipIf(missing(target)).each(['own', 'client'] as const)('is named, on PostgreSQL (%s)', async (way) => {
    const schema = temporarySchema()
    const options = { url: process.env.POSTGRES_URL, schema } as AnyStoreOptions
    await using first = openStore(options)
    await first.initialize()
    await sql(`drop table "${schema}".${table}; create table "${schema}".${table} (number integer not null)`)
    const client = new pg.Pool({ connectionString: process.env.POSTGRES_URL })
    await using store = way === 'own' ? openStore(options) : new PostgresSagaStore({ client, schema })
    await isNamed(store, table, write)
    await store.close()
    await client.end()
  })
})
