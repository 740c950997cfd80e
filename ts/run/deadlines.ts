import { LONGEST_TIMER_MS } from '../promises'

/** Something that waits, and what happens when its time is over. */
interface Waiting {
  until: number
  onOver: () => void
}

/** Equal times for many that wait: one timer for all of them, as one for each would cost more than some waits. */
export class Deadlines {
  readonly timeoutMs: number
  /** Who has waited longest comes first. */
  readonly #waiting = new Set<Waiting>()
  #timer: NodeJS.Timeout | undefined

  constructor(timeoutMs: number) {
    this.timeoutMs = timeoutMs
  }

  /** Begins a wait. While there is one, the process does not end by itself. */
  start(onOver: () => void): Waiting {
    const waiting = { until: performance.now() + this.timeoutMs, onOver }
    this.#waiting.add(waiting)
    if (this.#timer === undefined) this.#wake(this.timeoutMs)
    else if (this.#waiting.size === 1) this.#timer.ref()
    return waiting
  }

  end(waiting: Waiting): void {
    if (this.#waiting.delete(waiting) && this.#waiting.size === 0) this.#timer?.unref()
  }

  #wake(ms: number): void {
    this.#timer = setTimeout(() => this.#onWake(), Math.min(ms, LONGEST_TIMER_MS))
  }

  #onWake(): void {
    this.#timer = undefined
    const now = performance.now()
    const over: Waiting[] = []
    for (const waiting of this.#waiting) {
      if (waiting.until > now) {
        this.#wake(Math.ceil(waiting.until - now))
        break
      }
      over.push(waiting)
    }
    for (const waiting of over) {
      this.#waiting.delete(waiting)
      waiting.onOver()
    }
  }
}
