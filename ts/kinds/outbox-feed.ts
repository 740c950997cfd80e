import type { OutboxSupport } from './outbox-support'
import type { Claim, HeldEvent, OutboxClaimOptions } from './outbox-types'

/** What a worker that goes on and on does with the outbox. */
export interface OutboxCounter {
  claim<P>(options: OutboxClaimOptions): Promise<Claim<P>[]>
  ack(claims: readonly HeldEvent[]): Promise<{ lost: string[] }>
  fail(claim: HeldEvent, options: { error: unknown }): Promise<unknown>
  release(claims: readonly HeldEvent[]): Promise<unknown>
}

/** Where a worker that goes on and on gets its events, and which. */
export interface FeedTerms {
  workerId: string
  batchSize: number
  leaseMs: number
  eventTypes: string[] | undefined
  routingKeys: string[] | undefined
  /** The longest pause between two looks while nothing is there. */
  pollMs: number
}

/** The first pause, behind a look that has found less than it asked for. */
const FIRST_PAUSE_MS = 100
/** The longest pause behind a failure. */
const LONGEST_BACKOFF_MS = 5_000
/** Failures are told at most so often. */
const TOLD_EVERY_MS = 1_000

/** Up to 20 % more or less: many workers that wait do not ask all at once. */
export function jittered(ms: number): number {
  return ms * (0.8 + Math.random() * 0.4)
}

/** The pause behind so many failures in a row. */
export function backoff(failures: number): number {
  return jittered(Math.min(LONGEST_BACKOFF_MS, 100 * 2 ** Math.min(failures - 1, 10)))
}

export function codeOf(error: unknown): unknown {
  return (error as { code?: unknown } | null | undefined)?.code
}

/** Whether no other attempt can end otherwise. */
export function isFinal(error: unknown): boolean {
  return codeOf(error) === 'CLOSED' || codeOf(error) === 'INVALID_ARGUMENT'
}

/** Events, as soon as there are any: claimed one batch after the other, with pauses while there is nothing. */
export class OutboxFeed {
  readonly #counter: OutboxCounter
  readonly #support: OutboxSupport
  readonly #terms: FeedTerms
  /** What it has heard of the bell before its last look. */
  #heard = 0
  #pauseMs = 0
  #failures = 0
  #toldAt = Number.NEGATIVE_INFINITY
  #isPoked = false
  #isStopped = false
  #endWait: (() => void) | undefined

  constructor(counter: OutboxCounter, support: OutboxSupport, terms: FeedTerms) {
    this.#counter = counter
    this.#support = support
    this.#terms = terms
  }

  /**
   * Claims until there is something; none, once it is stopped, or when there is no room.
   *
   * @param room how many may be claimed now
   * @throws what no other attempt can mend
   */
  async take<P>(room: () => number): Promise<Claim<P>[]> {
    const { pollMs, batchSize: _, ...terms } = this.#terms
    for (;;) {
      if (this.#pauseMs > 0) await this.#pause()
      if (this.#isStopped) return []
      const batchSize = room()
      if (batchSize < 1) return []
      this.#heard = this.#support.bell.count
      let claims: Claim<P>[]
      try {
        claims = await this.#counter.claim<P>({ ...terms, batchSize })
        this.#failures = 0
      } catch (error) {
        if (isFinal(error)) throw error
        this.#failures += 1
        this.warn('outbox.claim', error)
        this.#pauseMs = backoff(this.#failures)
        continue
      }
      const first = Math.min(FIRST_PAUSE_MS, pollMs)
      if (claims.length === batchSize) this.#pauseMs = 0
      else this.#pauseMs = claims.length > 0 || this.#pauseMs === 0 ? first : Math.min(this.#pauseMs * 2, pollMs)
      if (claims.length > 0) return claims
    }
  }

  /** There may be more to claim than before. */
  poke(): void {
    this.#isPoked = true
    this.#endWait?.()
  }

  stop(): void {
    this.#isStopped = true
    this.#endWait?.()
  }

  /** Tells the logger, now and then. */
  warn(operation: string, error: unknown): void {
    const now = performance.now()
    if (now - this.#toldAt < TOLD_EVERY_MS) return
    this.#toldAt = now
    this.#support.warn(operation, error instanceof Error ? error.message : String(error))
  }

  async #pause(): Promise<void> {
    const isPoked = this.#isPoked
    this.#isPoked = false
    if (this.#isStopped || (isPoked && this.#failures === 0)) return
    // While the server is away, a bell does not bring it back.
    const since = this.#failures > 0 ? this.#support.bell.count : this.#heard
    const wait = this.#support.bell.wait(since, jittered(this.#pauseMs))
    this.#endWait = () => wait.end(true)
    const isRung = await wait.ended
    this.#endWait = undefined
    this.#isPoked = false
    if (isRung && this.#failures === 0) this.#pauseMs = Math.min(FIRST_PAUSE_MS, this.#terms.pollMs)
  }
}
