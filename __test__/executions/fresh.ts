import { expect } from 'vitest'
import type { SagaExecutions, SagaLogEntry, SagaRun, StartOptions } from '../../index.js'
import { randomName } from '../support/targets'

/** A name of sagas, and an id, that no other test has. */
export function fresh(): { name: string; id: string; other: string } {
  const name = randomName('Order')
  return { name, id: `${name}-1`, other: `${name}-2` }
}

/** A backoff that tests can wait for. */
export const QUICK = { recoveryBackoffMs: 50 }

/** Of a worker that never renews its lease: as if it had died. */
export function startAndDie(
  executions: SagaExecutions,
  { id, name }: { id: string; name: string },
  more: Partial<StartOptions> = {},
): Promise<SagaRun<unknown>> {
  return executions.start(id, name, { total: 1 }, { workerId: 'dead', leaseMs: 200, renew: false, ...more })
}

/** The ids of what a worker is given; its leases are not renewed. */
export async function claimed(executions: SagaExecutions, name: string, more: object = {}): Promise<string[]> {
  const runs = await executions.claim({ workerId: 'w', leaseMs: 60_000, renew: false, limit: 100, names: [name], ...more })
  return runs.map(({ sagaId }) => sagaId)
}

/** The whole log, whose numbers have no gaps, and which is what the record says. */
export async function logOf(executions: SagaExecutions, id: string): Promise<SagaLogEntry[]> {
  const all: SagaLogEntry[] = []
  let after: number | undefined
  do {
    const page = await executions.history(id, after === undefined ? {} : { after })
    all.push(...page.entries)
    after = page.cursor
  } while (after !== undefined)
  expect(all.map(({ seq }) => seq)).toEqual(all.map((_, index) => index + 1))
  return all
}

/** The log in short: `seq step action status`. */
export async function shortLog(executions: SagaExecutions, id: string): Promise<string[]> {
  return (await logOf(executions, id)).map(({ seq, stepName, action, status }) => `${seq} ${stepName} ${action} ${status}`)
}

/** An entry of a step that was done. */
export function done(stepName: string, more: object = {}) {
  return { stepName, status: 'completed' as const, ...more }
}
