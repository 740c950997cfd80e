import pg from 'pg'
import { afterEach, describe, expect, it } from 'vitest'
import type { SagaStore, SagaTransaction } from '../../index.js'
import { missing, openTarget, type Target, targets } from '../support/targets'

/** The application's own statements in transactions of the store's: what JavaScript sees of their values. */

const closers: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close()
})

async function opened(target: Target): Promise<SagaStore> {
  const store = await openTarget(target)
  closers.push(() => store.close())
  return store
}

const named = (name: string) => targets.find((target) => target.name === name) as Target

/** Runs `work` and rolls back. */
async function inTransaction<T>(store: SagaStore, work: (tx: SagaTransaction) => Promise<T>): Promise<T> {
  let result: T | undefined
  const done = new Error('done')
  await store
    .transaction(async (tx) => {
      result = await work(tx)
      throw done
    })
    .catch((error: unknown) => {
      if (error !== done) throw error
    })
  return result as T
}

const at = new Date('2026-07-20T13:47:18.120Z')

describe.skipIf(missing(named('postgres')))('tx.query on PostgreSQL', () => {
  it('gives and takes the same values as node-postgres', async () => {
    const store = await opened(named('postgres'))
    const client = new pg.Client({ connectionString: process.env.POSTGRES_URL })
    await client.connect()
    closers.push(() => client.end())
    const cases: [type: string, value: unknown][] = [
      ['bool', true],
      ['int2', -7],
      ['int4', '2147483647'],
      ['int8', 7],
      ['int8', '9223372036854775807'],
      ['oid', 4_294_967_295],
      ['float4', 0.1],
      ['float8', 1e-7],
      ['float8', 'NaN'],
      ['numeric', 0.1],
      ['numeric', '12345678901234567890.10'],
      ['text', 'ü'],
      ['text', 5],
      ['text', true],
      ['varchar', ''],
      ['bytea', Buffer.from([0, 255])],
      ['timestamptz', at],
      ['timestamptz', '2026-07-20T15:47:18.120+02:00'],
      ['time', '13:47:18.12'],
      ['json', { b: [null, 0.1, 1e21], a: { ü: '"\\' } }],
      ['json', '{"z": 1, "a": 12345678901234567890, "z": 2}'],
      ['jsonb', '[1.10, 9007199254740993]'],
      ['jsonb', true],
      ['uuid', 'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'],
      ['int4[]', [1, null, 3]],
      ['int8[]', [1]],
      [
        'text[]',
        [
          ['a', 'b,'],
          ['"', ''],
        ],
      ],
      ['timestamptz[]', [at]],
      ['jsonb', null],
    ]
    for (const [type, value] of cases) {
      const text = `select $1::${type} as value, $1::${type} is null as "isNull"`
      const theirs = (await client.query(text, [value])).rows
      const ours = await inTransaction(store, (tx) => tx.query(text, [value]))
      expect({ type, rows: ours }).toEqual({ type, rows: theirs })
    }
  })

  it('reads what has no time zone as UTC, and takes BigInt and arrays for JSON', async () => {
    const store = await opened(named('postgres'))
    const rows = await inTransaction(store, (tx) =>
      tx.query(`select $1::timestamp as "timestamp", $1::date as "date", $2::int8 as big, $3::jsonb as list, 'infinity'::date as never`, [
        at,
        9_223_372_036_854_775_807n,
        [1, { a: at }],
      ]),
    )
    expect(rows).toEqual([
      {
        timestamp: at,
        date: new Date('2026-07-20T00:00:00.000Z'),
        big: '9223372036854775807',
        list: [1, { a: at.toISOString() }],
        never: 'infinity',
      },
    ])
  })

  it('names the place of a value that does not fit, and the server’s error with its SQLSTATE', async () => {
    const store = await opened(named('postgres'))
    await inTransaction(store, async (tx) => {
      await expect(tx.query('select $1::text, $2::int2', ['a', 40_000])).rejects.toMatchObject({
        code: 'INVALID_ARGUMENT',
        message: expect.stringContaining('$2 (int2) is a number out of range'),
      })
      await expect(tx.query('commit')).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' })
      await tx.query('savepoint a')
      await expect(tx.query('select * from no_such_table')).rejects.toMatchObject({
        code: 'BACKEND',
        sqlState: '42P01',
        message: expect.stringContaining('"no_such_table" does not exist'),
      })
      await tx.query('rollback to a')
      expect(await tx.query('select 1 as one')).toEqual([{ one: 1 }])
    })
  })
})

describe('tx.query on SQLite', () => {
  it('keeps whole numbers that a number would round', async () => {
    const store = await opened(named('sqlite'))
    await inTransaction(store, async (tx) => {
      await tx.query('create table numbers (n integer)')
      for (const n of [1, 9_007_199_254_740_991, 9_007_199_254_740_993n, -9_223_372_036_854_775_807n]) {
        await tx.query('insert into numbers values (?)', [n])
      }
      const rows = await tx.query('select n from numbers order by rowid')
      expect(rows.map((row) => row.n)).toEqual([1, 9_007_199_254_740_991, 9_007_199_254_740_993n, -9_223_372_036_854_775_807n])
    })
  })

  it('says what SQLite says, and goes on', async () => {
    const store = await opened(named('sqlite'))
    await inTransaction(store, async (tx) => {
      await expect(tx.query('select * from nowhere')).rejects.toMatchObject({
        code: 'BACKEND',
        message: expect.stringContaining('no such table: nowhere'),
      })
      await expect(tx.query('select ?', [{ a: 1 }])).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' })
      await expect(tx.query('select 1; select 2')).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' })
      expect(await tx.query('select ? as at', [at])).toEqual([{ at: at.toISOString() }])
    })
  })
})
