import { type Recognizer, type SqlValue, sqlCarrier } from './carrier'
import { cells, hasMethods, isolationLevel, membersOf } from './common'

interface Answer extends Array<Record<string, unknown>> {
  count: number | null
}

interface Pending extends Promise<Answer> {
  /** Each cell as the server has sent it: no parsers, no transforms. */
  raw(): Promise<unknown[]>
}

interface Sql {
  unsafe(query: string, values: unknown[], options: { prepare: boolean }): Pending
  begin<T>(options: string, work: (sql: unknown) => Promise<T>): Promise<T>
}

/** `postgres` (postgres.js): `sql`, the `sql` of a `begin` or a `savepoint`, and a reserved one. */
export const recognizePostgresJs: Recognizer = (client) => {
  const members = membersOf(client)
  if (typeof client !== 'function' || members === undefined) return undefined
  if (!hasMethods(members, 'unsafe', 'typed', 'notify', 'array', 'file')) return undefined
  const sql = client as unknown as Sql
  const isRoot = hasMethods(members, 'begin', 'reserve')
  // Statements are few and the same again and again. A client with `prepare: false` stays without.
  const run = (text: string, values: readonly unknown[]) => sql.unsafe(text, [...values], { prepare: values.length > 0 })
  return sqlCarrier('postgres', {
    library: 'postgres',
    isTransaction: !isRoot,
    query: async (text: string, values: SqlValue[]) => cells(await run(text, values).raw()).map((row) => row.map(asText)),
    // Its serializers are in the way of values all the same.
    ...(isRoot && { owner: client }),
    execute: async (text: string, values: SqlValue[]) => (await run(text, values)).count ?? 0,
    rows: async (text: string, values: unknown[]) => [...(await sql.unsafe(text, values, { prepare: false }))],
    ...(isRoot && {
      // Once a statement has failed, and was not inside a savepoint, it rolls back by itself.
      begin: (work, { isolation }) => sql.begin(isolation === undefined ? '' : `isolation level ${isolationLevel(isolation)}`, work),
    }),
  })
}

/** A transform of rows may have changed it: then it is left for the core to refuse. */
function asText(cell: unknown): unknown {
  return Buffer.isBuffer(cell) ? cell.toString() : cell
}
