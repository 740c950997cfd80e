import { SagaStoreError } from '../errors'
import type { SagaStore } from '../store/store'
import { factsOf } from './facts'
import type { Terms } from './mover'
import { type RecordKind, recordsOf } from './records'
import type { TransferIssue } from './types'

/** What is in the way of a move between two stores. Nothing is written. */
export async function issuesBetween(source: SagaStore, target: SagaStore, terms: Terms): Promise<TransferIssue[]> {
  const issues: TransferIssue[] = []
  const counts = new Map<string, number>()
  const unreachable = new Set<SagaStore>()
  for (const kind of terms.kinds) {
    for (const [side, store] of [
      ['source', source],
      ['target', target],
    ] as const) {
      if (unreachable.has(store)) continue
      try {
        counts.set(`${side} ${kind}`, ((await recordsOf(store)?.count(kind)) ?? { count: 0 }).count)
      } catch (error) {
        const code = error instanceof SagaStoreError ? error.code : 'BACKEND'
        if (code === 'CONNECTION' || code === 'TIMEOUT') unreachable.add(store)
        issues.push({ level: 'error', kind, code, message: `the ${side} cannot be counted: ${(error as Error).message}` })
      }
    }
  }
  issues.push(...conflicting(terms, counts))
  if (terms.kinds.includes('payloads')) issues.push(...limited(source, target))
  if (!target.capabilities.durable && source.capabilities.durable) {
    issues.push({ level: 'warning', code: 'UNSUPPORTED', message: 'the target keeps its records in memory: they end with the process' })
  }
  return issues
}

function conflicting({ kinds, onConflict }: Terms, counts: Map<string, number>): TransferIssue[] {
  const filled = (kind: RecordKind) => (counts.get(`source ${kind}`) ?? 0) > 0 && (counts.get(`target ${kind}`) ?? 0) > 0
  return kinds.filter(filled).map((kind) => {
    const count = counts.get(`target ${kind}`)
    const what = {
      'skip-existing': 'stay as they are',
      overwrite: 'are replaced',
      fail: 'make the move fail',
      newer: 'stay if they are newer',
    }
    const message = `the target has ${count} records already: those whose ids are taken ${what[onConflict]}`
    return { level: 'warning', kind, code: 'ALREADY_EXISTS', message }
  })
}

function limited(source: SagaStore, target: SagaStore): TransferIssue[] {
  const limits = [source, target].map((store) => factsOf(store)?.maxPayloadBytes('i') ?? Number.POSITIVE_INFINITY)
  const [from, to] = limits as [number, number]
  if (to >= from) return []
  const message = `the target takes payloads of at most ${to} bytes, the source of ${from}: a dry run names those that are larger`
  return [{ level: 'warning', kind: 'payloads', code: 'PAYLOAD_TOO_LARGE', message }]
}
