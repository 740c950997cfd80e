import { type Recognizer, type SqlValue, sqlCarrier } from './carrier'
import { cells, hasMethods, membersOf, wholeNumbers, withLiveTransaction } from './common'
import { guardHandle, guardOf, shareGuard } from './handle'
import { StatementCache } from './statements'

interface Statement {
  setReadBigInts(enabled: boolean): void
  all(...values: unknown[]): Record<string, unknown>[]
  run(...values: unknown[]): { changes: number | bigint }
}

interface Database {
  /** Node 22.16 and 24 have it. */
  isTransaction?: boolean
  prepare(sql: string): Statement
  exec(sql: string): void
}

// Otherwise an integer above 2^53 is an error.
const statements = new StatementCache<Statement>((handle, sql) => {
  const statement = (handle as Database).prepare(sql)
  statement.setReadBigInts(true)
  return statement
})

/** A `DatabaseSync` of `node:sqlite`. It answers synchronously. */
export const recognizeNodeSqlite: Recognizer = (client) => {
  const members = membersOf(client)
  // The package sqlite3 has a boolean `open`, as has better-sqlite3.
  if (members === undefined || !hasMethods(members, 'prepare', 'exec', 'open', 'close', 'createSession')) return undefined
  const database = client as Database
  const isInTransaction = () => database.isTransaction ?? isInTransactionByTrial(database)
  const carrier = sqlCarrier('sqlite', {
    library: 'node:sqlite',
    isTransaction: false,
    isSynchronous: true,
    query: (sql: string, values: SqlValue[]) => cells(run(database, sql, (statement) => statement.all(...wholeNumbers(values)))),
    execute: (sql: string, values: SqlValue[]) => run(database, sql, (statement) => statement.run(...wholeNumbers(values)).changes),
    rows: (sql: string, values: unknown[]) => database.prepare(sql).all(...values),
    check: () => guardOf(database)?.check(),
    isOpen: isInTransaction,
  })
  guardHandle(database, isInTransaction, (sql) => carrier.send('query', [sql, []]) as unknown[][])
  shareGuard(database, carrier)
  return withLiveTransaction(carrier, isInTransaction)
}

/** A handle that has been closed and opened again has finalized its statements. */
function run<T>(database: Database, sql: string, ask: (statement: Statement) => T): T {
  try {
    return ask(statements.of(database, sql))
  } catch (error) {
    if (!(error instanceof Error) || !/statement has been finalized/.test(error.message)) throw error
    statements.forget(database)
    return ask(statements.of(database, sql))
  }
}

/** An empty deferred transaction takes no lock and writes nothing; inside another one it cannot be begun. */
function isInTransactionByTrial(database: Database): boolean {
  try {
    database.exec('begin')
  } catch (error) {
    return /within a transaction/.test((error as Error).message)
  }
  database.exec('rollback')
  return false
}
