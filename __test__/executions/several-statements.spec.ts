import { join } from 'node:path'
import BetterSqlite3 from 'better-sqlite3'
import knex from 'knex'
import { Kysely, SqliteDialect } from 'kysely'
import { describe, expect, it } from 'vitest'
import { SqliteSagaStore } from '../../index.js'
import { temporaryDirectory } from '../support/targets'

// A change of an execution is several statements on SQLite. Handles that answer at once keep them together by a
// savepoint, all others by a transaction of the client.
const clients = {
  'better-sqlite3': (path: string) => {
    const client = new BetterSqlite3(path)
    return { client, close: async () => void client.close() }
  },
  kysely: (path: string) => {
    const client = new Kysely({ dialect: new SqliteDialect({ database: new BetterSqlite3(path) }) })
    return { client, close: () => client.destroy() }
  },
  knex: (path: string) => {
    const client = knex({ client: 'better-sqlite3', connection: { filename: path }, useNullAsDefault: true })
    return { client, close: () => client.destroy() }
  },
}

async function opened(open: (typeof clients)[keyof typeof clients]) {
  const path = join(temporaryDirectory(), 'app.db')
  const { client, close } = open(path)
  const store = new SqliteSagaStore({ client, retry: { attempts: 3, baseMs: 300 } })
  await store.initialize()
  const other = new BetterSqlite3(path)
  return {
    store,
    other,
    async end() {
      other.close()
      await store.close()
      await close()
    },
  }
}

describe.each(Object.entries(clients))('executions on %s', (_name, open) => {
  it('a change that fails in its middle has changed nothing, and others beside it have', async () => {
    const { store, other, end } = await opened(open)
    for (const id of ['a', 'b']) await store.executions.create(id, 'Order', { n: 1 })
    other.exec("create trigger no_pay before insert on saga_logs when new.step_name = 'pay' begin select raise(fail, 'no'); end")
    const step = (stepName: string) => ({ stepName, action: 'act' as const, status: 'started' as const })
    const change = (id: string, second: string) =>
      store.executions.checkpoint(id, { context: { n: 2 }, steps: [step('reserve'), step(second)] })
    const [refused, made] = await Promise.allSettled([change('a', 'pay'), change('b', 'send')])
    expect([refused?.status, made?.status]).toEqual(['rejected', 'fulfilled'])
    expect(await store.executions.load('a')).toMatchObject({ version: 1, entries: 0, context: { n: 1 } })
    expect(await store.executions.load('b')).toMatchObject({ version: 2, entries: 2, context: { n: 2 } })
    expect(other.prepare('select saga_id from saga_logs').pluck().all()).toEqual(['b', 'b'])
    await end()
  })

  it('versions of changes at once count each of them once', async () => {
    const { store, end } = await opened(open)
    await store.executions.create('a', 'Order', {})
    const versions = await Promise.all(Array.from({ length: 20 }, (_, n) => store.executions.updateContext('a', { n })))
    expect(versions.sort((a, b) => a - b)).toEqual(Array.from({ length: 20 }, (_, n) => n + 2))
    await end()
  })
})
