import { invalidArgument } from '../errors'
import { pause } from './arguments'
import type { PaceOptions } from './types'

/** Keeps a move from being faster than it may be. */
export class Pace {
  /** None: as fast as it goes. */
  readonly recordsPerSecond: number | undefined
  readonly bytesPerSecond: number | undefined
  readonly #signal: AbortSignal | undefined
  /** When the next batch may be written. */
  #due = 0

  constructor({ recordsPerSecond, bytesPerSecond, signal }: PaceOptions, operation: string) {
    for (const [name, value] of Object.entries({ recordsPerSecond, bytesPerSecond })) {
      if (value === undefined || (typeof value === 'number' && value > 0 && value < Number.POSITIVE_INFINITY)) continue
      throw invalidArgument(`option '${name}' must be a number above 0`, operation)
    }
    this.recordsPerSecond = recordsPerSecond
    this.bytesPerSecond = bytesPerSecond
    this.#signal = signal
  }

  /** Records of a batch: not more than those of a second, so that the pace is even. */
  limit(batchSize: number): number {
    return Math.min(batchSize, Math.max(1, Math.floor(this.recordsPerSecond ?? batchSize)))
  }

  /** The same for its bytes. */
  maxBytes(most: number): number {
    return Math.min(most, Math.max(1, Math.floor(this.bytesPerSecond ?? most)))
  }

  /** Waits until a batch may be written. */
  async take(records: number, bytes: number): Promise<void> {
    const { recordsPerSecond = Number.POSITIVE_INFINITY, bytesPerSecond = Number.POSITIVE_INFINITY } = this
    const now = performance.now()
    const wait = this.#due - now
    this.#due = Math.max(this.#due, now) + Math.max(records / recordsPerSecond, bytes / bytesPerSecond) * 1_000
    if (wait > 0) await pause(wait, this.#signal)
  }
}
