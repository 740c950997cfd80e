import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import type { Readable } from 'node:stream'
import { errorOf, SagaStoreError } from '../errors'
import type { Source } from './ends'
import { damaged, FILE_FORMAT, FILE_VERSION, type FileEnd, type FileHead, LineReader, parsedLine } from './lines'
import { type AnyRecord, bytesOf } from './measure'
import { RECORD_KINDS, type RecordKind, type RecordPage } from './records'
import { ZSTD_MAGIC, Zstd } from './zstd'

const LF = 0x0a
/** No line of ours is longer. */
const MAX_LINE = 64 * 1_024 * 1_024
/** How the last line begins. */
const END = '{"end":true'

/** A file as a source. One with a name is read twice: what is not whole, or not as it was written, is not imported at all. */
export class FileSource implements Source {
  readonly where: string
  readonly #from: string | Readable
  readonly #kinds: readonly RecordKind[]
  readonly #allowPartial: boolean
  #counts: FileEnd['counts'] | undefined
  #records: AsyncGenerator<{ kind: RecordKind; record: AnyRecord }> | undefined
  /** Read, and of a later page. */
  #next: { kind: RecordKind; record: AnyRecord } | undefined
  #pages = 0

  constructor(from: string | Readable, kinds: readonly RecordKind[], allowPartial: boolean) {
    this.where = typeof from === 'string' ? `file ${from}` : 'stream'
    this.#from = from
    this.#kinds = kinds
    this.#allowPartial = allowPartial
  }

  async open(): Promise<void> {
    if (typeof this.#from === 'string') {
      const lines = new CheckedLines(this.#from, this.#allowPartial)
      for await (const _ of lines);
      this.#counts = lines.end?.counts
    }
    this.#records = this.#read()
  }

  async count(kind: RecordKind): Promise<{ count: number; approximate: boolean }> {
    return { count: this.#counts?.[kind] ?? 0, approximate: this.#counts === undefined }
  }

  async page(kind: RecordKind, _after: string | undefined, limit: number, maxBytes: number): Promise<RecordPage<AnyRecord>> {
    const records: AnyRecord[] = []
    for (let bytes = 0; records.length < limit && bytes < maxBytes; ) {
      if (this.#next === undefined) {
        const read = await this.#records?.next()
        if (read === undefined || read.done === true) return { records, unreadable: [], cursor: null }
        this.#next = read.value
      }
      if (this.#next.kind !== kind) return { records, unreadable: [], cursor: null }
      records.push(this.#next.record)
      bytes += bytesOf(kind, this.#next.record)
      this.#next = undefined
    }
    this.#pages += 1
    return { records, unreadable: [], cursor: String(this.#pages) }
  }

  look(kind: RecordKind, after: string | undefined, limit: number, maxBytes: number): Promise<RecordPage<AnyRecord>> {
    return this.page(kind, after, limit, maxBytes)
  }

  async close(isWhole: boolean): Promise<void> {
    if (isWhole && this.#records !== undefined) {
      const left = this.#next ?? (await this.#records.next()).value
      if (left !== undefined) throw damaged(`records of the kind '${left.kind}' stand behind those of another kind`)
    }
    await this.#records?.return(undefined)
  }

  /** The records that are asked for, in the order of the kinds. */
  async *#read(): AsyncGenerator<{ kind: RecordKind; record: AnyRecord }> {
    const reader = new LineReader()
    let place = 0
    for await (const line of new CheckedLines(this.#from, this.#allowPartial)) {
      const found = reader.take(line)
      if (found === undefined) continue
      const at = RECORD_KINDS.indexOf(found.kind)
      if (at < place) throw damaged(`records of the kind '${found.kind}' stand behind those of another kind`)
      place = at
      if (this.#kinds.includes(found.kind)) yield found
    }
    if (!reader.isWhole && !this.#allowPartial) throw damaged('a part of a record is missing')
  }
}

/** The lines of a file between the first and the last one, which are checked. */
class CheckedLines {
  readonly #from: string | Readable
  readonly #allowPartial: boolean
  end: FileEnd | undefined

  constructor(from: string | Readable, allowPartial: boolean) {
    this.#from = from
    this.#allowPartial = allowPartial
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Record<string, unknown>> {
    const hash = createHash('sha256')
    let isFirst = true
    for await (const line of this.#lines()) {
      if (this.end !== undefined) throw damaged('there is something behind its last line')
      const text = line.toString()
      if (isFirst) {
        checkHead(text)
        isFirst = false
      } else if (text.startsWith(END)) {
        this.end = endOf(text)
        if (this.end.digest !== `sha256:${hash.digest('hex')}`) throw damaged('its digest is another one than that of its lines')
        continue
      } else yield parsedLine(text)
      hash.update(line).update('\n')
    }
    if (isFirst) throw damaged('it is empty')
    if (this.end === undefined && !this.#allowPartial) throw notWhole()
  }

  /** Whole lines. What is cut off is left out, where that is allowed. */
  async *#lines(): AsyncGenerator<Buffer> {
    let rest: Buffer[] = []
    let size = 0
    try {
      for await (const chunk of this.#bytes()) {
        let begin = 0
        for (let at = chunk.indexOf(LF); at !== -1; at = chunk.indexOf(LF, begin)) {
          const line = chunk.subarray(begin, at)
          yield rest.length === 0 ? line : Buffer.concat([...rest, line])
          rest = []
          size = 0
          begin = at + 1
        }
        if (begin === chunk.byteLength) continue
        rest.push(chunk.subarray(begin))
        size += chunk.byteLength - begin
        if (size > MAX_LINE) throw damaged('a line is too long')
      }
    } catch (error) {
      const isCutOff = error instanceof SagaStoreError && error.code === 'CORRUPT_DATA' && error.message.includes('cut off')
      if (!isCutOff) throw error
      if (!this.#allowPartial) throw notWhole(error)
    }
    if (rest.length > 0 && !this.#allowPartial) throw notWhole()
  }

  async *#bytes(): AsyncGenerator<Buffer> {
    const stream = typeof this.#from === 'string' ? createReadStream(this.#from, { highWaterMark: 256 * 1_024 }) : this.#from
    let zstd: Zstd | undefined
    let beginning: Buffer | undefined = Buffer.alloc(0)
    const decoded = async function* (chunk: Buffer): AsyncGenerator<Buffer> {
      if (zstd === undefined) yield chunk
      else yield* zstd.push(chunk)
    }
    for await (const chunk of stream) {
      const bytes = typeof chunk === 'string' ? Buffer.from(chunk) : (chunk as Buffer)
      if (beginning === undefined) {
        yield* decoded(bytes)
        continue
      }
      beginning = Buffer.concat([beginning, bytes])
      if (beginning.byteLength < ZSTD_MAGIC.byteLength) continue
      if (beginning.subarray(0, ZSTD_MAGIC.byteLength).equals(ZSTD_MAGIC)) zstd = new Zstd(null)
      yield* decoded(beginning)
      beginning = undefined
    }
    if (beginning !== undefined && beginning.byteLength > 0) yield beginning
    if (zstd !== undefined) yield* zstd.end()
  }
}

function checkHead(text: string): void {
  let head: Partial<FileHead> | null = null
  try {
    head = JSON.parse(text)
  } catch {
    // It is no file of ours.
  }
  if (head?.format !== FILE_FORMAT || !Array.isArray(head.kinds)) throw damaged('its first line is none of sagastore')
  if (head.version !== FILE_VERSION) {
    const message = `the file has version ${head.version} of its format; this version of sagastore reads ${FILE_VERSION}`
    throw errorOf('UNSUPPORTED', message, { operation: 'importFromFile' })
  }
}

function endOf(text: string): FileEnd {
  const end = parsedLine(text) as unknown as FileEnd
  if (typeof end.counts === 'object' && end.counts !== null && typeof end.digest === 'string') return end
  throw damaged('its last line cannot be read')
}

function notWhole(cause?: unknown): Error {
  const message = "the file is not whole: its last line is missing. 'allowPartial' imports what is there"
  return errorOf('CORRUPT_DATA', message, { operation: 'importFromFile', cause })
}
