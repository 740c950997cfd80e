// Other runtimes than the one that runs this, for tests: from npm, into .services, each once. Not as development packages: the npm
// package `node` would put itself before the real one in every npm script.
import { chmodSync } from 'node:fs'
import { join } from 'node:path'
import { installOnDemand } from './on-demand.mjs'

const { platform, arch } = process
const isWindows = platform === 'win32'
const windows = isWindows ? 'windows' : platform

const node = { name: `node-${isWindows ? 'win' : platform}-${arch}`, program: join('bin', isWindows ? 'node.exe' : 'node') }
const deno = `@deno/${isWindows ? 'win32' : platform}-${arch}${platform === 'linux' ? '-glibc' : ''}`
const bun = `@oven/bun-${windows}-${arch === 'arm64' ? 'aarch64' : arch}`

/** What is run in CI beside the Node.js that the tests run on. */
export const RUNTIMES = {
  'Node.js 22': { ...node, version: '22.23.3', args: [] },
  'Node.js 24': { ...node, version: '24.22.3', args: [] },
  'Node.js 26': { ...node, version: '26.12.1', args: [] },
  Bun: { name: bun, program: join('bin', isWindows ? 'bun.exe' : 'bun'), version: '1.4.5', args: [] },
  // Its rights are the same in the documents: docs/backends.md.
  Deno: {
    name: deno,
    program: isWindows ? 'deno.exe' : 'deno',
    version: '2.9.6',
    args: ['run', '--no-prompt', '--allow-ffi', '--allow-read', '--allow-write', '--allow-env', '--allow-sys', '--allow-net'],
  },
}

/**
 * The path of a runtime's program.
 *
 * @param {keyof typeof RUNTIMES} runtime
 */
export function programOf(runtime) {
  const { name, program, version } = RUNTIMES[runtime]
  const folder = installOnDemand(`runtime-${name.replace(/^@(\w+)\//, '$1-')}-${version}`, [`${name}@${version}`])
  const file = join(folder, 'node_modules', name, program)
  if (!isWindows) chmodSync(file, 0o755)
  return file
}
