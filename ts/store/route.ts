import type { Arguments, Operation } from '../arguments'
import type { BackendName } from '../backend'
import { errorOf, type Failure, invalidArgument, raise, SagaStoreError } from '../errors'
import type { HeldLease } from '../kinds/execution-types'
import type { OutboxSupport } from '../kinds/outbox-support'
import type { NativeStat } from '../kinds/payload-lists'
import type { ExecutionSupport, Runner } from '../kinds/runner'
import { subjectOf } from '../observe'
import { OPERATIONS } from '../operations'
import { turn } from '../promises'
import { Bell } from '../run/bell'
import { checkRoute, detached, hasScopes, joinedRoute, type Route, transactionCarrier } from '../run/context'
import { type EventKeeper, EventLeases } from '../run/event-leases'
import { EventRenewals } from '../run/event-renewals'
import { Renewals } from '../run/renewals'
import type { Parts } from './open'

/** Whether what goes this way is a part of a transaction: the store's own, or the application's. */
function isTransaction(route: Route): boolean {
  return !('carrier' in route) || route.unit !== undefined || route.isJoined || route.carrier.isTransaction
}

/** Runs each operation of a store where it belongs: on the store's own connections, on a client, or in a transaction. */
export class Router implements Runner {
  readonly backend: BackendName
  readonly operationTimeoutMs: number
  readonly executions: ExecutionSupport
  readonly outbox: OutboxSupport
  readonly #parts: Parts
  readonly #direct: Parts['direct']
  readonly #observer: Parts['observer']
  /** Whether only a scope can lead elsewhere than to the store's own connections. */
  #isFree: boolean
  /** Once the store is being closed: which transactions of its own go on. */
  #goesOn: ((route: Route) => boolean) | undefined
  /** Gets whose callers wait. One by itself may be answered on this thread, where that is the quicker way. */
  #gets = 0
  #renewals: Renewals | undefined
  #eventRenewals: EventRenewals | undefined
  readonly #answersHere: boolean
  readonly #got = (data: Buffer): Buffer => {
    this.#gets -= 1
    return data
  }
  readonly #notGot = (failure: Failure): Promise<never> => {
    this.#gets -= 1
    return this.#missing(failure, (id) => this.#direct.run(OPERATIONS.stat.number, [id, true] as never) as Promise<NativeStat | null>)
  }

  constructor(parts: Parts) {
    this.backend = parts.backend
    this.operationTimeoutMs = parts.native.settings.operationTimeoutMs
    this.#parts = parts
    this.#direct = parts.direct
    this.#observer = parts.observer
    this.#answersHere = parts.native.answersHere
    this.#isFree = parts.client === undefined && parts.getTransaction === undefined && !parts.requiresTransaction
    this.executions = this.#executions()
    this.outbox = this.#outbox()
  }

  /** Runs an operation, wherever it is called. With nobody listening and no transaction about it goes the shortest way. */
  run<T>(operation: Operation, first?: unknown, data?: unknown, expiresAt?: unknown, routingSlipId?: string): Promise<T> {
    if (this.#isFree && !hasScopes() && !this.#observer.isActive) return this.#own<T>(operation, first, data, expiresAt)
    return this.#watched<T>(undefined, operation, [first, data, expiresAt], routingSlipId)
  }

  /** Runs operations in a transaction. */
  on(route: Route): Runner {
    return {
      backend: this.backend,
      operationTimeoutMs: this.operationTimeoutMs,
      run: (operation, first, data, expiresAt, routingSlipId) => this.#watched(route, operation, [first, data, expiresAt], routingSlipId),
      refuse: (error, operation) => this.refuse(error, operation),
      executions: this.executions,
      outbox: { ...this.outbox, isInTransaction: true, whenStored: (done) => whenStored(route, done) },
    }
  }

  /** Runs operations in no transaction, whoever calls it: on the store's own connections, or on its client. */
  #apart(): Runner {
    const { client, conversations } = this.#parts
    const start = <T>(operation: Operation, args: Arguments): Promise<T> =>
      client === undefined ? this.#own<T>(operation, ...args) : conversations.run<T>({ carrier: client, isJoined: false }, operation, args)
    return {
      backend: this.backend,
      operationTimeoutMs: this.operationTimeoutMs,
      run: <T>(operation: Operation, ...args: [first?: unknown, data?: unknown, expiresAt?: unknown]) => {
        try {
          this.#checkOpen(undefined, operation.name)
        } catch (error) {
          return this.#rejected(error)
        }
        return this.#observer.isActive
          ? this.#observer.watch(subjectOf(operation, args), () => start<T>(operation, args))
          : start<T>(operation, args)
      },
      refuse: (error, operation) => this.refuse(error, operation),
      executions: this.executions,
      outbox: { ...this.outbox, whenStored: (done) => done(true) },
    }
  }

  #outbox(): OutboxSupport {
    const { native, client, conversations, maxRetries } = this.#parts
    let keeper: EventKeeper = native
    if (client !== undefined) {
      const operation = OPERATIONS['outbox.extend']
      // In no transaction, whatever the timer has inherited.
      this.#eventRenewals = new EventRenewals((claims, leaseMs) =>
        conversations.run<string[]>({ carrier: client, isJoined: false }, operation, [[{ claims, leaseMs }]]),
      )
      keeper = this.#eventRenewals
    }
    return {
      bell: new Bell(client === undefined ? () => native.rung() : undefined),
      leases: new EventLeases(keeper),
      maxRetries,
      isInTransaction: false,
      apart: () => this.#apart(),
      whenStored: (done) => {
        const joined = joinedRoute(this.backend, this)
        if (joined !== undefined) whenStored(joined, done)
        // How a transaction of `getTransaction` ends is not known here.
        else done(this.#parts.getTransaction === undefined)
      },
      detached,
      warn: (operation, message) => this.#observer.warn(operation, message),
    }
  }

  refuse(error: unknown, operation: string): Promise<never> {
    const isCoded = error instanceof SagaStoreError
    return this.#rejected(isCoded ? error : invalidArgument('an argument cannot be read', operation, this.backend, error))
  }

  /** Where operations go that are called here and now; none: to the store's own connections. */
  route(operation: string): Route | undefined {
    const joined = joinedRoute(this.backend, this)
    if (joined !== undefined) return joined
    const { client, getTransaction } = this.#parts
    const transaction = getTransaction?.()
    if (transaction !== undefined && transaction !== null) {
      const carrier = transactionCarrier(transaction, 'what getTransaction returned', operation)
      if (carrier.backend === this.backend) return { carrier, isJoined: true }
      const message = `getTransaction returned a transaction of ${carrier.library} on ${carrier.backend}`
      throw invalidArgument(message, operation, this.backend)
    }
    return client && { carrier: client, isJoined: false }
  }

  /** Leases are renewed from a timer of the native side, on a client of the application from one of JavaScript. */
  #executions(): ExecutionSupport {
    const { native, client, conversations, history } = this.#parts
    const warn = (operation: string, message: string) => this.#observer.warn(operation, message)
    const onRollback = (undo: () => void) => {
      const joined = joinedRoute(this.backend, this)
      if (joined === undefined) return
      joined.undo ??= []
      joined.undo.push(undo)
    }
    const common = { outside: this, ...history, warn, onRollback }
    if (client === undefined) {
      return {
        ...common,
        keep: ({ sagaId, token, leaseMs }: HeldLease) => native.keep(sagaId, token, leaseMs),
        unkeep: ({ sagaId, token }: HeldLease) => native.unkeep(sagaId, token),
      }
    }
    const operation = OPERATIONS['executions.heartbeat']
    // In no transaction, whatever the timer has inherited.
    const beat = (runs: [string, string, number][]) =>
      conversations.run<string[]>({ carrier: client, isJoined: false }, operation, [[{ runs }]])
    const renewals = new Renewals(beat)
    this.#renewals = renewals
    return { ...common, keep: (lease) => renewals.keep(lease), unkeep: (lease) => renewals.unkeep(lease) }
  }

  /** An error of `get`: of a payload that has expired and is still there it says when that was. */
  async #missing(reason: Failure | Error, stat: (id: string) => Promise<NativeStat | null>): Promise<never> {
    const { code, id } = reason as Failure
    // Redis has removed it at once.
    if (code !== 'NOT_FOUND' || id === undefined || this.backend === 'redis') return raise(reason)
    const expiredAt = await stat(id).then(
      (found) => found?.expiresAt,
      () => undefined,
    )
    if (expiredAt == null) return raise(reason)
    const message = `not found: the payload of this id expired at ${expiredAt.toISOString()}`
    throw Object.assign(errorOf('NOT_FOUND', message, { backend: this.backend, operation: 'get', id }), { expiredAt })
  }

  /** The store is being closed: only what belongs to a transaction that goes on is still done. */
  refuseNew(goesOn: (route: Route) => boolean): void {
    this.#goesOn = goesOn
    this.#isFree = false
  }

  #checkOpen(route: Route | undefined, operation: string): void {
    if (this.#goesOn === undefined || (route !== undefined && this.#goesOn(route))) return
    throw errorOf('CLOSED', 'the store is closed', { operation, backend: this.backend })
  }

  /** The store is closed. */
  close(): void {
    this.#renewals?.stop()
    this.#eventRenewals?.stop()
  }

  #watched<T>(within: Route | undefined, operation: Operation, args: Arguments, routingSlipId?: string): Promise<T> {
    const start = () => this.#start<T>(within, operation, args)
    return this.#observer.isActive ? this.#observer.watch(subjectOf(operation, args, routingSlipId), start) : start()
  }

  #start<T>(within: Route | undefined, operation: Operation, args: Arguments): Promise<T> {
    let route: Route | undefined
    try {
      route = within ?? this.route(operation.name)
      if (route !== undefined) checkRoute(route, operation.name, this.backend)
      this.#checkOpen(route, operation.name)
      if (this.#parts.requiresTransaction) route = this.#required(route, operation)
    } catch (error) {
      return this.#rejected(error)
    }
    const { client, native, conversations } = this.#parts
    if (route === undefined) return this.#own<T>(operation, ...args)
    if (operation.kind === 'moving' && isTransaction(route)) {
      const message = 'whole records are moved outside transactions: call it outside of this one'
      return this.#rejected(errorOf('UNSUPPORTED', message, { backend: this.backend, operation: operation.name }))
    }
    if ('carrier' in route && route.unit === undefined) {
      const running = conversations.run<T>(route, operation, args)
      if (operation !== OPERATIONS.get || isTransaction(route)) return running
      const stat = (id: string) => conversations.run<NativeStat | null>(route as never, OPERATIONS.stat, [[id, true]])
      return running.catch((error) => this.#missing(error, stat))
    }
    if (operation === OPERATIONS.statistics) {
      if (client !== undefined) return conversations.run<T>({ carrier: client, isJoined: false }, operation, args)
      return this.#own<T>(operation, ...args)
    }
    if (operation.kind === 'store') {
      const message = `${operation.name} is not part of a transaction: call it outside`
      return this.#rejected(errorOf('UNSUPPORTED', message, { backend: this.backend, operation: operation.name }))
    }
    if ('carrier' in route) return conversations.run<T>(route, operation, args)
    const [first, data, expiresAt] = args
    const running = native.runIn(route.transaction, operation.number, first, data, expiresAt)
    return (running as Promise<T>).then(undefined, raise)
  }

  /** A rejection that is found out on this side of the boundary: it makes way like all other answers. */
  #rejected(error: unknown): Promise<never> {
    return this.#direct.makesWay() ? turn().then(() => Promise.reject(error)) : Promise.reject(error)
  }

  /** With `requireTransaction`: the route, if it leads into a transaction, or may; operations on tables need none. */
  #required(route: Route | undefined, operation: Operation): Route | undefined {
    if (operation.kind === 'store') return route
    if (route !== undefined) {
      if (!('carrier' in route) || route.isJoined) return route
      // A connection, a handle or a transaction in place of a client.
      if (route.carrier.isOpen !== undefined) return { ...route, isRequired: true }
      if (route.carrier.isTransaction) return route
    }
    const message =
      'outside of any transaction, and the store was opened with requireTransaction: use store.transaction or withTransaction. ' +
      'Inside of one? A callback (not a promise) of a library can lose the context that withTransaction goes by'
    throw invalidArgument(message, operation.name, this.backend)
  }

  /** On the store's own connections. */
  #own<T>(operation: Operation, first?: unknown, data?: unknown, expiresAt?: unknown): Promise<T> {
    if (operation === OPERATIONS.get) return this.#get(first as string) as Promise<T>
    return this.#asked<T>(operation, first as never, data as never, expiresAt as never).then(undefined, raise)
  }

  #asked<T>(operation: Operation, first: never, data: never, expiresAt: never): Promise<T> {
    if (operation === OPERATIONS.put) return this.#direct.put(first, data, expiresAt) as Promise<T>
    if (operation.kind !== 'store') return this.#direct.run(operation.number, first, data, expiresAt) as Promise<T>
    const { native } = this.#parts
    if (operation === OPERATIONS['states.reindex']) return native.reindex(first) as Promise<T>
    return native[operation.name as 'purgeExpired'](first) as Promise<T>
  }

  #get(id: string): Promise<Buffer> {
    if (this.#answersHere && this.#gets === 0) {
      const found = this.#direct.getHere(id)
      if (found !== undefined) {
        // Under way until its caller hears of it: another one meanwhile is not by itself.
        this.#gets = 1
        return Promise.resolve(found).then(this.#got)
      }
    }
    const getting = this.#direct.get(id)
    this.#gets += 1
    return getting.then(this.#got, this.#notGot)
  }
}

/** Calls `done` once the transaction of a route is committed. */
function whenStored(route: Route, done: (isStored: boolean) => void): void {
  route.done ??= []
  route.done.push(done)
}
