// What a user gets: the packed tarballs, installed into an empty project where there is no Rust.
// With SAGASTORE_PACKAGES=<folder> (release.yml) these tarballs are tested; without, they are packed here.
// SAGASTORE_TARGET is the target that the machine is meant to be.
import { execFile } from 'node:child_process'
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { homedir, tmpdir } from 'node:os'
import { delimiter, dirname, join, resolve, sep } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { byVersion, neededGlibc } from '../../scripts/elf.mjs'
import { allTargets, machineTarget, npmCli } from '../../scripts/pack.mjs'
import { startRegistry } from './registry'
import { isStripped, readTarball } from './tarball'

const root = join(__dirname, '..', '..')
const target = machineTarget()
const platformPackage = `sagastore-${target}`
const addonFile = `sagastore.${target}.node`
const { version } = readJson(join(root, 'package.json'))

const scratch = mkdtempSync(join(tmpdir(), 'sagastore-install-'))
const packages = resolve(root, process.env.SAGASTORE_PACKAGES ?? join(scratch, 'packages'))
const mainTarball = join(packages, `sagastore-${version}.tgz`)
const platformTarball = join(packages, `${platformPackage}-${version}.tgz`)
const project = join(scratch, 'project')

let platformFiles: Map<string, Buffer>
let addon: Buffer

const require = createRequire(__filename)
const execute = promisify(execFile)

beforeAll(async () => {
  if (!process.env.SAGASTORE_PACKAGES) await execute(process.execPath, [join(root, 'scripts', 'pack.mjs'), packages])
  platformFiles = readTarball(platformTarball)
  addon = platformFiles.get(addonFile) ?? Buffer.alloc(0)
  await install()
}, 120_000)

afterAll(() => rmSync(scratch, { recursive: true, force: true }))

describe('the package', () => {
  test('installs the addon of this platform and no other, without Rust and without scripts', async () => {
    expect(target).toBe(process.env.SAGASTORE_TARGET ?? target)
    for (const tool of ['cargo', 'rustc']) await expect(execute(tool, ['--version'], { env: bareEnvironment() })).rejects.toThrow('ENOENT')
    expect(readdirSync(join(project, 'node_modules')).filter((name) => !name.startsWith('.'))).toEqual(['sagastore', platformPackage])
    for (const name of ['sagastore', platformPackage]) {
      expect(readJson(join(project, 'node_modules', name, 'package.json'))).not.toHaveProperty('scripts')
    }
  })

  test.each(['commonjs.cjs', 'module.mjs', 'worker.mjs'])('runs %s', async (file) => {
    expect(await node(file)).toBe('stored\n')
  })

  test('has the command line, which needs nothing else', async () => {
    const linked = join(project, 'node_modules', '.bin', 'sagastore')
    const command = process.platform === 'win32' ? [join(project, 'node_modules', 'sagastore', 'cli.js')] : [linked]
    const run = (...args: string[]) => execute(process.execPath, [...command, ...args], { cwd: project, env: bareEnvironment() })
    expect((await run('--version')).stdout).toBe(`${version}\n`)
    expect(JSON.parse((await run('health', 'memory://', '--json')).stdout)).toMatchObject({ status: 'healthy' })
  })

  test.each([
    ['node16', 'node16'],
    ['esnext', 'bundler'],
  ])('has types that compile and refuse, module %s with resolution %s', async (module, moduleResolution) => {
    const compilerOptions = {
      module,
      moduleResolution,
      target: 'es2022',
      strict: true,
      noEmit: true,
      // The package's declarations are checked too. The project has none of Node.js; the repository's are taken.
      skipLibCheck: false,
      types: ['node'],
      typeRoots: [join(root, 'node_modules', '@types')],
    }
    // `import x = require()` exists where the output is CommonJS.
    const files = moduleResolution === 'bundler' ? ['types.mts'] : ['types.mts', 'types.cts']
    writeFileSync(join(project, `tsconfig.${module}.json`), JSON.stringify({ compilerOptions, files }))
    const tsc = require.resolve('typescript/lib/tsc.js')
    const result = execute(process.execPath, [tsc, '-p', `tsconfig.${module}.json`], { cwd: project, env: bareEnvironment() })
    expect(await result.catch((error) => error)).toMatchObject({ stdout: '' })
  })

  test('can be bundled by esbuild, the addon copied beside the bundle', async () => {
    const { build } = await import('esbuild')
    await build({
      absWorkingDir: project,
      entryPoints: ['commonjs.cjs'],
      outdir: 'bundle',
      bundle: true,
      platform: 'node',
      loader: { '.node': 'copy' },
      logLevel: 'error',
    })
    const bundle = join(scratch, 'bundle')
    cpSync(join(project, 'bundle'), bundle, { recursive: true })
    expect(readdirSync(bundle).sort()).toEqual(['commonjs.js', expect.stringMatching(/\.node$/)])
    expect(await node('commonjs.js', bundle)).toBe('stored\n')
  })
})

describe('the tarballs', () => {
  test('hold what is needed and nothing else, and no path of the machine', () => {
    const main = readTarball(mainTarball)
    const documents = ['CHANGELOG.md', 'LICENSE', 'README.md']
    expect([...main.keys()].filter((name) => !documents.includes(name)).sort()).toEqual([
      'cli.js',
      'index.d.ts',
      'index.js',
      'package.json',
    ])
    for (const [name, content] of main) {
      for (const path of [root, homedir() + sep, tmpdir() + sep]) expect(content.includes(path), `${path} in ${name}`).toBe(false)
    }
    expect([...platformFiles.keys()].sort()).toEqual(['LICENSE', 'README.md', 'package.json', addonFile])
  })

  test('tell where the project is, and nothing of how it is developed', () => {
    const { scripts, devDependencies, allowScripts, napi, ...published } = readJson(join(root, 'package.json'))
    const manifest = JSON.parse(String(readTarball(mainTarball).get('package.json')))
    expect(manifest).toEqual({ ...published, optionalDependencies: expect.any(Object) })
    for (const field of ['homepage', 'bugs', 'repository', 'author', 'license', 'keywords']) expect(manifest).toHaveProperty(field)
    expect(manifest.type).toBe('commonjs')
  })

  test('have documents whose links work on npm: to the files of this version', () => {
    const files = `https://github.com/sagastore/sagastore/blob/v${version}/`
    const pictures = `https://raw.githubusercontent.com/sagastore/sagastore/v${version}/`
    for (const name of ['README.md', 'CHANGELOG.md']) {
      const text = String(readTarball(mainTarball).get(name))
      const links = [...text.matchAll(/(!?)\[[^\]]*\]\(([^)\s]+)\)/g)].map(([, mark, link = '']) => ({ mark, link }))
      expect(links.length).toBeGreaterThan(5)
      for (const { mark, link } of links) {
        if (!/github/.test(link)) expect(link).toMatch(/^(https:|#)/)
        else if (link.startsWith(mark === '!' ? pictures : files)) {
          const file = link.slice((mark === '!' ? pictures : files).length).split('#')[0] as string
          expect(existsSync(join(root, file)), link).toBe(true)
        }
      }
    }
  })

  test('say which glibc the addon needs, and it is true', () => {
    const needed = neededGlibc(addon)
    if (!target.endsWith('-gnu')) return expect(needed).toBeUndefined()
    const said = /glibc ([\d.]+) or later/
    const [, promised = ''] = said.exec(String(platformFiles.get('README.md'))) ?? []
    expect(JSON.parse(String(platformFiles.get('package.json'))).description).toContain(`glibc ${promised} or later`)
    expect(byVersion(needed as string, promised)).toBeLessThanOrEqual(0)
    // Those of a release keep what the tree says.
    if (process.env.SAGASTORE_PACKAGES)
      expect(promised).toBe(said.exec(readJson(join(root, 'npm', target, 'package.json')).description)?.[1])
  })

  test('are small enough', () => {
    const isRelease = isStripped(addon) ?? true
    const contents = { [mainTarball]: readTarball(mainTarball), [platformTarball]: platformFiles }
    const sizes = Object.entries(contents).map(([tarball, files]) => {
      const unpacked = [...files.values()].reduce((sum, file) => sum + file.length, 0)
      return `${tarball.slice(packages.length + 1)}: ${megabytes(readFileSync(tarball).length)} packed, ${megabytes(unpacked)} unpacked`
    })
    console.log([...sizes, `${addonFile}: ${megabytes(addon.length)}, ${isRelease ? 'release' : 'debug'} build`].join('\n'))
    if (isRelease) expect(addon.length).toBeLessThan(24_000_000)
    if (!process.env.SAGASTORE_PACKAGES) return
    expect(isRelease, 'a stripped release build').toBe(true)
    expect(/\.cargo[/\\]registry/.test(addon.toString('latin1')), 'paths of the build machine').toBe(false)
  })

  test('name one platform package each, in the version of the main package', async () => {
    const { parseTriple } = await import('@napi-rs/cli')
    const repository = readJson(join(root, 'package.json'))
    const triples: string[] = repository.napi.targets
    expect(triples.map((triple) => parseTriple(triple).platformArchABI).sort()).toEqual(allTargets)
    const published = JSON.parse(String(readTarball(mainTarball).get('package.json')))
    expect(published.optionalDependencies).toEqual(Object.fromEntries(allTargets.map((name) => [`sagastore-${name}`, version])))
    expect(repository.optionalDependencies ?? {}, 'npm ci refuses packages that are not published yet').toEqual({})

    const libcs: Record<string, string> = { gnu: 'glibc', musl: 'musl' }
    for (const name of allTargets) {
      const [os, cpu, abi = ''] = name.split('-')
      const file = `sagastore.${name}.node`
      expect(readJson(join(root, 'npm', name, 'package.json'))).toEqual({
        name: `sagastore-${name}`,
        version,
        description: expect.any(String),
        homepage: repository.homepage,
        bugs: repository.bugs,
        // npm accepts a provenance only from the repository that the package names.
        repository: { ...repository.repository, directory: `npm/${name}` },
        license: repository.license,
        author: repository.author,
        main: file,
        files: [file],
        engines: repository.engines,
        os: [os],
        cpu: [cpu],
        ...(libcs[abi] ? { libc: [libcs[abi]] } : {}),
      })
    }
  })
})

describe('an addon that cannot be loaded', () => {
  const first = `sagastore: the native addon for ${target} cannot be loaded (Node.js ${process.versions.node}).`
  const looked = (folder: string) =>
    `Looked for the package ${platformPackage} and for the file ${addonFile} in ${join(folder, 'node_modules', 'sagastore')}.`

  test('is missing: the platform, what was looked for, the cause and a way out are named', async () => {
    const folder = projectWithout()
    expect(await loadFailure(folder)).toEqual([
      first,
      looked(folder),
      `Cause: neither is there (Cannot find module '${platformPackage}')`,
      `${platformPackage} is an optional dependency. It is left out by --omit=optional, by a lockfile or a node_modules folder made on another platform, ` +
        'and by a bundle without it: install it in the same version as sagastore.',
    ])
  })

  test.each([
    // Not longer: an ELF file whose header is whole but whose segments are not kills the process in the system's loader (SIGBUS).
    ['is cut off', () => addon.subarray(0, 40)],
    ['is no addon', () => Buffer.from('<html>proxy error</html>\n'.repeat(100))],
    ['is empty', () => Buffer.alloc(0)],
  ])('%s: the file and the system’s reason are named', async (_, damaged) => {
    const folder = projectWithout()
    const file = damagedPackage(folder, damaged())
    const [one, two, cause, advice] = await loadFailure(folder)
    expect([one, two]).toEqual([first, looked(folder)])
    expect(cause).toMatch(/^Cause: .+/)
    expect(cause).not.toContain('Cannot find module')
    // Windows says only what is wrong with it.
    if (process.platform !== 'win32') expect(cause).toContain(file)
    expect(advice).toContain('The file is there, but it is damaged or made for another system')
  })

  test('is not the file that its package names: that file is named', async () => {
    const folder = projectWithout()
    const file = damagedPackage(folder, Buffer.alloc(0))
    rmSync(file)
    expect((await loadFailure(folder))[2]).toContain(`Cannot find module '${file}'`)
  })

  test('NAPI_RS_NATIVE_LIBRARY_PATH does not hide the reason', async () => {
    const unset = `Unset it, and the package ${platformPackage} (file ${addonFile}) is used.`
    const absent = join(scratch, 'absent.node')
    const only = (path: string) => `Looked for ${path} only, because NAPI_RS_NATIVE_LIBRARY_PATH is set.`
    const [, looked, cause, advice] = await loadFailure(project, { NAPI_RS_NATIVE_LIBRARY_PATH: absent })
    expect([looked, cause, advice]).toEqual([only(absent), `Cause: Cannot find module '${absent}'`, unset])

    const foreign = join(scratch, 'foreign.cjs')
    writeFileSync(foreign, 'exports.transform = () => {}')
    expect(await loadFailure(project, { NAPI_RS_NATIVE_LIBRARY_PATH: foreign })).toEqual([
      first,
      only(foreign),
      'Cause: what was loaded is not the addon of sagastore',
      unset,
    ])
  })

  test('has no package for the platform: those that there are are named', async () => {
    const file = join(scratch, 'platform.cjs')
    writeFileSync(file, "Object.defineProperty(process, 'platform', { value: 'freebsd' })")
    const lines = await loadFailure(projectWithout(), { NODE_OPTIONS: `--require ${JSON.stringify(file)}` })
    expect(lines[0]).toContain(`the native addon for freebsd-${process.arch} cannot be loaded`)
    const named = lines[3]
      ?.match(/^There is no package for \S+\. There are packages for (.+)\.$/)?.[1]
      ?.split(', ')
      .sort()
    expect(named).toEqual(allTargets)
  })
})

/** `npm install sagastore` from a registry that knows all platform packages, but has the tarball of this one only. */
async function install(): Promise<void> {
  cpSync(join(__dirname, 'project'), project, { recursive: true })
  writeFileSync(join(project, 'package.json'), '{ "private": true }')
  const registry = await startRegistry([
    { manifest: JSON.parse(String(readTarball(mainTarball).get('package.json'))), tarball: mainTarball },
    ...allTargets.map((name) => ({
      manifest: readJson(join(root, 'npm', name, 'package.json')),
      tarball: name === target ? platformTarball : undefined,
    })),
  ])
  const userConfig = join(scratch, 'npmrc')
  writeFileSync(userConfig, `registry=${registry.url}\ncache=${join(scratch, 'cache')}\naudit=false\nfund=false\nupdate-notifier=false\n`)
  try {
    const env = { ...bareEnvironment(), npm_config_userconfig: userConfig }
    await execute(process.execPath, [npmCli(), 'install', 'sagastore'], { cwd: project, env })
  } finally {
    registry.close()
  }
}

/** An environment with node on the PATH and nothing else: no Rust, no settings of the outer npm or vitest. */
function bareEnvironment(): NodeJS.ProcessEnv {
  const { SystemRoot, TEMP } = process.env
  if (process.platform === 'win32')
    return { SystemRoot, TEMP, PATH: [dirname(process.execPath), `${SystemRoot}\\System32`].join(delimiter) }
  const bin = join(scratch, 'bin')
  mkdirSync(bin, { recursive: true })
  if (!readdirSync(bin).includes('node')) symlinkSync(process.execPath, join(bin, 'node'))
  return { PATH: bin, HOME: scratch }
}

async function node(file: string, cwd = project): Promise<string> {
  const { stdout, stderr } = await execute(process.execPath, [file], { cwd, env: bareEnvironment(), timeout: 30_000 })
  expect(stderr).toBe('')
  return stdout
}

/** A project with the main package but without the platform package. */
function projectWithout(): string {
  const folder = mkdtempSync(join(scratch, 'without-'))
  cpSync(join(project, 'node_modules', 'sagastore'), join(folder, 'node_modules', 'sagastore'), { recursive: true })
  return folder
}

/** Adds a platform package with a damaged addon; answers the addon's path. */
function damagedPackage(folder: string, addon: Buffer): string {
  const directory = join(folder, 'node_modules', platformPackage)
  cpSync(join(root, 'npm', target), directory, { recursive: true })
  writeFileSync(join(directory, addonFile), addon)
  return join(directory, addonFile)
}

/** The lines of the error that `require('sagastore')` throws. */
async function loadFailure(folder: string, variables: NodeJS.ProcessEnv = {}): Promise<string[]> {
  const script = "try { require('sagastore'); console.log('loaded') } catch (error) { console.log(error.message) }"
  const env = { ...bareEnvironment(), ...variables }
  const { stdout } = await execute(process.execPath, ['-e', script], { cwd: folder, env })
  return stdout.trimEnd().split('\n')
}

function readJson(file: string) {
  return JSON.parse(readFileSync(file, 'utf8'))
}

function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(2)} MB`
}
