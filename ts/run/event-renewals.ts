import type { EventKeeper } from './event-leases'
import { Renewals } from './renewals'

/** What is held of one claim. */
interface Kept {
  readonly ids: Set<string>
  /** Lost, and nobody was told so far. */
  readonly lost: Set<string>
  tell: ((lost: string[]) => void) | undefined
}

/**
 * Renews leases of events through a client of the application, from a timer of JavaScript: an event loop that is blocked
 * for as long as a lease loses it.
 */
export class EventRenewals implements EventKeeper {
  readonly #renewals: Renewals
  /** By token. */
  readonly #kept = new Map<string, Kept>()

  /** @param extend lets leases last longer; the ids of the lost ones */
  constructor(extend: (claims: [eventId: string, token: string][], leaseMs: number) => Promise<string[]>) {
    this.#renewals = new Renewals(async (leases) => {
      const byLease = new Map<number, [string, string][]>()
      for (const [id, token, leaseMs] of leases) {
        const claims = byLease.get(leaseMs)
        if (claims === undefined) byLease.set(leaseMs, [[id, token]])
        else claims.push([id, token])
      }
      return (await Promise.all([...byLease].map(([leaseMs, claims]) => extend(claims, leaseMs)))).flat()
    })
  }

  keepEvents(token: string, ids: string[], leaseMs: number): Promise<string[]> {
    const kept: Kept = this.#kept.get(token) ?? { ids: new Set(), lost: new Set(), tell: undefined }
    this.#kept.set(token, kept)
    for (const id of ids) {
      if (kept.ids.has(id) || kept.lost.has(id)) continue
      kept.ids.add(id)
      void this.#renewals.keep({ sagaId: id, token, leaseMs }).then((reason) => {
        kept.ids.delete(id)
        if (reason !== null) kept.lost.add(id)
        // What is lost at once is told at once.
        queueMicrotask(() => this.#tell(token, kept))
      })
    }
    return new Promise((resolve) => {
      kept.tell = resolve
      this.#tell(token, kept)
    })
  }

  unkeepEvents(token: string, ids: string[]): void {
    const lost = this.#kept.get(token)?.lost
    for (const id of ids) {
      lost?.delete(id)
      this.#renewals.unkeep({ sagaId: id, token })
    }
  }

  /** The store has been closed. */
  stop(): void {
    this.#renewals.stop()
  }

  #tell(token: string, kept: Kept): void {
    if (kept.lost.size === 0 && kept.ids.size > 0) return
    const { tell } = kept
    kept.tell = undefined
    if (tell !== undefined) {
      tell([...kept.lost])
      kept.lost.clear()
    }
    if (kept.ids.size === 0 && kept.lost.size === 0) this.#kept.delete(token)
  }
}
