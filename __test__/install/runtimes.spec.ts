// The same program on Node.js 22, 24 and 26, on Bun and on Deno; and what is said where a runtime was told not to load addons.
import { execFile } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { machineTarget } from '../../scripts/pack.mjs'
import { programOf, RUNTIMES, type Runtime } from '../../scripts/runtimes.mjs'
import { root } from '../support/programs'

const runtimes = Object.keys(RUNTIMES) as Runtime[]
const servers = [process.env.REDIS_URL, process.env.POSTGRES_URL].filter((url) => url !== undefined)
// Deno and Bun have no binary for musl in these packages.
const isSkipped = machineTarget().endsWith('-musl')
if (isSkipped) console.warn('SKIPPED: other runtimes (their npm packages are for glibc)')

let project: string
let failing: string

beforeAll(async () => {
  project = mkdtempSync(join(tmpdir(), 'sagastore-runtimes-'))
  cpSync(join(__dirname, 'project', 'smoke.mjs'), join(project, 'smoke.mjs'))
  mkdirSync(join(project, 'node_modules'))
  symlinkSync(root, join(project, 'node_modules', 'sagastore'))
  // Deno looks for packages only where a package.json is.
  writeFileSync(join(project, 'package.json'), '{ "private": true }')
  failing = join(project, 'load.mjs')
  writeFileSync(failing, "await import('sagastore').then(() => console.log('loaded'), (error) => console.log(error.message))\n")
  if (!isSkipped) for (const runtime of runtimes) programOf(runtime)
}, 240_000)

afterAll(() => rmSync(project, { recursive: true, force: true }))

const execute = (program: string, args: string[], env: NodeJS.ProcessEnv = {}) =>
  promisify(execFile)(program, args, {
    cwd: project,
    env: { ...process.env, NO_COLOR: '1', DENO_NO_UPDATE_CHECK: '1', NODE_OPTIONS: '', ...env },
    timeout: 50_000,
  })

describe.skipIf(isSkipped)('the same program', () => {
  it.concurrent.each(runtimes)('on %s', async (runtime) => {
    const { stdout } = await execute(programOf(runtime), [...RUNTIMES[runtime].args, 'smoke.mjs', ...servers])
    expect(stdout).toBe('all well\n')
  })

  it.concurrent('on this one', async () => {
    expect((await execute(process.execPath, ['smoke.mjs', ...servers])).stdout).toBe('all well\n')
  })
})

describe.skipIf(isSkipped)('a runtime that may not load addons', () => {
  /** The lines of the error. */
  const said = async (program: string, ...args: string[]) => (await execute(program, [...args, failing])).stdout.trimEnd().split('\n')
  const disabled = 'Cause: Cannot load native addon because loading addons is disabled.'
  const reads = `--allow-fs-read=${process.platform === 'win32' ? '*' : '/'}`

  it.each(['this one', 'Node.js 24', 'Node.js 26'] as const)('--no-addons, %s', async (runtime) => {
    const program = runtime === 'this one' ? process.execPath : programOf(runtime)
    const lines = await said(program, '--no-addons')
    expect(lines.slice(2)).toEqual([disabled, 'Node.js was started with --no-addons: leave it out.'])
  })

  it.each(['Node.js 24', 'Node.js 26'] as const)('--permission without --allow-addons, %s', async (runtime) => {
    const lines = await said(programOf(runtime), '--permission', reads)
    expect(lines.slice(2)).toEqual([disabled, 'Node.js was started with --permission, which forbids native addons: add --allow-addons.'])
    expect(await said(programOf(runtime), '--permission', reads, '--allow-addons')).toEqual(['loaded'])
  })

  it('Deno without --allow-ffi, and without more', async () => {
    const deno = programOf('Deno')
    const run = (...rights: string[]) => said(deno, 'run', '--no-prompt', ...rights)
    const file = `sagastore.${machineTarget()}.node`
    const missing = await run('--allow-read', '--allow-env')
    expect(missing[0]).toMatch(/^sagastore: the native addon for \S+ cannot be loaded \(Deno [\d.]+\)\.$/)
    expect(missing[2]).toMatch(/^Cause: Requires ffi access to .*sagastore\..*\.node/)
    expect(missing[3]).toBe('Deno loads native addons only with --allow-ffi, --allow-read and --allow-env.')
    expect((await run('--allow-ffi', '--allow-read'))[2]).toContain('Requires env access')
    expect((await run('--allow-ffi', '--allow-env'))[3]).toBe(
      `Deno sees the package ${file.slice(0, -5).replace('.', '-')} only with --allow-read. If it has that, install the package in the same version as sagastore.`,
    )
    expect(await run('--allow-ffi', '--allow-read', '--allow-env')).toEqual(['loaded'])
  })

  it('a glibc that is too old: which one is needed, and which is there', async () => {
    // What the system's loader says there, word for word; the addon of another machine cannot be had here.
    const cause =
      "/lib/x86_64-linux-gnu/libc.so.6: version `GLIBC_2.34' not found (required by /app/node_modules/sagastore-linux-x64-gnu/a.node)"
    const stub = join(project, 'old.cjs')
    writeFileSync(stub, `throw new Error(${JSON.stringify(cause)})`)
    const { stdout } = await execute(process.execPath, [failing], { NAPI_RS_NATIVE_LIBRARY_PATH: stub })
    const lines = stdout.trimEnd().split('\n')
    expect(lines[2]).toBe(`Cause: ${cause}`)
    expect(lines[3]).toMatch(
      machineTarget().endsWith('-gnu')
        ? /^The addon needs glibc 2\.34 or later, and this system has \d+\.\d+: run it on a newer system, or build it on this one\.$/
        : /^The addon needs glibc 2\.34 or later, and this system has an older one/,
    )
  })

  it('what bundles or runs the program has no loader for .node', async () => {
    const stub = join(project, 'bundled.cjs')
    writeFileSync(stub, `throw new Error('Dynamic require of "sagastore-linux-x64-gnu" is not supported')`)
    const { stdout } = await execute(process.execPath, [failing], { NAPI_RS_NATIVE_LIBRARY_PATH: stub })
    expect(stdout).toContain('does not load .node files: leave sagastore out of the bundle (docs/bundlers.md has the setting).')
  })
})
