/** How a wait has ended: new events may be there, or not. */
export interface Wait {
  readonly ended: Promise<boolean>
  /** Ends it. */
  end(isRung: boolean): void
}

/** Behind the end of a transaction whose commit is somebody else's, it is asked again after this. */
const AGAIN_MS = 25

/** Wakes those of one store who wait for events. */
export class Bell {
  readonly #listen: (() => Promise<void>) | undefined
  readonly #waiting = new Set<Wait>()
  #isListening = false
  #count = 0

  /** @param listen resolves when other processes may have inserted events since it was called the last time */
  constructor(listen?: () => Promise<void>) {
    this.#listen = listen
  }

  /** How often it has rung. */
  get count(): number {
    return this.#count
  }

  /** There may be new events. */
  ring(): void {
    this.#count += 1
    for (const wait of [...this.#waiting]) wait.end(true)
  }

  /** There may be new events soon: somebody else is about to commit them. */
  ringSoon(): void {
    this.ring()
    setTimeout(() => this.ring(), AGAIN_MS).unref()
  }

  /** Waits until it has rung more than `since` times, at most so long. */
  wait(since: number, ms: number): Wait {
    if (this.#count !== since) return { ended: Promise.resolve(true), end: () => undefined }
    let resolve: (isRung: boolean) => void
    const ended = new Promise<boolean>((settle) => {
      resolve = settle
    })
    const timer = setTimeout(() => wait.end(false), ms)
    const wait: Wait = {
      ended,
      end: (isRung) => {
        clearTimeout(timer)
        this.#waiting.delete(wait)
        resolve(isRung)
      },
    }
    this.#waiting.add(wait)
    this.#hear()
    return wait
  }

  /** One is listened for at a time, and only while somebody waits. */
  #hear(): void {
    if (this.#listen === undefined || this.#isListening) return
    this.#isListening = true
    this.#listen().then(
      () => {
        this.#isListening = false
        this.ring()
      },
      // The store is closed.
      () => undefined,
    )
  }
}
