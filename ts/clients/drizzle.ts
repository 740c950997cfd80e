import { recognizeBetterSqlite3 } from './better-sqlite3'
import type { Carrier, Recognizer } from './carrier'
import { committable, hasMethods, type Members, membersOf, otherDialect } from './common'
import { shareGuard } from './handle'
import { recognizePg } from './pg'
import { recognizePostgresJs } from './postgres-js'

const ENTITY_KIND = Symbol.for('drizzle:entityKind')

interface Database {
  session: { client: object }
  transaction<T>(work: (tx: Database) => Promise<T>, config?: { isolationLevel: string }): Promise<T>
}

/** Drizzle on `pg`, `postgres` and `better-sqlite3`: databases and transactions, by the client underneath. */
export const recognizeDrizzle: Recognizer = (client) => {
  const members = membersOf(client)
  const database = membersOf(members?.$primary) ?? members
  const kinds = entityKinds(database)
  if (kinds.length === 0 || database === undefined) return undefined
  const inner = innerCarrier(database as unknown as Database)
  if (inner === undefined) throw otherDialect('drizzle-orm', kinds[0], 'node-postgres, postgres-js and better-sqlite3')
  const { begin } = inner
  const isTransaction = hasMethods(database, 'rollback')
  const carrier: Carrier = {
    backend: inner.backend,
    library: 'drizzle-orm',
    get isTransaction() {
      return isTransaction || inner.isTransaction
    },
    isBuffered: false,
    ...(inner.isSynchronous && { isSynchronous: true }),
    send: inner.send,
    ...(inner.check && { check: inner.check }),
    ...(inner.join && { join: inner.join }),
    ...(inner.isOpen && { isOpen: inner.isOpen }),
    ...(begin !== undefined && { begin: beginOf(database as unknown as Database) }),
  }
  shareGuard((database as unknown as Database).session.client, carrier, client as object)
  return carrier
}

function beginOf(database: Database): NonNullable<Carrier['begin']> {
  return (work, { isolation }) =>
    database.transaction(
      (tx) => {
        const inner = innerCarrier(tx) as Carrier
        inner.join?.()
        const working = committable(
          'postgres',
          (sql, values) => inner.send('query', [sql, values]) as Promise<unknown[][]>,
          () => work(tx),
        )
        return inner.held?.(working) ?? working
      },
      ...(isolation === undefined ? [] : [{ isolationLevel: isolation.toLowerCase() }]),
    )
}

function innerCarrier(database: Database): Carrier | undefined {
  const inner = database.session?.client
  return recognizePostgresJs(inner) ?? recognizePg(inner) ?? recognizeBetterSqlite3(inner)
}

/** What kind of database Drizzle says it is, the most special first; empty for what is not one. */
function entityKinds(database: Members | undefined): string[] {
  if (database === undefined || membersOf(database.session) === undefined || !hasMethods(database, 'select', 'transaction')) return []
  const kinds: string[] = []
  let type = membersOf(database.constructor)
  while (type !== undefined) {
    const kind = type[ENTITY_KIND]
    if (typeof kind === 'string' && kind !== kinds.at(-1)) kinds.push(kind)
    type = membersOf(Object.getPrototypeOf(type))
  }
  return kinds
}
