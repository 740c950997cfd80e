import type { Health, SagaStore } from '../../index'
import { shownBytes } from '../quantities'
import type { Findings } from './findings'

interface Column {
  owner: string
  name: string
}

/** A WAL of that size is one that cannot be written back. */
const LARGE_WAL = 256 * 1_024 * 1_024

/** Compares the file with a new one. */
export async function lookAtSqlite(store: SagaStore, reference: SagaStore, health: Health, findings: Findings): Promise<void> {
  await reference.initialize()
  const ask = <Row>(on: SagaStore, sql: string) => on.transaction((tx) => tx.query<Row>(sql))
  await findings.check('tables', async () => {
    const columns = `select m.name as owner, c.name from sqlite_master m join pragma_table_info(m.name) c where m.type = 'table' and m.name not like 'sqlite!_%' escape '!'`
    const [wanted, found] = [await ask<Column>(reference, columns), await ask<Column>(store, columns)]
    const has = (owner: string, name: string) => found.some((column) => same(column.owner, owner) && same(column.name, name))
    for (const owner of new Set(wanted.map((column) => column.owner))) {
      if (!found.some((column) => same(column.owner, owner))) {
        findings.add('missing-table', `table ${owner} does not exist`)
        continue
      }
      const missing = wanted.filter((column) => column.owner === owner && !has(owner, column.name)).map(({ name }) => name)
      if (missing.length > 0) findings.add('missing-column', `table ${owner} lacks ${missing.join(', ')}`)
    }
    const indexes = `select l.name, m.name as owner, (select group_concat(coalesce(name, '?')) from pragma_index_info(l.name)) as columns
                       from sqlite_master m join pragma_index_list(m.name) l where m.type = 'table' and l.origin = 'c'`
    type Index = Column & { columns: string }
    const [needed, there] = [await ask<Index>(reference, indexes), await ask<Index>(store, indexes)]
    for (const index of needed.filter(({ owner }) => found.some((column) => same(column.owner, owner)))) {
      // Another name does no harm.
      if (there.some(({ owner, columns: on }) => same(owner, index.owner) && on === index.columns)) continue
      findings.add('missing-index', `table ${index.owner} has no index ${index.name} on (${index.columns})`)
    }
  })
  const walBytes = Number(health.details.walBytes ?? 0)
  if (walBytes > LARGE_WAL) findings.add('large-wal', `the WAL has ${shownBytes(walBytes)}`)
  await findings.check('the file', async () => {
    const [row] = await ask<{ quick_check: string }>(store, 'pragma quick_check(1)')
    if (row !== undefined && row.quick_check !== 'ok') findings.add('damaged', row.quick_check)
  })
}

function same(one: string, other: string): boolean {
  return one.toLowerCase() === other.toLowerCase()
}
