import { type Recognizer, type SqlValue, sqlCarrier } from './carrier'
import { hasMethods, membersOf, wholeNumbers, withLiveTransaction } from './common'
import { guardHandle, guardOf, shareGuard } from './handle'
import { StatementCache } from './statements'

interface Statement {
  /** Whether it has rows to give. */
  reader: boolean
  raw(): Statement
  all(...values: unknown[]): unknown[]
  run(...values: unknown[]): { changes: number }
}

interface Database {
  inTransaction: boolean
  prepare(sql: string): Statement
}

// Integers come as the handle's `defaultSafeIntegers` has them: number or BigInt, both are understood.
const statements = new StatementCache<Statement>((handle, sql) => {
  const statement = (handle as Database).prepare(sql)
  return statement.reader ? statement.raw() : statement
})

/** A `better-sqlite3` handle. It answers synchronously. */
export const recognizeBetterSqlite3: Recognizer = (client) => {
  const members = membersOf(client)
  if (members === undefined || !hasMethods(members, 'prepare', 'transaction', 'pragma', 'defaultSafeIntegers')) return undefined
  if (typeof members.inTransaction !== 'boolean') return undefined
  const database = client as Database
  const carrier = sqlCarrier('sqlite', {
    library: 'better-sqlite3',
    isTransaction: false,
    isSynchronous: true,
    query(sql: string, values: SqlValue[]) {
      const statement = statements.of(database, sql)
      if (statement.reader) return statement.all(...wholeNumbers(values)) as unknown[][]
      statement.run(...wholeNumbers(values))
      return []
    },
    execute(sql: string, values: SqlValue[]) {
      const statement = statements.of(database, sql)
      return statement.reader ? statement.all(...wholeNumbers(values)).length : statement.run(...wholeNumbers(values)).changes
    },
    rows(sql: string, values: unknown[]) {
      const statement = database.prepare(sql)
      if (statement.reader) return statement.all(...values) as Record<string, unknown>[]
      statement.run(...values)
      return []
    },
    check: () => guardOf(database)?.check(),
    isOpen: () => database.inTransaction,
  })
  guardHandle(
    database,
    () => database.inTransaction,
    (sql) => carrier.send('query', [sql, []]) as unknown[][],
  )
  shareGuard(database, carrier)
  return withLiveTransaction(carrier, () => database.inTransaction)
}
