// A Node.js that has node:sqlite, for tests: this one, or one that is installed into .services once.
// The npm package `node` would put itself before the real one in every npm script.
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const VERSION = '22.23.3'

/** The path of its program. */
export function nodeWithSqlite() {
  if (spawnSync(process.execPath, ['-e', 'require("node:sqlite")'], { stdio: 'ignore' }).status === 0) return process.execPath
  const isWindows = process.platform === 'win32'
  const name = `node-${isWindows ? 'win' : process.platform}-${process.arch}`
  const folder = join(root, '.services', `node-${VERSION}`)
  const program = join(folder, 'node_modules', name, 'bin', isWindows ? 'node.exe' : 'node')
  if (existsSync(program)) return program

  mkdirSync(dirname(folder), { recursive: true })
  const work = mkdtempSync(`${folder}-`)
  try {
    const { status, stdout, stderr } = spawnSync(
      'npm',
      ['install', '--prefix', work, '--no-save', '--no-audit', '--no-fund', '--loglevel=error', `${name}@${VERSION}`],
      { encoding: 'utf8', shell: isWindows },
    )
    if (status !== 0) throw new Error(`installing ${name}@${VERSION} failed (exit code ${status})\n${stdout}${stderr}`)
    try {
      renameSync(work, folder)
    } catch (error) {
      // Another process has installed it meanwhile.
      if (!existsSync(program)) throw error
    }
  } finally {
    rmSync(work, { recursive: true, force: true })
  }
  return program
}
