import { type Accepted, isRecord, listed, mostOf } from '../arguments'
import { errorOf } from '../errors'
import { type ExportedRecord, type ExportOptions, Facet, type Given, type ImportOptions } from '../moving/facets'
import type { EventRecord } from '../moving/records'
import type { KindCounts } from '../moving/types'
import { known } from './json'
import { MAX_BATCH, OutboxCalls, PAGE_SIZE } from './outbox-calls'
import { type GivenEvent, type RawEvent, reasonOf } from './outbox-json'
import { type OutboxHandler, OutboxRelay } from './outbox-relay'
import { OutboxSubscription } from './outbox-subscription'
import { RELAY, type RelayOptions, SUBSCRIBE, type SubscribeOptions, termsOf } from './outbox-terms'
import type {
  Claim,
  DeadLetterFilter,
  HeldEvent,
  NewOutboxEvent,
  OutboxArchiveOptions,
  OutboxClaimOptions,
  OutboxEvent,
  OutboxFailOptions,
  OutboxInsertOptions,
  OutboxListOptions,
  OutboxPage,
  OutboxPageOptions,
  OutboxStatistics,
  StuckOptions,
} from './outbox-types'
import type { Runner } from './runner'

const INSERT: Accepted<OutboxInsertOptions> = { onDuplicate: true, claim: true }
const LEASE: Accepted<NonNullable<OutboxInsertOptions['claim']>> = { workerId: true, leaseMs: true }
const CLAIM: Accepted<OutboxClaimOptions> = {
  workerId: true,
  batchSize: true,
  leaseMs: true,
  eventTypes: true,
  routingKeys: true,
  olderThanMs: true,
}
const PAGE: Accepted<OutboxPageOptions> = { limit: true, cursor: true }

const LEASE_MS = 300_000

/**
 * Events that are stored with the data that they tell of, and published afterwards: at least once, and in the order of
 * their keys where they have one.
 *
 * An event is `pending`; a worker claims it (`claimed`), publishes it and acknowledges it (`sent`, and removed, unless
 * `retainSentMs` says otherwise). What fails is pending again after a pause, and a `dead_letter` after `maxRetries`.
 */
export class SagaOutbox {
  readonly #calls: OutboxCalls
  readonly #facet: Facet

  /** @internal */
  constructor(runner: Runner) {
    this.#calls = new OutboxCalls(runner)
    this.#facet = new Facet(runner, 'outbox')
  }

  /** How often an event is tried again before it is a dead letter (option `outbox.maxRetries`). */
  get maxRetries(): number {
    return this.#calls.runner.outbox.maxRetries
  }

  /**
   * Stores events, in their order, at the end of the queue: all of them or none. In a transaction they are stored with
   * the rest of it. At most 1,000 events in one call.
   *
   * @returns with `claim`, the events that the worker has from the beginning on; otherwise nothing
   * @throws AlreadyExistsError if the id of an event is taken: `id` says which. Nothing is stored then, unless
   *   `onDuplicate` is `ignore`
   * @throws SerializationError if something cannot be kept as JSON: `path` says what
   * @throws PayloadTooLargeError if an event is larger than the backend can hold
   */
  async insert<P = unknown>(events: NewOutboxEvent<P> | Iterable<NewOutboxEvent<P>>, options?: OutboxInsertOptions): Promise<Claim<P>[]> {
    const operation = 'outbox.insert'
    let given: GivenEvent[]
    let more: object
    try {
      const { onDuplicate = 'error', claim } = this.#calls.options(options, INSERT, operation)
      if (onDuplicate !== 'error' && onDuplicate !== 'ignore') {
        throw this.#calls.invalid("option 'onDuplicate' must be 'error' or 'ignore'", operation)
      }
      more = known({ ignoreDuplicates: onDuplicate === 'ignore', claim: claim && this.#lease(claim, operation) })
      const all = isRecord(events) ? [events as NewOutboxEvent<P>] : listed(events as Iterable<NewOutboxEvent<P>>)
      given = all.map((event) => this.#calls.json.given(event, operation))
    } catch (error) {
      return await this.#calls.refuse(error, operation)
    }
    if (given.length === 0) return []
    const claimed = await this.#calls.run<RawEvent[]>('insert', () => ({ events: given, ...more }))
    const { bell, whenStored } = this.#calls.runner.outbox
    whenStored((isStored) => (isStored ? bell.ring() : bell.ringSoon()))
    return claimed.map((raw) => this.#calls.json.claim<P>(raw, operation))
  }

  /** The event, whatever has become of it; null, if there is none (any more). */
  async get<P = unknown>(eventId: string): Promise<OutboxEvent<P> | null> {
    const raw = await this.#calls.run<RawEvent | null>(
      'get',
      (operation) => {
        this.#calls.json.checkText(eventId, 'eventId', operation)
        return {}
      },
      [eventId],
    )
    return raw === null ? null : (this.#calls.json.event(raw, 'outbox.get') as OutboxEvent<P>)
  }

  /** Events of a saga, in pages, the earliest first. */
  bySaga(sagaId: string, options?: OutboxPageOptions): Promise<OutboxPage> {
    return this.#calls.list((operation) => {
      this.#calls.json.checkText(sagaId, 'sagaId', operation)
      return { ...this.#calls.options(options, PAGE, operation), sagaId }
    })
  }

  /** Events, in pages, the earliest first. */
  list(options?: OutboxListOptions): Promise<OutboxPage> {
    return this.#calls.list((operation) => this.#calls.options(options, { ...PAGE, status: true }, operation))
  }

  /** Events that nobody tries to publish any more, in pages: `requeue` brings them back, `discard` removes them. */
  deadLetters(options?: OutboxPageOptions): Promise<OutboxPage> {
    return this.#calls.list((operation) => ({ ...this.#calls.options(options, PAGE, operation), status: 'dead_letter' }))
  }

  /** How many events are pending, those among them that wait for their time. */
  pendingCount(): Promise<number> {
    return this.#calls.run('count', () => ({ status: 'pending' }))
  }

  /**
   * Gives events that are due to one worker, in the order in which they were stored. Nobody else is given them for
   * `leaseMs`. Of the events of one `partitionKey`, one is given only if all before it are sent, or are given here, too.
   *
   * An event that is stored and cannot be read fails at once, and is not answered.
   *
   * @throws UnsupportedError in a transaction that is only sent at its end (Redis, DynamoDB)
   */
  async claim<P = unknown>(options: OutboxClaimOptions): Promise<Claim<P>[]> {
    const claimed = await this.#calls.run<RawEvent[]>('claim', (operation) => {
      const { batchSize = PAGE_SIZE, eventTypes, routingKeys, ...rest } = this.#calls.options(options, CLAIM, operation)
      if (!(Number.isSafeInteger(batchSize) && batchSize >= 1 && batchSize <= MAX_BATCH)) {
        throw this.#calls.invalid(`option 'batchSize' must be a whole number from 1 to ${MAX_BATCH}`, operation)
      }
      this.#calls.json.checkText(rest.workerId, 'workerId', operation)
      return known({
        leaseMs: LEASE_MS,
        ...rest,
        limit: batchSize,
        eventTypes: this.#calls.names(eventTypes, 'eventTypes', operation),
        routingKeys: this.#calls.names(routingKeys, 'routingKeys', operation),
      })
    })
    return this.#calls.readable<P>(claimed)
  }

  /**
   * Says that events are published: they are `sent`, and removed, unless `retainSentMs` keeps them. What another worker
   * has been given meanwhile is `lost`, and stays as it is. An acknowledgement that is late, and that nobody has
   * overtaken, counts.
   *
   * @throws LeaseLostError if all of them are lost: `lost` has their ids
   */
  async ack(claims: HeldEvent | Iterable<HeldEvent>): Promise<{ acked: number; lost: string[] }> {
    const { count, lost } = await this.#calls.settle('ack', claims, () => ({}))
    return { acked: count, lost }
  }

  /**
   * Says that events could not be published: they are pending again after a pause, or dead letters after `maxRetries`.
   * Of the events of one `partitionKey` in a claim only the first one fails; those behind it are handed back, and are
   * `lost` to their worker.
   *
   * @throws LeaseLostError if all of them are lost: `lost` has their ids
   */
  async fail(claims: HeldEvent | Iterable<HeldEvent>, options: OutboxFailOptions): Promise<{ failed: number; lost: string[] }> {
    const { count, lost } = await this.#calls.settle('fail', claims, (operation) => {
      // Whatever was thrown can be told, undefined and null as well.
      if (!isRecord(options) || !Object.hasOwn(options, 'error')) throw this.#calls.invalid("option 'error' is missing", operation)
      const { error, ...rest } = options
      const { retryAt } = this.#calls.options(rest as Omit<OutboxFailOptions, 'error'>, { retryAt: true }, operation)
      return known({ error: reasonOf(error), retryAt: this.#calls.json.time(retryAt, "option 'retryAt'", operation) })
    })
    return { failed: count, lost }
  }

  /**
   * Hands events back: they are pending at once, and were not delivered. Those of the same `partitionKey` that stand
   * behind them in their claim are handed back, too.
   *
   * @throws LeaseLostError if all of them are lost: `lost` has their ids
   */
  async release(claims: HeldEvent | Iterable<HeldEvent>): Promise<{ released: number; lost: string[] }> {
    const { count, lost } = await this.#calls.settle('release', claims, () => ({}))
    return { released: count, lost }
  }

  /**
   * Lets leases last for `leaseMs` from now on.
   *
   * @throws LeaseLostError if all of them are lost: `lost` has their ids
   */
  async extend(claims: HeldEvent | Iterable<HeldEvent>, leaseMs: number): Promise<{ extended: number; lost: string[] }> {
    const { count, lost } = await this.#calls.settle('extend', claims, () => ({ leaseMs }))
    return { extended: count, lost }
  }

  /**
   * Claims events as they come, and has `handler` publish them. What it resolves is acknowledged; if it throws, the event
   * has failed with what it threw. Of one `partitionKey` one event is handled after the other, in order; of others
   * `concurrency` at once. At most one batch is claimed ahead. Leases are renewed, also while the event loop is blocked.
   *
   * It runs until `stop()`, the `signal`, or the end of the store, in no transaction.
   *
   * @throws InvalidArgumentError if an option is wrong
   * @throws UnsupportedError in a transaction
   */
  relay<P = unknown>(handler: OutboxHandler<P>, options?: RelayOptions): OutboxRelay<P> {
    const operation = 'outbox.relay'
    const { outbox } = this.#calls.runner
    this.#refuseInTransaction(operation)
    if (typeof handler !== 'function') throw this.#calls.invalid('relay takes a function', operation)
    const terms = termsOf(this.#calls, options, RELAY, operation)
    return new OutboxRelay<P>(new SagaOutbox(outbox.apart()), outbox, handler, terms)
  }

  /**
   * Claims events as they come, and gives them one by one: `for await (const event of store.outbox.subscribe())`. Whoever
   * publishes an event says so by `ack`, `fail` or `release`. Until then its lease is renewed. The end of the loop hands
   * back whatever was not settled; so does the `signal`.
   *
   * @throws InvalidArgumentError if an option is wrong
   * @throws UnsupportedError in a transaction
   */
  subscribe<P = unknown>(options?: SubscribeOptions): OutboxSubscription<P> {
    const operation = 'outbox.subscribe'
    const { outbox } = this.#calls.runner
    this.#refuseInTransaction(operation)
    const terms = termsOf(this.#calls, options, SUBSCRIBE, operation)
    return new OutboxSubscription<P>(new SagaOutbox(outbox.apart()), outbox, terms)
  }

  /** Events that somebody has had for so long, the earliest first; at most `limit` (default 100). */
  async findStuck(options: StuckOptions & { limit?: number }): Promise<OutboxEvent[]> {
    const found = await this.#calls.run<RawEvent[]>('findStuck', (operation) => {
      const { olderThanMs, limit = PAGE_SIZE } = this.#calls.options(options, { olderThanMs: true, limit: true }, operation)
      return { olderThanMs: this.#calls.age(olderThanMs, operation), limit }
    })
    return found.map((raw) => this.#calls.json.event(raw, 'outbox.findStuck'))
  }

  /**
   * Takes events back from workers that have had them for so long: they are pending at once. The claims of those workers
   * are lost, and count as deliveries. Answers how many.
   */
  async releaseStuck(options: StuckOptions): Promise<number> {
    const operation = 'outbox.releaseStuck'
    let age: number
    try {
      age = this.#calls.age(this.#calls.options(options, { olderThanMs: true }, operation).olderThanMs, operation)
    } catch (error) {
      return await this.#calls.refuse(error, operation)
    }
    return await this.#calls.batches('releaseStuck', age, Number.POSITIVE_INFINITY, {})
  }

  /**
   * Brings dead letters back: they are pending in their old places, with no failures and no deliveries. Answers how many
   * of the events were dead letters.
   *
   * @param which ids, or which dead letters; `{}` is all of them
   */
  async requeue(which: Iterable<string> | DeadLetterFilter): Promise<number> {
    if (isRecord(which)) return await this.#calls.requeueFound(which as DeadLetterFilter)
    return await this.#calls.byIds('requeue', which as Iterable<string>)
  }

  /** Removes dead letters: they are never published. Answers how many of the events were dead letters. */
  discard(ids: Iterable<string>): Promise<number> {
    return this.#calls.byIds('discard', ids)
  }

  /** Partition keys whose events wait behind a dead letter; none, where `onDeadLetter` is `skip`. At most `limit` (default 1,000). */
  blockedKeys(options?: { limit?: number }): Promise<string[]> {
    return this.#calls.run('blockedKeys', (operation) => ({
      limit: MAX_BATCH,
      ...this.#calls.options(options, { limit: true }, operation),
    }))
  }

  /**
   * Removes events that were sent, or became dead letters, so long ago, in batches of at most 1,000. Answers how many.
   * What was removed stays removed where a later batch fails.
   */
  async archive(options: OutboxArchiveOptions): Promise<number> {
    const operation = 'outbox.archive'
    let age: number
    let limit: number
    let which: { sent: boolean; dead: boolean }
    try {
      const taken = this.#calls.options(options, { olderThanMs: true, statuses: true, limit: true }, operation)
      age = this.#calls.age(taken.olderThanMs, operation)
      limit = mostOf(taken, operation, this.#calls.backend)
      const statuses: readonly string[] = this.#calls.listed(taken.statuses ?? ['sent'], 'statuses', operation)
      if (statuses.length === 0 || statuses.some((status) => status !== 'sent' && status !== 'dead_letter')) {
        throw this.#calls.invalid("option 'statuses' must have 'sent', 'dead_letter', or both", operation)
      }
      which = { sent: statuses.includes('sent'), dead: statuses.includes('dead_letter') }
    } catch (error) {
      return await this.#calls.refuse(error, operation)
    }
    return await this.#calls.batches('archive', age, limit, which)
  }

  /**
   * Decides about an event, whoever has it: it is pending at once, sent, has failed once more, or is a dead letter.
   *
   * @param error why, for `failed` and `dead_letter`
   * @throws NotFoundError if there is none
   * @throws InvalidStateError if it is sent
   */
  async updateStatus(eventId: string, status: 'pending' | 'sent' | 'failed' | 'dead_letter', error?: unknown): Promise<void> {
    await this.#calls.run(
      'updateStatus',
      (operation) => {
        this.#calls.json.checkText(eventId, 'eventId', operation)
        return known({ status, error: error === undefined ? undefined : reasonOf(error) })
      },
      [eventId],
    )
  }

  /** How many events there are. */
  statistics(): Promise<OutboxStatistics> {
    return this.#calls.run('statistics', () => ({}))
  }

  /**
   * All events as they are stored, one by one, page by page behind the scenes: whole records for `importRecords` of another
   * store. What has expired is left out; what is stored meanwhile may be left out. Nothing is blocked.
   *
   * @throws CorruptDataError if one cannot be read, without `onUnreadable`
   */
  exportAll(options?: ExportOptions): AsyncIterableIterator<ExportedRecord<'outbox'>> {
    return this.#facet.exportAll<'outbox'>(options)
  }

  /**
   * Stores events as they are: versions, dates, and all else. What has expired is counted, and not stored.
   *
   * @throws TransferError if one of them could not be stored: all others are
   */
  importRecords(records: Given<EventRecord | ExportedRecord<'outbox'>>, options?: ImportOptions): Promise<KindCounts> {
    return this.#facet.importRecords(records, options)
  }

  /** How many events there are; about, where counting would read everything. */
  count(): Promise<number> {
    return this.#facet.countOf('outbox')
  }

  #refuseInTransaction(operation: string): void {
    const { backend, runner } = this.#calls
    if (!runner.outbox.isInTransaction) return
    const message = `${operation} is not part of a transaction: call it outside`
    throw errorOf('UNSUPPORTED', message, { backend, operation })
  }

  #lease(claim: NonNullable<OutboxInsertOptions['claim']>, operation: string): object {
    const { workerId, leaseMs = LEASE_MS } = this.#calls.options(claim, LEASE, operation)
    this.#calls.json.checkText(workerId, 'workerId', operation)
    return { workerId, leaseMs }
  }
}
