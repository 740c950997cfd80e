import { AsyncLocalStorage } from 'node:async_hooks'
import type { BackendName } from '../backend'
import type { Carrier } from '../clients/carrier'
import { enterHandle } from '../clients/handle'
import { recognize } from '../clients/recognize'
import { errorOf, invalidArgument } from '../errors'
import { isPromiseLike } from '../promises'

/** Where an operation goes when it does not go to the store's own connections. */
export type Route = CarrierRoute | OwnRoute

/** To a client, or a transaction, of the application. */
export interface CarrierRoute {
  carrier: Carrier
  /** Whether it was joined: by `withTransaction`, `getTransaction`, or within `store.transaction`. */
  isJoined: boolean
  /** Whether the joined transaction has ended, as far as it is known here. */
  isOver?: () => boolean
  /** Where changes are collected until the end, if they are not sent to the client one by one. */
  unit?: UnitOfWork
  /** Takes back what runs have noted of changes that did not happen. */
  undo?: (() => void)[]
  /** What is done once the transaction is committed; see `happened`. */
  done?: ((isStored: boolean) => void)[]
  /** Whether operations are refused while the client is in no transaction (`requireTransaction`). */
  isRequired?: boolean
}

/** A transaction of a store's own that its client takes as a whole, at its end. */
export class UnitOfWork {
  /** What the native side knows it by. */
  readonly handle: object
  #last: Promise<unknown> = Promise.resolve()

  constructor(handle: object) {
    this.handle = handle
  }

  /** Runs `operation` behind those before it. */
  next<T>(operation: () => Promise<T>): Promise<T> {
    const running = this.#last.then(operation)
    this.#last = running.catch(() => undefined)
    return running
  }
}

/** To a transaction that the store has opened on a connection of its own. */
export interface OwnRoute {
  transaction: object
  /** As for a carrier. */
  undo?: (() => void)[]
  done?: ((isStored: boolean) => void)[]
  isOver: () => boolean
}

/** A stretch of asynchronous work whose operations join a transaction. */
interface Scope {
  backend: BackendName
  /** The only store that joins; none: all of the backend's. */
  owner: object | undefined
  route: Route
  outer: Scope | undefined
}

const scopes = new AsyncLocalStorage<Scope>()
/** Without a scope ever opened, operations need not ask for one. */
let isUsed = false

/** Whether there may be a scope. */
export function hasScopes(): boolean {
  return isUsed
}

/** The route that the surrounding work has joined. The innermost scope of the backend counts. */
export function joinedRoute(backend: BackendName, store: object): Route | undefined {
  if (!isUsed) return undefined
  for (let scope = scopes.getStore(); scope !== undefined; scope = scope.outer) {
    if (scope.backend === backend && (scope.owner === undefined || scope.owner === store)) return scope.route
  }
  return undefined
}

/** Runs `work`, and all that it starts, with operations of `owner` joining `route`. */
export function runJoined<T>(backend: BackendName, owner: object, route: Route, work: () => T): T {
  isUsed = true
  return scopes.run({ backend, owner, route, outer: scopes.getStore() }, work)
}

/** The transaction of a route has not happened: takes back what was noted of it, the last first. */
export function takeBack(route: Route): void {
  for (const undo of (route.undo ?? []).splice(0).reverse()) undo()
}

/** The transaction of a route is committed; not `isStored`: whoever has begun it is about to. */
export function happened(route: Route, isStored: boolean): void {
  for (const done of (route.done ?? []).splice(0)) done(isStored)
}

/** Runs work that belongs to no transaction, and outlives the one in which it is begun. */
export function detached<T>(work: () => T): T {
  return isUsed ? scopes.exit(work) : work()
}

/** Throws `CLOSED` if the route's transaction has ended. */
export function checkRoute(route: Route, operation: string, backend: BackendName): void {
  if (route.isOver?.() !== true) return
  throw errorOf('CLOSED', 'the transaction that this operation belongs to has ended', { operation, backend })
}

/** What each library has for a transaction. */
const INSTEAD: Record<string, string> = {
  pg: 'the client of pool.connect(), after BEGIN on it',
  postgres: 'the sql of sql.begin(async (sql) => …)',
  prisma: 'the tx of prisma.$transaction(async (tx) => …)',
  'drizzle-orm': 'the tx of db.transaction(async (tx) => …)',
  kysely: 'the trx of db.transaction().execute(async (trx) => …)',
  knex: 'the trx of knex.transaction(async (trx) => …)',
  ioredis: 'what client.multi() gives',
  redis: 'what client.multi() gives',
  mongodb: 'a ClientSession, after session.startTransaction()',
  '@aws-sdk/client-dynamodb': 'the array of TransactItems that you will send',
  '@aws-sdk/lib-dynamodb': 'the array of TransactItems that you will send',
}

/** The carrier of a transaction; a client that only could have one is refused. */
export function transactionCarrier(transaction: unknown, what: string, operation: string): Carrier {
  const carrier = recognize(transaction, what, operation)
  // A single connection may be in a transaction, or come into one; a pool cannot.
  if (!carrier.isTransaction && (carrier.begin !== undefined || carrier.takesUnits)) {
    const hint = INSTEAD[carrier.library] ?? 'what the library gives for one'
    throw invalidArgument(`${what} is a ${carrier.library} client, not a transaction of it: pass ${hint}`, operation)
  }
  carrier.join?.()
  return carrier
}

/**
 * Runs `work`. In it the operations of every store of that kind of database join `transaction`: they are committed or
 * rolled back with it, whether the store was made from a URL or from a client. Stores of other kinds of database do
 * not join. The application begins, commits and rolls back.
 *
 * @param transaction what the library gives: a `pg` client, the `tx` of Prisma's, Drizzle's, Kysely's or
 *   Knex's transaction, postgres.js's `sql` of `sql.begin`, a better-sqlite3 or node:sqlite handle, a
 *   `multi()` of ioredis or node-redis, a MongoDB `ClientSession`, or an array of DynamoDB's `TransactItems`.
 *   A client, handle or session that is in no transaction when an operation runs: `INVALID_ARGUMENT`, nothing is stored
 * @param work runs at once. Operations that it starts and does not wait for are `CLOSED` once it has ended
 * @returns what `work` returns; a promise of it if `work` is asynchronous
 * @throws InvalidArgumentError if `transaction` cannot be recognised
 */
export function withTransaction<T>(transaction: unknown, work: () => T): T {
  const carrier = transactionCarrier(transaction, 'the transaction', 'withTransaction')
  if (typeof work !== 'function') throw invalidArgument('withTransaction takes a transaction and a function', 'withTransaction')
  const handle = enterHandle(carrier)
  let isOver = false
  const end = () => {
    isOver = true
    handle?.leave()
  }
  isUsed = true
  const route: CarrierRoute = { carrier, isJoined: true, isOver: () => isOver }
  const scope: Scope = { backend: carrier.backend, owner: undefined, route, outer: scopes.getStore() }
  let result: T
  try {
    const run = () => scopes.run(scope, work)
    result = handle === undefined ? run() : handle.run(run)
  } catch (error) {
    end()
    takeBack(route)
    throw error
  }
  if (!isPromiseLike(result)) {
    end()
    happened(route, false)
    return result
  }
  // A promise of the same kind: Prisma and others look at what their callbacks return.
  return Promise.resolve(result)
    .finally(end)
    .then(
      (value) => {
        happened(route, false)
        return value
      },
      (error) => {
        takeBack(route)
        throw error
      },
    ) as T
}
