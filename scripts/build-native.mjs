// Builds the addon: `node scripts/build-native.mjs [--release] [--if-changed]`.
//
// napi-rs gives each build a folder of its own for the types it collects, so Cargo compiles the crate again even
// where nothing has changed. With --if-changed, a build of the same sources is kept, whether debug or release.
import { createHash } from 'node:crypto'
import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { root, run } from './setup.mjs'

/** Says of which sources the addon was built. */
const RECORD = join(root, 'target', 'addon.json')
const SOURCES = ['Cargo.toml', 'Cargo.lock', 'build.rs', 'rust-toolchain.toml', 'package.json', join('.cargo', 'config.toml')]
const OUTPUTS = ['native.d.ts', join('ts', 'operations.ts')]

/** @param {{ release?: boolean, ifChanged?: boolean }} options */
export function buildNative({ release = false, ifChanged = false }) {
  const sources = digestOf([...SOURCES, ...filesBelow('src')])
  if (ifChanged && readRecord() === recordOf(sources)) return
  run('npx', ['napi', 'build', '--platform', ...(release ? ['--release'] : []), '--no-js', '--dts', 'native.d.ts'])
  run('node', ['scripts/write-operations.mjs'])
  mkdirSync(join(root, 'target'), { recursive: true })
  writeFileSync(RECORD, recordOf(sources))
}

/** @param {string} sources their digest */
function recordOf(sources) {
  const addon = readdirSync(root).find((name) => /^sagastore\..+\.node$/.test(name))
  if (addon === undefined) return 'none'
  const { size, mtimeMs } = statSync(join(root, addon))
  return JSON.stringify({ sources, addon, size, mtimeMs, outputs: digestOf(OUTPUTS) })
}

function readRecord() {
  try {
    return readFileSync(RECORD, 'utf8')
  } catch {
    return undefined
  }
}

/** @param {string[]} files below the root */
function digestOf(files) {
  const hash = createHash('sha256')
  for (const file of files)
    hash
      .update(`${file}\0`)
      .update(readFileSync(join(root, file)))
      .update('\0')
  return hash.digest('hex')
}

/** @param {string} directory below the root */
function filesBelow(directory) {
  const entries = readdirSync(join(root, directory), { recursive: true, withFileTypes: true })
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath ?? entry.path, entry.name).slice(root.length + 1))
    .sort()
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  buildNative({ release: process.argv.includes('--release'), ifChanged: process.argv.includes('--if-changed') })
}
