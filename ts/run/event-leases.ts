/** How the leases of events are renewed, until `unkeep`. */
export interface EventKeeper {
  /**
   * Renews the lease of events of one claim. Resolves with the ids of those whose lease is lost, while the others go on
   * to be renewed: it is called again with them. Resolves with none once none is to be renewed any more.
   */
  keepEvents(token: string, ids: string[], leaseMs: number): Promise<string[]>
  unkeepEvents(token: string, ids: string[]): void
}

/** Who holds events. */
export interface EventHolder {
  /** The lease of these is lost. */
  lost(ids: readonly string[]): void
  /** Somebody has said what became of these through the store. `isBack`: they are pending again, and so is what stands behind them. */
  settled?(ids: readonly string[], isBack: boolean): void
}

interface Kept {
  readonly ids: Set<string>
  readonly holder: EventHolder
}

/** The leases of events that a store renews, by the tokens of their claims. */
export class EventLeases {
  readonly #keeper: EventKeeper
  readonly #kept = new Map<string, Kept>()

  constructor(keeper: EventKeeper) {
    this.#keeper = keeper
  }

  /** Renews the lease of events that were claimed just now, until `unkeep`, or until their holder was told of them. */
  keep(token: string, ids: readonly string[], leaseMs: number, holder: EventHolder): void {
    const kept = { ids: new Set(ids), holder }
    this.#kept.set(token, kept)
    void this.#watch(token, kept, leaseMs)
  }

  /** Renews the lease of these no more. */
  unkeep(token: string, ids: readonly string[]): void {
    const kept = this.#kept.get(token)
    if (kept === undefined) return
    const dropped = ids.filter((id) => kept.ids.delete(id))
    if (kept.ids.size === 0) this.#kept.delete(token)
    if (dropped.length > 0) this.#keeper.unkeepEvents(token, dropped)
  }

  /** What has become of events was stored: whoever holds them is told. */
  settled(held: readonly (readonly [eventId: string, token: string])[], isBack: boolean): void {
    if (this.#kept.size === 0) return
    const told = new Map<string, string[]>()
    for (const [id, token] of held) {
      if (this.#kept.get(token)?.holder.settled === undefined) continue
      const ids = told.get(token)
      if (ids === undefined) told.set(token, [id])
      else ids.push(id)
    }
    for (const [token, ids] of told) this.#kept.get(token)?.holder.settled?.(ids, isBack)
  }

  async #watch(token: string, kept: Kept, leaseMs: number): Promise<void> {
    while (kept.ids.size > 0) {
      let lost: string[]
      try {
        lost = await this.#keeper.keepEvents(token, [...kept.ids], leaseMs)
      } catch {
        // The store is closed, and renews nothing.
        lost = [...kept.ids]
      }
      if (lost.length === 0) return
      const told = lost.filter((id) => kept.ids.delete(id))
      if (kept.ids.size === 0 && this.#kept.get(token) === kept) this.#kept.delete(token)
      if (told.length > 0) kept.holder.lost(told)
    }
  }
}
