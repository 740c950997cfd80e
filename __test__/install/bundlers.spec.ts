// A program that is bundled: by the settings of docs/bundlers.md, word for word where they are code.
import { execFile } from 'node:child_process'
import { copyFileSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { installOnDemand } from '../../scripts/on-demand.mjs'
import { machineTarget } from '../../scripts/pack.mjs'
import { root } from '../support/programs'

const target = machineTarget()
const addonFile = `sagastore.${target}.node`
const program = `
const store = openStore('memory://')
store.initialize()
  .then(() => store.put('slip', Buffer.from('a routing slip')))
  .then(() => store.get('slip'))
  .then((slip) => (console.log(slip.toString()), store.close()))
`

let folder: string
let load: NodeJS.Require

beforeAll(async () => {
  const packages = ['webpack@5.113.0', 'node-loader@2.1.0', 'rollup@4.68.8', '@rollup/plugin-node-resolve@16.0.3', '@vercel/ncc@0.45.0']
  load = createRequire(join(installOnDemand('bundlers-1', packages), 'package.json'))
  // As npm installs it: the main package, and the one of this platform.
  folder = mkdtempSync(join(tmpdir(), 'sagastore-bundlers-'))
  const [main, platform] = ['sagastore', `sagastore-${target}`].map((name) => join(folder, 'node_modules', name)) as [string, string]
  for (const place of [main, platform]) mkdirSync(place, { recursive: true })
  for (const file of ['index.js', 'index.d.ts', 'package.json']) copyFileSync(join(root, file), join(main, file))
  copyFileSync(join(root, 'npm', target, 'package.json'), join(platform, 'package.json'))
  copyFileSync(join(root, addonFile), join(platform, addonFile))
  // A debug build has 250 MB, which bundlers would read and copy again and again.
  await promisify(execFile)('strip', ['--strip-debug', join(platform, addonFile)]).catch(() => undefined)
  writeFileSync(join(folder, 'package.json'), '{ "private": true }')
  writeFileSync(join(folder, 'app.cjs'), `const { openStore } = require('sagastore')\n${program}`)
  writeFileSync(join(folder, 'app.mjs'), `import { openStore } from 'sagastore'\n${program}`)
}, 240_000)

afterAll(() => rmSync(folder, { recursive: true, force: true }))

/** What a bundle prints. One that `isAlone` is moved to where there is no node_modules. */
async function run(directory: string, file: string, { isAlone = false } = {}): Promise<string> {
  let place = join(folder, directory)
  if (isAlone) {
    place = mkdtempSync(join(tmpdir(), 'sagastore-bundle-'))
    for (const name of readdirSync(join(folder, directory))) copyFileSync(join(folder, directory, name), join(place, name))
  }
  try {
    return (await promisify(execFile)(process.execPath, [join(place, file)], { cwd: place })).stdout
  } finally {
    if (isAlone) rmSync(place, { recursive: true, force: true })
  }
}

const works = 'a routing slip\n'

/** The settings as the document has them: `setting('esbuild')` is what its block exports. */
async function setting(name: string): Promise<Record<string, never>> {
  const page = readFileSync(join(root, 'docs', 'bundlers.md'), 'utf8')
  const code = new RegExp(`<!-- setting: ${name} -->\n\`\`\`js\n(.*?)\`\`\``, 's').exec(page)?.[1]
  if (code === undefined) throw new Error(`docs/bundlers.md has no setting '${name}'`)
  const file = join(folder, `${name.replaceAll(' ', '-')}.config.mjs`)
  const packages = join(folder, 'node_modules')
  for (const one of ['webpack', 'node-loader']) {
    try {
      symlinkSync(join(load.resolve(`${one}/package.json`), '..'), join(packages, one), 'junction')
    } catch {}
  }
  writeFileSync(file, code)
  return (await import(file)).default
}

describe('left out of the bundle', () => {
  it('by esbuild', async () => {
    const { build } = await import('esbuild')
    for (const [entry, format] of [
      ['app.cjs', 'cjs'],
      ['app.mjs', 'esm'],
    ] as const) {
      const result = await build({
        ...(await setting('esbuild')),
        absWorkingDir: folder,
        entryPoints: [entry],
        outfile: `esbuild/${entry}`,
        format,
      })
      expect(result.warnings).toEqual([])
      expect(await run('esbuild', entry)).toBe(works)
    }
  })

  it('by webpack, without a warning', async () => {
    const stats = await webpack({ ...(await setting('webpack')), entry: './app.cjs', output: output('webpack') })
    expect([stats.errors, stats.warnings]).toEqual([[], []])
    expect(await run('webpack', 'app.cjs')).toBe(works)
  })

  it('by rollup', async () => {
    const { rollup } = load('rollup')
    const nodeResolve = load('@rollup/plugin-node-resolve')
    const warnings: string[] = []
    const onwarn = ({ message }: { message: string }) => void warnings.push(message)
    const bundle = await rollup({ ...(await setting('rollup')), input: join(folder, 'app.mjs'), plugins: [nodeResolve()], onwarn })
    await bundle.write({ file: join(folder, 'rollup', 'app.mjs'), format: 'esm' })
    expect(warnings).toEqual([])
    expect(await run('rollup', 'app.mjs')).toBe(works)
  })

  it('by vite, for the server', async () => {
    const { build } = await import('vite')
    const output = { ssr: 'app.mjs', outDir: 'vite' }
    const config = await setting('vite')
    await build({ ...config, root: folder, configFile: false, logLevel: 'error', build: output })
    expect(await run('vite', 'app.mjs')).toBe(works)
  })
})

describe('in the bundle, the addon beside it', () => {
  it('by esbuild', async () => {
    const { build } = await import('esbuild')
    const result = await build({
      ...(await setting('esbuild inside')),
      absWorkingDir: folder,
      entryPoints: ['app.cjs'],
      outdir: 'esbuild-in',
    })
    expect(result.warnings).toEqual([])
    expect(await run('esbuild-in', 'app.js', { isAlone: true })).toBe(works)
  })

  it('by webpack: of the platforms that are not installed it warns, unless they are ignored', async () => {
    const config = (await setting('webpack inside')) as { plugins?: unknown[] }
    const { plugins: _, ...without } = config
    const loud = await webpack({ ...without, entry: './app.cjs', output: output('webpack-loud') })
    expect(loud.errors).toEqual([])
    expect(loud.warnings).toHaveLength(7)
    if (target !== 'linux-x64-gnu') return // which the document's setting is for
    const quiet = await webpack({ ...config, entry: './app.cjs', output: output('webpack-in') })
    expect([quiet.errors, quiet.warnings]).toEqual([[], []])
    expect(await run('webpack-in', 'app.cjs', { isAlone: true })).toBe(works)
  })

  it('by ncc, without a setting', async () => {
    const { code, assets } = await load('@vercel/ncc')(join(folder, 'app.cjs'), { quiet: true, cache: false })
    mkdirSync(join(folder, 'ncc'))
    writeFileSync(join(folder, 'ncc', 'index.cjs'), code)
    for (const [name, { source }] of Object.entries(assets as Record<string, { source: Buffer }>)) {
      writeFileSync(join(folder, 'ncc', name), source)
    }
    expect(Object.keys(assets)).toEqual([addonFile])
    expect(await run('ncc', 'index.cjs', { isAlone: true })).toBe(works)
  })

  it('as modules by esbuild: the error says what to do', async () => {
    const { build } = await import('esbuild')
    const bundle = { bundle: true, platform: 'node', format: 'esm', loader: { '.node': 'copy' } } as const
    await build({ ...bundle, absWorkingDir: folder, entryPoints: ['app.mjs'], outdir: 'esbuild-esm', outExtension: { '.js': '.mjs' } })
    await expect(run('esbuild-esm', 'app.mjs', { isAlone: true })).rejects.toThrow(/Dynamic require of|does not load \.node files/)
  })
})

const output = (name: string) => ({ path: join(folder, name), filename: 'app.cjs' })

function webpack(options: object): Promise<{ errors: unknown[]; warnings: unknown[] }> {
  return new Promise((resolve, reject) => {
    load('webpack')(
      { context: folder, mode: 'production', optimization: { minimize: false }, ...options },
      (error: Error | null, stats: { compilation: never }) => {
        if (error) reject(error)
        else resolve(stats.compilation)
      },
    )
  })
}
