// What an addon for Linux asks of the system that loads it, read from its ELF file: no tool is needed, and any machine can look at
// the addon of any other.

/**
 * The versioned libraries that an ELF file needs, such as `libc.so.6` with `GLIBC_2.2.5` and `GLIBC_2.17`.
 * `undefined` if it is no 64-bit little-endian ELF file: Mach-O and PE have no such list.
 *
 * @param {Buffer} file
 * @returns {Map<string, string[]> | undefined}
 */
export function neededVersions(file) {
  if (file.length < 64 || file.readUInt32BE(0) !== 0x7f454c46 || file[4] !== 2 || file[5] !== 1) return undefined
  const [table, size, count] = [Number(file.readBigUInt64LE(0x28)), file.readUInt16LE(0x3a), file.readUInt16LE(0x3c)]
  const section = (/** @type {number} */ index) => {
    const at = table + index * size
    return { type: file.readUInt32LE(at + 4), offset: Number(file.readBigUInt64LE(at + 24)), link: file.readUInt32LE(at + 40) }
  }
  const needed = new Map()
  const VERSIONS_NEEDED = 0x6ffffffe
  const found = Array.from({ length: count }, (_, index) => section(index)).find(({ type }) => type === VERSIONS_NEEDED)
  if (found === undefined) return needed
  const names = section(found.link).offset
  const text = (/** @type {number} */ at) => file.toString('latin1', names + at, file.indexOf(0, names + at))
  for (let library = found.offset, next = 1; next !== 0; library += next) {
    next = file.readUInt32LE(library + 12)
    const versions = []
    let version = library + file.readUInt32LE(library + 8)
    for (let left = file.readUInt16LE(library + 2); left > 0; left -= 1) {
      // A system that lacks a weak one loads the file all the same.
      const isWeak = (file.readUInt16LE(version + 4) & 2) !== 0
      if (!isWeak) versions.push(text(file.readUInt32LE(version + 8)))
      version += file.readUInt32LE(version + 12)
    }
    needed.set(text(file.readUInt32LE(library + 4)), versions)
  }
  return needed
}

/**
 * The oldest glibc that has all symbols of an addon, such as `2.17`; `undefined` if it needs none.
 *
 * @param {Buffer} file
 */
export function neededGlibc(file) {
  const versions = [...(neededVersions(file)?.values() ?? [])].flat()
  const glibc = versions.flatMap((version) => /^GLIBC_([\d.]+)$/.exec(version)?.[1] ?? [])
  return glibc.sort(byVersion).at(-1)
}

/**
 * @param {string} a
 * @param {string} b
 */
export function byVersion(a, b) {
  const [left, right] = [a, b].map((version) => version.split('.').map(Number))
  for (let at = 0; at < Math.max(left.length, right.length); at += 1) {
    const difference = (left[at] ?? 0) - (right[at] ?? 0)
    if (difference !== 0) return difference
  }
  return 0
}
