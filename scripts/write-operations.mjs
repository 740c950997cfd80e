// Writes ts/operations.ts from the table in src/contract/operations.rs, as the addon that was built last has it.
import { execFileSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { machineTarget } from './pack.mjs'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const FILE = join('ts', 'operations.ts')

/** In a process of its own: an addon that is loaded cannot be replaced on Windows. */
const table = JSON.parse(
  execFileSync(process.execPath, ['-e', `console.log(JSON.stringify(require('./sagastore.${machineTarget()}.node').operations()))`], {
    cwd: root,
    encoding: 'utf8',
  }),
)
const rows = table.map(
  ({ name, number, kind, writes, by = null }) => `${JSON.stringify(name)}: ${JSON.stringify({ number, name, kind, writes, by })},`,
)

writeFileSync(
  join(root, FILE),
  `// Generated from src/contract/operations.rs by \`npm run build:native\`. Do not edit.

/**
 * The operations, under the numbers by which the native side knows them. \`writes\`: it changes what is stored. \`by\`: what its first
 * argument says about the record; null: it is about no single one. Those of the kind \`store\` are no part of a transaction.
 */
export const OPERATIONS = {
${rows.join('\n')}
} as const
`,
)
execFileSync(process.execPath, [createRequire(import.meta.url).resolve('@biomejs/biome/bin/biome'), 'check', '--write', FILE], {
  cwd: root,
  stdio: ['ignore', 'ignore', 'inherit'],
})
