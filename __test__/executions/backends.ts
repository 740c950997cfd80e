import type { Executor } from '../support/executors'

const told = new Set<string>()

/** FerretDB 1 finds a document and changes it in two steps: there nothing can be claimed, executions and events alike. */
export function cannotClaim({ name, variable }: Pick<Executor, 'name' | 'variable'>): boolean {
  if (variable !== 'MONGODB_URL' || /[?&]replicaSet=/.test(process.env.MONGODB_URL ?? '')) return false
  if (!told.has(name)) console.warn(`SKIPPED: claims on ${name} (MONGODB_URL is no replica set; docker compose has one)`)
  told.add(name)
  return true
}
