import { type Recognizer, type SqlClient, type SqlValue, sqlCarrier } from './carrier'
import { cells, committable, hasMethods, type Members, membersOf, otherDialect, wholeNumbers } from './common'

interface Raw {
  $queryRawUnsafe(sql: string, ...values: unknown[]): Promise<Record<string, unknown>[]>
  $executeRawUnsafe(sql: string, ...values: unknown[]): Promise<number>
}

interface Root extends Raw {
  $transaction<T>(
    work: (transaction: Raw) => Promise<T>,
    options: { isolationLevel?: string; timeout: number; maxWait: number },
  ): Promise<T>
}

const providers: Record<string, 'postgres' | 'sqlite'> = { postgresql: 'postgres', postgres: 'postgres', sqlite: 'sqlite' }

/** Prisma 5 to 7: a client, extended ones too, and the `tx` of an interactive `$transaction`. */
export const recognizePrisma: Recognizer = (client) => {
  const members = membersOf(client)
  if (members === undefined || !hasMethods(members, '$queryRawUnsafe', '$executeRawUnsafe')) return undefined
  const provider = members._activeProvider ?? (members._engineConfig as Members | undefined)?.activeProvider
  const backend = providers[String(provider)]
  if (backend === undefined) throw otherDialect('prisma', provider)
  // `$transaction` tells nothing: Prisma 7 nests them.
  const isTransaction = !hasMethods(members, '$connect')
  const { query, execute, rows } = statements(client as Raw)
  return sqlCarrier(backend, {
    library: 'prisma',
    isTransaction,
    query,
    execute,
    rows,
    ...(backend === 'postgres' && { owner: membersOf(members._engineConfig) ?? members }),
    ...(!isTransaction && {
      begin: (work, { isolation, timeoutMs }) =>
        (client as Root).$transaction((tx) => committable(backend, statements(tx).query, () => work(tx)), {
          ...(isolation !== undefined && backend === 'postgres' && { isolationLevel: pascalCase(isolation) }),
          timeout: timeoutMs,
          maxWait: timeoutMs,
        }),
    }),
  })
}

function statements(client: Raw): Pick<SqlClient, 'query' | 'execute' | 'rows'> {
  return {
    query: async (sql: string, values: SqlValue[]) => cells(await client.$queryRawUnsafe(sql, ...wholeNumbers(values))),
    execute: async (sql: string, values: SqlValue[]) => client.$executeRawUnsafe(sql, ...wholeNumbers(values)),
    rows: async (sql: string, values: unknown[]) => client.$queryRawUnsafe(sql, ...values),
  }
}

function pascalCase(isolation: string): string {
  return isolation.toLowerCase().replace(/(?:^| +)([a-z])/g, (_, letter: string) => letter.toUpperCase())
}
