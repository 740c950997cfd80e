// Packages that only some tests need, and that are no development packages: they are installed into .services, each folder once.
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = dirname(dirname(fileURLToPath(import.meta.url)))

/**
 * The folder whose node_modules has these packages. Their scripts are not run.
 *
 * @param {string} name of the folder; another one for other versions
 * @param {string[]} packages with their versions
 */
export function installOnDemand(name, packages) {
  const folder = join(root, '.services', name)
  if (existsSync(folder)) return folder

  mkdirSync(dirname(folder), { recursive: true })
  const work = mkdtempSync(`${folder}-`)
  try {
    writeFileSync(join(work, 'package.json'), '{ "private": true }')
    const args = ['install', '--prefix', work, '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error', ...packages]
    const { status, stdout, stderr } = spawnSync('npm', args, { encoding: 'utf8', shell: process.platform === 'win32' })
    if (status !== 0) throw new Error(`installing ${packages.join(' ')} failed (exit code ${status})\n${stdout}${stderr}`)
    try {
      renameSync(work, folder)
    } catch (error) {
      // Another process has installed it meanwhile.
      if (!existsSync(folder)) throw error
    }
  } finally {
    rmSync(work, { recursive: true, force: true })
  }
  return folder
}
