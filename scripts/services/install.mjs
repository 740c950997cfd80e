import { spawn } from 'node:child_process'
import { accessSync, constants, existsSync, readdirSync, realpathSync } from 'node:fs'
import { delimiter, dirname, join } from 'node:path'

/** A server that cannot be had on this machine, as opposed to one that fails to start. */
export class ServiceUnavailable extends Error {
  name = 'ServiceUnavailable'
}

/**
 * @param {string} program
 * @param {string[]} [directories] where to look as well
 * @returns {string | undefined}
 */
export function findOnPath(program, directories = []) {
  return [...(process.env.PATH ?? '').split(delimiter), ...directories]
    .filter(Boolean)
    .map((directory) => join(directory, program))
    .find(isExecutable)
}

/**
 * The directory with PostgreSQL's programs, symbolic links resolved. Debian keeps them away from PATH,
 * one directory per version; the newest is taken.
 *
 * @returns {string | undefined}
 */
export function findPostgres() {
  const debian = '/usr/lib/postgresql'
  const candidates = list(debian)
    .sort((a, b) => Number(b) - Number(a))
    .map((version) => join(debian, version, 'bin'))
  const onPath = findOnPath('initdb')
  if (onPath) candidates.push(dirname(realpathSync(onPath)))
  return candidates.find((bin) => isExecutable(join(bin, 'initdb')) && isExecutable(join(bin, 'postgres')))
}

/** The library that gives one program another clock (Debian's package `faketime`). */
export function findFaketime() {
  return list('/usr/lib')
    .map((directory) => join('/usr/lib', directory, 'faketime', 'libfaketime.so.1'))
    .find((path) => existsSync(path))
}

/**
 * What `find` finds, after installing Debian's package when this process may.
 *
 * @template T
 * @param {{ find: () => T | undefined, package: string, brew: string }} program
 * @returns {Promise<T>}
 */
export async function findOrInstall(program) {
  const found = program.find()
  if (found !== undefined) return found
  const how =
    `Debian and Ubuntu: sudo apt-get install --no-install-recommends ${program.package}; macOS: brew install ${program.brew}; ` +
    'or start a Docker engine with the compose plugin.'
  if (!canInstall()) throw new ServiceUnavailable(`${program.package} is not installed. ${how}`)
  const { code, output } = await installOnce(program.package)
  const installed = program.find()
  if (installed !== undefined) return installed
  throw new ServiceUnavailable(
    `${program.package} is not installed, and apt-get failed (exit code ${code}). ${how}\n${output.trimEnd().split('\n').slice(-15).join('\n')}`,
  )
}

/** @type {Map<string, ReturnType<typeof aptInstall>>} */
const installs = new Map()

/** @param {string} name */
function installOnce(name) {
  let install = installs.get(name)
  if (!install) {
    process.stderr.write(`services: installing ${name} with apt-get\n`)
    install = aptInstall(name)
    installs.set(name, install)
  }
  return install
}

export function canInstall() {
  return process.getuid?.() === 0 && findOnPath('apt-get') !== undefined && findOnPath('flock') !== undefined
}

// The lock file keeps two test runs from running apt-get at once. policy-rc.d is how Debian is told
// not to start a package's service. One that the machine has already is left as it is, and in case it
// allows the start, the service is stopped again: the package is new here, so nobody else started it.
const INSTALL_SCRIPT = `
set -u
package=$1
policy=/usr/sbin/policy-rc.d
mark='# sagastore scripts/services: no service starts during an install'
exec 9>/run/sagastore-services.lock
flock 9
dpkg-query -W -f '\${Status}' "$package" 2>/dev/null | grep -q '^install ok installed' && exit 0
if [ ! -e "$policy" ] || grep -qF "$mark" "$policy"; then
  trap 'rm -f "$policy"' EXIT
  printf '#!/bin/sh\\n%s\\nexit 101\\n' "$mark" > "$policy"
  chmod 755 "$policy"
fi
known=no
[ -e "/etc/init.d/$package" ] && known=yes
export DEBIAN_FRONTEND=noninteractive
apt-get update -q
apt-get install -qy --no-install-recommends -o DPkg::Lock::Timeout=300 "$package"
code=$?
if [ "$known" = no ] && [ -e "/etc/init.d/$package" ]; then
  service "$package" stop >/dev/null 2>&1
fi
exit "$code"
`

/**
 * @param {string} name
 * @returns {Promise<{ code: number | null, output: string }>}
 */
function aptInstall(name) {
  return new Promise((resolve, reject) => {
    // Detached: a Ctrl-C must not interrupt dpkg halfway.
    const child = spawn('sh', ['-c', INSTALL_SCRIPT, 'sh', name], { stdio: ['ignore', 'pipe', 'pipe'], detached: true })
    let output = ''
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (chunk) => {
        output += chunk
      })
    }
    child.once('error', reject)
    child.once('close', (code) => resolve({ code, output }))
  })
}

/** @param {string} path */
function isExecutable(path) {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}

/** @param {string} directory */
function list(directory) {
  try {
    return readdirSync(directory)
  } catch {
    return []
  }
}
