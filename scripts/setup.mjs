// What every command needs before it starts: the packages and the built addon.
import { spawnSync } from 'node:child_process'
import { existsSync, statSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

export const root = dirname(dirname(fileURLToPath(import.meta.url)))

/** Runs a command in the repository's root, its output shown; ends this process if it fails. */
export function run(command, args, options = {}) {
  const isWindows = process.platform === 'win32'
  const result = spawnSync(command, args, { cwd: root, stdio: 'inherit', shell: isWindows, ...options })
  if (result.error) {
    const hint = command === 'cargo' || /ENOENT/.test(result.error.message) ? ` (is ${command} installed?)` : ''
    console.error(`${command}: ${result.error.message}${hint}`)
    process.exit(1)
  }
  if (result.status !== 0) {
    console.error(`failed: ${command} ${args.join(' ')}`)
    process.exit(result.status ?? 1)
  }
}

/** Installs the development packages unless they are there and as the lockfile says. */
export function installPackages(directory = root) {
  const installed = join(directory, 'node_modules', '.package-lock.json')
  const isCurrent = existsSync(installed) && statSync(installed).mtimeMs >= statSync(join(directory, 'package-lock.json')).mtimeMs
  if (!isCurrent) run('npm', ['ci', '--no-audit', '--no-fund', '--loglevel=error'], { cwd: directory })
}

/**
 * Builds the TypeScript and the addon, unless there is one of these very sources. A debug build: compiled in a third of
 * the time of a release, and with the dependencies that the Rust tests need as well.
 */
export function build() {
  if (spawnSync('cargo', ['--version'], { stdio: 'ignore' }).status !== 0) {
    console.error('Rust is missing: cargo was not found on the PATH. Install Rust with rustup, then run this again.')
    process.exit(1)
  }
  run(process.execPath, [join(root, 'scripts', 'build-native.mjs'), '--if-changed'])
  run('npm', ['run', '--silent', 'build:ts'])
}
