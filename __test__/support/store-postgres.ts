import pg from 'pg'

interface Metadata {
  sagaId: string
  version: number
  isCompleted: boolean
  createdAt: Date
  updatedAt: Date
  timeoutExpiresAt?: Date | string | null
}

/** A saga as workers of `@saga-bus/store-postgres` have it in their hands. */
export interface TheirSaga {
  metadata: Metadata
  [more: string]: unknown
}

export function theirSaga(sagaId: string, more: Partial<Metadata> = {}, rest: object = {}): TheirSaga {
  const now = new Date()
  return { metadata: { sagaId, version: 1, isCompleted: false, createdAt: now, updatedAt: now, ...more }, ...rest }
}

/**
 * What a worker of `@saga-bus/store-postgres` 0.2 does to its table, in statements of the same shape: it knows neither
 * our columns nor our trigger.
 */
export class TheirTable {
  readonly #pool: pg.Pool
  readonly #table: string

  constructor(
    url: string,
    readonly schema: string,
  ) {
    this.#pool = new pg.Pool({ connectionString: url, max: 4 })
    this.#table = `"${schema}".saga_instances`
  }

  async create(): Promise<void> {
    const t = this.#table
    await this.#pool.query(`create schema if not exists "${this.schema}";
      create table ${t} (id varchar(128) not null, saga_name varchar(128) not null, correlation_id varchar(256) not null,
        version integer not null, is_completed boolean not null default false, state jsonb not null,
        created_at timestamptz not null default now(), updated_at timestamptz not null default now(), primary key (saga_name, id));
      create unique index theirs on ${t} (saga_name, correlation_id);
      create index theirs_open on ${t} (saga_name, is_completed) where is_completed = false;
      create index theirs_ended on ${t} (saga_name, is_completed, updated_at) where is_completed = true`)
  }

  async insert(sagaName: string, correlationId: string, saga: TheirSaga): Promise<void> {
    const { sagaId, version, isCompleted, createdAt, updatedAt } = saga.metadata
    await this.#pool.query(
      `insert into ${this.#table} (id, saga_name, correlation_id, version, is_completed, state, created_at, updated_at)
       values ($1, $2, $3, $4, $5, $6, $7, $8)`,
      [sagaId, sagaName, correlationId, version, isCompleted, JSON.stringify(saga), createdAt, updatedAt],
    )
  }

  /** Whether the saga had the version that was expected. */
  async update(sagaName: string, saga: TheirSaga, expected: number): Promise<boolean> {
    const { sagaId, version, isCompleted, updatedAt } = saga.metadata
    const { rowCount } = await this.#pool.query(
      `update ${this.#table} set version = $1, is_completed = $2, state = $3, updated_at = $4
       where id = $5 and saga_name = $6 and version = $7`,
      [version, isCompleted, JSON.stringify(saga), updatedAt, sagaId, sagaName, expected],
    )
    return rowCount === 1
  }

  /** Dates and version come from the columns, the rest from the state. */
  async getById(sagaName: string, sagaId: string): Promise<TheirSaga | null> {
    const { rows } = await this.#pool.query(`select * from ${this.#table} where id = $1 and saga_name = $2`, [sagaId, sagaName])
    return rows.length === 0 ? null : this.#saga(rows[0])
  }

  async findByName(sagaName: string, completed?: boolean): Promise<TheirSaga[]> {
    const { rows } = await this.#pool.query(
      `select * from ${this.#table} where saga_name = $1 and ($2::boolean is null or is_completed = $2) order by created_at desc`,
      [sagaName, completed],
    )
    return rows.map((row) => this.#saga(row))
  }

  async deleteCompletedBefore(sagaName: string, before: Date): Promise<number> {
    const { rowCount } = await this.#pool.query(
      `delete from ${this.#table} where saga_name = $1 and is_completed = true and updated_at < $2`,
      [sagaName, before],
    )
    return rowCount ?? 0
  }

  #saga(row: { id: string; version: number; is_completed: boolean; created_at: Date; updated_at: Date; state: TheirSaga }): TheirSaga {
    const columns = { sagaId: row.id, version: row.version, isCompleted: row.is_completed }
    return { ...row.state, metadata: { ...row.state.metadata, ...columns, createdAt: row.created_at, updatedAt: row.updated_at } }
  }

  async close(): Promise<void> {
    await this.#pool.end()
  }
}
