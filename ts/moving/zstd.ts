import { isMainThread } from 'node:worker_threads'
import { toError } from '../errors'
import { native } from '../native'
import { realSetImmediate } from '../promises'

/** The first bytes of what is compressed. */
export const ZSTD_MAGIC = Buffer.from([0x28, 0xb5, 0x2f, 0xfd])

const EMPTY = new Uint8Array()

/** Zstandard, chunk by chunk, beside the event loop. One call after the other. */
export class Zstd {
  readonly #native: InstanceType<typeof native.NativeZstd>

  /** @param level 1 to 19: it compresses; null: it decompresses */
  constructor(level: number | null) {
    this.#native = native.NativeZstd.open(level, realSetImmediate, isMainThread)
  }

  /** What comes out of a chunk, a megabyte at a time. */
  push(chunk: Uint8Array): AsyncGenerator<Buffer> {
    return this.#steps(chunk, false)
  }

  /** What is left at the end. Throws `CORRUPT_DATA` if what was compressed is cut off. */
  end(): AsyncGenerator<Buffer> {
    return this.#steps(EMPTY, true)
  }

  async *#steps(chunk: Uint8Array, isEnd: boolean): AsyncGenerator<Buffer> {
    for (let rest = chunk; ; ) {
      let step: [consumed: number, isDone: boolean, output: Buffer]
      try {
        step = await this.#native.step(rest, isEnd)
      } catch (reason) {
        throw toError(reason)
      }
      const [consumed, isDone, output] = step
      if (output.byteLength > 0) yield output
      if (isDone) return
      rest = rest.subarray(consumed)
    }
  }
}
