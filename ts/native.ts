import type * as Binding from '../native.js'

/** The targets that have a package of their own: `napi.targets` of package.json, under npm's names. */
const packaged = [
  'linux-x64-gnu',
  'linux-arm64-gnu',
  'linux-x64-musl',
  'linux-arm64-musl',
  'darwin-x64',
  'darwin-arm64',
  'win32-x64-msvc',
  'win32-arm64-msvc',
]

/** The native addon; a failure to load it names the platform, the file and the cause. */
export const native: typeof Binding = load()

function load(): typeof Binding {
  let binding: typeof Binding
  try {
    // A literal `require`, not `createRequire`: bundlers and file tracers follow only this one.
    binding = require('../native.js')
  } catch (error) {
    throw new Error(describe(causesOf(error)), { cause: error })
  }
  // NAPI_RS_NATIVE_LIBRARY_PATH is shared by all napi-rs packages of a process: what it names may be another one's addon.
  if (typeof binding.NativeStore !== 'function') throw new Error(describe(['what was loaded is not the addon of sagastore']))
  return binding
}

function describe(causes: string[]): string {
  const target = platformTarget()
  const file = `sagastore.${target}.node`
  const name = `sagastore-${target}`
  // The generated loader tries one place after another. Not found there is expected; anything else is the cause.
  const broken = causes.filter((cause) => !/^Cannot find module '(\.\/sagastore\.|sagastore-)/.test(cause))
  const absent = `neither is there (Cannot find module '${name}')`

  let looked = `Looked for the package ${name} and for the file ${file} in ${__dirname}.`
  let advice: string
  const { NAPI_RS_NATIVE_LIBRARY_PATH: override, NAPI_RS_WASI_FLAVOR: flavor, NAPI_RS_FORCE_WASI: wasi } = process.env
  if (flavor || wasi === 'error') {
    looked = `Looked for a WebAssembly build only, because ${flavor ? 'NAPI_RS_WASI_FLAVOR' : 'NAPI_RS_FORCE_WASI'} is set; sagastore has none.`
    advice = `Unset it, and the package ${name} (file ${file}) is used.`
  } else if (override) {
    looked = `Looked for ${override} only, because NAPI_RS_NATIVE_LIBRARY_PATH is set.`
    advice = `Unset it, and the package ${name} (file ${file}) is used.`
  } else if (!packaged.includes(target)) {
    advice = `There is no package for ${target}. There are packages for ${packaged.join(', ')}.`
  } else if (broken.length > 0) {
    advice =
      'The file is there, but it is damaged or made for another system (another libc, or a newer one): install the dependencies again, on this machine.'
  } else {
    advice =
      `${name} is an optional dependency. It is left out by --omit=optional, by a lockfile or a node_modules folder made on another platform, ` +
      'and by a bundle without it: install it in the same version as sagastore.'
  }
  return [
    `sagastore: the native addon for ${target} cannot be loaded (Node.js ${process.versions.node}).`,
    looked,
    `Cause: ${broken.length > 0 ? [...new Set(broken)].join('; ') : absent}`,
    advice,
  ].join('\n')
}

/** First lines, in the order in which they happened; without the loader's own summary. */
function causesOf(error: unknown): string[] {
  const causes: string[] = []
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    const line = cause.message.split('\n', 1)[0] ?? ''
    if (!line.startsWith('Cannot find native binding')) causes.unshift(line)
  }
  return causes
}

function platformTarget(): string {
  const { platform, arch } = process
  if (platform === 'linux') return `linux-${arch}-${isMusl() ? 'musl' : 'gnu'}`
  if (platform === 'win32') return `win32-${arch}-msvc`
  return `${platform}-${arch}`
}

function isMusl(): boolean {
  const report: { excludeNetwork?: boolean; getReport?: () => object } | undefined = process.report
  if (!report?.getReport) return false
  // Without this it looks up the names of all open sockets, which can take seconds.
  report.excludeNetwork = true
  const { header } = report.getReport() as { header?: { glibcVersionRuntime?: string } }
  return header !== undefined && header.glibcVersionRuntime === undefined
}
