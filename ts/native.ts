import { existsSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import type * as Binding from '../native.js'
import { causeLine, describe, type LoadFailure } from './native-failure.js'

/** The native addon; a failure to load it names the platform, the file, the cause, and what to do. */
export const native: typeof Binding = load()

function load(): typeof Binding {
  const target = platformTarget()
  const failure: LoadFailure = {
    target,
    file: `sagastore.${target}.node`,
    place: here(),
    override: undefined,
    causes: [],
    error: undefined,
  }
  try {
    failure.override = process.env.NAPI_RS_NATIVE_LIBRARY_PATH || undefined
    const binding = failure.override === undefined ? requireAddon(failure) : requireFile(failure.override)
    // NAPI_RS_NATIVE_LIBRARY_PATH is shared by all napi-rs packages of a process: what it names may be another one's addon.
    if (typeof binding?.NativeStore === 'function') return binding
    failure.causes.push('what was loaded is not the addon of sagastore')
  } catch (error) {
    failure.error = error
    failure.causes.push(causeLine(error))
  }
  throw new Error(describe(failure), { cause: failure.error })
}

function requireAddon({ file, place, target }: LoadFailure): typeof Binding {
  // In the repository the addon lies beside this file.
  const local = join(place, file)
  if (isThere(local)) return requireFile(local)
  // Literal `require`s: bundlers and file tracers follow only these. They leave out what is not installed, because it is tried.
  try {
    switch (target) {
      case 'linux-x64-gnu':
        return require('sagastore-linux-x64-gnu')
      case 'linux-arm64-gnu':
        return require('sagastore-linux-arm64-gnu')
      case 'linux-x64-musl':
        return require('sagastore-linux-x64-musl')
      case 'linux-arm64-musl':
        return require('sagastore-linux-arm64-musl')
      case 'darwin-x64':
        return require('sagastore-darwin-x64')
      case 'darwin-arm64':
        return require('sagastore-darwin-arm64')
      case 'win32-x64-msvc':
        return require('sagastore-win32-x64-msvc')
      case 'win32-arm64-msvc':
        return require('sagastore-win32-arm64-msvc')
    }
  } catch (error) {
    // A reason for `requireAddon` to end here, and not for a bundler to fail.
    throw error as Error
  }
  throw new Error(`Cannot find module 'sagastore-${target}'`)
}

/** Not a `require` that a bundler would follow: it cannot know the file. */
function requireFile(file: string): typeof Binding {
  return createRequire(join(here(), 'native.js'))(file)
}

/** Where this file is; in a bundle of modules the working directory. */
function here(): string {
  return typeof __dirname === 'string' ? __dirname : process.cwd()
}

function isThere(file: string): boolean {
  try {
    return existsSync(file)
  } catch {
    // Deno without the right to read.
    return false
  }
}

function platformTarget(): string {
  const { platform, arch } = process
  if (platform === 'linux') return `linux-${arch}-${isMusl() ? 'musl' : 'gnu'}`
  if (platform === 'win32') return `win32-${arch}-msvc`
  return `${platform}-${arch}`
}

/** Each way may be forbidden (Deno, --permission), or not be there: that is no reason to fail, and none to hide the real one. */
function isMusl(): boolean {
  try {
    return readFileSync('/usr/bin/ldd', 'utf8').includes('musl')
  } catch {}
  try {
    const report = process.report as { excludeNetwork?: boolean; getReport(): object }
    const { excludeNetwork } = report
    // Without this it looks up the names of all open sockets, which can take seconds.
    report.excludeNetwork = true
    const { header } = report.getReport() as { header?: { glibcVersionRuntime?: string } }
    if (excludeNetwork !== undefined) report.excludeNetwork = excludeNetwork
    return header !== undefined && header.glibcVersionRuntime === undefined
  } catch {}
  return false
}
