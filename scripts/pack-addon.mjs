// Builds the addon that is published for one target, such as `node scripts/pack-addon.mjs x86_64-unknown-linux-musl`.
// Linux is cross-compiled from any Linux: glibc with the toolchain of napi-rs (runs from glibc 2.17 on),
// musl with cargo-zigbuild and zig, which must be on the PATH. macOS and Windows build on themselves.
import { spawnSync } from 'node:child_process'
import { createRequire } from 'node:module'
import { homedir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { debug: { type: 'boolean' }, out: { type: 'string' }, 'target-dir': { type: 'string' } },
})
const [triple] = positionals
if (!triple) {
  console.error('usage: node scripts/pack-addon.mjs <Rust target triple> [--debug] [--out <folder>] [--target-dir <folder>]')
  process.exit(2)
}

const args = ['build', '--platform', '--no-js', '--dts', 'native.d.ts', '--target', triple]
if (!values.debug) args.push('--release')
if (triple.endsWith('-linux-gnu')) args.push('--use-napi-cross')
if (triple.endsWith('-linux-musl')) args.push('--cross-compile')
if (values.out) args.push('--output-dir', values.out)
if (values['target-dir']) args.push('--target-dir', values['target-dir'])

// Panic messages carry the paths of the sources: those of the build machine do not belong in a package.
const registry = join(process.env.CARGO_HOME ?? join(homedir(), '.cargo'), 'registry', 'src')
const flags = [process.env.RUSTFLAGS, `--remap-path-prefix=${registry}=crates`, `--remap-path-prefix=${root}=sagastore`]
// Without this the addon needs a redistributable of Visual C++ that not every Windows has.
if (triple.endsWith('-windows-msvc')) flags.push('-C target-feature=+crt-static')

const napi = join(dirname(createRequire(import.meta.url).resolve('@napi-rs/cli')), 'cli.js')
const env = { ...process.env, RUSTFLAGS: flags.filter(Boolean).join(' ') }
process.exit(spawnSync(process.execPath, [napi, ...args], { cwd: root, env, stdio: 'inherit' }).status ?? 1)
