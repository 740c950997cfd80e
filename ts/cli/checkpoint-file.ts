import { existsSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'

/** So often a place is written down. */
const EVERY_MS = 1_000

/** The place of a move, in a file: there as a whole, or as it was before. */
export class CheckpointFile {
  readonly #path: string
  #written = 0

  constructor(path: string) {
    this.#path = path
  }

  /** What is there from before. */
  read(): string | undefined {
    if (!existsSync(this.#path)) return undefined
    return readFileSync(this.#path, 'utf8').trim()
  }

  /** Written from time to time: what was moved behind it is moved again, which changes nothing. */
  note(checkpoint: string): void {
    if (Date.now() - this.#written < EVERY_MS) return
    this.keep(checkpoint)
  }

  keep(checkpoint: string): void {
    this.#written = Date.now()
    writeFileSync(`${this.#path}.partial`, `${checkpoint}\n`)
    renameSync(`${this.#path}.partial`, this.#path)
  }

  /** The move is at its end. */
  remove(): void {
    rmSync(this.#path, { force: true })
  }
}
