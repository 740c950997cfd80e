// Packing refuses an addon that needs more of glibc than its package promises, or one that was built for another libc.
import { execFile, execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { byVersion, neededGlibc, neededVersions } from '../../scripts/elf.mjs'
import { machineTarget } from '../../scripts/pack.mjs'
import { root } from '../support/programs'

const target = machineTarget()

/** An addon that needs this glibc: a table of versions is all that is looked at. */
function elf(versions: string[], { weak = [] as string[] } = {}): Buffer {
  const names = ['', 'libc.so.6', ...versions]
  const offsets = names.map((_, at) => names.slice(0, at).reduce((sum, name) => sum + name.length + 1, 0))
  const strings = Buffer.from(names.map((name) => `${name}\0`).join(''), 'latin1')
  const file = Buffer.alloc(64 + 3 * 64)
  file.writeUInt32BE(0x7f454c46, 0)
  file.set([2, 1], 4)
  file.writeBigUInt64LE(64n, 0x28)
  file.writeUInt16LE(64, 0x3a)
  file.writeUInt16LE(3, 0x3c)
  const needed = Buffer.alloc(16 + 16 * versions.length)
  needed.writeUInt16LE(versions.length, 2)
  needed.writeUInt32LE(offsets[1] as number, 4)
  needed.writeUInt32LE(16, 8)
  for (const [at, name] of versions.entries()) {
    const place = 16 + 16 * at
    needed.writeUInt16LE(weak.includes(name) ? 2 : 0, place + 4)
    needed.writeUInt32LE(offsets[at + 2] as number, place + 8)
    needed.writeUInt32LE(at === versions.length - 1 ? 0 : 16, place + 12)
  }
  const section = (index: number, type: number, offset: number, link: number) => {
    const at = 64 + index * 64
    file.writeUInt32LE(type, at + 4)
    file.writeBigUInt64LE(BigInt(offset), at + 24)
    file.writeUInt32LE(link, at + 40)
  }
  section(1, 3, file.length, 0)
  section(2, 0x6ffffffe, file.length + strings.length, 1)
  return Buffer.concat([file, strings, needed])
}

describe('what an addon needs of glibc', () => {
  it('is the newest version of its symbols, by numbers', () => {
    expect(neededGlibc(elf(['GLIBC_2.2.5', 'GLIBC_2.17', 'GLIBC_2.9']))).toBe('2.17')
    expect(neededGlibc(elf(['GLIBC_2.17', 'GLIBC_2.34'], { weak: ['GLIBC_2.34'] }))).toBe('2.17')
    expect(neededGlibc(elf(['GCC_3.0']))).toBeUndefined()
    expect([byVersion('2.9', '2.17'), byVersion('2.17', '2.17'), byVersion('2.2.5', '2.2')]).toEqual([-8, 0, 5])
  })

  it('is nothing that can be said of other formats', () => {
    expect(neededVersions(Buffer.from('MZ'.padEnd(64, '\0')))).toBeUndefined()
    expect(neededVersions(Buffer.alloc(0))).toBeUndefined()
  })

  it.runIf(target.endsWith('-gnu') && hasReadelf())('is what readelf says', () => {
    const file = join(root, `sagastore.${target}.node`)
    const said = execFileSync('readelf', ['--version-info', '--wide', file], { encoding: 'utf8' })
    const ours = [...(neededVersions(readFileSync(file))?.values() ?? [])].flat().sort()
    const needs = said.slice(said.indexOf('Version needs section'))
    expect([...needs.matchAll(/Name: ((?:GLIBC|GCC)_[\d.]+) +Flags: none/g)].map(([, name]) => name as string).sort()).toEqual(ours)
  })
})

describe('packing', () => {
  let folder: string
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'sagastore-glibc-'))
  })
  afterAll(() => rmSync(folder, { recursive: true, force: true }))

  const pack = (name: string, addon: Buffer, ...args: string[]) => {
    writeFileSync(join(folder, `sagastore.${name}.node`), addon)
    const command = [join(root, 'scripts', 'pack.mjs'), join(folder, 'packages'), '--target', name, '--addons', folder, ...args]
    return promisify(execFile)(process.execPath, command)
  }

  it('of a release refuses an addon that needs more than its package promises', async () => {
    await expect(pack('linux-arm64-gnu', elf(['GLIBC_2.34']), '--release')).rejects.toThrow(
      'sagastore.linux-arm64-gnu.node needs glibc 2.34, and sagastore-linux-arm64-gnu promises 2.17: build it with scripts/pack-addon.mjs',
    )
    await pack('linux-arm64-gnu', elf(['GLIBC_2.17']), '--release')
  })

  it('refuses an addon for glibc where musl is meant', async () => {
    await expect(pack('linux-arm64-musl', elf(['GLIBC_2.17']))).rejects.toThrow('needs glibc 2.17: it was not built for musl')
  })
})

function hasReadelf(): boolean {
  try {
    execFileSync('readelf', ['--version'], { stdio: 'ignore' })
    return true
  } catch {
    console.warn('SKIPPED: readelf is missing, nothing to compare the versions of symbols with')
    return false
  }
}
