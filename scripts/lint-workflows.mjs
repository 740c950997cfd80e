// Checks .github/workflows with actionlint, through Go: it has no package on npm or crates.io.
import { spawnSync } from 'node:child_process'
import { dirname } from 'node:path'
import { fileURLToPath } from 'node:url'

const actionlint = 'github.com/rhysd/actionlint/cmd/actionlint@v1.7.12'
const root = dirname(dirname(fileURLToPath(import.meta.url)))

if (spawnSync('go', ['version'], { stdio: 'ignore' }).status !== 0) {
  console.error(`${process.env.CI ? 'FAILED' : 'SKIPPED'}: the workflows are not checked, because Go is not installed (https://go.dev/dl)`)
  process.exit(process.env.CI ? 1 : 0)
}
process.exit(spawnSync('go', ['run', actionlint], { cwd: root, stdio: 'inherit' }).status ?? 1)
