// Fails if a generated file is not what its sources make of it. What `npm run build:ts` makes is built here;
// the others are what the last
// `npm run build:native` wrote, so build before this.
import { spawnSync } from 'node:child_process'
import { dirname } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const generated = [
  { files: ['index.js', 'index.d.ts', 'cli.js', 'docs/sagastore.1', 'docs/cli.md'], command: 'npm run build:ts' },
  { files: ['native.d.ts', 'ts/operations.ts'], command: 'npm run build:native' },
]

if (spawnSync(process.execPath, ['scripts/build-ts.mjs'], { cwd: root, stdio: 'inherit' }).status !== 0) process.exit(1)

let isCurrent = true
for (const { files, command } of generated) {
  const isTracked = git('ls-files', '--error-unmatch', '--', ...files).status === 0
  if (isTracked && git('diff', '--exit-code', '--stat', '--', ...files).status === 0) continue
  isCurrent = false
  console.error(`${files.join(' or ')} ${isTracked ? 'is not up to date' : 'is not tracked by git'}: run \`${command}\` and commit them`)
}
process.exit(isCurrent ? 0 : 1)

function git(...args) {
  return spawnSync('git', args, { cwd: root, stdio: 'ignore' })
}
