import { type Carrier, type Recognizer, type SqlClient, type SqlValue, sqlCarrier } from './carrier'
import { hasMethods, isolationLevel, membersOf, openness, rolledBack, withLiveTransaction } from './common'
import { AS_SENT } from './values'

interface Result {
  rows: unknown[]
  rowCount: number | null
  command: string
}

interface Queryable {
  query(config: { text: string; values?: unknown[]; rowMode?: 'array'; types?: typeof AS_SENT }): Promise<Result>
}

interface Connection extends Queryable {
  /** `I`, `T` or `E` as of the last answer. Older versions do not have it. */
  getTransactionStatus?(): string | null
  on(event: 'error', listener: (error: Error) => void): unknown
  off(event: 'error', listener: (error: Error) => void): unknown
  release(broken?: Error): void
}

interface Pool extends Queryable {
  connect(): Promise<Connection>
}

/** `pg`: Pool, Client and PoolClient, the native ones too. */
export const recognizePg: Recognizer = (client) => {
  const members = membersOf(client)
  if (members === undefined || !hasMethods(members, 'query', 'connect', 'end')) return undefined
  if (typeof members.totalCount === 'number' && typeof members.idleCount === 'number') return poolCarrier(client as Pool)
  if (hasMethods(members, 'getTypeParser', 'setTypeParser')) return connectionCarrier(client as Connection)
  return undefined
}

function poolCarrier(pool: Pool): Carrier {
  return sqlCarrier('postgres', {
    library: 'pg',
    isTransaction: false,
    ...statements(pool),
    begin: (work, { isolation }) => transaction(pool, work, isolation),
  })
}

/** Whether a connection is in a transaction is not always known; then it is taken to be in one. */
function connectionCarrier(connection: Connection): Carrier {
  const queue = oneByOne(connection)
  const isOpen = openness(
    (text) => queue.query({ text }),
    () => isInTransactionByStatus(connection),
  )
  const carrier = sqlCarrier('postgres', { library: 'pg', isTransaction: true, ...statements(queue), isOpen })
  return withLiveTransaction(carrier, () => connection.getTransactionStatus?.() !== 'I')
}

/** By the status of the last answer, if the client keeps it; a BEGIN may be under way behind that. */
function isInTransactionByStatus(connection: Connection): boolean | undefined {
  const status = connection.getTransactionStatus?.()
  return typeof status === 'string' ? status === 'T' || status === 'E' : undefined
}

/** pg is about to give up its own queue: a connection gets a statement when it is done with the one before. */
function oneByOne(connection: Queryable): Queryable {
  let last: Promise<unknown> = Promise.resolve()
  let waiting = 0
  return {
    query(config) {
      waiting += 1
      const result = waiting === 1 ? connection.query(config) : last.then(() => connection.query(config))
      const done = () => {
        waiting -= 1
      }
      last = result.then(done, done)
      return result
    },
  }
}

function statements(client: Queryable): Pick<SqlClient, 'query' | 'execute' | 'rows'> {
  const run = (text: string, values: unknown[]) => client.query(values.length > 0 ? { text, values } : { text })
  return {
    query: async (text: string, values: SqlValue[]) => {
      const { rows } = await client.query({ text, ...(values.length > 0 && { values }), rowMode: 'array', types: AS_SENT })
      return rows as unknown[][]
    },
    execute: (sql: string, values: SqlValue[]) => run(sql, values).then(rowCountOf),
    rows: async (sql: string, values: unknown[]) => (await run(sql, [...values])).rows as Record<string, unknown>[],
  }
}

function rowCountOf({ rowCount }: Result): number {
  return rowCount ?? 0
}

async function transaction<T>(pool: Pool, work: (transaction: unknown) => Promise<T>, isolation?: string): Promise<T> {
  const connection = await pool.connect()
  let broken: Error | undefined
  const onError = (error: Error) => {
    broken = error
  }
  // A pool does not listen on a connection that is lent out, and an 'error' without a listener ends the process.
  connection.on('error', onError)
  const run = async (text: string) => {
    try {
      return await connection.query({ text })
    } catch (error) {
      if (!isAnswer(error)) broken ??= error as Error
      throw error
    }
  }
  try {
    await run(isolation === undefined ? 'begin' : `begin isolation level ${isolationLevel(isolation)}`)
    let result: T
    try {
      result = await work(connection)
    } catch (error) {
      await run('rollback').catch((failed) => {
        broken ??= failed
      })
      throw error
    }
    const { command } = await run('commit')
    if (command !== 'COMMIT') throw rolledBack()
    return result
  } finally {
    connection.off('error', onError)
    connection.release(broken)
  }
}

/** The server has answered, so the connection can be used again. One that was opened on a read-only server (25006) stays so. */
function isAnswer(error: unknown): boolean {
  const { code } = error as { code?: unknown }
  return typeof code === 'string' && /^[0-9A-Z]{5}$/.test(code) && !/^(?:57P|08|25006|25P0[34])/.test(code)
}
