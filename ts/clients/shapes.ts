// What the type checker asks of a client. Minimal and structural: no library is imported, and every
// version whose client has these members fits. What runs is decided by the recognizers, not here.

/** `pg`: a Pool, a Client or a PoolClient. */
export interface PgClient {
  query(text: string, values?: unknown[]): PromiseLike<{ rows: unknown[]; rowCount: number | null; command: string }>
  connect(): PromiseLike<unknown>
  end(): PromiseLike<void>
}

/** `postgres` (postgres.js): `sql`, or what `sql.begin` and `sql.reserve` give. */
export interface PostgresJsClient {
  unsafe(query: string, parameters?: never[]): PromiseLike<unknown[]>
  notify(channel: string, payload: string): unknown
  file: unknown
  typed: unknown
}

/** A Prisma client, or the `tx` of an interactive `$transaction`. */
export interface PrismaClientLike {
  $queryRawUnsafe(query: string, ...values: unknown[]): PromiseLike<unknown>
  $executeRawUnsafe(query: string, ...values: unknown[]): PromiseLike<number>
}

/** Drizzle on `pg` or `postgres`: the database, or the `tx` of its `transaction`. */
export interface DrizzlePostgresDatabase {
  execute(query: never): PromiseLike<unknown>
  transaction(work: never, config?: never): PromiseLike<unknown>
  refreshMaterializedView(view: never): unknown
}

/** Drizzle on `better-sqlite3`: the database, or the `tx` of its `transaction`. */
export interface DrizzleSqliteDatabase {
  run(query: never): unknown
  all(query: never): unknown
  values(query: never): unknown
  transaction(work: never, config?: never): unknown
}

/** Drizzle, on either database. */
export type DrizzleDatabase = DrizzlePostgresDatabase | DrizzleSqliteDatabase

/** A Kysely instance, or a Transaction of it. */
export interface KyselyDatabase {
  readonly isTransaction: boolean
  getExecutor(): unknown
  executeQuery(query: never): PromiseLike<{ rows: unknown[] }>
  withoutPlugins(): unknown
}

/** A Knex instance, or a `trx` of it. */
export interface KnexClient {
  client: unknown
  raw(sql: string): unknown
  transaction(work: never, config?: never): unknown
  batchInsert: unknown
}

/** A `better-sqlite3` handle. */
export interface BetterSqlite3Database {
  readonly inTransaction: boolean
  prepare(sql: string): unknown
  transaction(work: never): unknown
  pragma(source: string): unknown
}

/** A `node:sqlite` handle. */
export interface NodeSqliteDatabase {
  prepare(sql: string): unknown
  exec(sql: string): void
  open(): void
  close(): void
}

/** Every client of PostgreSQL that a store can run on. */
export type PostgresClient = PgClient | PostgresJsClient | PrismaClientLike | DrizzlePostgresDatabase | KyselyDatabase | KnexClient

/** Every client of SQLite that a store can run on. */
export type SqliteClient =
  | BetterSqlite3Database
  | NodeSqliteDatabase
  | PrismaClientLike
  | DrizzleSqliteDatabase
  | KyselyDatabase
  | KnexClient
