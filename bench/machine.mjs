// The circumstances of a run: machine, versions, commit. They stand above every table.

import { execFileSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { availableParallelism, cpus, loadavg, release, totalmem } from 'node:os'
import { basename, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const ROOT = fileURLToPath(new URL('../', import.meta.url))

export function describeMachine() {
  return {
    cpu: cpus()[0]?.model.trim() ?? 'unknown',
    cores: availableParallelism(),
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    system: `${process.platform} ${release()} ${process.arch}`,
    node: process.versions.node,
    loadAtStart: loadavg()[0],
  }
}

/** @param {import('./backends/index.mjs').Candidate[]} candidates */
export function describeVersions(candidates) {
  /** @type {Record<string, string>} */
  const versions = { sagastore: versionIn(`${ROOT}package.json`) }
  for (const { package: name } of candidates) {
    if (name !== undefined) versions[name] = versionIn(manifestOf(name))
  }
  return versions
}

/** The commit, and whether the working tree had changes beside it. */
export function describeCommit() {
  const commit = git('rev-parse', 'HEAD')
  return { commit: commit ?? 'none', changed: git('status', '--porcelain') !== '' }
}

/** The addon's file. A release build has no debug sections. Figures of a debug build must never pass for real ones. */
export function describeAddon() {
  // The variable is how napi-rs is told to load another one.
  const path = process.env.NAPI_RS_NATIVE_LIBRARY_PATH || addonIn(ROOT)
  if (path === undefined) throw new Error(`there is no sagastore.*.node in ${ROOT}: run 'npm run build' first`)
  const bytes = readFileSync(path)
  return { file: basename(path), bytes: bytes.length, build: bytes.includes('\0.debug_line\0') ? 'debug' : 'release' }
}

/** @param {string} directory */
function addonIn(directory) {
  const file = readdirSync(directory).find((name) => /^sagastore\..+\.node$/.test(name))
  return file && join(directory, file)
}

/**
 * The version of the driver that the candidates get. Drivers that only `--client` needs come with the tests.
 *
 * @param {string} name
 */
function manifestOf(name) {
  const places = [`${ROOT}bench/node_modules/`, `${ROOT}node_modules/`].map((place) => `${place}${name}/package.json`)
  return places.find((file) => existsSync(file)) ?? places[0]
}

/** @param {string} file */
function versionIn(file) {
  return JSON.parse(readFileSync(file, 'utf8')).version
}

/** @param {string[]} args */
function git(...args) {
  try {
    return execFileSync('git', args, { cwd: ROOT, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim()
  } catch {
    return undefined
  }
}
