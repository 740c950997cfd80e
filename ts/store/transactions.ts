import { setTimeout as sleep } from 'node:timers/promises'
import { optionsOf, takenDate } from '../arguments'
import type { BackendName } from '../backend'
import type { Carrier } from '../clients/carrier'
import { errorOf, type Failure, invalidArgument, raise, SagaStoreError, toError } from '../errors'
import { OPERATIONS } from '../operations'
import type { TransactionOptions } from '../options'
import { atMost, turn, within } from '../promises'
import {
  type CarrierRoute,
  checkRoute,
  happened,
  joinedRoute,
  type Route,
  runJoined,
  takeBack,
  transactionCarrier,
  UnitOfWork,
} from '../run/context'
import type { Parts } from './open'
import type { Router } from './route'
import { SagaTransaction } from './transaction'

type Work<T> = (tx: SagaTransaction) => Promise<T> | T

/** What becomes of a transaction whose time is over. */
const ROLLED_BACK = 'it was rolled back'
const NO_ANSWER = 'there was no answer to the commit, so it is not known whether it has happened'

/** What is over is rolled back before its promise rejects, unless the server does not answer for so long. */
const ROLLBACK_MS = 500

/** The transactions of one store: on a connection of its own, of its client, or collected and sent at the end. */
export class Transactions {
  readonly #parts: Parts
  readonly #router: Router
  readonly #backend: BackendName
  readonly #underWay = new Set<Promise<unknown>>()
  /** Where the work of those under way goes, and how to end it. */
  readonly #routes = new Map<Route, (error: unknown) => void>()
  #isClosing = false
  /** Whether those that were under way have been ended. */
  #isOver = false

  constructor(parts: Parts, router: Router) {
    this.#parts = parts
    this.#router = router
    this.#backend = parts.backend
  }

  run<T>(work: Work<T>, options: TransactionOptions | undefined): Promise<T> {
    let isolation: string | undefined
    try {
      isolation = this.#isolationOf(work, options)
    } catch (error) {
      return this.#router.refuse(error, 'transaction')
    }
    const start = () => this.#transact(work, isolation)
    const { observer } = this.#parts
    return observer.isActive ? observer.watch({ operation: 'transaction', kind: 'transaction' }, start) : start()
  }

  /** Whether this is a transaction of the store's whose work is under way. */
  isUnderWay(route: Route): boolean {
    return this.#routes.has(route)
  }

  /** Opens no more transactions; ready when those under way have ended. After `limitMs` they are ended (`CLOSED`). */
  async close(limitMs: number): Promise<void> {
    this.#isClosing = true
    // Whoever closes the store in a transaction of its own does not wait for that one.
    const around = joinedRoute(this.#backend, this.#router)
    if (around !== undefined) this.#routes.get(around)?.(this.#closed())
    await atMost(limitMs, Promise.allSettled(this.#underWay))
    this.#isOver = true
    for (const end of this.#routes.values()) end(this.#closed())
  }

  #closed(): SagaStoreError {
    return errorOf('CLOSED', 'the store is closed', { backend: this.#backend, operation: 'transaction' })
  }

  /** Whether a transaction that is opened here and now is collected and sent at its end, and can be asked nothing before. */
  endLate(): boolean {
    const { native, requiresTransaction } = this.#parts
    if (native.capabilities.transactions !== 'buffered' || requiresTransaction) return false
    const route = this.#router.route('transaction')
    return route === undefined || ('carrier' in route && !route.isJoined)
  }

  #isolationOf(work: unknown, options: TransactionOptions | undefined): string | undefined {
    const invalid = (message: string) => invalidArgument(message, 'transaction', this.#backend)
    if (typeof work !== 'function') throw invalid('transaction takes a function')
    const { isolation } = optionsOf(options, { isolation: true }, 'transaction', this.#backend)
    const levels: readonly string[] = this.#parts.native.capabilities.isolation
    if (isolation === undefined || levels.includes(isolation)) return isolation
    throw invalid(`option 'isolation' is ${levels.length === 0 ? `not for ${this.#backend}` : `one of '${levels.join("', '")}'`}`)
  }

  async #transact<T>(work: Work<T>, isolation: string | undefined): Promise<T> {
    const route = this.#router.route('transaction')
    if (route !== undefined && !('carrier' in route && !route.isJoined)) {
      checkRoute(route, 'transaction', this.#backend)
      return await work(this.#transactionOn(route))
    }
    if (this.#isClosing) throw this.#closed()
    const running = this.#attempts(work, isolation)
    this.#underWay.add(running)
    try {
      return await running
    } finally {
      this.#underWay.delete(running)
    }
  }

  async #attempts<T>(work: Work<T>, isolation: string | undefined): Promise<T> {
    const { native, client, direct } = this.#parts
    const { retryAttempts, retryBaseMs, retryMaxMs, operationTimeoutMs } = native.settings
    // All attempts together, each with its begin and its commit.
    const until = performance.now() + operationTimeoutMs
    for (let attempt = 1; ; attempt += 1) {
      try {
        if (this.#isOver) throw this.#closed()
        if (client === undefined) return await this.#own(work, until, isolation)
        const result = await this.#onClient(client, work, until, isolation)
        if (direct.makesWay()) await turn()
        return result
      } catch (error) {
        if (direct.makesWay()) await turn()
        // Nothing has happened, and it may go better the next time.
        const passes = error instanceof SagaStoreError && error.retryable && error.code === 'BACKEND'
        const pause = Math.random() * Math.min(retryMaxMs, retryBaseMs * 2 ** (attempt - 1))
        if (!passes || attempt >= retryAttempts || performance.now() + pause >= until) throw error
        await sleep(pause)
      }
    }
  }

  async #own<T>(work: Work<T>, until: number, isolation?: string): Promise<T> {
    const { native } = this.#parts
    const begun = native.begin(isolation ?? null).then(undefined, raise)
    const transaction = await this.#inTime(until, begun, () => {
      // One that begins when nobody waits for it any more.
      begun.then((late) => native.rollBack(late)).catch(() => undefined)
      return this.#timeout('it did not begin')
    })
    let isOver = false
    const route: Route = { transaction, isOver: () => isOver }
    try {
      const result = await this.#worked(route, work, until)
      isOver = true
      await this.#inTime(until, native.commit(transaction).then(undefined, raise), () => this.#timeout(NO_ANSWER))
      happened(route, true)
      return result
    } catch (error) {
      isOver = true
      takeBack(route)
      // It has ended already where the commit failed.
      const rolledBack = native.rollBack(transaction).catch(() => undefined)
      await atMost(Math.max(ROLLBACK_MS, until - performance.now()), rolledBack)
      throw error
    }
  }

  /** What `running` comes to, unless the time of the call is over before. */
  #inTime<T>(until: number, running: Promise<T>, late: () => SagaStoreError): Promise<T> {
    return within(Math.max(0, until - performance.now()), running, late)
  }

  #timeout(what: string): SagaStoreError {
    const message = `the transaction took longer than operationTimeoutMs (${this.#parts.native.settings.operationTimeoutMs} ms): ${what}`
    return errorOf('TIMEOUT', message, { backend: this.#backend, operation: 'transaction' })
  }

  async #onClient<T>(client: Carrier, work: Work<T>, until: number, isolation?: string): Promise<T> {
    if (client.takesUnits) return this.#unitOfWork(client, work, until)
    if (client.begin === undefined) {
      const what = client.isTransaction ? 'is a transaction, or may be in one' : 'is one connection, which others use too'
      throw this.#unsupported(`the ${client.library} client ${what}: use withTransaction, or a client that can open another`, 'transaction')
    }
    let isOver = false
    let isWorked = false
    let thrown: { error: unknown } | undefined
    let route: Route | undefined
    const run = async (transaction: unknown) => {
      try {
        // The client has kept it waiting until nobody waits for it any more.
        if (isOver) throw this.#timeout('it did not begin')
        const carrier = transactionCarrier(transaction, "the client's transaction", 'transaction')
        route = { carrier, isJoined: true, isOver: () => isOver }
        const result = await this.#worked(route, work, until)
        isWorked = true
        return result
      } catch (error) {
        thrown = { error }
        throw error
      } finally {
        isOver = true
      }
    }
    const timeoutMs = Math.max(1, Math.ceil(until - performance.now()))
    const late = () => {
      isOver = true
      return this.#timeout(isWorked ? NO_ANSWER : ROLLED_BACK)
    }
    try {
      const begun = client.begin(run, isolation === undefined ? { timeoutMs } : { isolation, timeoutMs })
      const result = await this.#inTime(until, begun, late).catch(async (error) => {
        const ended = begun.catch(() => undefined)
        if (isOver && !isWorked && route !== undefined) await atMost(ROLLBACK_MS, ended)
        throw error
      })
      if (route !== undefined) happened(route, true)
      return result
    } catch (error) {
      if (route !== undefined) takeBack(route)
      if (thrown !== undefined) throw thrown.error
      throw error instanceof SagaStoreError ? error : toError(this.#parts.conversations.classify(error))
    }
  }

  /** Collects what `work` does, and sends all of it at the end. */
  async #unitOfWork<T>(client: Carrier, work: Work<T>, until: number): Promise<T> {
    const { native, conversations } = this.#parts
    const opened = native.openUnit()
    if ('code' in opened) throw toError(opened as Failure)
    let isOver = false
    const route: CarrierRoute = { carrier: client, isJoined: true, isOver: () => isOver, unit: new UnitOfWork(opened) }
    try {
      const result = await this.#worked(route, work, until)
      isOver = true
      await this.#inTime(until, conversations.run(route, OPERATIONS.transaction, []), () => this.#timeout(NO_ANSWER))
      happened(route, true)
      return result
    } catch (error) {
      takeBack(route)
      throw error
    } finally {
      isOver = true
    }
  }

  /** What `work` comes to in a transaction, unless it takes longer than an operation may. */
  async #worked<T>(route: Route, work: Work<T>, until: number): Promise<T> {
    if (this.#isOver) throw this.#closed()
    const working = runJoined(this.#backend, this.#router, route, async () => work(this.#transactionOn(route)))
    const ended = new Promise<never>((_, reject) => this.#routes.set(route, reject))
    try {
      return await this.#inTime(until, Promise.race([working, ended]), () => this.#timeout(ROLLED_BACK))
    } finally {
      this.#routes.delete(route)
    }
  }

  #transactionOn(route: Route): SagaTransaction {
    return new SagaTransaction(this.#router.on(route), (sql, values) => this.#query(route, sql, values))
  }

  async #query<Row>(route: Route, sql: string, values: readonly unknown[]): Promise<Row[]> {
    const { native, conversations, direct } = this.#parts
    let bound: unknown[]
    try {
      checkRoute(route, 'query', this.#backend)
      bound = this.#bound(sql, values)
    } catch (error) {
      return this.#router.refuse(error, 'query')
    }
    if (!('carrier' in route)) return native.queryIn(route.transaction, sql, bound).then(undefined, raise) as Promise<Row[]>
    const confirmed = conversations.confirm(route, 'query')
    if (confirmed !== undefined) await confirmed
    try {
      const rows = (await route.carrier.send('rows', [sql, bound])) as Row[]
      if (direct.makesWay()) await turn()
      return rows
    } catch (error) {
      throw toError({ ...conversations.classify(error), operation: 'query' })
    }
  }

  /** The values of a statement. A library may read them later than now. */
  #bound(sql: unknown, values: readonly unknown[]): unknown[] {
    if (this.#backend !== 'postgres' && this.#backend !== 'sqlite')
      throw this.#unsupported('query is for SQL: PostgreSQL and SQLite', 'query')
    const invalid = (message: string) => invalidArgument(message, 'query', this.#backend)
    if (typeof sql !== 'string') throw invalid('query takes a statement as text')
    if (!Array.isArray(values)) throw invalid('query takes its values as an array')
    return Array.from(values, (value) => (value === undefined ? null : takenDate(value)))
  }

  #unsupported(message: string, operation: string): Error {
    return errorOf('UNSUPPORTED', message, { backend: this.#backend, operation })
  }
}
