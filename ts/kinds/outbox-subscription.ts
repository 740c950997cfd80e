import { type FeedTerms, type OutboxCounter, OutboxFeed } from './outbox-feed'
import type { OutboxSupport } from './outbox-support'
import type { Claim } from './outbox-types'

/** Events as they come, pulled one by one. What was given and not settled is handed back at the end. */
export class OutboxSubscription<P = unknown> implements AsyncIterableIterator<Claim<P>> {
  readonly #counter: OutboxCounter
  readonly #support: OutboxSupport
  readonly #feed: OutboxFeed
  readonly #terms: FeedTerms
  /** Not given yet. */
  #next: Claim<P>[] = []
  /** Given or not, and nobody has said what became of them. By token and event. */
  readonly #held = new Map<string, Map<string, Claim<P>>>()
  readonly #stopListening: () => void
  #isOver = false
  /** Calls of `next` go one after the other. */
  #last: Promise<unknown> = Promise.resolve()

  /** @internal */
  constructor(counter: OutboxCounter, support: OutboxSupport, terms: FeedTerms & { signal: AbortSignal | undefined }) {
    const { signal, workerId, batchSize, leaseMs, eventTypes, routingKeys, pollMs } = terms
    const feed: FeedTerms = { workerId, batchSize, leaseMs, eventTypes, routingKeys, pollMs }
    this.#counter = counter
    this.#support = support
    this.#terms = feed
    this.#feed = new OutboxFeed(counter, support, feed)
    const stop = () => void this.return()
    this.#stopListening = () => signal?.removeEventListener('abort', stop)
    if (signal?.aborted === true) this.#isOver = true
    else signal?.addEventListener('abort', stop, { once: true })
  }

  /** `for await (const event of subscription)` */
  [Symbol.asyncIterator](): this {
    return this
  }

  /** The next event, once there is one. */
  next(): Promise<IteratorResult<Claim<P>>> {
    const pulled = this.#last.then(() => this.#pull())
    this.#last = pulled.catch(() => undefined)
    return pulled
  }

  /** Ends it, and hands back what it has given and what nobody has settled. */
  async return(): Promise<IteratorResult<Claim<P>>> {
    this.#isOver = true
    this.#feed.stop()
    this.#stopListening()
    await this.#last
    await this.#release()
    return { done: true, value: undefined }
  }

  /** `await using`: it ends as by `return`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.return()
  }

  async #pull(): Promise<IteratorResult<Claim<P>>> {
    while (!this.#isOver) {
      const claim = this.#next.shift()
      if (claim !== undefined) return { done: false, value: claim }
      try {
        this.#accept(await this.#feed.take<P>(() => this.#terms.batchSize))
      } catch (error) {
        this.#isOver = true
        this.#stopListening()
        throw error
      }
    }
    return { done: true, value: undefined }
  }

  #accept(claims: Claim<P>[]): void {
    const [first] = claims
    if (first === undefined) return
    const { token } = first
    const ids = claims.map(({ eventId }) => eventId)
    this.#next = claims
    this.#held.set(token, new Map(claims.map((claim) => [claim.eventId, claim])))
    this.#support.leases.keep(token, ids, this.#terms.leaseMs, {
      lost: (lost) => this.#drop(token, lost),
      settled: (settled, isBack) => {
        const dropped = isBack ? [...settled, ...this.#behind(token, settled)] : settled
        this.#drop(token, dropped)
        this.#support.leases.unkeep(token, dropped)
        this.#feed.poke()
      },
    })
  }

  /** What stands behind events in their keys, in the same claim. */
  #behind(token: string, ids: readonly string[]): string[] {
    const held = this.#held.get(token)
    if (held === undefined) return []
    const keys = new Set<string>()
    const behind: string[] = []
    // In the order of the queue.
    for (const { eventId, partitionKey } of held.values()) {
      if (partitionKey === undefined) continue
      if (ids.includes(eventId)) keys.add(partitionKey)
      else if (keys.has(partitionKey)) behind.push(eventId)
    }
    return behind
  }

  #drop(token: string, ids: readonly string[]): void {
    const held = this.#held.get(token)
    for (const id of ids) held?.delete(id)
    if (held?.size === 0) this.#held.delete(token)
    const dropped = new Set(ids)
    this.#next = this.#next.filter((claim) => claim.token !== token || !dropped.has(claim.eventId))
  }

  async #release(): Promise<void> {
    const held = [...this.#held.values()].flatMap((ofToken) => [...ofToken.values()])
    this.#next = []
    for (const [token, ofToken] of this.#held) this.#support.leases.unkeep(token, [...ofToken.keys()])
    this.#held.clear()
    // Where it fails, their leases end.
    if (held.length > 0) await this.#counter.release(held).catch(() => undefined)
  }
}
