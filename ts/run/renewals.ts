import type { HeldLease } from '../kinds/execution-types'

/** A lease that is being renewed. */
interface Held extends HeldLease {
  /** When it is to be renewed, and when it is over, by this process's clock that never jumps. */
  dueAt: number
  until: number
  isAsked: boolean
  settle(reason: string | null): void
}

/** As many go in one round trip. */
const MAX_BATCH = 1_000
/** Leases that are due within this time are renewed together. */
const TOGETHER_MS = 20

/**
 * Renews leases through a client of the application, whose connections only JavaScript can use: an event loop that is
 * blocked for as long as a lease loses it. Timers do not keep the process alive.
 */
export class Renewals {
  readonly #held = new Map<string, Held>()
  readonly #beat: (runs: [string, string, number][]) => Promise<string[]>
  #timer: NodeJS.Timeout | undefined
  #isStopped = false

  /** @param beat renews leases, and answers the ids of those that are lost */
  constructor(beat: (runs: [string, string, number][]) => Promise<string[]>) {
    this.#beat = beat
  }

  /** Resolves with why the lease was lost, or with null after `unkeep`. */
  keep({ sagaId, token, leaseMs }: HeldLease): Promise<string | null> {
    if (this.#isStopped) return Promise.resolve('the store is closed, and renews it no more')
    return new Promise((settle) => {
      const now = performance.now()
      const held = { sagaId, token, leaseMs, dueAt: now + leaseMs / 3, until: now + leaseMs, isAsked: false, settle }
      this.#held.set(keyOf(held), held)
      this.#schedule()
    })
  }

  unkeep(lease: Omit<HeldLease, 'leaseMs'>): void {
    this.#end(keyOf(lease), null)
  }

  /** The store has been closed. */
  stop(): void {
    this.#isStopped = true
    clearTimeout(this.#timer)
    for (const key of [...this.#held.keys()]) this.#end(key, 'the store is closed, and renews it no more')
  }

  #end(key: string, reason: string | null): void {
    const held = this.#held.get(key)
    if (held === undefined) return
    this.#held.delete(key)
    held.settle(reason)
  }

  #schedule(): void {
    clearTimeout(this.#timer)
    if (this.#held.size === 0) return
    let next = Number.POSITIVE_INFINITY
    for (const { isAsked, dueAt, until } of this.#held.values()) next = Math.min(next, isAsked ? until : Math.min(dueAt, until))
    this.#timer = setTimeout(() => this.#turn(), Math.max(1, next - performance.now()))
    this.#timer.unref()
  }

  #turn(): void {
    const now = performance.now()
    const due = new Map<string, Held>()
    for (const [key, held] of this.#held) {
      if (held.until <= now) this.#end(key, 'it could not be renewed before it was over')
      // An answer names sagas: those of one id go one after the other.
      else if (!held.isAsked && held.dueAt <= now + TOGETHER_MS && due.size < MAX_BATCH && !due.has(held.sagaId)) due.set(held.sagaId, held)
    }
    if (due.size > 0) void this.#renew([...due.values()])
    this.#schedule()
  }

  async #renew(batch: Held[]): Promise<void> {
    const began = performance.now()
    for (const held of batch) held.isAsked = true
    let lost: string[] | undefined
    try {
      lost = await this.#beat(batch.map(({ sagaId, token, leaseMs }) => [sagaId, token, leaseMs]))
    } catch {
      // Whether it was renewed is not known: it is asked again, until the lease is over.
    }
    const now = performance.now()
    for (const held of batch) {
      held.isAsked = false
      if (lost?.includes(held.sagaId)) this.#end(keyOf(held), 'another worker has it, or it was ended')
      if (lost !== undefined) held.until = began + held.leaseMs
      held.dueAt = lost === undefined ? now + Math.min(1_000, held.leaseMs / 10) : began + held.leaseMs / 3
    }
    this.#schedule()
  }
}

function keyOf({ sagaId, token }: Omit<HeldLease, 'leaseMs'>): string {
  return `${sagaId}\0${token}`
}
