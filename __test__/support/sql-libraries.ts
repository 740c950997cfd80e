import { createRequire } from 'node:module'
import { join } from 'node:path'
import { PrismaBetterSqlite3 } from '@prisma/adapter-better-sqlite3'
import { PrismaPg } from '@prisma/adapter-pg'
import BetterSqlite3 from 'better-sqlite3'
import { drizzle as drizzleSqlite } from 'drizzle-orm/better-sqlite3'
import { drizzle as drizzlePg } from 'drizzle-orm/node-postgres'
import { drizzle as drizzlePostgresJs } from 'drizzle-orm/postgres-js'
import knex from 'knex'
import { Kysely, PostgresDialect, SqliteDialect } from 'kysely'
import pg from 'pg'
import postgres from 'postgres'
import { generatePrismaClient, TEST_MODELS } from '../../scripts/prisma.mjs'
import { temporaryDirectory } from './targets'

/** A library's client, as an application makes it. */
export interface Library {
  name: string
  backend: 'postgres' | 'sqlite'
  open(): Promise<OpenLibrary>
}

export interface OpenLibrary {
  client: object
  /** Runs `work` in a transaction, the way the library's users do. */
  transaction(work: (tx: object) => Promise<void>): Promise<void>
  close(): Promise<unknown>
}

const url = () => process.env.POSTGRES_URL ?? ''

/** A Prisma client, with the models of the tests. */
export function prismaClient(provider: 'postgresql' | 'sqlite', adapter: object = new PrismaPg({ connectionString: url() })) {
  const { PrismaClient } = createRequire(import.meta.url)(generatePrismaClient(TEST_MODELS, provider))
  return new PrismaClient({ adapter }) as {
    $transaction<T>(work: (tx: object) => Promise<T>): Promise<T>
    $extends(extension: object): object
    $disconnect(): Promise<void>
  }
}

/** BEGIN, COMMIT and ROLLBACK by hand, for libraries that leave it to the application. */
async function byHand(run: (sql: string) => unknown, tx: object, work: (tx: object) => Promise<void>): Promise<void> {
  await run('begin')
  try {
    await work(tx)
    await run('commit')
  } catch (error) {
    await run('rollback')
    throw error
  }
}

const file = () => join(temporaryDirectory(), 'app.db')

/** Each library on PostgreSQL, each way that it can be opened. */
export const postgresLibraries: Library[] = [
  {
    name: 'pg Pool',
    backend: 'postgres',
    async open() {
      const client = new pg.Pool({ connectionString: url() })
      const transaction: OpenLibrary['transaction'] = async (work) => {
        const connection = await client.connect()
        try {
          await byHand((sql) => connection.query(sql), connection, work)
        } finally {
          connection.release()
        }
      }
      return { client, transaction, close: () => client.end() }
    },
  },
  {
    name: 'pg Client',
    backend: 'postgres',
    async open() {
      const client = new pg.Client({ connectionString: url() })
      await client.connect()
      return { client, transaction: (work) => byHand((sql) => client.query(sql), client, work), close: () => client.end() }
    },
  },
  {
    name: 'postgres',
    backend: 'postgres',
    async open() {
      const client = postgres(url(), { max: 3, onnotice: () => {} })
      return { client, transaction: async (work) => void (await client.begin((tx) => work(tx))), close: () => client.end() }
    },
  },
  {
    name: 'prisma on postgresql',
    backend: 'postgres',
    async open() {
      const client = prismaClient('postgresql')
      return { client, transaction: (work) => client.$transaction(work), close: () => client.$disconnect() }
    },
  },
  {
    name: 'drizzle on pg',
    backend: 'postgres',
    async open() {
      const pool = new pg.Pool({ connectionString: url() })
      const client = drizzlePg(pool)
      return { client, transaction: (work) => client.transaction(work), close: () => pool.end() }
    },
  },
  {
    name: 'drizzle on postgres',
    backend: 'postgres',
    async open() {
      const sql = postgres(url(), { max: 3, onnotice: () => {} })
      const client = drizzlePostgresJs(sql)
      return { client, transaction: (work) => client.transaction(work), close: () => sql.end() }
    },
  },
  {
    name: 'kysely on postgres',
    backend: 'postgres',
    async open() {
      const client = new Kysely({ dialect: new PostgresDialect({ pool: new pg.Pool({ connectionString: url() }) }) })
      return { client, transaction: (work) => client.transaction().execute(work), close: () => client.destroy() }
    },
  },
  {
    name: 'knex on pg',
    backend: 'postgres',
    async open() {
      const client = knex({ client: 'pg', connection: url() })
      return { client, transaction: (work) => client.transaction(work), close: () => client.destroy() }
    },
  },
]

/** Each library on SQLite. */
export const sqliteLibraries: Library[] = [
  {
    name: 'better-sqlite3',
    backend: 'sqlite',
    async open() {
      const client = new BetterSqlite3(file())
      return { client, transaction: (work) => byHand((sql) => client.exec(sql), client, work), close: async () => client.close() }
    },
  },
  {
    name: 'drizzle on better-sqlite3',
    backend: 'sqlite',
    async open() {
      const handle = new BetterSqlite3(file())
      const client = drizzleSqlite(handle)
      return { client, transaction: (work) => byHand((sql) => handle.exec(sql), client, work), close: async () => handle.close() }
    },
  },
  {
    name: 'prisma on sqlite',
    backend: 'sqlite',
    async open() {
      const client = prismaClient('sqlite', new PrismaBetterSqlite3({ url: `file:${file()}` }))
      return { client, transaction: (work) => client.$transaction(work), close: () => client.$disconnect() }
    },
  },
  {
    name: 'kysely on sqlite',
    backend: 'sqlite',
    async open() {
      const client = new Kysely({ dialect: new SqliteDialect({ database: new BetterSqlite3(file()) }) })
      return { client, transaction: (work) => client.transaction().execute(work), close: () => client.destroy() }
    },
  },
  {
    name: 'knex on better-sqlite3',
    backend: 'sqlite',
    async open() {
      const client = knex({ client: 'better-sqlite3', connection: { filename: file() }, useNullAsDefault: true })
      return { client, transaction: (work) => client.transaction(work), close: () => client.destroy() }
    },
  },
]
