import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { expect } from 'vitest'
import { root } from '../support/programs'

const program = join(root, 'scripts', 'chaos', 'index.mjs')

/** Runs a scenario of `npm run chaos`, and expects its ledger to hold: nothing lost, doubled or unsettled. */
export async function survivesChaos(scenario: string, seconds: number): Promise<void> {
  const { code, output } = await runChaos(scenario, '--seconds', String(seconds))
  expect(output).toContain('holds: nothing lost, doubled or unsettled')
  expect(code).toBe(0)
}

/** The program's exit code and everything that it printed. */
export function runChaos(...args: string[]): Promise<{ code: number; output: string }> {
  return new Promise((resolve) => {
    execFile(process.execPath, [program, ...args], { timeout: 240_000, maxBuffer: 2 ** 24 }, (error, stdout, stderr) => {
      resolve({ code: error ? Number(error.code ?? -1) : 0, output: stderr + stdout })
    })
  })
}
