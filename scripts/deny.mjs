// Checks licences, banned crates and sources with cargo-deny (deny.toml): offline, so no advisories.
// Where cargo-deny is missing it is built into target/tools, unoptimized: one to two minutes, once.
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const version = '0.20.2'
const root = dirname(dirname(fileURLToPath(import.meta.url)))
const tools = join(root, 'target', 'tools')
const built = join(tools, 'bin', process.platform === 'win32' ? 'cargo-deny.exe' : 'cargo-deny')

function run(command, args, stdio = 'inherit') {
  return spawnSync(command, args, { cwd: root, stdio }).status === 0
}

let denyCommand = 'cargo-deny'
if (!run(denyCommand, ['--version'], 'ignore')) {
  denyCommand = built
  const install = ['install', 'cargo-deny', '--version', version, '--locked', '--debug', '--quiet', '--root', tools]
  if (!existsSync(built) && !run('cargo', install)) process.exit(1)
}
// Duplicates are listed by `--log-level warn`; they are no failure.
process.exit(run(denyCommand, ['--log-level', 'error', '--locked', 'check', 'licenses', 'bans', 'sources']) ? 0 : 1)
