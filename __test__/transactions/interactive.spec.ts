import { AsyncLocalStorage } from 'node:async_hooks'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import BetterSqlite3 from 'better-sqlite3'
import pg from 'pg'
import { afterEach, describe, expect, it } from 'vitest'
import { openStore, type SagaStore, type SagaStoreError, type SagaTransaction, withTransaction } from '../../index.js'
import { recognizeSqlClient } from '../../ts/clients/sql'
import { type Library, postgresLibraries, prismaClient, sqliteLibraries } from '../support/sql-libraries'
import { missing, openTarget, randomName, sql, type Target, targets, temporaryDirectory, temporarySchema } from '../support/targets'

const url = process.env.POSTGRES_URL ?? ''
const noPostgres = missing({ name: 'postgres', available: url !== '', variable: 'POSTGRES_URL' })
const slip = Buffer.from('a routing slip')

/** What a promise was rejected with: an error of the store's, or of the application's own. */
const rejectionOf = (promise: Promise<unknown>) =>
  promise.then(
    () => Promise.reject(new Error('it succeeded')),
    (error: SagaStoreError) => error,
  )

const closers: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close()
})

function kept(store: SagaStore): SagaStore {
  closers.push(() => store.close())
  return store
}

function ownTransactionBehavior(target: Target): void {
  const open = async (more?: object) => kept(await openTarget(target, more))

  it('commits everything together, and shows it to nobody before', async () => {
    const store = await open()
    await store.put('before', slip)
    await store.transaction(async (tx) => {
      await tx.put('a', slip)
      await tx.putMany([{ id: 'b', data: slip }])
      expect(await tx.touch('before', new Date(Date.now() + 60_000))).toBe(true)
      expect(await tx.delete('before')).toBe(true)
      expect((await tx.get('a')).equals(slip)).toBe(true)
      expect([...(await tx.getMany(['a', 'b', 'before'])).keys()]).toEqual(['a', 'b'])
      expect(await tx.has('before')).toBe(false)
      expect(await rejectionOf(tx.get('before'))).toMatchObject({ code: 'NOT_FOUND' })
    })
    expect([...(await store.getMany(['a', 'b', 'before'])).keys()]).toEqual(['a', 'b'])
  })

  it('rolls everything back when the callback throws, and throws the same', async () => {
    const store = await open()
    await store.put('before', slip)
    const reason = new Error('no')
    const result = store.transaction(async (tx) => {
      await tx.put('a', slip)
      await tx.delete('before')
      throw reason
    })
    await expect(result).rejects.toBe(reason)
    expect([...(await store.getMany(['a', 'before'])).keys()]).toEqual(['before'])
  })

  it('has no order with a put that is called behind it, before it is awaited: one of both stays, whole', async () => {
    const store = await open()
    const [inside, outside] = [Buffer.alloc(2_000, 'i'), Buffer.alloc(1_000, 'o')]
    const transaction = store.transaction(async (tx) => {
      await tx.put('a', inside)
      await tx.put('b', inside)
    })
    const put = store.put('a', outside)
    // A read does not wait for either.
    const read = await store.find('a')
    expect(read === null || read.equals(inside) || read.equals(outside)).toBe(true)
    await Promise.all([transaction, put])
    const kept = await store.get('a')
    expect(kept.equals(inside) || kept.equals(outside)).toBe(true)
    expect((await store.get('b')).equals(inside)).toBe(true)
    // Writes of one id outside of transactions are in the order of the calls.
    const writes = [store.put('a', inside), store.delete('a'), store.put('a', outside)]
    await Promise.all(writes)
    expect((await store.get('a')).equals(outside)).toBe(true)
  })

  it('takes in what the store itself is asked within', async () => {
    const store = await open()
    await rejectionOf(
      store.transaction(async (tx) => {
        await store.put('a', slip)
        expect(await tx.has('a')).toBe(true)
        await store.transaction(async (inner) => await inner.put('b', slip))
        throw new Error('no')
      }),
    )
    expect((await store.getMany(['a', 'b'])).size).toBe(0)
  })

  it('is CLOSED after its end', async () => {
    const store = await open()
    let late: SagaTransaction | undefined
    let outliving: Promise<unknown> | undefined
    await store.transaction(async (tx) => {
      late = tx
      outliving = sleep(20).then(() => rejectionOf(store.put('outliving', slip)))
    })
    expect(await rejectionOf((late as SagaTransaction).put('late', slip))).toMatchObject({ code: 'CLOSED' })
    expect(await outliving).toMatchObject({ code: 'CLOSED' })
    expect((await store.getMany(['late', 'outliving'])).size).toBe(0)
  })

  it('rolls a callback that never returns back after operationTimeoutMs', async () => {
    const store = await open({ operationTimeoutMs: 1500 })
    const error = await rejectionOf(
      store.transaction(async (tx) => {
        await tx.put('a', slip)
        await new Promise(() => {})
      }),
    )
    expect(error).toMatchObject({ code: 'TIMEOUT', operation: 'transaction' })
    expect(error.message).toContain('rolled back')
    expect(await store.has('a')).toBe(false)
    await store.put('b', slip)
  })

  it('keeps parallel transactions apart', async () => {
    const store = await open()
    const results = await Promise.allSettled(
      Array.from({ length: 10 }, (_, index) =>
        store.transaction(async (tx) => {
          await tx.put(`p-${index}`, slip)
          await sleep(5)
          await store.put(`q-${index}`, slip)
          if (index % 2 === 1) throw new Error('odd')
        }),
      ),
    )
    expect(results.map(({ status }) => status === 'fulfilled')).toEqual(Array.from({ length: 10 }, (_, index) => index % 2 === 0))
    const ids = Array.from({ length: 10 }, (_, index) => [`p-${index}`, `q-${index}`]).flat()
    expect((await store.getMany(ids)).size).toBe(10)
  })

  it('refuses unknown options and levels', async () => {
    const store = await open()
    expect(await rejectionOf(store.transaction(async () => {}, { isolation: 'chaos' as never }))).toMatchObject({
      code: 'INVALID_ARGUMENT',
    })
    expect(await rejectionOf(store.transaction(async () => {}, { isolate: 1 } as never))).toMatchObject({ code: 'INVALID_ARGUMENT' })
    expect(await rejectionOf(store.transaction('x' as never))).toMatchObject({ code: 'INVALID_ARGUMENT' })
  })
}

for (const target of targets.filter(({ name }) => ['memory', 'sqlite', 'sqlite::memory:', 'postgres'].includes(name))) {
  describe.skipIf(missing(target))(`store.transaction on ${target.name}`, () => ownTransactionBehavior(target))
}

/** A payload and an order of the application's, committed or rolled back together. */
function clientBehavior(library: Library): void {
  const isHandle = library.name.endsWith('better-sqlite3') && !library.name.startsWith('knex')

  it('commits a payload with its order, or neither', async () => {
    const opened = await library.open()
    closers.push(opened.close)
    const schema = library.backend === 'postgres' ? temporarySchema() : undefined
    const store = kept(openStore({ client: opened.client, ...(schema && { schema }) } as never))
    await store.initialize()
    const orders = schema === undefined ? 'orders' : `"${schema}".orders`
    const run = (work: (query: (text: string) => Promise<unknown>) => Promise<unknown>) => {
      const inside = async (tx: object) => {
        // The application's own statement, by way of the library's adapter.
        await work((text) => Promise.resolve(recognizeSqlClient(tx)?.send('rows', [text, []])))
      }
      return isHandle
        ? withTransaction(opened.client, () => opened.transaction(inside))
        : opened.transaction((tx) => withTransaction(tx, () => inside(tx)))
    }
    await run((query) => query(`create table ${orders} (id text primary key)`))
    await run(async (query) => {
      await query(`insert into ${orders} values ('one')`)
      await store.put('one', slip)
      expect((await store.get('one')).equals(slip)).toBe(true)
      if (schema !== undefined) expect(await sql(`select 1 from "${schema}".saga_store`)).toEqual([])
    })
    await rejectionOf(
      run(async (query) => {
        await query(`insert into ${orders} values ('two')`)
        await store.put('two', slip)
        throw new Error('payment refused')
      }),
    )
    let found: unknown
    await run(async (query) => {
      found = await query(`select id from ${orders}`)
    })
    expect(found).toEqual([{ id: 'one' }])
    expect([...(await store.getMany(['one', 'two'])).keys()]).toEqual(['one'])
  })
}

for (const library of postgresLibraries) describe.skipIf(noPostgres)(library.name, () => clientBehavior(library))
for (const library of sqliteLibraries) describe(library.name, () => clientBehavior(library))

describe.skipIf(noPostgres)('the application’s own transaction on PostgreSQL', () => {
  async function application() {
    const schema = temporarySchema()
    const pool = new pg.Pool({ connectionString: url, max: 4 })
    closers.push(() => pool.end())
    const onUrl = kept(openStore({ url, schema }))
    await onUrl.initialize()
    await sql(`create table "${schema}".orders (id text primary key)`)
    const onClient = kept(openStore({ client: pool, schema }))
    const orders = async () => (await sql(`select id from "${schema}".orders order by id`)).map(({ id }) => id)
    return { schema, pool, onUrl, onClient, orders }
  }

  async function inTransaction<T>(pool: pg.Pool, work: (client: pg.PoolClient) => Promise<T>): Promise<T> {
    const client = await pool.connect()
    try {
      await client.query('begin')
      const result = await work(client)
      await client.query('commit')
      return result
    } catch (error) {
      await client.query('rollback')
      throw error
    } finally {
      client.release()
    }
  }

  it.each(['onUrl', 'onClient'] as const)('commits a payload with its order, or neither: %s', async (which) => {
    const app = await application()
    const store = app[which]
    await inTransaction(app.pool, (client) =>
      withTransaction(client, async () => {
        await client.query(`insert into "${app.schema}".orders values ('one')`)
        await store.put('one', slip)
        expect(await store.has('one')).toBe(true)
        expect(await sql(`select 1 from "${app.schema}".saga_store`)).toEqual([])
      }),
    )
    await rejectionOf(
      inTransaction(app.pool, (client) =>
        withTransaction(client, async () => {
          await client.query(`insert into "${app.schema}".orders values ('two')`)
          await store.put('two', slip)
          throw new Error('payment refused')
        }),
      ),
    )
    expect(await app.orders()).toEqual(['one'])
    expect([...(await store.getMany(['one', 'two'])).keys()]).toEqual(['one'])
  })

  it('joins what getTransaction returns', async () => {
    const app = await application()
    const current = new AsyncLocalStorage<pg.PoolClient>()
    const store = kept(openStore({ url, schema: app.schema, getTransaction: () => current.getStore() }))
    await rejectionOf(
      inTransaction(app.pool, (client) =>
        current.run(client, async () => {
          await store.put('a', slip)
          throw new Error('no')
        }),
      ),
    )
    expect(await store.has('a')).toBe(false)
    await inTransaction(app.pool, (client) => current.run(client, () => store.put('a', slip)))
    expect(await store.has('a')).toBe(true)
    const wrong = kept(openStore({ url, schema: app.schema, getTransaction: () => ({}) }))
    expect(await rejectionOf(wrong.put('b', slip))).toMatchObject({ code: 'INVALID_ARGUMENT' })
  })

  it('keeps nested and parallel transactions apart, and other backends out', async () => {
    const app = await application()
    const memory = kept(openStore('memory://'))
    await rejectionOf(
      inTransaction(app.pool, (outer) =>
        withTransaction(outer, async () => {
          await app.onUrl.put('outer', slip)
          await memory.put('memory', slip)
          await inTransaction(app.pool, (inner) => withTransaction(inner, () => app.onUrl.put('inner', slip)))
          await app.onUrl.put('outer again', slip)
          throw new Error('no')
        }),
      ),
    )
    expect([...(await app.onUrl.getMany(['outer', 'inner', 'outer again'])).keys()]).toEqual(['inner'])
    expect(await memory.has('memory')).toBe(true)
  })

  it('refuses work that outlives the callback, and a pool in place of a transaction', async () => {
    const app = await application()
    let outliving: Promise<unknown> | undefined
    await inTransaction(app.pool, (client) =>
      withTransaction(client, async () => {
        outliving = sleep(30).then(() => rejectionOf(app.onClient.put('late', slip)))
      }),
    )
    expect(await outliving).toMatchObject({ code: 'CLOSED' })
    expect(await app.onClient.has('late')).toBe(false)
    expect(() => withTransaction(app.pool, () => undefined)).toThrow(/not a transaction/)
    expect(() => withTransaction({ some: 'thing' }, () => undefined)).toThrow(/accepted: pg/)
  })

  it('leaves a transaction aborted by a failed statement, as PostgreSQL does, and says so at the commit', async () => {
    const app = await application()
    const error = await rejectionOf(
      app.onUrl.transaction(async (tx) => {
        await tx.put('a', slip)
        await rejectionOf(tx.query('select * from no_such_table'))
      }),
    )
    expect(error).toMatchObject({ code: 'BACKEND', backend: 'postgres' })
    expect(await app.onUrl.has('a')).toBe(false)
    const onClient = await rejectionOf(
      app.onClient.transaction(async (tx) => {
        await tx.put('a', slip)
        await rejectionOf(tx.query('select * from no_such_table'))
      }),
    )
    expect(onClient).toMatchObject({ code: 'BACKEND', backend: 'postgres' })
    expect(await app.onUrl.has('a')).toBe(false)
  })

  it('runs a transaction again that could not be serialized', async () => {
    const app = await application()
    await sql(`create table "${app.schema}".counter (n int)`)
    await sql(`insert into "${app.schema}".counter values (0)`)
    for (const store of [app.onUrl, app.onClient]) {
      let runs = 0
      // Both have read before either writes, so that one of them has to run again.
      let meet = () => {}
      const bothHaveRead = new Promise<void>((resolve) => {
        meet = resolve
      })
      const increment = () =>
        store.transaction(
          async (tx) => {
            const [row] = await tx.query<{ n: number }>(`select n from "${app.schema}".counter`)
            runs += 1
            if (runs === 2) meet()
            await bothHaveRead
            await tx.query(`update "${app.schema}".counter set n = $1::int`, [(row?.n ?? 0) + 1])
            await tx.put(randomName(), slip)
          },
          { isolation: 'repeatable read' },
        )
      await Promise.all([increment(), increment()])
      expect(runs).toBeGreaterThan(2)
    }
    expect(await sql(`select n from "${app.schema}".counter`)).toEqual([{ n: 4 }])
  })

  it('opens no connection of its own over 10,000 operations on a client', async () => {
    // A database in which nobody else is.
    const database = randomName('d')
    await sql(`create database "${database}"`)
    closers.push(() => sql(`drop database "${database}" with (force)`))
    const connectionString = Object.assign(new URL(url), { pathname: `/${database}` }).href
    const pool = new pg.Pool({ connectionString, max: 4 })
    closers.push(() => pool.end())
    const store = kept(openStore({ client: pool }))
    await store.initialize()
    const clients = async () =>
      (await sql(`select count(*)::int as n from pg_stat_activity where datname = $1 and backend_type = 'client backend'`, [database]))[0]
        ?.n
    for (let round = 0; round < 100; round++) {
      await Promise.all(Array.from({ length: 100 }, (_, index) => (index % 2 ? store.put(`x-${index}`, slip) : store.find(`x-${index}`))))
    }
    expect(await clients()).toBe(4)
  })

  it('ends with no payload and no event when a prisma.$transaction fails', async () => {
    const schema = temporarySchema()
    const prisma = prismaClient('postgresql')
    closers.push(() => prisma.$disconnect())
    const store = kept(openStore({ client: prisma as never, schema }))
    await store.initialize()
    await sql(`create table "${schema}".outbox (id text primary key, claim text)`)
    const emit = async (tx: { $executeRawUnsafe(text: string, ...values: unknown[]): Promise<number> }, id: string, payload: Buffer) => {
      await store.put(id, payload)
      await tx.$executeRawUnsafe(`insert into "${schema}".outbox values ($1, $2)`, id, id)
    }
    const run = (fails: boolean) =>
      prisma.$transaction((tx) =>
        withTransaction(tx, async () => {
          await emit(tx as never, fails ? 'failed' : 'done', Buffer.alloc(100_000, 1))
          if (fails) throw new Error('payment refused')
        }),
      )
    await rejectionOf(run(true))
    expect(await store.has('failed')).toBe(false)
    expect(await sql(`select id from "${schema}".outbox`)).toEqual([])
    await run(false)
    expect((await store.get('done')).length).toBe(100_000)
    expect(await sql(`select id from "${schema}".outbox`)).toEqual([{ id: 'done' }])
  })
})

describe('a shared handle of better-sqlite3', () => {
  async function application() {
    const database = new BetterSqlite3(join(temporaryDirectory(), 'app.db'))
    closers.push(async () => database.close())
    database.exec('create table orders (id text primary key)')
    const store = kept(openStore({ client: database }))
    await store.initialize()
    return { database, store }
  }

  it('has run the put of a synchronous transaction when the call returns', async () => {
    const { database, store } = await application()
    const puts: Promise<void>[] = []
    database.transaction(() => {
      database.exec(`insert into orders values ('a')`)
      puts.push(store.put('a', slip))
      expect(database.prepare('select count(*) as n from saga_store').get()).toEqual({ n: 1 })
    })()
    await Promise.all(puts)
    expect(() =>
      database.transaction(() => {
        puts.push(store.put('b', slip))
        throw new Error('no')
      })(),
    ).toThrow('no')
    expect((await store.getMany(['a', 'b'])).size).toBe(1)
  })

  it('commits and rolls back an asynchronous BEGIN within withTransaction', async () => {
    const { database, store } = await application()
    for (const end of ['commit', 'rollback']) {
      await withTransaction(database, async () => {
        database.exec('begin')
        await store.put(end, slip)
        await sleep(5)
        database.exec(end)
      })
    }
    expect([...(await store.getMany(['commit', 'rollback'])).keys()]).toEqual(['commit'])
  })

  it('refuses a stranger’s put while a transaction is open', async () => {
    const { database, store } = await application()
    const request = withTransaction(database, async () => {
      database.exec('begin')
      await store.put('mine', slip)
      await sleep(30)
      database.exec('rollback')
    })
    await sleep(10)
    const stranger = rejectionOf(store.put('stranger', slip))
    await request
    expect(await stranger).toMatchObject({ code: 'UNSUPPORTED', backend: 'sqlite' })
    expect((await store.getMany(['mine', 'stranger'])).size).toBe(0)
    await store.put('stranger', slip)
  })
})
