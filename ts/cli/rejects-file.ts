import { type FileHandle, open } from 'node:fs/promises'
import type { RejectedRecord } from '../index'

/** What could not be moved, one a line of JSON. Without a name nothing is written. */
export class RejectsFile {
  readonly #path: string | undefined
  readonly #isResumed: boolean
  #file: Promise<FileHandle> | undefined

  constructor(path: string | undefined, isResumed: boolean) {
    this.#path = path
    this.#isResumed = isResumed
  }

  async add(rejected: RejectedRecord): Promise<void> {
    if (this.#path === undefined) return
    this.#file ??= open(this.#path, this.#isResumed ? 'a' : 'w')
    await (await this.#file).appendFile(`${JSON.stringify(rejected)}\n`)
  }

  async close(): Promise<void> {
    await (await this.#file)?.close()
  }
}
