import { type Recognizer, type SqlClient, type SqlValue, sqlCarrier } from './carrier'
import { cells, committable, hasMethods, isolationLevel, membersOf, otherDialect, wholeNumbers } from './common'
import { AS_SENT } from './values'

interface Question {
  method: 'raw' | 'del'
  sql: string
  bindings: readonly unknown[]
  options: { rowMode?: 'array'; types?: typeof AS_SENT }
}

/** What has come back: an array from SQLite, a result of `pg` from PostgreSQL. */
interface Answer {
  response: unknown[] | { rows?: unknown[]; rowCount?: number | null; changes?: number | bigint }
  context?: { changes?: number | bigint }
}

interface Driver {
  driverName: string
  acquireConnection(): Promise<object>
  releaseConnection(connection: object): Promise<void>
  _query(connection: object, question: Question): Promise<Answer>
}

interface Knex {
  client: Driver
  /** Transactions have it. */
  isCompleted?(): boolean
  transaction<T>(work: (trx: Knex) => Promise<T>, config: { isolationLevel?: string }): Promise<T>
}

const drivers: Record<string, 'postgres' | 'sqlite'> = { pg: 'postgres', sqlite3: 'sqlite', 'better-sqlite3': 'sqlite' }

/** Knex on `pg`, `better-sqlite3` and `sqlite3`: instances and transactions. */
export const recognizeKnex: Recognizer = (client) => {
  const members = membersOf(client)
  if (typeof client !== 'function' || members === undefined || !hasMethods(members, 'raw', 'transaction', 'batchInsert')) return undefined
  const driver = membersOf(members.client)
  if (driver === undefined || !hasMethods(driver, 'acquireConnection', 'releaseConnection', '_query')) return undefined
  const backend = drivers[String(driver.driverName)]
  if (backend === undefined) throw otherDialect('knex', driver.driverName)
  const isTransaction = members.isTransaction === true
  const knex = client as unknown as Knex
  return sqlCarrier(backend, {
    library: 'knex',
    isTransaction,
    ...statements(backend, knex),
    ...(!isTransaction && {
      begin: (work, { isolation }) =>
        knex.transaction((trx) => committable(backend, statements(backend, trx).query, () => work(trx)), {
          ...(isolation !== undefined && backend === 'postgres' && { isolationLevel: isolationLevel(isolation).toLowerCase() }),
        }),
    }),
  })
}

function statements(backend: 'postgres' | 'sqlite', knex: Knex): Pick<SqlClient, 'query' | 'execute' | 'rows'> {
  const bound = (values: SqlValue[]) => {
    if (backend === 'postgres') return values
    // The driver sqlite3 knows no BigInt.
    return knex.client.driverName === 'sqlite3'
      ? values.map((value) => (typeof value === 'bigint' ? Number(value) : value))
      : wholeNumbers(values)
  }
  const ask = (method: Question['method'], sql: string, bindings: readonly unknown[], options: Question['options'] = {}) =>
    run(knex, { method, sql, bindings, options })
  return {
    async query(sql: string, values: SqlValue[]) {
      if (backend === 'sqlite') return cells(rowsOf(await ask('raw', sql, bound(values))))
      return rowsOf(await ask('raw', sql, values, { rowMode: 'array', types: AS_SENT })) as unknown[][]
    },
    async execute(sql: string, values: SqlValue[]) {
      const { response, context } = await ask('del', sql, bound(values))
      return context?.changes ?? (Array.isArray(response) ? response.length : (response.rowCount ?? 0))
    },
    rows: async (sql: string, values: unknown[]) => rowsOf(await ask('raw', sql, values)) as Record<string, unknown>[],
  }
}

function rowsOf({ response }: Answer): unknown[] {
  return Array.isArray(response) ? response : (response?.rows ?? [])
}

/**
 * Below `knex.raw` and `client.query`: those want other placeholders, pass answers through
 * `postProcessResponse`, and put a failed statement with its values, payloads too, before the message.
 */
async function run({ client, isCompleted }: Knex, question: Question): Promise<Answer> {
  const connection = await client.acquireConnection()
  try {
    // The connection may be in somebody else's transaction by now.
    if (isCompleted?.()) throw new Error('the transaction of knex is over')
    return await client._query(connection, question)
  } finally {
    await client.releaseConnection(connection)
  }
}
