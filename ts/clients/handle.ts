import { AsyncLocalStorage } from 'node:async_hooks'
import { UnsupportedError } from '../errors'

// An SQLite handle is one connection, and everything in the process that has it shares its
// transaction. Whose transaction it is in, SQLite cannot say; this finds out what can be found out:
//
// - A transaction that is over when the call stack is (`db.transaction(() => ...)`) cannot be a
//   stranger's: nobody else has run meanwhile.
// - A transaction that outlives the call stack can. Operations join it only inside `withHandle`.

/** What keeps operations out of transactions that they were not meant for, for one handle. */
export interface HandleGuard {
  /** Whether the handle is in a transaction now. */
  readonly isInTransaction: boolean
  /** Whether the caller is inside the open `withHandle` of this handle. */
  readonly isInScope: boolean
  /** To be called before an operation: throws UNSUPPORTED if it must not run; nothing has run then. */
  check(): void
  /**
   * To be called when an operation outside of `withHandle` has begun, in the same synchronous stretch.
   * Where it ran inside a transaction, the promise tells in the next microtask whether that was over with
   * the call stack, and rejects with UNSUPPORTED if not: the operation must then reject with that.
   * `undefined`: there is nothing to wait for.
   */
  verify(): Promise<void> | undefined
}

/** A time in which operations inside of `run` join the handle's transaction, and others are refused. */
export interface HandleScope {
  /** Runs `work`, and all that it starts, inside the scope. */
  run<T>(work: () => T): T
  /** Ends the scope. May be called again. */
  leave(): void
}

const guards = new WeakMap<object, Guard>()
const scopes = new AsyncLocalStorage<Scope>()

/**
 * The guard of a shared handle. It is found by the handle itself, by its carrier, by a Drizzle database
 * or transaction on it, and by the carrier of that; by each once it has been recognised.
 * `undefined`: this client needs none.
 */
export function guardOf(client: object): HandleGuard | undefined {
  return guards.get(client)
}

/** Makes a guard for a handle that has none. `isInTransaction` must be cheap. */
export function guardHandle(handle: object, isInTransaction: () => boolean): HandleGuard {
  const guard = guards.get(handle) ?? new Guard(isInTransaction)
  guards.set(handle, guard)
  return guard
}

/** Lets `guardOf` find the handle's guard, if it has one, by these too. */
export function shareGuard(handle: object, ...others: object[]): void {
  const guard = guards.get(handle)
  if (guard !== undefined) for (const other of others) guards.set(other, guard)
}

/**
 * Opens a scope on a handle, or on what stands for it (see `guardOf`).
 *
 * @returns `undefined` where there is nothing to guard
 * @throws UnsupportedError if another async context has one open on the same handle
 */
export function enterHandle(client: object): HandleScope | undefined {
  return guards.get(client)?.enter()
}

/** Runs `work` inside a scope of its own, or without one where there is nothing to guard. */
export async function withHandle<T>(client: object, work: () => T | PromiseLike<T>): Promise<T> {
  const scope = enterHandle(client)
  if (scope === undefined) return await work()
  try {
    return await scope.run(work)
  } finally {
    scope.leave()
  }
}

class Scope implements HandleScope {
  isOpen = true
  readonly guard: Guard
  /** The scope around it: of another handle, or of the same one. */
  readonly outer: Scope | undefined

  constructor(guard: Guard, outer: Scope | undefined) {
    this.guard = guard
    this.outer = outer
  }

  run<T>(work: () => T): T {
    return scopes.run(this, work)
  }

  leave(): void {
    this.isOpen = false
    this.guard.left(this)
  }

  isInside(scope: Scope): boolean {
    return this === scope || this.outer?.isInside(scope) === true
  }
}

class Guard implements HandleGuard {
  readonly #ask: () => boolean
  /** The outermost open scope, and those inside it. */
  #open: Scope[] = []
  /** An operation has been seen in a transaction that outlived its call stack, and that is not over. */
  #isForeign = false

  constructor(ask: () => boolean) {
    this.#ask = () => {
      try {
        return ask()
      } catch {
        // It has been closed.
        return false
      }
    }
  }

  get isInTransaction(): boolean {
    return this.#ask()
  }

  get isInScope(): boolean {
    const scope = this.#open[0]
    return scope !== undefined && scopes.getStore()?.isInside(scope) === true
  }

  enter(): Scope {
    if (this.#open.length > 0 && !this.isInScope) {
      throw refusal('another withTransaction is under way on this handle; one transaction at a time, or a handle for each')
    }
    const scope = new Scope(this, scopes.getStore())
    this.#open.push(scope)
    return scope
  }

  left(scope: Scope): void {
    this.#open = this.#open.filter((open) => open !== scope)
  }

  check(): void {
    if (this.#open.length > 0) {
      if (this.isInScope) return
      throw refusal('a withTransaction that this call is not part of is under way on this handle; nothing was written')
    }
    if (this.#isForeign) this.#isForeign = this.#ask()
    if (this.#isForeign) {
      throw refusal(`the handle is in a transaction that was begun asynchronously; ${ADVICE}; nothing was written`)
    }
  }

  verify(): Promise<void> | undefined {
    if (this.isInScope || !this.#ask()) return undefined
    return new Promise((resolve, reject) => {
      queueMicrotask(() => {
        if (!this.#ask()) return resolve()
        this.#remember()
        const what = 'what was written belongs to that transaction'
        reject(refusal(`the handle is in a transaction that was begun asynchronously; ${ADVICE}; ${what}`))
      })
    })
  }

  /** Between two turns of the event loop no synchronous transaction is open, which `check` could take for this one. */
  #remember(): void {
    if (this.#isForeign) return
    this.#isForeign = true
    const timer = setInterval(() => {
      this.#isForeign &&= this.#ask()
      if (!this.#isForeign) clearInterval(timer)
    }, FOREIGN_POLL_MS)
    timer.unref()
  }
}

const FOREIGN_POLL_MS = 5
const ADVICE = 'call inside withTransaction(db, ...)'

function refusal(message: string): UnsupportedError {
  return new UnsupportedError({ code: 'UNSUPPORTED', message, backend: 'sqlite', retryable: false, causes: [], details: {} })
}
