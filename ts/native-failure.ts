// Why the addon could not be loaded, in words: what was looked for, the cause, and what to do.

/** The targets that have a package of their own: `napi.targets` of package.json, under npm's names. */
const PACKAGED = [
  'linux-x64-gnu',
  'linux-arm64-gnu',
  'linux-x64-musl',
  'linux-arm64-musl',
  'darwin-x64',
  'darwin-arm64',
  'win32-x64-msvc',
  'win32-arm64-msvc',
]

/** What bundlers and other runtimes say. */
const NO_LOADER = /dynamic require of|require is not defined|unknown file extension|no loader/i

export interface LoadFailure {
  target: string
  /** The addon's file name. */
  file: string
  /** Where it was looked for. */
  place: string
  /** What NAPI_RS_NATIVE_LIBRARY_PATH says. */
  override: string | undefined
  causes: string[]
  error: unknown
}

/** The first line of what has been thrown. Behind it Node.js tells who required what. */
export function causeLine(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).split('\n', 1)[0] ?? ''
}

/** The message of the error that the package throws when it is loaded. */
export function describe(failure: LoadFailure): string {
  const { target, file, place, override, causes } = failure
  const name = `sagastore-${target}`
  const isAbsent = override === undefined && causes.every((cause) => cause.startsWith(`Cannot find module '${name}'`))
  const looked =
    override === undefined
      ? `Looked for the package ${name} and for the file ${file} in ${place}.`
      : `Looked for ${override} only, because NAPI_RS_NATIVE_LIBRARY_PATH is set.`
  return [
    `sagastore: the native addon for ${target} cannot be loaded (${runtime()}).`,
    looked,
    `Cause: ${isAbsent ? `neither is there (Cannot find module '${name}')` : causes.join('; ')}`,
    advice(failure, name, isAbsent),
  ].join('\n')
}

function advice({ target, file, place, override, causes, error }: LoadFailure, name: string, isAbsent: boolean): string {
  const cause = causes.join('; ')
  const refused = rights(error, cause, place)
  if (refused !== undefined) return refused
  const glibc = /version [`'‘]GLIBC_([\d.]+)['’] not found/.exec(cause)?.[1]
  if (glibc !== undefined) {
    return `The addon needs glibc ${glibc} or later, and this system has ${glibcHere() ?? 'an older one'}: run it on a newer system, or build it on this one.`
  }
  if (NO_LOADER.test(cause)) {
    return 'What has bundled this program, or runs it, does not load .node files: leave sagastore out of the bundle (docs/bundlers.md has the setting).'
  }
  if (override !== undefined) return `Unset it, and the package ${name} (file ${file}) is used.`
  if (!PACKAGED.includes(target)) return `There is no package for ${target}. There are packages for ${PACKAGED.join(', ')}.`
  if (isAbsent && process.versions.deno !== undefined) {
    return `Deno sees the package ${name} only with --allow-read. If it has that, install the package in the same version as sagastore.`
  }
  if (isAbsent) {
    return (
      `${name} is an optional dependency. It is left out by --omit=optional, by a lockfile or a node_modules folder made on another platform, ` +
      'and by a bundle without it: install it in the same version as sagastore.'
    )
  }
  return 'The file is there, but it is damaged or made for another system (another libc, or a newer one): install the dependencies again, on this machine.'
}

/** Node.js or Deno was told not to let the program do what loading an addon takes. */
function rights(error: unknown, cause: string, place: string): string | undefined {
  const { code, permission } = (typeof error === 'object' && error !== null ? error : {}) as { code?: string; permission?: string }
  if (process.versions.deno !== undefined && /requires \w+ access|notcapable/i.test(cause)) {
    return 'Deno loads native addons only with --allow-ffi, --allow-read and --allow-env.'
  }
  if (code === 'ERR_DLOPEN_DISABLED') {
    return isRestricted()
      ? 'Node.js was started with --permission, which forbids native addons: add --allow-addons.'
      : 'Node.js was started with --no-addons: leave it out.'
  }
  if (code === 'ERR_ACCESS_DENIED') {
    return `Node.js was started with --permission, and ${permission ?? 'this'} is forbidden: add --allow-addons, and --allow-fs-read for ${place} and the folder of the addon.`
  }
  return undefined
}

function isRestricted(): boolean {
  return (process as { permission?: object }).permission !== undefined
}

function runtime(): string {
  const { bun, deno, node } = process.versions
  if (bun !== undefined) return `Bun ${bun}`
  if (deno !== undefined) return `Deno ${deno}`
  return `Node.js ${node}`
}

function glibcHere(): string | undefined {
  try {
    const { header } = process.report.getReport() as unknown as { header: { glibcVersionRuntime?: string } }
    return header.glibcVersionRuntime
  } catch {
    return undefined
  }
}
