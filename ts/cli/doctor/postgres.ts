import type { SagaStore, SagaTransaction } from '../../index'
import { shownDuration } from '../quantities'
import type { Findings } from './findings'
import { judgeClock, type Limits } from './general'

/** A table that the store has, with what belongs to it. */
interface Wanted {
  table: string
  columns: string[]
}

/** The tables and indexes that the statements of `schemaSql()` make. */
export function wantedOf(sql: string): { tables: Wanted[]; indexes: { name: string; table: string; columns: string }[] } {
  const tables = [...sql.matchAll(/create table if not exists ((?:"[^"]+"\.)?"[^"]+") \(/g)].map(({ 1: table, 0: head, index }) => ({
    table: table as string,
    columns: columnsOf(sql, index + head.length),
  }))
  const index = /create (?:unique )?index if not exists "([^"]+)" on ((?:"[^"]+"\.)?"[^"]+") (?:using \w+ )?\(([^)]*)\)/g
  const indexes = [...sql.matchAll(index)].map(({ 1: name, 2: table, 3: columns }) => ({
    name: name as string,
    table: table as string,
    columns: columns as string,
  }))
  return { tables, indexes }
}

/** The names of the columns in the parentheses that begin there. */
function columnsOf(sql: string, from: number): string[] {
  const parts: string[] = ['']
  let depth = 1
  for (let at = from; at < sql.length && depth > 0; at += 1) {
    const character = sql[at] as string
    if (character === '(') depth += 1
    if (character === ')') depth -= 1
    if (depth === 1 && character === ',') parts.push('')
    else parts[parts.length - 1] += character
  }
  const first = parts.map((part) => /^\s*"?(\w+)"?/.exec(part)?.[1] ?? '')
  return first.filter((name) => !['primary', 'unique', 'constraint', 'check', 'foreign', 'exclude', ''].includes(name.toLowerCase()))
}

const RIGHTS = ['select', 'insert', 'update', 'delete'] as const

/** What the catalog of PostgreSQL tells. */
export async function lookAtPostgres(store: SagaStore, limits: Limits, findings: Findings): Promise<void> {
  const wanted = wantedOf(store.schemaSql())
  const ask = <Row>(sql: string, values: readonly unknown[] = []) => store.transaction((tx: SagaTransaction) => tx.query<Row>(sql, values))
  for (const { table, columns } of wanted.tables) {
    await findings.check(table, async () => {
      const found = await ask<{ name: string }>(
        'select attname::text as name from pg_attribute where attrelid = to_regclass($1::text) and attnum > 0 and not attisdropped',
        [table],
      )
      if (found.length === 0) return findings.add('missing-table', `table ${table} does not exist`)
      const missing = columns.filter((column) => !found.some(({ name }) => name === column))
      if (missing.length > 0) findings.add('missing-column', `table ${table} lacks ${missing.join(', ')}`)
      const rights = RIGHTS.map((right) => `has_table_privilege(to_regclass($1::text), '${right}') as "${right}"`).join(', ')
      const [allowed = {}] = await ask<Partial<Record<string, boolean>>>(`select ${rights}`, [table])
      const denied = RIGHTS.filter((right) => allowed[right] !== true)
      if (denied.length > 0) findings.add('missing-rights', `this role may not ${denied.join(', ')} in table ${table}`)
    })
  }
  for (const { name, table, columns } of wanted.indexes) {
    await findings.check(name, async () => {
      const [first = ''] = columns.split(/[ ,]/)
      // One that somebody else has made does as well, where it begins with the same column; for several columns it must be ours.
      const found = await ask<{ valid: boolean }>(
        `select i.indisvalid as valid from pg_index i join pg_class c on c.oid = i.indexrelid
         left join pg_attribute a on a.attrelid = i.indrelid and a.attnum = i.indkey[0]
         where i.indrelid = to_regclass($1::text) and (c.relname = $2::text or ($3::bool and a.attname = $4::text))`,
        [table, name, columns === first, first],
      )
      const [there] = await ask<{ there: boolean }>('select to_regclass($1::text) is not null as there', [table])
      if (there?.there !== true || found.some(({ valid }) => valid)) return
      findings.add('missing-index', `table ${table} has no ${found.length > 0 ? 'valid ' : ''}index ${name} on (${columns})`)
    })
  }
  await findings.check('clock', async () => {
    const before = Date.now()
    const [row] = await ask<{ now: Date }>('select clock_timestamp() as now')
    const after = Date.now()
    if (row !== undefined) judgeClock(row.now.getTime() - (before + after) / 2, findings)
  })
  await findings.check('vacuum', () => lookForVacuum(ask, wanted.tables, limits, findings))
}

async function lookForVacuum(
  ask: <Row>(sql: string, values?: readonly unknown[]) => Promise<Row[]>,
  tables: readonly Wanted[],
  { vacuumMs }: Limits,
  findings: Findings,
): Promise<void> {
  const held = await ask<{ what: string; ms: number }>(
    `select format('process %s (%s, %s)', pid, coalesce(nullif(application_name, ''), usename), state) as what,
            (extract(epoch from clock_timestamp() - xact_start) * 1000)::float8 as ms
       from pg_stat_activity
      where (backend_xmin is not null or backend_xid is not null) and pid <> pg_backend_pid() and datname = current_database()
        and backend_type = 'client backend' and xact_start < clock_timestamp() - $1::float8 * interval '1 millisecond'
     union all
     select format('prepared transaction %s', gid), (extract(epoch from clock_timestamp() - prepared) * 1000)::float8
       from pg_prepared_xacts
      where database = current_database() and prepared < clock_timestamp() - $1::float8 * interval '1 millisecond'
      order by 2 desc limit 10`,
    [vacuumMs],
  )
  for (const { what, ms } of held) findings.add('vacuum-held-back', `${what} has kept a transaction open for ${shownDuration(ms)}`)
  const slots = await ask<{ name: string }>(
    'select slot_name::text as name from pg_replication_slots where not active and (xmin is not null or catalog_xmin is not null)',
  )
  for (const { name } of slots) findings.add('vacuum-held-back', `the replication slot ${name} is used by nobody, and keeps old rows`)
  const [server] = await ask<{ autovacuum: string }>("select current_setting('autovacuum') as autovacuum")
  if (server?.autovacuum === 'off') findings.add('vacuum-off', 'autovacuum is off on the whole server')
  const off = await ask<{ name: string }>(
    `select oid::regclass::text as name from pg_class
      where oid = any (select to_regclass(t)::oid from unnest($1::text[]) t) and 'autovacuum_enabled=false' = any (reloptions)`,
    [tables.map(({ table }) => table)],
  )
  for (const { name } of off) findings.add('vacuum-off', `autovacuum is off for table ${name}`)
}
