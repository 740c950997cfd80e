import { type Recognizer, type SqlValue, sqlCarrier } from './carrier'
import { cells, hasMethods, isolationLevel, membersOf, openness } from './common'
import { Session, type Sql } from './postgres-js-session'

interface Root extends Sql {
  begin<T>(options: string, work: (sql: unknown) => Promise<T>): Promise<T>
}

/** `postgres` (postgres.js): `sql`, the `sql` of a `begin` or a `savepoint`, and a reserved one. */
export const recognizePostgresJs: Recognizer = (client) => {
  const members = membersOf(client)
  if (typeof client !== 'function' || members === undefined) return undefined
  if (!hasMethods(members, 'unsafe', 'typed', 'notify', 'array', 'file')) return undefined
  const sql = client as unknown as Sql
  const isRoot = hasMethods(members, 'begin', 'reserve')
  const session = isRoot ? undefined : Session.of(sql)
  // Statements are few and the same again and again. A client with `prepare: false` stays without.
  const run = (text: string, values: readonly unknown[]) => sql.unsafe(text, [...values], { prepare: values.length > 0 })
  const guarded = <T>(ask: () => PromiseLike<T>): PromiseLike<T> => session?.run(ask) ?? ask()
  // The `sql` of a `begin` is in a transaction as long as it has its session; a reserved one can be in none.
  const isReserved = hasMethods(members, 'release')
  return sqlCarrier('postgres', {
    library: 'postgres',
    isTransaction: !isRoot,
    query: async (text: string, values: SqlValue[]) => cells(await guarded(() => run(text, values).raw())).map((row) => row.map(asText)),
    // Its serializers are in the way of values all the same.
    ...(isRoot && { owner: client }),
    execute: async (text: string, values: SqlValue[]) => (await guarded(() => run(text, values))).count ?? 0,
    rows: async (text: string, values: unknown[]) => [...(await guarded(() => sql.unsafe(text, values, { prepare: false })))],
    ...(session !== undefined && { join: () => session.join(), held: (working) => session.held(working) }),
    ...(isReserved && { isOpen: openness((text) => guarded(() => run(text, []))) }),
    ...(isRoot && {
      // Once a statement has failed, and was not inside a savepoint, it rolls back by itself.
      begin: (work, { isolation }) =>
        (sql as Root).begin(isolation === undefined ? '' : `isolation level ${isolationLevel(isolation)}`, (tx) => {
          const opened = Session.of(tx as Sql)
          opened.join()
          return opened.held(work(tx))
        }),
    }),
  })
}

/** A transform of rows may have changed it: then it is left for the core to refuse. */
function asText(cell: unknown): unknown {
  return Buffer.isBuffer(cell) ? cell.toString() : cell
}
