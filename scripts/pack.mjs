// Packs the main package and platform packages into a folder, as they are published:
//
//   node scripts/pack.mjs <folder> [--target linux-x64-gnu ... | --all] [--addons <folder of the .node files>] [--release]
//
// A platform package for glibc says from which version on its addon loads. What the addon needs is looked up in it: with
// --release one that needs more than npm/<target>/README.md promises is refused, otherwise the copy tells the truth.
//
// Copies are packed, never the tracked folders: into the copy of npm/<target>/ goes the addon, into the
// copy of package.json go the optionalDependencies. They cannot be committed, because `npm ci` refuses
// a lockfile whose optional packages have not been published yet.
import { spawnSync } from 'node:child_process'
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { byVersion, neededGlibc } from './elf.mjs'

const root = dirname(dirname(fileURLToPath(import.meta.url)))

/** The target that this process runs on, such as `linux-x64-gnu`. */
export function machineTarget() {
  const { platform, arch } = process
  if (platform === 'win32') return `win32-${arch}-msvc`
  if (platform !== 'linux') return `${platform}-${arch}`
  return `linux-${arch}-${process.report.getReport().header.glibcVersionRuntime ? 'gnu' : 'musl'}`
}

/** npm's script, to be run by node: works without a shell, and with any PATH. */
export function npmCli() {
  if (process.env.npm_execpath?.endsWith('npm-cli.js')) return process.env.npm_execpath
  for (const directory of (process.env.PATH ?? '').split(delimiter)) {
    const script = join(directory, 'node_modules', 'npm', 'bin', 'npm-cli.js')
    if (process.platform === 'win32' && existsSync(script)) return script
    const link = join(directory, 'npm')
    if (process.platform !== 'win32' && existsSync(link) && realpathSync(link).endsWith('npm-cli.js')) return realpathSync(link)
  }
  throw new Error('npm was not found on the PATH')
}

/** Packs into `folder`; answers the paths of the tarballs, the main package's first. */
export function pack(folder, { targets = [machineTarget()], addons = root, release = false } = {}) {
  const stage = mkdtempSync(join(tmpdir(), 'sagastore-pack-'))
  try {
    mkdirSync(folder, { recursive: true })
    const copies = [stageMain(stage), ...targets.map((target) => stagePlatform(stage, target, addons, release))]
    return copies.map((copy) => npmPack(copy, resolve(folder)))
  } finally {
    rmSync(stage, { recursive: true, force: true })
  }
}

export const allTargets = readdirSync(join(root, 'npm')).sort()

function stageMain(stage) {
  const { scripts, devDependencies, allowScripts, napi, ...published } = readManifest(root)
  const copy = join(stage, 'main')
  mkdirSync(copy)
  for (const name of [...published.files, 'README.md', 'LICENSE']) {
    if (existsSync(join(root, name))) cpSync(join(root, name), join(copy, name), { recursive: true })
    else if (/\.(js|d\.ts)$/.test(name)) throw new Error(`${name} is missing: run \`npm run build\``)
  }
  for (const name of ['README.md', 'CHANGELOG.md']) {
    const file = join(copy, name)
    writeFileSync(file, withAddresses(readFileSync(file, 'utf8'), published))
  }
  published.optionalDependencies = Object.fromEntries(allTargets.map((target) => [`${published.name}-${target}`, published.version]))
  writeManifest(copy, published)
  return copy
}

/**
 * A document with addresses in place of relative links: those of this version's files, because `docs/` is not in the package.
 * Pictures come from where they are served as pictures.
 */
function withAddresses(text, { repository, version }) {
  const address = repository.url.replace(/^git\+|\.git$/g, '')
  const picturesAt = address.replace('https://github.com/', 'https://raw.githubusercontent.com/')
  return text.replace(/(!?)(\[[^\]]*\])\((?!https?:|#)([^)\s]+)\)/g, (_, mark, label, path) =>
    mark === '!' ? `!${label}(${picturesAt}/v${version}/${path})` : `${label}(${address}/blob/v${version}/${path})`,
  )
}

function stagePlatform(stage, target, addons, release) {
  if (!allTargets.includes(target)) throw new Error(`there is no npm/${target}; there are ${allTargets.join(', ')}`)
  const main = readManifest(root)
  const manifest = readManifest(join(root, 'npm', target))
  if (manifest.version !== main.version) {
    throw new Error(`npm/${target} has version ${manifest.version}, package.json ${main.version}: run \`npx napi version\``)
  }
  const addon = join(addons, manifest.main)
  if (!existsSync(addon)) throw new Error(`${addon} is missing: run \`npm run build:native\``)
  const copy = join(stage, target)
  cpSync(join(root, 'npm', target), copy, { recursive: true })
  cpSync(addon, join(copy, manifest.main))
  if (target.startsWith('linux-')) sayGlibc(copy, manifest, target, readFileSync(addon), release)
  cpSync(join(root, 'LICENSE'), join(copy, 'LICENSE'))
  writeManifest(copy, manifest)
  return copy
}

/** Compares what an addon needs of glibc with what its package says. */
function sayGlibc(copy, manifest, target, addon, release) {
  const needed = neededGlibc(addon)
  if (target.endsWith('-musl')) {
    if (needed !== undefined) throw new Error(`${manifest.main} needs glibc ${needed}: it was not built for musl`)
    return
  }
  const promised = /glibc ([\d.]+)/.exec(manifest.description)?.[1]
  if (promised === undefined) throw new Error(`npm/${target}/package.json does not say which glibc the addon needs`)
  if (needed === undefined || byVersion(needed, promised) <= 0) return
  if (release) {
    throw new Error(
      `${manifest.main} needs glibc ${needed}, and ${manifest.name} promises ${promised}: build it with scripts/pack-addon.mjs`,
    )
  }
  const said = (text) => text.replaceAll(`glibc ${promised}`, `glibc ${needed}`)
  manifest.description = said(manifest.description)
  const readme = join(copy, 'README.md')
  writeFileSync(readme, said(readFileSync(readme, 'utf8')))
}

function npmPack(copy, folder) {
  const args = [npmCli(), 'pack', copy, '--pack-destination', folder, '--ignore-scripts', '--loglevel=error']
  const result = spawnSync(process.execPath, args, { encoding: 'utf8' })
  if (result.status !== 0) throw new Error(`npm pack of ${copy} failed\n${result.stderr}`)
  const { name, version } = readManifest(copy)
  return join(folder, `${name}-${version}.tgz`)
}

function readManifest(folder) {
  return JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'))
}

function writeManifest(folder, manifest) {
  writeFileSync(join(folder, 'package.json'), `${JSON.stringify(manifest, null, 2)}\n`)
}

if (process.argv[1] && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      target: { type: 'string', multiple: true },
      all: { type: 'boolean' },
      addons: { type: 'string' },
      release: { type: 'boolean' },
    },
  })
  if (positionals.length !== 1) {
    console.error('usage: node scripts/pack.mjs <folder> [--target <target> ... | --all] [--addons <folder>] [--release]')
    process.exit(2)
  }
  const targets = values.all ? allTargets : values.target
  for (const tarball of pack(positionals[0], { targets, addons: values.addons, release: values.release })) {
    console.log(`${tarball}  ${(statSync(tarball).size / 1e6).toFixed(2)} MB`)
  }
}
