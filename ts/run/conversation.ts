import { setTimeout as sleep } from 'node:timers/promises'
import { type Arguments, idOf, type Operation, taken, writtenBy } from '../arguments'
import type { Carrier } from '../clients/carrier'
import { describeClientError } from '../clients/failure'
import { guardOf, type HandleAttempt } from '../clients/handle'
import { type Failure, failureOf, invalidArgument, raise, toError } from '../errors'
import type { native } from '../native'
import { OPERATIONS } from '../operations'
import { isPromiseLike, turn, within } from '../promises'
import { type CarrierRoute, checkRoute, type UnitOfWork } from './context'
import { Deadlines } from './deadlines'
import { isLed, lead } from './lead'

type Native = InstanceType<typeof native.NativeStore>

/** What begins the native side's answers, where it is no handle of an operation that waits for its client. */
const DONE = -1
const FAILED = -2

const IN_TRANSACTION = 1
const BUFFERED = 2
const AT_ONCE = 4
const ONE_SERVER = 8

/** How far an operation has come. */
type State<T> = { value: T } | { failure: unknown } | Waiting

interface Waiting {
  /** `UNSTARTED`: what is waited for is whether the client is in a transaction. */
  handle: number
  answer: PromiseLike<unknown>
}

const UNSTARTED = -1

/** Runs the operations of one store on clients of the application. */
export class Conversations {
  readonly #native: Native
  /** The client that the store was made from, if it was. */
  readonly #home: Carrier | undefined
  readonly #deadlines: Deadlines
  readonly #makesWay: () => boolean
  /** For each carrier the last write of each id that is under way: the next one waits for it. */
  readonly #tails = new WeakMap<Carrier, Map<string, Promise<unknown>>>()

  /** Operations whose client has not answered yet. */
  #underWay = 0
  #onIdle: (() => void)[] = []

  constructor(store: Native, home: Carrier | undefined, makesWay: () => boolean) {
    this.#native = store
    this.#makesWay = makesWay
    this.#home = home
    this.#deadlines = new Deadlines(store.settings.operationTimeoutMs)
  }

  /** Ready when nothing is under way. */
  async ended(): Promise<void> {
    if (this.#underWay > 0) await new Promise<void>((resolve) => this.#onIdle.push(resolve))
  }

  /** Runs one operation. On a client that answers synchronously it has been done when this returns. */
  run<T>(route: CarrierRoute, operation: Operation, args: Arguments): Promise<T> {
    const { carrier } = route
    let running: Promise<T>
    let attempt: HandleAttempt | undefined
    let verified: Promise<void> | undefined
    try {
      carrier.check?.()
      if (!route.isJoined && isLed(operation, carrier)) return this.#settled(this.#lead<T>(route, operation, args))
      // What has joined nothing must not have become part of somebody's transaction.
      if (!route.isJoined && carrier.isSynchronous) attempt = guardOf(carrier)?.attempt(operation.writes)
      const conversation = new Conversation<T>(this.#native, route, this.#home, operation, args, this.#deadlines)
      const ids = writtenBy(operation, args)
      if (route.unit !== undefined) {
        conversation.takeArguments()
        running = route.unit.next(() => conversation.run())
      } else running = ids === undefined ? conversation.run() : this.#inOrder(conversation, carrier, ids)
    } catch (error) {
      running = Promise.reject(error)
    } finally {
      verified = attempt?.ran()
    }
    const settled = this.#settled(running)
    return verified === undefined ? settled : Promise.all([settled, verified]).then(([value]) => value)
  }

  /** What an operation comes to, for its caller. */
  #settled<T>(running: Promise<T>): Promise<T> {
    this.#underWay += 1
    return running.then(
      // The work has been done; a client that answers at once must not keep the event loop from turning.
      (value) => {
        this.#leave()
        const answer = asBuffer(value)
        return this.#makesWay() ? turn().then(() => answer) : answer
      },
      (failure) => {
        this.#leave()
        return this.#makesWay() ? turn().then(() => raise(failure)) : raise(failure)
      },
    )
  }

  /** In a transaction of its own; behind other writes of the same id. */
  #lead<T>(route: CarrierRoute, operation: Operation, args: Arguments): Promise<T> {
    const { carrier } = route
    const given = taken(args)
    const runOn = (transaction: Carrier) =>
      new Conversation<T>(this.#native, { ...route, carrier: transaction }, this.#home, operation, given, this.#deadlines).run()
    const run = () => lead(this.#native, carrier, operation, runOn, (error) => this.classify(error))
    const ids = writtenBy(operation, given)
    if (ids === undefined) return run()
    const known = this.#tailsOf(carrier)
    const before = ids.flatMap((id) => known.get(id) ?? [])
    return keep(known, ids, (ended) => Promise.allSettled(before).then(run).finally(ended))
  }

  #leave(): void {
    this.#underWay -= 1
    if (this.#underWay === 0) for (const resolve of this.#onIdle.splice(0)) resolve()
  }

  /** What the client threw, as the error that it stands for. */
  classify(error: unknown): Failure {
    return withCause(this.#native.classify(describeClientError(error)) as Failure, error)
  }

  /** Waits until it is known that what is joined is in a transaction; rejects if it is in none. Nothing: it is in one. */
  confirm(route: CarrierRoute, operation: string): Promise<void> | undefined {
    const isOpen = route.carrier.isOpen?.(route) ?? true
    if (isOpen === true) return undefined
    const answered = (open: boolean) => {
      if (!open) throw notOpen(route, operation)
    }
    const refused = (error: unknown) => {
      throw toError({ ...this.classify(error), operation })
    }
    return Promise.resolve(isOpen).then(answered, refused)
  }

  #tailsOf(carrier: Carrier): Map<string, Promise<unknown>> {
    let tails = this.#tails.get(carrier)
    if (tails === undefined) {
      tails = new Map()
      this.#tails.set(carrier, tails)
    }
    return tails
  }

  /** Two writes of one id are never under way at once: a pool would let them overtake each other. */
  #inOrder<T>(conversation: Conversation<T>, carrier: Carrier, ids: readonly string[]): Promise<T> {
    const known = this.#tailsOf(carrier)
    const before = known.size === 0 ? [] : ids.flatMap((id) => known.get(id) ?? [])
    if (before.length === 0) {
      const state = conversation.start()
      if (!('answer' in state)) return settled(state)
      return keep(known, ids, (ended) => conversation.wait(state, ended))
    }
    conversation.takeArguments()
    return keep(known, ids, (ended) => conversation.behind(Promise.allSettled(before)).finally(ended))
  }
}

/** Begins a write, which is the last one of its ids until it has ended or another one comes. */
function keep<T>(tails: Map<string, Promise<unknown>>, ids: readonly string[], begin: (ended: () => void) => Promise<T>): Promise<T> {
  const running: Promise<T> = begin(() => {
    for (const id of ids) if (tails.get(id) === running) tails.delete(id)
  })
  for (const id of ids) tails.set(id, running)
  return running
}

/** One operation: asks its client for one thing after the other until it is done. */
class Conversation<T> {
  readonly #native: Native
  readonly #route: CarrierRoute
  readonly #carrier: Carrier
  readonly #home: Carrier | undefined
  readonly #unit: UnitOfWork | undefined
  readonly #operation: Operation
  #args: Arguments
  readonly #deadlines: Deadlines
  /** What the client threw last. */
  #cause: unknown

  constructor(store: Native, route: CarrierRoute, home: Carrier | undefined, operation: Operation, args: Arguments, deadlines: Deadlines) {
    this.#native = store
    this.#route = route
    this.#carrier = route.carrier
    this.#unit = route.unit
    this.#home = home
    this.#operation = operation
    this.#args = args
    this.#deadlines = deadlines
  }

  /** For one that begins later than at its call: the caller may have other plans for what it has given. */
  takeArguments(): void {
    this.#args = taken(this.#args)
  }

  /** Waits for `before`, and runs then; both together have the operation's time. */
  behind(before: Promise<unknown>): Promise<T> {
    let isOver = false
    const running = before.then(() => (isOver ? Promise.reject(this.#timeout()) : this.run()))
    return within(this.#deadlines.timeoutMs, running, () => {
      isOver = true
      return this.#timeout()
    })
  }

  run(): Promise<T> {
    const state = this.start()
    return 'answer' in state ? this.wait(state) : settled(state)
  }

  /** Runs until the first answer that has to be waited for. */
  start(): State<T> {
    const over = this.#isOver()
    if (over !== undefined) return over
    const { isJoined, isRequired } = this.#route
    if ((isJoined || isRequired) && this.#carrier.isOpen !== undefined && this.#operation.kind !== 'store') {
      const isOpen = this.#carrier.isOpen(this.#route)
      if (isOpen === false) return this.#opened(false)
      if (isOpen !== true) {
        this.takeArguments()
        return { handle: UNSTARTED, answer: isOpen }
      }
    }
    return this.#begin()
  }

  #opened(isOpen: unknown): State<T> {
    if (isOpen !== true) return { failure: notOpen(this.#route, this.#operation.name) }
    return this.#isOver() ?? this.#begin()
  }

  /** What has waited for another write, or for an answer, may come too late. A unit of work is sent when it is over. */
  #isOver(): { failure: unknown } | undefined {
    if (this.#unit !== undefined) return undefined
    try {
      checkRoute(this.#route, this.#operation.name, this.#carrier.backend)
      return undefined
    } catch (failure) {
      return { failure }
    }
  }

  #begin(): State<T> {
    const { isTransaction, isBuffered, isSynchronous, isOneServer } = this.#carrier
    const kind = isBuffered ? BUFFERED | AT_ONCE : isSynchronous ? AT_ONCE : 0
    const facts = kind | (isTransaction ? IN_TRANSACTION : 0) | (isOneServer ? ONE_SERVER : 0)
    const [id, data, expiresAt] = this.#args
    const operation = this.#operation.number
    if (this.#unit === undefined) return this.#advance(this.#native.start(operation, facts, id, data, expiresAt))
    return this.#advance(this.#native.startIn(this.#unit.handle, operation, facts, id, data, expiresAt))
  }

  /** Waits for this answer and all others, at most for the operation's time. `ended` is called in a later microtask. */
  wait(first: Waiting, ended?: () => void): Promise<T> {
    return new Promise((resolve, reject) => {
      // Of the answer that is waited for; none once the operation is over.
      let handle: number | undefined
      const deadline = this.#deadlines.start(() => {
        if (handle !== undefined && handle !== UNSTARTED) this.#native.abandon(handle)
        handle = undefined
        ended?.()
        reject(this.#timeout())
      })
      const listen = (state: State<T>) => {
        if ('answer' in state) {
          handle = state.handle
          state.answer.then(
            (value) => handle !== undefined && listen(this.#answer(handle, value)),
            (error) => handle !== undefined && listen(this.#thrown(handle, error)),
          )
          return
        }
        handle = undefined
        this.#deadlines.end(deadline)
        ended?.()
        if ('value' in state) resolve(state.value)
        else reject(state.failure)
      }
      listen(first)
    })
  }

  #advance(outcome: readonly unknown[] | undefined): State<T> {
    if (outcome === undefined) return { value: undefined as T }
    const handle = outcome[0] as number
    if (handle === DONE) return { value: outcome[1] as T }
    if (handle === FAILED) return { failure: withCause(outcome[1] as Failure, this.#cause) }
    let answer: unknown
    try {
      answer = this.#ask(handle, outcome[1] as string, outcome.slice(2))
    } catch (error) {
      return this.#thrown(handle, error)
    }
    return isPromiseLike(answer) ? { handle, answer } : this.#answer(handle, answer)
  }

  #ask(handle: number, method: string, args: unknown[]): unknown {
    switch (method) {
      case 'pause':
        return sleep(args[0] as number)
      case 'meanwhile':
        return this.#native.meanwhile(handle)
      default:
        return this.#carrier.send(method, args, this.#home)
    }
  }

  #answer(handle: number, answer: unknown): State<T> {
    if (handle === UNSTARTED) return this.#opened(answer)
    return this.#advance(this.#native.resume(handle, true, answer, this.#args[1]))
  }

  #thrown(handle: number, error: unknown): State<T> {
    if (handle === UNSTARTED) {
      const failure = this.#native.classify(describeClientError(error)) as Failure
      return { failure: withCause({ ...failure, operation: this.#operation.name }, error) }
    }
    this.#cause = error
    return this.#advance(this.#native.resume(handle, false, describeClientError(error), this.#args[1]))
  }

  #timeout(): Failure {
    const message = `no answer of the client within operationTimeoutMs (${this.#deadlines.timeoutMs} ms)`
    // Whether a transaction has happened is not known, and it may not happen twice.
    const retryable = this.#operation !== OPERATIONS.transaction
    const id = idOf(this.#operation, this.#args)
    return failureOf('TIMEOUT', message, { backend: this.#carrier.backend, operation: this.#operation.name, retryable, id })
  }
}

function notOpen({ carrier, isJoined }: CarrierRoute, operation: string): Error {
  const what = isJoined
    ? `what was given as a transaction (${carrier.library}) is in none: begin it first`
    : `the client (${carrier.library}) is in no transaction, and the store was opened with requireTransaction`
  return invalidArgument(`${what}; nothing was written`, operation, carrier.backend)
}

function settled<T>(state: { value: T } | { failure: unknown }): Promise<T> {
  return 'value' in state ? Promise.resolve(state.value) : Promise.reject(state.failure)
}

/** What the client threw is the cause itself, not only its text. */
function withCause(failure: Failure, cause: unknown): Failure {
  return cause === undefined || failure.causes.length === 0 ? failure : { ...failure, cause }
}

/** Some libraries hand bytes over as a plain Uint8Array. */
function asBuffer<T>(value: T): T {
  if (!(value instanceof Uint8Array) || Buffer.isBuffer(value)) return value
  return Buffer.from(value.buffer, value.byteOffset, value.byteLength) as unknown as T
}
