import { errorOf } from '../errors'
import type { HeldLease } from './execution-types'
import type { ExecutionSupport } from './runner'

/** Runs that nobody refers to any more are not renewed: another worker gets what was forgotten. */
const forgotten = new FinalizationRegistry<Lease>((lease) => lease.end())

/** The lease of a run: renewed by the store, until it has ended or is lost. It does not refer to its run. */
export class Lease implements HeldLease {
  readonly sagaId: string
  readonly token: string
  readonly leaseMs: number
  readonly #support: ExecutionSupport
  readonly #backend: string
  readonly #controller = new AbortController()
  #isOver = false
  readonly #renews: boolean
  /** Writes under way that end it: what is heard of it meanwhile may come of them. */
  #endings = 0
  #heard: unknown

  private constructor({ sagaId, token, leaseMs }: HeldLease, support: ExecutionSupport, backend: string, renews: boolean) {
    this.#renews = renews
    this.sagaId = sagaId
    this.token = token
    this.leaseMs = leaseMs
    this.#support = support
    this.#backend = backend
  }

  /** The lease of a run. `renews`: it is renewed from now on. */
  static of(run: HeldLease, support: ExecutionSupport, backend: string, renews: boolean): Lease {
    const lease = new Lease(run, support, backend, renews)
    if (renews) forgotten.register(run, lease, lease)
    lease.#keep()
    return lease
  }

  #keep(): void {
    if (!this.#renews) return
    this.#support.keep(this).then(
      (reason) => reason !== null && this.lose(reason),
      // Without renewal it is over by its own time; each write tells.
      () => undefined,
    )
  }

  /** The transaction that has ended it has not happened. */
  resume(): void {
    if (!this.#isOver || this.#controller.signal.aborted) return
    this.#isOver = false
    this.#keep()
  }

  get signal(): AbortSignal {
    return this.#controller.signal
  }

  /** Whether it has ended or is lost. */
  get isOver(): boolean {
    return this.#isOver
  }

  /** Runs a write that ends it. */
  async ending(write: () => Promise<unknown>): Promise<void> {
    this.#endings += 1
    try {
      await write()
      this.end()
    } finally {
      this.#endings -= 1
      if (this.#endings === 0 && this.#heard !== undefined) this.lose(this.#heard)
    }
  }

  /** It is not renewed any more. */
  end(): void {
    if (this.#isOver) return
    this.#isOver = true
    this.#support.unkeep(this)
  }

  /** It is lost, for this reason or with this error. */
  lose(reason: unknown): void {
    if (this.#isOver) return
    if (this.#endings > 0) {
      this.#heard ??= reason
      return
    }
    this.end()
    this.#controller.abort(this.#error(reason))
  }

  #error(reason: unknown): unknown {
    const isLost = reason instanceof Error && (reason as { code?: string }).code === 'LEASE_LOST'
    if (isLost) return reason
    const message = `the lease is lost: ${reason instanceof Error ? reason.message : reason}`
    const cause = reason instanceof Error ? { cause: reason } : {}
    return errorOf('LEASE_LOST', message, { backend: this.#backend, operation: 'executions.heartbeat', id: this.sagaId, ...cause })
  }
}
