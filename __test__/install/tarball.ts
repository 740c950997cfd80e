import { readFileSync } from 'node:fs'
import { gunzipSync } from 'node:zlib'

/** The files of an npm tarball by path, without the leading `package/`. */
export function readTarball(file: string): Map<string, Buffer> {
  const tar = gunzipSync(readFileSync(file))
  const files = new Map<string, Buffer>()
  for (let at = 0; tar[at]; ) {
    const name = text(tar, at, 100)
    const size = Number.parseInt(text(tar, at + 124, 12), 8)
    const isFile = text(tar, at + 156, 1) === '0'
    if (isFile) files.set(name.replace(/^package\//, ''), tar.subarray(at + 512, at + 512 + size))
    at += 512 + Math.ceil(size / 512) * 512
  }
  return files
}

function text(tar: Buffer, at: number, length: number): string {
  return tar.toString('latin1', at, at + length).split('\0', 1)[0] ?? ''
}

/** Whether an addon has no symbol table; null where the format (Mach-O, PE) keeps it elsewhere. */
export function isStripped(addon: Buffer): boolean | null {
  const isElf64 = addon.readUInt32BE(0) === 0x7f454c46 && addon[4] === 2
  if (!isElf64) return null
  const [table, size, count] = [Number(addon.readBigUInt64LE(0x28)), addon.readUInt16LE(0x3a), addon.readUInt16LE(0x3c)]
  const symbolTable = 2
  return !Array.from({ length: count }, (_, i) => addon.readUInt32LE(table + i * size + 4)).includes(symbolTable)
}
