import { setTimeout as sleep } from 'node:timers/promises'
import { turn } from '../promises'
import { backoff, codeOf, type FeedTerms, isFinal, type OutboxCounter, OutboxFeed } from './outbox-feed'
import type { OutboxSupport } from './outbox-support'
import type { Claim } from './outbox-types'

/** Publishes an event. What it returns is waited for: then the event is acknowledged. If it throws, the event has failed. */
export type OutboxHandler<P = unknown> = (event: Claim<P>, context: OutboxContext) => unknown

/** What a handler is told beside the event. */
export interface OutboxContext {
  /** Aborted when the lease of the event is lost, or the relay is stopped by its own `signal`: somebody else may publish it. */
  readonly signal: AbortSignal
}

/** What a relay has done so far. */
export interface RelayStatistics {
  /** Events that it was given. */
  claimed: number
  acked: number
  failed: number
  /** Events that another worker has been given, or somebody has decided about, before it could say what became of them. */
  lost: number
  /** Events that it has handed back. */
  released: number
  /** Handlers that are running. */
  inFlight: number
}

/** An event in the hands of a relay. */
interface Held<P> {
  readonly claim: Claim<P>
  readonly context: Context
  state: 'waiting' | 'running' | 'handled' | 'released'
}

/** A signal is made for handlers that ask for it. */
class Context implements OutboxContext {
  #controller: AbortController | undefined
  #isAborted = false
  #reason: unknown

  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController()
      if (this.#isAborted) this.#controller.abort(this.#reason)
    }
    return this.#controller.signal
  }

  get isAborted(): boolean {
    return this.#isAborted
  }

  abort(reason: unknown): void {
    if (this.#isAborted) return
    this.#isAborted = true
    this.#reason = reason
    this.#controller?.abort(reason)
  }
}

const MAX_SETTLED = 1_000

/**
 * A worker that claims events and has a handler publish them, until it is stopped. It holds at most `concurrency` events
 * and one batch ahead. Events of one partition key are handled one after the other, in order. The leases of what it
 * holds are renewed.
 */
export class OutboxRelay<P = unknown> {
  readonly workerId: string
  /** Ready when it has stopped. Rejected only if it can never claim anything. */
  readonly done: Promise<void>
  readonly #counter: OutboxCounter
  readonly #support: OutboxSupport
  readonly #feed: OutboxFeed
  readonly #handler: OutboxHandler<P>
  readonly #concurrency: number
  readonly #batchSize: number
  readonly #leaseMs: number
  /** What it holds: waiting, being handled, or waiting for what becomes of it to be stored. By token and event. */
  readonly #held = new Map<string, Map<string, Held<P>>>()
  /** What can be handled now, and those of it that have been, at the beginning. */
  #ready: Held<P>[] = []
  /** By partition key: what is being handled, or is ready, and behind it what waits for it. */
  readonly #chains = new Map<string, Held<P>[]>()
  #waiting = 0
  #toAck: Held<P>[] = []
  /** Handled, and the database does not know it yet. */
  #unsettled = 0
  #isAcking = false
  #isStopping = false
  #isForced = false
  #onChange: (() => void)[] = []
  readonly #statistics: RelayStatistics = { claimed: 0, acked: 0, failed: 0, lost: 0, released: 0, inFlight: 0 }

  /** @internal */
  constructor(
    counter: OutboxCounter,
    support: OutboxSupport,
    handler: OutboxHandler<P>,
    terms: FeedTerms & { concurrency: number; signal: AbortSignal | undefined },
  ) {
    const { concurrency, signal, ...feed } = terms
    this.workerId = terms.workerId
    this.#counter = counter
    this.#support = support
    this.#handler = handler
    this.#concurrency = concurrency
    this.#batchSize = terms.batchSize
    this.#leaseMs = terms.leaseMs
    this.#feed = new OutboxFeed(counter, support, feed)
    const stop = () => {
      this.#abortAll(signal?.reason)
      this.#beginStop()
    }
    if (signal?.aborted === true) stop()
    else signal?.addEventListener('abort', stop, { once: true })
    this.done = support.detached(() => this.#run()).finally(() => signal?.removeEventListener('abort', stop))
    // Whoever does not ask for it is told by the logger.
    this.done.catch((error) => support.warn('outbox.relay', `the relay has ended: ${(error as Error).message}`))
  }

  /** What it has done so far. */
  get stats(): RelayStatistics {
    return { ...this.#statistics }
  }

  /**
   * Takes no more events, waits for the handlers that run, acknowledges what they have done, and hands the rest back. Safe
   * to call again.
   *
   * @param options `timeoutMs`: handlers that run longer have their signals aborted, and their events are handed back
   */
  async stop(options: { timeoutMs?: number } = {}): Promise<void> {
    this.#beginStop()
    const { timeoutMs } = options
    if (timeoutMs === undefined) return await this.done.catch(() => undefined)
    const timer = setTimeout(() => {
      this.#isForced = true
      this.#abortAll(new Error(`the relay was stopped, and the handler took longer than ${timeoutMs} ms`))
      this.#changed()
    }, timeoutMs)
    await this.done.catch(() => undefined)
    clearTimeout(timer)
  }

  /** `await using relay = store.outbox.relay(...)` */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop()
  }

  async #run(): Promise<void> {
    try {
      while (!this.#isStopping) {
        if (this.#room() < 1) await this.#change()
        else this.#accept(await this.#feed.take<P>(() => this.#room()))
      }
    } catch (error) {
      this.#beginStop()
      if (codeOf(error) !== 'CLOSED') throw error
    } finally {
      await this.#end()
    }
  }

  /** How many events may be claimed now. Half a batch at least: many small claims cost more than a few large ones. */
  #room(): number {
    const { inFlight } = this.#statistics
    if (this.#isStopping || this.#unsettled > this.#batchSize || this.#waiting * 2 > this.#batchSize) return 0
    return Math.min(this.#batchSize, this.#concurrency + this.#batchSize - inFlight - this.#waiting)
  }

  #accept(claims: Claim<P>[]): void {
    const [first] = claims
    if (first === undefined) return
    this.#statistics.claimed += claims.length
    const ofToken = new Map<string, Held<P>>()
    for (const claim of claims) {
      const held: Held<P> = { claim, context: new Context(), state: 'waiting' }
      ofToken.set(claim.eventId, held)
      this.#waiting += 1
      const key = claim.partitionKey
      const chain = key === undefined ? undefined : this.#chains.get(key)
      if (chain !== undefined) chain.push(held)
      else {
        this.#ready.push(held)
        if (key !== undefined) this.#chains.set(key, [held])
      }
    }
    // One claim has one token.
    this.#held.set(first.token, ofToken)
    this.#support.leases.keep(first.token, [...ofToken.keys()], this.#leaseMs, {
      lost: (ids) => this.#lose(first.token, ids),
    })
    this.#start()
  }

  #start(): void {
    while (this.#statistics.inFlight < this.#concurrency && !this.#isStopping) {
      const held = this.#ready.shift()
      if (held === undefined) return
      // Given away meanwhile.
      if (!this.#has(held)) this.#advance(held)
      else void this.#handle(held)
    }
  }

  async #handle(held: Held<P>): Promise<void> {
    held.state = 'running'
    this.#waiting -= 1
    this.#statistics.inFlight += 1
    let failure: { error: unknown } | undefined
    try {
      await this.#handler(held.claim, held.context)
    } catch (error) {
      failure = { error }
    }
    this.#statistics.inFlight -= 1
    // What was lost may still be acknowledged, if nobody has been given it.
    if (!this.#isReleased(held)) {
      held.state = 'handled'
      this.#unsettled += 1
      if (failure === undefined) this.#acknowledge(held)
      else void this.#fail(held, failure.error)
    }
    this.#advance(held)
    this.#start()
    this.#changed()
  }

  /** The next event of its key can be handled. */
  #advance({ claim: { partitionKey } }: Held<P>): void {
    if (partitionKey === undefined) return
    const chain = this.#chains.get(partitionKey)
    chain?.shift()
    const [next] = chain ?? []
    if (next === undefined) this.#chains.delete(partitionKey)
    else this.#ready.push(next)
  }

  #acknowledge(held: Held<P>): void {
    this.#toAck.push(held)
    if (!this.#isAcking) void this.#acknowledgeAll()
  }

  /** All that have been handled meanwhile go together. */
  async #acknowledgeAll(): Promise<void> {
    this.#isAcking = true
    await turn()
    while (this.#toAck.length > 0) {
      const batch = this.#toAck.splice(0, MAX_SETTLED)
      const lost = await this.#settle('outbox.ack', batch, (claims) => this.#counter.ack(claims).then((answer) => answer.lost))
      this.#statistics.lost += lost.length
      this.#statistics.acked += batch.length - lost.length
      this.#settled(batch)
    }
    this.#isAcking = false
    this.#changed()
  }

  async #fail(held: Held<P>, error: unknown): Promise<void> {
    // The database hands back those of its key that stand behind it: they are not this worker's any more.
    const behind = this.#dropBehind(held)
    const lost = await this.#settle('outbox.fail', [held], ([claim]) => this.#counter.fail(claim as Claim<P>, { error }).then(() => []))
    if (lost.length > 0) this.#statistics.lost += 1
    else this.#statistics.failed += 1
    this.#statistics.released += behind.length
    this.#forget(behind)
    this.#settled([held])
    this.#changed()
  }

  #dropBehind({ claim }: Held<P>): Held<P>[] {
    if (claim.partitionKey === undefined) return []
    const chain = this.#chains.get(claim.partitionKey) ?? []
    const behind = chain.filter((other) => other.state === 'waiting' && other.claim.token === claim.token)
    if (behind.length > 0) {
      const rest = chain.filter((other) => !behind.includes(other))
      this.#chains.set(claim.partitionKey, rest)
      this.#waiting -= behind.length
      for (const other of behind) other.state = 'released'
    }
    return behind
  }

  /** Says what became of events, again and again, until that is stored or their leases are lost; the ids of the lost ones. */
  async #settle(what: string, batch: Held<P>[], send: (claims: Claim<P>[]) => Promise<string[]>): Promise<string[]> {
    const ids = () => batch.map(({ claim }) => claim.eventId)
    for (let failures = 1; ; failures++) {
      try {
        return await send(batch.map(({ claim }) => claim))
      } catch (error) {
        if (codeOf(error) === 'LEASE_LOST') return ids()
        this.#feed.warn(what, error)
        if (isFinal(error) || this.#isForced || !batch.some((held) => this.#has(held))) return ids()
        await sleep(backoff(failures))
      }
    }
  }

  #settled(batch: Held<P>[]): void {
    this.#unsettled -= batch.length
    this.#forget(batch)
    // What stands behind them in their keys can be claimed now.
    if (batch.some(({ claim }) => claim.partitionKey !== undefined)) this.#feed.poke()
    this.#changed()
  }

  /** The database says that they are somebody else's, or nobody knows. */
  #lose(token: string, ids: readonly string[]): void {
    const ofToken = this.#held.get(token)
    for (const id of ids) {
      const held = ofToken?.get(id)
      if (held === undefined) continue
      ofToken?.delete(id)
      held.context.abort(new Error(`the lease of event '${id}' is lost`))
      if (held.state !== 'waiting') continue
      this.#statistics.lost += 1
      this.#waiting -= 1
      this.#unchain(held)
    }
    if (ofToken?.size === 0) this.#held.delete(token)
    this.#changed()
  }

  /** It is not to be handled. The first of its key leaves its place when it would be. */
  #unchain(held: Held<P>): void {
    const { partitionKey } = held.claim
    const chain = partitionKey === undefined ? undefined : this.#chains.get(partitionKey)
    const place = chain?.indexOf(held) ?? -1
    if (place > 0) chain?.splice(place, 1)
  }

  #isReleased({ state }: Held<P>): boolean {
    return state === 'released'
  }

  #has({ claim }: Held<P>): boolean {
    return this.#held.get(claim.token)?.has(claim.eventId) === true
  }

  #forget(batch: Held<P>[]): void {
    const dropped = new Map<string, string[]>()
    for (const { claim } of batch) {
      const ofToken = this.#held.get(claim.token)
      if (ofToken?.delete(claim.eventId) !== true) continue
      if (ofToken.size === 0) this.#held.delete(claim.token)
      const ids = dropped.get(claim.token)
      if (ids === undefined) dropped.set(claim.token, [claim.eventId])
      else ids.push(claim.eventId)
    }
    for (const [token, ids] of dropped) this.#support.leases.unkeep(token, ids)
  }

  #beginStop(): void {
    this.#isStopping = true
    this.#feed.stop()
    this.#changed()
  }

  #abortAll(reason: unknown): void {
    for (const ofToken of this.#held.values()) for (const { context } of ofToken.values()) context.abort(reason)
  }

  /** Hands back what waits, and waits for the rest. */
  async #end(): Promise<void> {
    await this.#release('waiting')
    while (!this.#isForced && (this.#statistics.inFlight > 0 || this.#unsettled > 0)) await this.#change()
    await this.#release('running')
  }

  async #release(state: Held<P>['state']): Promise<void> {
    const meant = [...this.#held.values()].flatMap((ofToken) => [...ofToken.values()].filter((held) => held.state === state))
    if (meant.length === 0) return
    if (state === 'waiting') this.#waiting -= meant.length
    for (const held of meant) held.state = 'released'
    this.#forget(meant)
    this.#statistics.released += meant.length
    // Where it fails, their leases end.
    await this.#counter.release(meant.map(({ claim }) => claim)).catch((error) => {
      if (codeOf(error) !== 'LEASE_LOST' && !isFinal(error)) this.#feed.warn('outbox.release', error)
    })
  }

  /** Ready when something has changed. */
  #change(): Promise<void> {
    return new Promise((resolve) => this.#onChange.push(resolve))
  }

  #changed(): void {
    for (const resolve of this.#onChange.splice(0)) resolve()
  }
}
