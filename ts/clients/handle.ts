import { AsyncLocalStorage } from 'node:async_hooks'
import { errorOf, type SagaStoreError } from '../errors'

// An SQLite handle is one connection, and everything in the process that has it shares its
// transaction. Whose transaction it is in, SQLite cannot say; this finds out what can be found out:
//
// - A transaction that is over when the call stack is (`db.transaction(() => ...)`) cannot be a
//   stranger's: nobody else has run meanwhile.
// - A transaction that outlives the call stack can. Operations join it only inside `withHandle`, or where the application
//   names it (`getTransaction`). One that finds itself in such a transaction otherwise is undone: it ran in a savepoint.

/** What keeps operations out of transactions that they were not meant for, for one handle. */
export interface HandleGuard {
  /** Whether the handle is in a transaction now. */
  readonly isInTransaction: boolean
  /** Whether the caller is inside the open `withHandle` of this handle. */
  readonly isInScope: boolean
  /** To be called before an operation: throws UNSUPPORTED if it must not run; nothing has run then. */
  check(): void
  /**
   * To be called before an operation that has joined nothing. Where it will run inside a transaction: what has to be told
   * of its end. `undefined`: there is nothing to wait for.
   */
  attempt(writes: boolean): HandleAttempt | undefined
}

/** Operations that run inside a transaction of which it is not known yet whether it is their caller's. */
export interface HandleAttempt {
  /**
   * To be called when the operation has run, in the same synchronous stretch. In the next microtask the promise tells
   * whether the transaction was over with the call stack. If not, what the operation wrote is undone, and the promise
   * rejects with UNSUPPORTED: the operation must then reject with that.
   */
  ran(): Promise<void>
}

/** A time in which operations inside of `run` join the handle's transaction, and others are refused. */
export interface HandleScope {
  /** Runs `work`, and all that it starts, inside the scope. */
  run<T>(work: () => T): T
  /** Ends the scope. May be called again. */
  leave(): void
}

/** Runs a statement on the handle; its rows. */
type Run = (sql: string) => unknown[][]

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
export function guardHandle(handle: object, isInTransaction: () => boolean, run: Run): HandleGuard {
  const guard = guards.get(handle) ?? new Guard(isInTransaction, run)
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
  readonly #run: Run
  /** The outermost open scope, and those inside it. */
  #open: Scope[] = []
  /** Of operations in this turn of the microtasks. */
  #attempt: Attempt | undefined

  constructor(ask: () => boolean, run: Run) {
    this.#run = run
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
    if (this.#open.length === 0 || this.isInScope) return
    throw refusal('a withTransaction that this call is not part of is under way on this handle; nothing was written')
  }

  attempt(writes: boolean): HandleAttempt | undefined {
    if (this.isInScope || !this.#ask()) return undefined
    this.#attempt ??= new Attempt(this.#run, this.#ask, () => {
      this.#attempt = undefined
    })
    if (writes) this.#attempt.write()
    return this.#attempt
  }
}

/**
 * What operations do between two looks at the handle, in one savepoint. It stays open: where the transaction is the
 * caller's, its COMMIT or ROLLBACK ends the savepoint too.
 */
class Attempt implements HandleAttempt {
  readonly #run: Run
  readonly #verdict: Promise<void>
  /** What the handle had changed when the last of the operations had run; `undefined` before the first that writes. */
  #mark: string | undefined
  /** The application has changed something on the handle meanwhile: a rollback would undo that as well. */
  #isMixed = false

  constructor(run: Run, isInTransaction: () => boolean, onOver: () => void) {
    this.#run = run
    this.#verdict = new Promise((resolve, reject) => {
      queueMicrotask(() => {
        onOver()
        if (!isInTransaction()) return resolve()
        const what = this.#undo() ? 'nothing was written' : 'the handle was used meanwhile, so what was written belongs to that transaction'
        reject(refusal(`the handle is in a transaction that was begun asynchronously; ${ADVICE}; ${what}`))
      })
    })
  }

  /** An operation that writes is about to run. */
  write(): void {
    if (this.#mark === undefined) this.#run('savepoint sagastore')
    else this.#isMixed ||= this.#look() !== this.#mark
    this.#mark = ''
  }

  ran(): Promise<void> {
    if (this.#mark !== undefined) this.#mark = this.#look()
    return this.#verdict
  }

  #undo(): boolean {
    if (this.#mark === undefined) return true
    try {
      if (this.#isMixed || this.#look() !== this.#mark) return false
      this.#run('rollback to sagastore')
      this.#run('release sagastore')
      return true
    } catch {
      // The savepoint has ended with one around it.
      return false
    }
  }

  /** Rows changed so far, and a number that each change of the schema moves. Two statements: as one they take twice as long. */
  #look(): string {
    return `${this.#run('select total_changes()')[0]} ${this.#run('pragma schema_version')[0]}`
  }
}

const ADVICE = 'call inside withTransaction(db, ...)'

function refusal(message: string): SagaStoreError {
  return errorOf('UNSUPPORTED', message, { backend: 'sqlite' })
}
