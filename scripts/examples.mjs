// The examples find `sagastore` as they would in a project of their own: `examples/node_modules/sagastore` leads to this tree.
//   node scripts/examples.mjs <name> [arguments]     runs one
import { spawnSync } from 'node:child_process'
import { mkdirSync, realpathSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))

/** Safe to call again, and by several processes at once. */
export function linkExamples() {
  const packages = join(root, 'examples', 'node_modules')
  mkdirSync(packages, { recursive: true })
  try {
    // A junction: Windows lets everybody make one.
    symlinkSync(root, join(packages, 'sagastore'), 'junction')
  } catch (error) {
    if (/** @type {NodeJS.ErrnoException} */ (error).code !== 'EEXIST') throw error
  }
}

/** What runs an example in Node.js 20, which knows no types: arguments in front of its file. */
export const loader = ['--import', pathToFileURL(join(root, 'node_modules', 'tsx', 'dist', 'loader.mjs')).href]

if (process.argv[1] && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  const [name, ...args] = process.argv.slice(2)
  if (name === undefined) {
    console.error('usage: node scripts/examples.mjs <name> [arguments]')
    process.exit(2)
  }
  linkExamples()
  const { status } = spawnSync(process.execPath, [...loader, join(root, 'examples', name, 'index.ts'), ...args], { stdio: 'inherit' })
  process.exit(status ?? 1)
}
