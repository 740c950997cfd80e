import { createRequire } from 'node:module'
import { PrismaPg } from '@prisma/adapter-pg'
import { drizzle as drizzlePg } from 'drizzle-orm/node-postgres'
import { drizzle as drizzlePostgresJs } from 'drizzle-orm/postgres-js'
import knex from 'knex'
import { Kysely, PostgresDialect } from 'kysely'
import pg from 'pg'
import postgres from 'postgres'
import { afterEach, describe, expect, it } from 'vitest'
import { openStore, type SagaStore, withTransaction } from '../../../index.js'
import { ALL_BYTES, givesBack } from '../../support/gives-back'
import { rejectionOf } from '../../support/promises'
import { prismaClient } from '../../support/sql-libraries'
import { sql, temporarySchema } from '../../support/targets'

const url = process.env.POSTGRES_URL ?? ''
if (url === '' && process.env.CI === 'true') throw new Error('POSTGRES_URL is not set: in CI nothing is skipped')

/** As text that is no bytea in hexadecimal form. */
const BARE_HEX = {
  bytea: { to: 17, from: [17], serialize: (data: Uint8Array) => Buffer.from(data).toString('hex'), parse: Buffer.from },
}

interface Opened {
  client: object
  close(): Promise<unknown>
}

/** Every library, with sessions that have these settings. */
const libraries: Record<string, (options?: string) => Opened> = {
  pg: (options) => {
    const client = new pg.Pool({ connectionString: url, max: 3, options })
    return { client, close: () => client.end() }
  },
  postgres: (options) => {
    const client = postgres(url, { max: 3, onnotice: () => {}, connection: options === undefined ? {} : settings(options) })
    return { client, close: () => client.end() }
  },
  'drizzle on pg': (options) => {
    const pool = new pg.Pool({ connectionString: url, max: 3, options })
    return { client: drizzlePg(pool), close: () => pool.end() }
  },
  'drizzle on postgres': (options) => {
    const client = postgres(url, { max: 3, onnotice: () => {}, connection: options === undefined ? {} : settings(options) })
    return { client: drizzlePostgresJs(client), close: () => client.end() }
  },
  kysely: (options) => {
    const client = new Kysely({ dialect: new PostgresDialect({ pool: new pg.Pool({ connectionString: url, max: 3, options }) }) })
    return { client, close: () => client.destroy() }
  },
  knex: (options) => {
    const client = knex({ client: 'pg', connection: { connectionString: url, options } as object })
    return { client, close: () => client.destroy() }
  },
  prisma: (options) => {
    const client = prismaClient('postgresql', new PrismaPg({ connectionString: url, max: 3, options }))
    return { client, close: () => client.$disconnect() }
  },
}

/** `-c a=b -c c=d` as an object. */
function settings(options: string): Record<string, string> {
  return Object.fromEntries(
    options
      .split('-c ')
      .filter(Boolean)
      .map((part) => part.trim().split('=') as [string, string]),
  )
}

/** With the schema of a test, on the client that `open` makes. */
async function on(opened: Opened, test: (store: SagaStore) => Promise<unknown>): Promise<void> {
  const schema = temporarySchema()
  await sql(`create schema "${schema}"`)
  const store = openStore({ client: opened.client, schema } as object)
  try {
    await test(store)
  } finally {
    await store.close()
    await opened.close()
  }
}

/** Each parser of the process, as it was before. */
const before = new Map<number, (text: string) => unknown>()
function setParser(oid: number, parse: (text: string) => unknown): void {
  if (!before.has(oid)) before.set(oid, pg.types.getTypeParser(oid) as (text: string) => unknown)
  pg.types.setTypeParser(oid, parse)
}
afterEach(() => {
  for (const [oid, parse] of before) pg.types.setTypeParser(oid, parse)
  before.clear()
})

describe.skipIf(url === '').each(Object.entries(libraries))('what %s makes of values', (name, open) => {
  it('with bytea_output = escape', () => on(open('-c bytea_output=escape'), givesBack))

  it('with other forms of times and numbers', () =>
    on(open('-c DateStyle=SQL,DMY -c IntervalStyle=iso_8601 -c TimeZone=Asia/Kathmandu -c extra_float_digits=-10'), givesBack))

  const overridden: [string, () => void][] = [
    ['bytea as text', () => setParser(17, (text) => text)],
    ['bytea as bytes of the text', () => setParser(17, (text) => Buffer.from(text))],
    // Prisma itself stumbles over it.
    ...(name === 'prisma' ? [] : [['int8 as BigInt', () => setParser(20, BigInt)] as [string, () => void]]),
    ['int8 as a number', () => setParser(20, Number)],
    ['int4 as text', () => setParser(23, String)],
    ['json as text', () => [114, 3802].forEach((oid) => void setParser(oid, (text) => text))],
    ['times as text', () => [1114, 1184].forEach((oid) => void setParser(oid, (text) => text))],
    ['bool as text', () => setParser(16, (text) => text)],
  ]
  it.each(overridden)('with a parser of the whole process: %s', (_, override) => {
    override()
    return on(open(), givesBack)
  })

  const harmful: [string, () => void][] = [
    ['text trimmed', () => [25, 1043].forEach((oid) => void setParser(oid, (text) => text.trim()))],
    ['text parsed', () => setParser(25, (text) => (text.startsWith(' {') ? JSON.parse(text) : text))],
    ...(name === 'prisma' ? [['int8 as BigInt', () => setParser(20, BigInt)] as [string, () => void]] : []),
    ['int8 as an object', () => setParser(20, (text) => ({ text }))],
  ]
  it.each(harmful)('with a parser that changes values: %s', async (_, override) => {
    override()
    // Where the parsers cannot be kept off, that is said, and nothing is done.
    if (['kysely', 'prisma'].includes(name)) {
      await on(open(), async (store) => {
        const error = await rejectionOf(store.initialize())
        expect(error).toMatchObject({ code: 'INVALID_ARGUMENT', retryable: false })
        expect(error.message).toMatch(new RegExp(`${name} client changes values on their way: .*look at its type parsers`))
      })
    } else {
      await on(open(), givesBack)
    }
  })
})

describe.skipIf(url === '')('what a client of its own settings makes of values', () => {
  it('pg with parsers of its own', async () => {
    const types = { getTypeParser: () => (value: unknown) => ({ value }) }
    const client = new pg.Pool({ connectionString: url, max: 3, types: types as never })
    await on({ client, close: () => client.end() }, givesBack)
  })

  it('pg with binary: true loses bytes, and is refused', async () => {
    const client = new pg.Pool({ connectionString: url, max: 3, binary: true } as pg.PoolConfig)
    await on({ client, close: () => client.end() }, async (store) => {
      const error = await rejectionOf(store.initialize())
      expect(error).toMatchObject({ code: 'INVALID_ARGUMENT' })
      expect(error.message).toMatch(/`binary: true`/)
    })
  })

  it('postgres with transforms, types, without prepared statements and without types of the server', async () => {
    const bigint = { to: 20, from: [20], serialize: String, parse: BigInt }
    const wrong = { to: 0, from: [20, 23, 25, 1043], serialize: String, parse: () => 'wrong' }
    for (const options of [
      { transform: postgres.camel },
      { transform: { undefined: null, value: () => 'changed', row: (row: object) => ({ ...row }), column: (name: string) => `x_${name}` } },
      { types: { bigint } },
      {
        types: {
          bytea: { to: 17, from: [17], serialize: (data: Uint8Array) => `\\x${Buffer.from(data).toString('hex')}`, parse: () => 'wrong' },
        },
      },
      { types: { wrong } },
      { prepare: false, fetch_types: false },
    ]) {
      const client = postgres(url, { max: 3, onnotice: () => {}, ...(options as object) })
      await on({ client, close: () => client.end() }, givesBack)
    }
  })

  it.each([
    ['a serializer', 'bytea', { types: BARE_HEX }],
    ['another serializer', 'invalid', { types: { bytea: { ...BARE_HEX.bytea, serialize: String } } }],
    ['a transform of rows', 'text', { transform: { row: () => ({}) } }],
  ])('postgres with %s that changes values is refused before anything is stored', async (_, what, options) => {
    const client = postgres(url, { max: 3, onnotice: () => {}, ...(options as object) })
    await on({ client, close: () => client.end() }, async (store) => {
      const error = await rejectionOf(store.initialize())
      expect(error).toMatchObject({ code: 'INVALID_ARGUMENT' })
      expect(error.message).toMatch(new RegExp(`postgres client changes values on their way: ${what}`))
    })
  })

  it('Kysely with plugins', async () => {
    const { CamelCasePlugin, ParseJSONResultsPlugin } = createRequire(import.meta.url)('kysely')
    const client = new Kysely({
      dialect: new PostgresDialect({ pool: new pg.Pool({ connectionString: url, max: 3 }) }),
      plugins: [new CamelCasePlugin(), new ParseJSONResultsPlugin()],
    })
    await on({ client, close: () => client.destroy() }, givesBack)
  })

  it('is looked at once for each client, also in its transactions, and again while it fails', async () => {
    const seen: string[] = []
    const pool = new pg.Pool({ connectionString: url, max: 3 })
    const client = new Kysely<object>({ dialect: new PostgresDialect({ pool }), log: (event) => void seen.push(event.query.sql) })
    await on({ client, close: () => client.destroy() }, async (store) => {
      setParser(20, () => 'wrong')
      expect(await rejectionOf(store.initialize())).toMatchObject({ code: 'INVALID_ARGUMENT' })
      pg.types.setTypeParser(20, Number)
      await store.initialize()
      await Promise.all(Array.from({ length: 10 }, (_, n) => store.put(`id-${n}`, ALL_BYTES)))
      await client.transaction().execute((trx) => withTransaction(trx, () => store.get('id-1')))
      expect(seen.filter((text) => text.includes("'sagastore'::varchar"))).toHaveLength(2)
    })
  })
})
