import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { root } from '../support/programs'
import { missing } from '../support/targets'

const program = join(root, 'scripts', 'chaos', 'index.mjs')

/** Runs a scenario of `npm run chaos`, and expects its ledger to hold: nothing lost, doubled or unsettled. */
export async function survivesChaos(scenario: string, seconds: number, ...more: string[]): Promise<void> {
  const { code, output } = await runChaos(scenario, '--seconds', String(seconds), ...more)
  expect(output).toContain('holds: nothing lost, doubled or unsettled')
  expect(code).toBe(0)
}

/** Those that a scenario of several workers runs on, by the variable of their server; the first has none. */
const STORES = [
  { name: 'sqlite' },
  { name: 'postgres', variable: 'POSTGRES_URL' },
  { name: 'redis', variable: 'REDIS_URL' },
  { name: 'redis cluster', variable: 'REDIS_CLUSTER_URL' },
  { name: 'dynamodb', variable: 'DYNAMODB_URL' },
]

/** A test of a scenario that runs on any store, for each backend that is there. `rule`: what must hold. */
export function survivesChaosOnStores(scenario: string, seconds: number, rule: string): void {
  for (const { name, variable } of STORES) {
    const url = variable === undefined ? undefined : process.env[variable]
    const isMissing = variable !== undefined && missing({ name: `${scenario} on ${name}`, available: url !== undefined, variable })
    describe.skipIf(isMissing)(name, () => {
      it(rule, async () => {
        await survivesChaos(scenario, seconds, ...(url === undefined ? [] : ['--url', url]))
      }, 180_000)
    })
  }
}

/** The program's exit code and everything that it printed. */
export function runChaos(...args: string[]): Promise<{ code: number; output: string }> {
  return new Promise((resolve) => {
    execFile(process.execPath, [program, ...args], { timeout: 240_000, maxBuffer: 2 ** 24 }, (error, stdout, stderr) => {
      resolve({ code: error ? Number(error.code ?? -1) : 0, output: stderr + stdout })
    })
  })
}
