import { randomBytes } from 'node:crypto'
import BetterSqlite3 from 'better-sqlite3'
import { drizzle as drizzleSqlite } from 'drizzle-orm/better-sqlite3'
import { drizzle as drizzleMysql } from 'drizzle-orm/mysql2'
import Redis from 'ioredis'
import knex from 'knex'
import { DummyDriver, Kysely, MysqlAdapter, MysqlIntrospector, MysqlQueryCompiler } from 'kysely'
import { MongoClient } from 'mongodb'
import pg from 'pg'
import postgres from 'postgres'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Carrier, SqlValue } from '../../ts/clients/carrier'
import { describeClientError } from '../../ts/clients/failure'
import { recognizeSqlClient } from '../../ts/clients/sql'
import { type Library, type OpenLibrary, postgresLibraries, prismaClient, sqliteLibraries } from '../support/sql-libraries'
import { sql, temporarySchema } from '../support/targets'

const carrierOf = (client: unknown): Carrier => {
  const carrier = recognizeSqlClient(client)
  if (carrier === undefined) throw new Error('not recognised')
  return carrier
}

const query = async (client: unknown, text: string, values: SqlValue[] = []) =>
  (await carrierOf(client).send('query', [text, values])) as unknown[][]
const execute = async (client: unknown, text: string, values: SqlValue[] = []) =>
  Number(await carrierOf(client).send('execute', [text, values]))
const rows = async (client: unknown, text: string, values: unknown[] = []) =>
  (await carrierOf(client).send('rows', [text, values])) as Record<string, unknown>[]

const rejectionOf = (promise: Promise<unknown> | undefined) =>
  (promise ?? Promise.resolve()).then(
    () => Promise.reject(new Error('did not reject')),
    (error: unknown) => error,
  )

const hasPostgres = process.env.POSTGRES_URL !== undefined
if (!hasPostgres && process.env.CI === 'true') throw new Error('POSTGRES_URL is not set: in CI nothing is skipped')

function behavior(library: Library): void {
  const isPostgres = library.backend === 'postgres'
  let open: OpenLibrary
  let table: string

  const insert = isPostgres
    ? () => `insert into ${table} values ($1::text, $2::bytea, $3::bigint)`
    : () => `insert into ${table} values (?, ?, ?)`
  const find = isPostgres
    ? () => `select id, encode(data, 'base64') as data, n from ${table} where id = $1::text`
    : () => `select id, data, n from ${table} where id = ?`
  const has = async (client: unknown, id: string) => (await query(client, find(), [id])).length === 1

  beforeAll(async () => {
    open = await library.open()
    if (isPostgres) {
      const schema = temporarySchema()
      table = `"${schema}"."t?"`
      await execute(open.client, `create schema "${schema}"`)
    } else {
      table = 't'
    }
    await execute(open.client, `create table ${table} (id text primary key, data ${isPostgres ? 'bytea' : 'blob'}, n bigint)`)
  })

  afterAll(() => open.close())

  it('is recognised, once', () => {
    expect(carrierOf(open.client)).toMatchObject({ backend: library.backend, isBuffered: false })
    expect(recognizeSqlClient(open.client)).toBe(recognizeSqlClient(open.client))
    expect(carrierOf(open.client).isTransaction).toBe(false)
  })

  it.each([0, 1, 100_000])('gives back %i bytes, as it was given them', async (size) => {
    const bytes = randomBytes(size + 3).subarray(3)
    for (const [kind, data] of Object.entries({ buffer: bytes, array: new Uint8Array(bytes) })) {
      expect(await execute(open.client, insert(), [`${kind}${size}`, data, size])).toBe(1)
      const [row] = await query(open.client, find(), [`${kind}${size}`])
      expect(row).toHaveLength(3)
      expect(row?.[0]).toBe(`${kind}${size}`)
      // PostgreSQL's are asked for as text: what libraries make of bytea depends on their settings.
      const found = isPostgres ? Buffer.from(row?.[1] as string, 'base64') : row?.[1]
      expect(found).toBeInstanceOf(Uint8Array)
      expect(Buffer.compare(found as Uint8Array, bytes)).toBe(0)
      expect(Number(row?.[2])).toBe(size)
    }
  })

  it('binds null, text of any kind, and numbers of 64 bits', async () => {
    const text = '\'"?$1 \\? {"a":1} 🦊'
    await execute(open.client, insert(), [text, null, null])
    expect(await query(open.client, find(), [text])).toEqual([[text, null, null]])
    await execute(open.client, insert(), ['whole', null, 1_900_000_000_000])
    await execute(open.client, insert(), ['big', null, 1_900_000_000_001n])
    expect(Number((await query(open.client, find(), ['whole']))[0]?.[2])).toBe(1_900_000_000_000)
    expect(Number((await query(open.client, find(), ['big']))[0]?.[2])).toBe(1_900_000_000_001)
    const type = isPostgres ? `select pg_typeof(n)::text from ${table} where n = $1::bigint` : `select typeof(n) from ${table} where n = ?`
    expect(await query(open.client, type, [1_900_000_000_000])).toEqual([[isPostgres ? 'bigint' : 'integer']])
    expect(await query(open.client, find(), ['nobody'])).toEqual([])
  })

  it('counts the rows that were changed', async () => {
    await execute(open.client, insert(), ['c1', null, 1])
    await execute(open.client, insert(), ['c2', null, 1])
    const update = isPostgres ? `update ${table} set n = $1::bigint where id like 'c_'` : `update ${table} set n = ? where id like 'c_'`
    expect(await execute(open.client, update, [2])).toBe(2)
    const remove = `delete from ${table} where id like 'c_'`
    expect(await execute(open.client, remove)).toBe(2)
    expect(await execute(open.client, remove)).toBe(0)
    expect(await execute(open.client, `create table if not exists ${table} (id text)`)).toBeGreaterThanOrEqual(0)
  })

  it('gives back rows of a statement that writes', async () => {
    await execute(open.client, insert(), ['r', null, 7])
    const remove = `delete from ${table} where id = ${isPostgres ? '$1::text' : '?'} returning id, n`
    const [row] = await query(open.client, remove, ['r'])
    expect(row?.map(String)).toEqual(['r', '7'])
    expect(await has(open.client, 'r')).toBe(false)
  })

  it('gives the application its own rows as objects', async () => {
    await execute(open.client, insert(), ['own', null, 5])
    const [row] = await rows(open.client, find(), ['own'])
    expect(row).toMatchObject({ id: 'own', data: null })
    expect(Number(row?.n)).toBe(5)
    expect(await rows(open.client, `update ${table} set n = 6 where id = 'own'`)).toEqual([])
    if (isPostgres)
      expect(await rows(open.client, "select 'a?' as a, $2::text || $1::text || $2::text as b", ['x', 'y'])).toEqual([
        { a: 'a?', b: 'yxy' },
      ])
  })

  it("tells the database's own code of what failed", async () => {
    await execute(open.client, insert(), ['twice', null, 1])
    const failure = describeClientError(await rejectionOf(execute(open.client, insert(), ['twice', Buffer.alloc(1000, 1), 1])))
    expect(failure.code).toMatch(isPostgres ? /^23505$/ : /^SQLITE_CONSTRAINT/)
    expect(failure.message).toMatch(/unique/i)
    expect(failure.message.length).toBeLessThan(500)
    const missing = describeClientError(await rejectionOf(query(open.client, 'select a from nowhere')))
    expect(missing.code).toMatch(isPostgres ? /^42P01$/ : /^SQLITE_ERROR/)
  })

  it('runs inside a transaction of the application', async () => {
    await open.transaction(async (tx) => {
      expect(carrierOf(tx)).toMatchObject({ backend: library.backend, isTransaction: true })
      expect(carrierOf(tx).begin === undefined || tx === open.client).toBe(true)
      await execute(tx, insert(), ['committed', null, 1])
      if (isPostgres) expect(await sql(`select from ${table} where id = 'committed'`)).toEqual([])
    })
    expect(await has(open.client, 'committed')).toBe(true)
    const stop = new Error('stop')
    const failed = open.transaction(async (tx) => {
      await execute(tx, insert(), ['undone', null, 1])
      expect(await has(tx, 'undone')).toBe(true)
      throw stop
    })
    expect(await rejectionOf(failed)).toBe(stop)
    expect(await has(open.client, 'undone')).toBe(false)
  })

  it('opens a transaction of its own, unless the connection is shared', async () => {
    const { begin } = carrierOf(open.client)
    const isShared = ['pg Client', 'better-sqlite3', 'drizzle on better-sqlite3'].includes(library.name)
    expect(begin === undefined).toBe(isShared)
    if (begin === undefined) return
    const options = { timeoutMs: 10_000 }
    const answer = await begin(async (tx) => {
      await execute(tx, insert(), ['begun', null, 1])
      return 'answer'
    }, options)
    expect(answer).toBe('answer')
    expect(await has(open.client, 'begun')).toBe(true)
    const stop = new Error('stop')
    const failed = begin(async (tx) => {
      await execute(tx, insert(), ['begun2', null, 1])
      throw stop
    }, options)
    expect(await rejectionOf(failed)).toBe(stop)
    expect(await has(open.client, 'begun2')).toBe(false)
  })

  if (!isPostgres) return

  it.each(['read committed', 'repeatable read', 'serializable'])('begins with isolation level %s', async (isolation) => {
    const { begin } = carrierOf(open.client)
    if (begin === undefined) return
    const found = await begin((tx) => query(tx, "select current_setting('transaction_isolation') as level"), {
      isolation,
      timeoutMs: 10_000,
    })
    expect(found).toEqual([[isolation]])
  })

  it('never takes a rollback for a commit', async () => {
    const { begin } = carrierOf(open.client)
    if (begin === undefined) return
    const failed = begin(
      async (tx) => {
        await execute(tx, insert(), ['lost', null, 1])
        await rejectionOf(query(tx, 'select 1 / 0 as x'))
      },
      { timeoutMs: 10_000 },
    )
    expect(describeClientError(await rejectionOf(failed)).code).toMatch(/^(?:25P02|22012)$/)
    expect(await has(open.client, 'lost')).toBe(false)
    expect(await query(open.client, 'select 1 as one')).toHaveLength(1)
  })
}

describe.skipIf(!hasPostgres).each(postgresLibraries)('$name', behavior)
describe.each(sqliteLibraries)('$name', behavior)

describe.skipIf(!hasPostgres)('pg', () => {
  it('survives that the server cuts the connection of a transaction', async () => {
    const pool = new pg.Pool({ connectionString: process.env.POSTGRES_URL, max: 1 })
    const { begin } = carrierOf(pool)
    const failed = begin?.(
      async (tx) => {
        const [row] = await query(tx, 'select pg_backend_pid() as pid')
        await sql(`select pg_terminate_backend(${row?.[0]})`)
        await query(tx, 'select 1 as one')
      },
      { timeoutMs: 10_000 },
    )
    expect(describeClientError(await rejectionOf(failed)).code).toMatch(/^(?:57P01|CONNECTION_CLOSED|ECONNRESET)$/)
    expect(await query(pool, "select 'one' as one")).toEqual([['one']])
    await pool.end()
  })

  it('knows whether a single connection is in a transaction', async () => {
    const client = new pg.Client({ connectionString: process.env.POSTGRES_URL })
    expect(carrierOf(client).isTransaction).toBe(true)
    await client.connect()
    expect(carrierOf(client).isTransaction).toBe(false)
    await client.query('begin')
    expect(carrierOf(client).isTransaction).toBe(true)
    await client.end()
  })
})

describe.skipIf(!hasPostgres)('what applications have set up', () => {
  it('a Prisma extension, postgres.js transforms and no prepared statements, plugins of knex: answers stay what they are', async () => {
    const prisma = prismaClient('postgresql')
    const extended = prisma.$extends({ name: 'any', client: { hello: () => 'hello' } })
    const text = `select $1::text as some_id, '{"a":1}'::text as data`
    expect(await query(extended, text, ['x'])).toEqual([['x', '{"a":1}']])
    await prisma.$disconnect()

    const camel = postgres(process.env.POSTGRES_URL ?? '', { max: 1, prepare: false, transform: postgres.camel })
    expect(await query(camel, text, ['x'])).toEqual([['x', '{"a":1}']])
    expect(await rows(camel, text, ['x'])).toEqual([{ someId: 'x', data: '{"a":1}' }])
    const reserved = await camel.reserve()
    expect(carrierOf(reserved)).toMatchObject({ isTransaction: true })
    expect(await query(reserved, text, ['y'])).toEqual([['y', '{"a":1}']])
    reserved.release()
    await camel.end()

    const mapped = knex({ client: 'pg', connection: process.env.POSTGRES_URL, postProcessResponse: () => 'nothing' })
    expect(await query(mapped, text, ['x'])).toEqual([['x', '{"a":1}']])
    await mapped.destroy()
  })
})

describe('what is not recognised', () => {
  it('anything else', async () => {
    const redis = new Redis({ lazyConnect: true })
    const mongo = new MongoClient('mongodb://127.0.0.1:1')
    const others = [undefined, null, 'url', 5, {}, [], () => {}, new Map(), redis, mongo, mongo.db('x'), { query() {} }, Promise.resolve()]
    for (const other of others) expect(recognizeSqlClient(other)).toBe(undefined)
    redis.disconnect()
  })

  it('other dialects, by their names', () => {
    const kysely = new Kysely({
      dialect: {
        createAdapter: () => new MysqlAdapter(),
        createDriver: () => new DummyDriver(),
        createIntrospector: (db) => new MysqlIntrospector(db),
        createQueryCompiler: () => new MysqlQueryCompiler(),
      },
    })
    const prisma = { $queryRawUnsafe() {}, $executeRawUnsafe() {}, $connect() {}, _activeProvider: 'mysql' }
    const mysqlPool = { query() {}, execute() {}, getConnection() {}, end() {} }
    const knexMysql = Object.assign(() => {}, {
      raw() {},
      transaction() {},
      batchInsert() {},
      client: { driverName: 'mysql2', acquireConnection() {}, releaseConnection() {}, _query() {} },
    })
    expect(() => recognizeSqlClient(kysely)).toThrow(/kysely client is for MysqlAdapter; accepted are PostgreSQL and SQLite/)
    expect(() => recognizeSqlClient(prisma)).toThrow(/prisma client is for mysql/)
    expect(() => recognizeSqlClient(knexMysql)).toThrow(/knex client is for mysql2/)
    expect(() => recognizeSqlClient(drizzleMysql.mock())).toThrow(/drizzle-orm client is for MySql2Database/)
    expect(recognizeSqlClient(mysqlPool)).toBe(undefined)
    try {
      recognizeSqlClient(prisma)
    } catch (error) {
      expect(error).toMatchObject({ code: 'INVALID_ARGUMENT' })
    }
  })

  it('Prisma 6, by its shape', () => {
    const tx = { $queryRawUnsafe() {}, $executeRawUnsafe() {}, _activeProvider: 'sqlite' }
    expect(recognizeSqlClient(tx)).toMatchObject({ backend: 'sqlite', isTransaction: true })
    const client = { ...tx, $connect() {}, $transaction() {}, _engineConfig: { activeProvider: 'postgresql' }, _activeProvider: undefined }
    expect(recognizeSqlClient(client)).toMatchObject({ backend: 'postgres', isTransaction: false })
  })
})

describe('cost', () => {
  it('a known client is found in well under a microsecond', () => {
    const client = drizzleSqlite(new BetterSqlite3(':memory:'))
    const times = Array.from({ length: 5 }, () => {
      const start = process.hrtime.bigint()
      for (let i = 0; i < 100_000; i += 1) recognizeSqlClient(client)
      return Number(process.hrtime.bigint() - start) / 100_000
    })
    expect(Math.min(...times)).toBeLessThan(500)
  })
})
