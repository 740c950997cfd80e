import type { BackendName } from '../backend'
import { invalidArgument } from '../errors'
import type { Carrier, SqlClient, SqlValue } from './carrier'

/** The members of something whose shape is being looked at. */
export type Members = Record<PropertyKey, unknown>

/** The members of an object or function; anything else has none. */
export function membersOf(client: unknown): Members | undefined {
  return (typeof client === 'object' && client !== null) || typeof client === 'function' ? (client as Members) : undefined
}

/** Whether all of these are methods. */
export function hasMethods(members: Members, ...names: string[]): boolean {
  return names.every((name) => typeof members[name] === 'function')
}

/** The refusal of a library's client that talks to another kind of database. */
export function otherDialect(library: string, dialect: unknown, accepted = 'PostgreSQL and SQLite') {
  return invalidArgument(`this ${library} client is for ${String(dialect)}; accepted are ${accepted}`, 'open')
}

/** The cells of rows that came as objects, in the order of the columns. */
export function cells(rows: readonly unknown[]): unknown[][] {
  return rows.map((row) => Object.values(row as object))
}

/** SQLite's libraries bind a number as REAL; what is whole has to be an INTEGER. */
export function wholeNumbers(values: readonly SqlValue[]): SqlValue[] {
  return values.map((value) => (typeof value === 'number' && Number.isSafeInteger(value) ? BigInt(value) : value))
}

/** An isolation level, as it may stand in a statement. */
export function isolationLevel(isolation: string): string {
  return isolation.replace(/[^a-z ]/gi, '')
}

/** PostgreSQL has answered COMMIT with ROLLBACK, or would. */
export function rolledBack(): Error {
  const message = 'a statement of the transaction has failed, so PostgreSQL has rolled it back instead of committing it'
  return Object.assign(new Error(message), { code: '25P02' })
}

/**
 * Lets `work` run, and on PostgreSQL asks once more before the library commits: in a transaction
 * where a statement has failed COMMIT rolls back, and most libraries take that for success.
 */
export async function committable<T>(backend: BackendName, query: SqlClient['query'], work: () => Promise<T>): Promise<T> {
  const result = await work()
  if (backend === 'postgres') await query('select 1', [])
  return result
}

/** Makes `isTransaction` of a connection say what is true at the moment. */
export function withLiveTransaction(carrier: Carrier, isTransaction: () => boolean): Carrier {
  return Object.defineProperty(carrier, 'isTransaction', { get: isTransaction, enumerable: true })
}

/** What only a transaction takes. It leaves nothing behind in one. */
const PROBE = 'savepoint sagastore; release savepoint sagastore'

/**
 * Whether a connection to PostgreSQL is in a transaction (see `Carrier.isOpen`).
 *
 * @param run sends a statement as one simple query, behind what is under way
 * @param known what the client knows at the moment: false says nothing of what is under way; `undefined` where it never tells
 */
export function openness(
  run: (sql: string) => PromiseLike<unknown>,
  known: () => boolean | undefined = () => undefined,
): NonNullable<Carrier['isOpen']> {
  const asked = new WeakSet<object>()
  let asking: Promise<boolean> | undefined
  return (scope) => {
    // Nobody overtakes those who wait for the answer.
    if (asking !== undefined) return asking
    const isKnown = known()
    if (isKnown === true || asked.has(scope)) return true
    asking = isInTransaction(run)
    const answered = (isOpen: boolean) => {
      asking = undefined
      if (isOpen && isKnown === undefined) asked.add(scope)
    }
    asking.then(answered, () => answered(false))
    return asking
  }
}

async function isInTransaction(run: (sql: string) => PromiseLike<unknown>): Promise<boolean> {
  try {
    await run(PROBE)
    return true
  } catch (error) {
    const { code } = error as { code?: unknown }
    if (code === '25P01') return false
    // In one in which a statement has failed.
    if (code === '25P02') return true
    throw error
  }
}
