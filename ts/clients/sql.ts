import { recognizeBetterSqlite3 } from './better-sqlite3'
import type { Carrier, Recognizer } from './carrier'
import { membersOf } from './common'
import { recognizeDrizzle } from './drizzle'
import { recognizeKnex } from './knex'
import { recognizeKysely } from './kysely'
import { recognizeNodeSqlite } from './node-sqlite'
import { recognizePg } from './pg'
import { recognizePostgresJs } from './postgres-js'
import { recognizePrisma } from './prisma'

/** What can be recognised, for messages. */
export const SQL_CLIENTS: readonly string[] = [
  'pg (Pool, Client, PoolClient)',
  'postgres',
  'Prisma',
  'Drizzle (node-postgres, postgres-js, better-sqlite3)',
  'Kysely',
  'Knex',
  'better-sqlite3',
  'node:sqlite',
]

/** Those that wrap other libraries come first. */
const recognizers: readonly Recognizer[] = [
  recognizePrisma,
  recognizeDrizzle,
  recognizeKysely,
  recognizeKnex,
  recognizePostgresJs,
  recognizePg,
  recognizeBetterSqlite3,
  recognizeNodeSqlite,
]

const known = new WeakMap<object, Carrier>()

/**
 * The carrier of an SQL library's client or transaction; the same one each time.
 *
 * @returns `undefined` if it is none of `SQL_CLIENTS`
 * @throws InvalidArgumentError if it is one of them, but for a database other than PostgreSQL and SQLite
 */
export function recognizeSqlClient(client: unknown): Carrier | undefined {
  const members = membersOf(client)
  if (members === undefined) return undefined
  const found = known.get(members)
  if (found !== undefined) return found
  for (const recognize of recognizers) {
    const carrier = recognize(client)
    if (carrier !== undefined) {
      known.set(members, carrier)
      return carrier
    }
  }
  return undefined
}
