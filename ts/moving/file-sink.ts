import { createHash } from 'node:crypto'
import { type FileHandle, open, rename, stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import type { Writable } from 'node:stream'
import { errorOf } from '../errors'
import type { Sink } from './ends'
import { FILE_FORMAT, FILE_VERSION, type FileEnd, type FileHead, linesOf } from './lines'
import { type AnyRecord, isOver } from './measure'
import type { Fate, RecordKind } from './records'
import { Zstd } from './zstd'

/** Bytes that are gathered before they are written. */
const CHUNK = 256 * 1_024

/** Where bytes go: a file, or a stream of the application. */
interface Bytes {
  write(bytes: Uint8Array): Promise<void>
  /** All is written: from now on it counts. */
  finish(): Promise<void>
  /** It has ended before. */
  abandon(): Promise<void>
}

/** A file as a target: JSON lines, compressed or not. It is written beside its place and renamed at its end. */
export class FileSink implements Sink {
  readonly where: string
  /** Lines stand in the order in which records are read. */
  readonly concurrency = 1
  readonly #bytes: () => Promise<Bytes>
  readonly #zstd: Zstd | undefined
  readonly #hash = createHash('sha256')
  readonly #counts: FileEnd['counts'] = {}
  #out: Bytes | undefined
  #gathered: Buffer[] = []
  #size = 0

  /** @param level of Zstandard; none: it is not compressed */
  constructor(to: string | Writable, { level, overwrite }: { level: number | undefined; overwrite: boolean }) {
    this.where = typeof to === 'string' ? `file ${to}` : 'stream'
    this.#bytes = () => (typeof to === 'string' ? PartialFile.open(to, overwrite) : Promise.resolve(new StreamOut(to)))
    this.#zstd = level === undefined ? undefined : new Zstd(level)
  }

  maxPayloadBytes(): number {
    return Number.POSITIVE_INFINITY
  }

  async open(kinds: readonly RecordKind[], source: string): Promise<void> {
    this.#out = await this.#bytes()
    for (const kind of kinds) this.#counts[kind] = 0
    const head: FileHead = {
      format: FILE_FORMAT,
      version: FILE_VERSION,
      kinds: [...kinds],
      source,
      createdAt: new Date().toISOString(),
    }
    await this.#line(JSON.stringify(head))
  }

  async put(kind: RecordKind, records: readonly AnyRecord[]): Promise<Fate[]> {
    const fates: Fate[] = []
    const now = Date.now()
    for (const record of records) {
      if (isOver(record, now)) {
        fates.push('expired')
        continue
      }
      for (const line of linesOf(kind, record)) await this.#line(line)
      this.#counts[kind] = (this.#counts[kind] ?? 0) + 1
      fates.push('stored')
    }
    return fates
  }

  async close(isWhole: boolean): Promise<void> {
    const out = this.#out
    this.#out = undefined
    if (out === undefined) return
    if (!isWhole) return await out.abandon()
    try {
      const end: FileEnd = { end: true, counts: this.#counts, digest: `sha256:${this.#hash.digest('hex')}` }
      this.#gathered.push(Buffer.from(`${JSON.stringify(end)}\n`))
      await this.#write(out)
      if (this.#zstd !== undefined) for await (const bytes of this.#zstd.end()) await out.write(bytes)
      await out.finish()
    } catch (error) {
      await out.abandon()
      throw error
    }
  }

  async #line(line: string): Promise<void> {
    const bytes = Buffer.from(`${line}\n`)
    this.#hash.update(bytes)
    this.#gathered.push(bytes)
    this.#size += bytes.byteLength
    if (this.#size >= CHUNK && this.#out !== undefined) await this.#write(this.#out)
  }

  async #write(out: Bytes): Promise<void> {
    const bytes = Buffer.concat(this.#gathered)
    this.#gathered = []
    this.#size = 0
    if (this.#zstd === undefined) return await out.write(bytes)
    for await (const compressed of this.#zstd.push(bytes)) await out.write(compressed)
  }
}

/** `name.partial`, until all of it is on the disk. Only its owner can read it: it has what the store has. */
class PartialFile implements Bytes {
  readonly #path: string
  readonly #file: FileHandle

  private constructor(path: string, file: FileHandle) {
    this.#path = path
    this.#file = file
  }

  static async open(path: string, overwrite: boolean): Promise<PartialFile> {
    const isThere = await stat(path).then(
      () => true,
      () => false,
    )
    if (isThere && !overwrite) {
      const message = `the file '${path}' exists: give another name, or the option 'overwrite'`
      throw errorOf('ALREADY_EXISTS', message, { operation: 'exportToFile' })
    }
    return new PartialFile(path, await open(`${path}.partial`, 'w', 0o600))
  }

  async write(bytes: Uint8Array): Promise<void> {
    for (let at = 0; at < bytes.byteLength; ) at += (await this.#file.write(bytes, at)).bytesWritten
  }

  async finish(): Promise<void> {
    await this.#file.sync()
    await this.#file.close()
    await rename(`${this.#path}.partial`, this.#path)
    // The new name survives a power failure, too. Windows has no such thing.
    const directory = await open(dirname(this.#path), 'r').catch(() => undefined)
    await directory?.sync().catch(() => undefined)
    await directory?.close()
  }

  async abandon(): Promise<void> {
    await this.#file.close().catch(() => undefined)
  }
}

/** A stream of the application, which ends it itself if it is no file. */
class StreamOut implements Bytes {
  readonly #stream: Writable

  constructor(stream: Writable) {
    this.#stream = stream
    // A reader that has gone is told by the write.
    stream.on('error', () => undefined)
  }

  async write(bytes: Uint8Array): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      this.#stream.write(bytes, (error) => (error == null ? resolve() : reject(error)))
    })
  }

  async finish(): Promise<void> {}

  async abandon(): Promise<void> {}
}
