import { join } from 'node:path'
import BetterSqlite3 from 'better-sqlite3'
import { drizzle as drizzleSqlite } from 'drizzle-orm/better-sqlite3'
import { drizzle as drizzlePg } from 'drizzle-orm/node-postgres'
import pg from 'pg'
import postgres from 'postgres'
import { afterEach, describe, expect, it } from 'vitest'
import { openStore, PostgresSagaStore, type SagaStore, type SagaStoreError, SqliteSagaStore, withTransaction } from '../../index.js'
import { missing, openTarget, targets, temporaryDirectory, temporarySchema } from '../support/targets'

// What is taken for a transaction is in none; and what has found itself in somebody's transaction leaves nothing there.

const url = process.env.POSTGRES_URL ?? ''
const noPostgres = missing({ name: 'postgres', available: url !== '', variable: 'POSTGRES_URL' })
const slip = Buffer.from('a routing slip')

const closers: (() => unknown)[] = []
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close()
})

const rejectionOf = (promise: Promise<unknown>) =>
  promise.then(
    () => Promise.reject(new Error('it succeeded')),
    (error: SagaStoreError) => error,
  )

const order = (sagaId: string) => {
  const now = new Date()
  return { metadata: { sagaId, version: 0, createdAt: now, updatedAt: now, isCompleted: false, archivedAt: null } }
}

function kept<T extends SagaStore>(store: T): T {
  closers.push(() => store.close())
  return store
}

/** How often statements reach a pg client. */
function counting(client: pg.Client | pg.PoolClient): string[] {
  const sent: string[] = []
  const { query } = client
  client.query = function (this: pg.Client, ...args: unknown[]) {
    const [config] = args
    sent.push(typeof config === 'string' ? config : (config as { text: string }).text)
    return (query as (...args: unknown[]) => unknown).apply(this, args)
  } as typeof query
  return sent
}

describe.skipIf(noPostgres)('on PostgreSQL', () => {
  async function application() {
    const schema = temporarySchema()
    const store = kept(new PostgresSagaStore({ url, schema }))
    await store.initialize()
    const client = new pg.Client({ connectionString: url })
    await client.connect()
    closers.push(() => client.end())
    return { schema, store, client }
  }
  /** As an old version of pg, which keeps no status. */
  const withoutStatus = (client: pg.Client) =>
    new Proxy(client, {
      get(target, name) {
        if (name === 'getTransactionStatus') return undefined
        const value = Reflect.get(target, name)
        return typeof value === 'function' ? value.bind(target) : value
      },
    })

  const shapes: [string, (client: pg.Client) => object][] = [
    ['a pg client', (client) => client],
    ['a pg client of an old version', withoutStatus],
    ['Drizzle on a pg client', (client) => drizzlePg(client)],
  ]

  it.each(shapes)('withTransaction refuses %s without a BEGIN, and joins with one', async (_, shape) => {
    const { store, client } = await application()
    const given = shape(client)
    await withTransaction(given, async () => {
      for (const call of [
        () => store.put('a', slip),
        () => store.states.insert('Order', 'a', order('a')),
        () => store.get('a'),
        () => store.transaction((tx) => tx.put('a', slip)),
        () => store.transaction((tx) => tx.query('select 1')),
      ]) {
        const error = await rejectionOf(call())
        expect(error).toMatchObject({ code: 'INVALID_ARGUMENT', backend: 'postgres', retryable: false })
        expect(error.message).toMatch(/in none: begin it first; nothing was written/)
      }
    })
    expect(await store.has('a')).toBe(false)
    expect(await store.states.getById('Order', 'a')).toBe(null)

    await client.query('begin')
    await withTransaction(given, () => store.put('b', slip))
    expect(await store.has('b')).toBe(false)
    await client.query('commit')
    expect(await store.has('b')).toBe(true)
  })

  it.each(shapes)('getTransaction too: %s', async (_, shape) => {
    const { schema, client } = await application()
    const store = kept(new PostgresSagaStore({ url, schema, getTransaction: () => shape(client) }))
    expect(await rejectionOf(store.put('a', slip))).toMatchObject({ code: 'INVALID_ARGUMENT', operation: 'put' })
    await client.query('begin')
    await store.put('b', slip)
    await client.query('rollback')
    expect((await client.query(`select id from "${schema}".saga_store`)).rows).toEqual([])
  })

  it('joins a BEGIN whose answer is still to come, in the order of the calls, and refuses after a COMMIT', async () => {
    const { store, client } = await application()
    const begun = client.query('begin')
    await withTransaction(client, async () => {
      const puts = ['1', '2', '3'].map((text) => store.put('a', Buffer.from(text)))
      await begun
      await Promise.all([...puts, store.put('a', Buffer.from('4'))])
      await client.query('commit')
      expect(await rejectionOf(store.put('late', slip))).toMatchObject({ code: 'INVALID_ARGUMENT' })
    })
    expect(String(await store.get('a'))).toBe('4')
    expect(await store.has('late')).toBe(false)
  })

  it('leaves a transaction in which a statement has failed to say so itself', async () => {
    const { store, client } = await application()
    for (const given of [client, withoutStatus(client)]) {
      await client.query('begin')
      await rejectionOf(client.query('select 1 / 0'))
      expect(await rejectionOf(withTransaction(given, () => store.put('a', slip)))).toMatchObject({ code: 'BACKEND', sqlState: '25P02' })
      await client.query('rollback')
    }
  })

  it('asks no server that a client has heard from; one that has told nothing, once for each withTransaction', async () => {
    const { store, client } = await application()
    const counts: number[] = []
    for (const given of [client, withoutStatus(client)]) {
      await client.query('begin')
      await withTransaction(given, () => store.put('a', slip))
      const sent = counting(client)
      await withTransaction(given, async () => {
        await Promise.all([store.put('a', slip), store.put('b', slip), store.has('c')])
        await store.put('a', slip)
      })
      counts.push(sent.length)
      await client.query('commit')
    }
    expect(counts).toEqual([4, 5])
  })

  it('refuses a reserved sql of postgres.js without a BEGIN, and asks it once', async () => {
    const { store } = await application()
    const asked: string[] = []
    const client = postgres(url, { max: 1, onnotice: () => {}, debug: (_, text) => void asked.push(text) })
    closers.push(() => client.end())
    const reserved = await client.reserve()
    const error = await rejectionOf(withTransaction(reserved, () => store.put('a', slip)))
    expect(error).toMatchObject({ code: 'INVALID_ARGUMENT', operation: 'put' })
    await reserved`begin`
    asked.length = 0
    await withTransaction(reserved, () => Promise.all([store.put('a', slip), store.put('b', slip), store.has('c')]))
    expect(asked.filter((text) => text.startsWith('savepoint'))).toHaveLength(1)
    await reserved`commit`
    reserved.release()
    expect((await store.getMany(['a', 'b'])).size).toBe(2)
  })

  it('refuses what still waits for its turn when withTransaction is over', async () => {
    const { store, client } = await application()
    await client.query('begin')
    let late: Promise<SagaStoreError> | undefined
    await withTransaction(client, async () => {
      void store.put('a', slip)
      late = rejectionOf(store.put('a', Buffer.from('late')))
    })
    await client.query('commit')
    expect(await late).toMatchObject({ code: 'CLOSED' })
    expect(String(await store.get('a'))).toBe(String(slip))
  })
})

describe('on a shared handle of SQLite', () => {
  async function application(shape: (db: BetterSqlite3.Database) => object = (db) => db) {
    const file = join(temporaryDirectory(), 'app.db')
    const db = new BetterSqlite3(file)
    closers.push(() => db.close())
    db.exec('create table orders (id text)')
    const client = shape(db) as BetterSqlite3.Database
    const store = kept(new SqliteSagaStore({ client }))
    await store.initialize()
    return { db, file, client, store }
  }
  const shapes: [string, (db: BetterSqlite3.Database) => object][] = [
    ['better-sqlite3', (db) => db],
    ['drizzle on better-sqlite3', (db) => drizzleSqlite(db)],
  ]
  const dump = (db: BetterSqlite3.Database) =>
    ['saga_store', 'saga_instances', 'orders'].map((table) => db.prepare(`select * from ${table}`).all())

  it.each(shapes)('withTransaction refuses a handle that is in no transaction: %s', async (_, shape) => {
    const { db, client, store } = await application(shape)
    await withTransaction(client, async () => {
      const error = await rejectionOf(store.put('a', slip))
      expect(error).toMatchObject({ code: 'INVALID_ARGUMENT', backend: 'sqlite', operation: 'put' })
      db.exec('begin')
      await store.put('b', slip)
      db.exec('commit')
      expect(await rejectionOf(store.put('c', slip))).toMatchObject({ code: 'INVALID_ARGUMENT' })
    })
    expect([...(await store.getMany(['a', 'b', 'c'])).keys()]).toEqual(['b'])
  })

  it.each(shapes)('getTransaction joins a handle in a transaction, in the same tick as its BEGIN too: %s', async (_, shape) => {
    const { db, client } = await application(shape)
    const store = kept(new SqliteSagaStore({ client, getTransaction: () => client }))
    db.exec('begin')
    await store.put('a', slip)
    await store.states.insert('Order', 'a', order('a'))
    db.exec("insert into orders values ('a')")
    db.exec('commit')
    db.exec('begin')
    const put = store.put('b', slip)
    await put
    expect(await store.has('b')).toBe(true)
    db.exec('rollback')
    expect(dump(db).map((rows) => rows.length)).toEqual([1, 1, 1])
    const error = await rejectionOf(store.put('c', slip))
    expect(error).toMatchObject({ code: 'INVALID_ARGUMENT', operation: 'put' })
    expect(dump(db).map((rows) => rows.length)).toEqual([1, 1, 1])
  })

  it('keeps what getTransaction returns out of the withTransaction of somebody else', async () => {
    const { db, store } = await application()
    const joining = kept(new SqliteSagaStore({ client: db, getTransaction: () => db }))
    db.exec('begin')
    let go = () => {}
    const waiting = new Promise<void>((resolve) => {
      go = resolve
    })
    const other = withTransaction(db, async () => {
      await store.put('a', slip)
      await waiting
    })
    expect(await rejectionOf(joining.put('b', slip))).toMatchObject({ code: 'UNSUPPORTED' })
    go()
    await other
    db.exec('commit')
    expect([...(await store.getMany(['a', 'b'])).keys()]).toEqual(['a'])
  })

  const operations: [string, (store: SagaStore) => Promise<unknown>][] = [
    ['put', (store) => store.put('new', slip)],
    ['put over another', (store) => store.put('old', slip)],
    ['putMany', (store) => store.putMany(['new', 'old'].map((id) => ({ id, data: slip })))],
    ['delete', (store) => store.delete('old')],
    ['touch', (store) => store.touch('old', new Date(Date.now() + 60_000))],
    ['purgeExpired', (store) => store.purgeExpired()],
    ['states.insert', (store) => store.states.insert('Order', 'new', order('new'))],
    ['states.update', (store) => store.states.update('Order', { ...order('old') }, 1)],
    ['states.delete', (store) => store.states.delete('Order', 'old')],
    ['states.deleteByCorrelationId', (store) => store.states.deleteByCorrelationId('Order', 'c-old')],
    ['states.deleteCompletedBefore', (store) => store.states.deleteCompletedBefore('Order', new Date(Date.now() + 60_000))],
  ]

  for (const [name, shape] of shapes) {
    it.each(operations)(`what rejects for a transaction of somebody else's has written nothing, on ${name}: %s`, async (_, call) => {
      const { db, store } = await application(shape)
      await store.put('old', Buffer.from('old'))
      await store.put('expired', slip, new Date(Date.now() + 60_000))
      db.exec("update saga_store set expires_at = '2020-01-01T00:00:00.000Z' where id = 'expired'")
      await store.states.insert('Order', 'c-old', order('old'))
      const done = { metadata: { ...order('done').metadata, isCompleted: true } }
      await store.states.insert('Order', 'c-done', done)
      const before = dump(db)
      db.exec("begin; insert into orders values ('mine')")
      const error = await rejectionOf(call(store))
      expect(error).toMatchObject({ code: 'UNSUPPORTED' })
      expect(error.message).toMatch(/nothing was written/)
      db.exec("insert into orders values ('mine too')")
      db.exec('commit')
      const [payloads, sagas, orders] = dump(db)
      expect([payloads, sagas]).toEqual(before.slice(0, 2))
      expect(orders).toEqual([{ id: 'mine' }, { id: 'mine too' }])
    })
  }

  it('a synchronous transaction right after one that was refused is joined', async () => {
    const { db, store } = await application()
    db.exec('begin')
    expect(await rejectionOf(store.put('a', slip))).toMatchObject({ code: 'UNSUPPORTED' })
    db.exec('commit')
    const puts: Promise<void>[] = []
    db.transaction(() => {
      puts.push(store.put('b', slip))
      puts.push(store.put('c', slip))
    })()
    await Promise.all(puts)
    expect([...(await store.getMany(['a', 'b', 'c'])).keys()]).toEqual(['b', 'c'])
  })

  it('a nested synchronous transaction that is rolled back takes its own part along, and no more', async () => {
    const { db, store } = await application()
    const puts: Promise<void>[] = []
    db.transaction(() => {
      puts.push(store.put('a', slip))
      const inner = db.transaction(() => {
        puts.push(store.put('b', slip))
        throw new Error('stop')
      })
      expect(inner).toThrow('stop')
      puts.push(store.put('c', slip))
    })()
    await Promise.all(puts)
    expect([...(await store.getMany(['a', 'b', 'c'])).keys()]).toEqual(['a', 'c'])
  })

  it('a handle that is closed within withTransaction stores nothing afterwards', async () => {
    const { db, file, store } = await application()
    db.exec('begin')
    await withTransaction(db, async () => {
      await store.put('a', slip)
      db.close()
      expect((await rejectionOf(store.put('b', slip))).code).toMatch(/^(INVALID_ARGUMENT|CLOSED|CONNECTION|BACKEND)$/)
    })
    expect(new BetterSqlite3(file).prepare('select id from saga_store').all()).toEqual([])
  })
})

describe('requireTransaction', () => {
  it('is true or false', () => {
    expect(() => openStore({ url: 'memory://', requireTransaction: 'yes' } as never)).toThrow(/'requireTransaction' must be true or false/)
  })

  const calls: [string, (store: SagaStore) => Promise<unknown>][] = [
    ['put', (store) => store.put('a', slip)],
    ['get', (store) => store.get('a')],
    ['find', (store) => store.find('a')],
    ['has', (store) => store.has('a')],
    ['delete', (store) => store.delete('a')],
    ['touch', (store) => store.touch('a', new Date(Date.now() + 60_000))],
    ['putMany', (store) => store.putMany([{ id: 'a', data: slip }])],
    ['getMany', (store) => store.getMany(['a'])],
    ['states.getById', (store) => store.states.getById('Order', 'a')],
    ['states.insert', (store) => store.states.insert('Order', 'a', order('a'))],
  ]
  const expectRefusals = async (store: SagaStore) => {
    for (const [operation, call] of calls) {
      const error = await rejectionOf(call(store))
      expect(error).toMatchObject({ code: 'INVALID_ARGUMENT', operation, backend: store.backend, retryable: false })
      expect(error.message).toContain('requireTransaction')
    }
  }

  for (const target of targets) {
    it.skipIf(missing(target))(`refuses what is outside, takes what is inside: ${target.name}`, async () => {
      const options = target.options()
      const store = kept(openStore({ ...options, requireTransaction: true } as never))
      await store.initialize()
      await store.cleanup()
      expect(await store.purgeExpired()).toBe(0)
      expect((await store.health()).status).not.toBe('unhealthy')
      expect((await store.statistics()).payloads.count).toBe(0)
      await expectRefusals(store)
      // FerretDB has no transactions, and says so itself.
      if (target.name === 'mongodb') return
      await store.transaction(async (tx) => {
        await tx.put('{order}:tx', slip)
        await store.put('{order}:store', slip)
      })
      expect((await store.statistics()).payloads.count).toBe(2)
    })
  }

  it('on a handle: what is inside of a synchronous transaction is inside', async () => {
    const db = new BetterSqlite3(':memory:')
    const store = kept(new SqliteSagaStore({ client: db, requireTransaction: true }))
    await store.initialize()
    await expectRefusals(store)
    const puts: Promise<void>[] = []
    db.transaction(() => puts.push(store.put('a', slip)))()
    await Promise.all(puts)
    db.exec('begin')
    await withTransaction(db, () => store.put('b', slip))
    db.exec('commit')
    expect(db.prepare('select id from saga_store order by id').all()).toEqual([{ id: 'a' }, { id: 'b' }])
  })

  it.skipIf(noPostgres)('on clients of PostgreSQL', async () => {
    const schema = temporarySchema()
    const pool = new pg.Pool({ connectionString: url, max: 2 })
    const client = new pg.Client({ connectionString: url })
    await client.connect()
    closers.push(
      () => client.end(),
      () => pool.end(),
    )
    const onPool = kept(new PostgresSagaStore({ client: pool, schema, requireTransaction: true }))
    await onPool.initialize()
    await expectRefusals(onPool)
    await onPool.transaction((tx) => tx.put('a', slip))
    const onClient = kept(new PostgresSagaStore({ client, schema, requireTransaction: true }))
    await expectRefusals(onClient)
    await client.query('begin')
    await onClient.put('b', slip)
    await withTransaction(client, () => onPool.put('c', slip))
    await client.query('commit')
    const { rows } = await pool.query(`select id from "${schema}".saga_store order by id`)
    expect(rows).toEqual([{ id: 'a' }, { id: 'b' }, { id: 'c' }])
  })

  it.skipIf(noPostgres)('finds a callback in which the context of withTransaction is lost', async () => {
    const schema = temporarySchema()
    const client = new pg.Client({ connectionString: url })
    await client.connect()
    closers.push(() => client.end())
    const store = kept(new PostgresSagaStore({ url, schema, requireTransaction: true }))
    await store.initialize()
    await client.query('begin')
    const error = await withTransaction(
      client,
      () =>
        new Promise<SagaStoreError>((resolve, reject) => {
          client.query('select 1', () => rejectionOf(store.put('a', slip)).then(resolve, reject))
        }),
    )
    expect(error).toMatchObject({ code: 'INVALID_ARGUMENT', operation: 'put' })
    expect(error.message).toMatch(/callback/)
    await client.query('commit')
    expect((await store.statistics()).payloads.count).toBe(0)
  })

  it('is seen by a logger like every other failure', async () => {
    const told: unknown[] = []
    const store = kept(
      await openTarget(targets[0] as never, {
        requireTransaction: true,
        logger: {
          debug: () => {},
          info: () => {},
          warn: (...args: unknown[]) => told.push(args),
          error: (...args: unknown[]) => told.push(args),
        },
      }),
    )
    await rejectionOf(store.put('a', slip))
    expect(JSON.stringify(told)).toContain('INVALID_ARGUMENT')
  })
})
