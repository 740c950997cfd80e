import { type Recognizer, type SqlClient, type SqlValue, sqlCarrier } from './carrier'
import { cells, committable, hasMethods, isolationLevel, membersOf, otherDialect, wholeNumbers } from './common'

interface CompiledQuery {
  sql: string
  parameters: readonly unknown[]
  query: { kind: 'RawNode'; sqlFragments: string[]; parameters: unknown[] }
  queryId: { queryId: string }
}

interface Adapter {
  supportsReturning: boolean
  supportsTransactionalDdl: boolean
}

interface TransactionBuilder {
  setIsolationLevel(isolation: string): TransactionBuilder
  execute<T>(work: (transaction: Database) => Promise<T>): Promise<T>
}

interface Database {
  isTransaction: boolean
  getExecutor(): { adapter: Adapter }
  executeQuery(query: CompiledQuery): Promise<{ rows: Record<string, unknown>[]; numAffectedRows?: bigint }>
  withoutPlugins(): Database
  transaction(): TransactionBuilder
}

/** Kysely on PostgreSQL and SQLite, whatever driver its dialect has: instances and transactions. */
export const recognizeKysely: Recognizer = (client) => {
  const members = membersOf(client)
  if (members === undefined || !hasMethods(members, 'getExecutor', 'executeQuery', 'withoutPlugins', 'selectFrom')) return undefined
  const database = client as Database
  const backend = backendOf(database.getExecutor().adapter)
  return sqlCarrier(backend, {
    library: 'kysely',
    isTransaction: database.isTransaction,
    // Transactions have their client's.
    ...(backend === 'postgres' && { owner: database.getExecutor().adapter }),
    ...statements(backend, database),
    ...(!database.isTransaction && {
      begin: (work, { isolation }) => {
        const builder = database.transaction()
        const isIsolated = isolation !== undefined && backend === 'postgres'
        return (isIsolated ? builder.setIsolationLevel(isolationLevel(isolation).toLowerCase()) : builder).execute((trx) =>
          committable(backend, statements(backend, trx).query, () => work(trx)),
        )
      },
    }),
  })
}

/** By the class of the dialect's adapter; where a bundler has taken the names, by what it can do. */
function backendOf(adapter: Adapter): 'postgres' | 'sqlite' {
  const names: string[] = []
  for (let type: unknown = adapter.constructor; typeof type === 'function' && type.name !== ''; type = Object.getPrototypeOf(type)) {
    names.push(type.name)
  }
  if (names.some((name) => /cockroach/i.test(name))) throw otherDialect('kysely', names[0])
  if (names.some((name) => /postgres/i.test(name))) return 'postgres'
  if (names.some((name) => /sqlite/i.test(name))) return 'sqlite'
  if (adapter.supportsReturning && (names[0] ?? '').length <= 2) return adapter.supportsTransactionalDdl ? 'postgres' : 'sqlite'
  throw otherDialect('kysely', names[0])
}

function statements(backend: 'postgres' | 'sqlite', database: Database): Pick<SqlClient, 'query' | 'execute' | 'rows'> {
  // Plugins are for the application's own rows: one that parses JSON would change a text.
  const plain = database.withoutPlugins()
  const bound = (values: SqlValue[]) => (backend === 'sqlite' ? wholeNumbers(values) : values)
  return {
    query: async (sql: string, values: SqlValue[]) => cells((await plain.executeQuery(compiled(sql, bound(values)))).rows),
    execute: async (sql: string, values: SqlValue[]) => (await plain.executeQuery(compiled(sql, bound(values)))).numAffectedRows ?? 0,
    rows: async (sql: string, values: unknown[]) => (await database.executeQuery(compiled(sql, values))).rows,
  }
}

function compiled(sql: string, parameters: readonly unknown[]): CompiledQuery {
  return { sql, parameters, query: { kind: 'RawNode', sqlFragments: [sql], parameters: [] }, queryId: { queryId: 'sagastore' } }
}
