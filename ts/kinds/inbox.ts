import type { Accepted } from '../arguments'
import { presentOptions } from '../arguments'
import { invalidArgument, SagaStoreError } from '../errors'
import { type ExportedRecord, type ExportOptions, Facet, type Given, type ImportOptions } from '../moving/facets'
import type { InboxRecord } from '../moving/records'
import type { KindCounts } from '../moving/types'
import { OPERATIONS } from '../operations'
import type { SagaTransaction } from '../store/transaction'
import { CallTime } from './call-time'
import type { Runner } from './runner'

/** How a message is remembered. */
export interface AcceptOptions {
  /** How long it is remembered, in ms, up to a hundred years. Default 604,800,000: seven days. */
  ttlMs?: number
}

/** What came of a message: a duplicate has no result. */
export type InboxResult<T> = { ran: true; result: T } | { ran: false; result?: never }

/** What the inbox of a store needs of the store. */
export interface InboxSupport {
  transaction<T>(work: (tx: SagaTransaction) => Promise<T> | T): Promise<T>
  /** Whether a transaction that is opened now only finds out at its end that a message was accepted before. */
  learnsLate(): boolean
}

const ACCEPT: Accepted<AcceptOptions> = { ttlMs: true }
const TTL_MS = 604_800_000
const MAX_BATCH = 1_000

/**
 * Which messages a consumer has applied, so that one that is delivered again changes nothing. Two consumers have nothing
 * to do with each other. A consumer's name has 1 to 255 bytes of UTF-8, a message's id 1 to 512.
 */
export class SagaInboxEntries {
  protected readonly runner: Runner
  readonly #facet: Facet

  /** @internal */
  constructor(runner: Runner) {
    this.runner = runner
    this.#facet = new Facet(runner, 'inbox')
  }

  /**
   * Remembers a message, in one atomic write. In a transaction it is remembered with the rest of it.
   *
   * @returns whether it was new. In a transaction that is only sent at its end (Redis, DynamoDB) it is always true: if
   *   the message was not new, the transaction fails with `ALREADY_EXISTS`
   */
  accept(consumer: string, messageId: string, options?: AcceptOptions): Promise<boolean> {
    return this.#run('accept', consumer, messageId, () => ({ ttlMs: TTL_MS, ...this.options(options, 'inbox.accept') }))
  }

  /** Whether a message is remembered. */
  has(consumer: string, messageId: string): Promise<boolean> {
    return this.#run('has', consumer, messageId)
  }

  /** Forgets a message: it is new again. Whether it was remembered. */
  forget(consumer: string, messageId: string): Promise<boolean> {
    return this.#run('forget', consumer, messageId)
  }

  /** Removes what is remembered no longer, in batches, where the server does not do it by itself. Answers how many. */
  async cleanup(): Promise<number> {
    const time = new CallTime(this.runner, 'inbox.cleanup')
    let total = 0
    for (;;) {
      const count = await time.of(() => this.runner.run<number>(OPERATIONS['inbox.cleanup'], [{ limit: MAX_BATCH }]))
      total += count
      if (count < MAX_BATCH) return total
    }
  }

  /**
   * All entries as they are stored, one by one, page by page behind the scenes: whole records for `importRecords` of another
   * store. What has expired is left out; what is stored meanwhile may be left out. Nothing is blocked.
   *
   * @throws CorruptDataError if one cannot be read, without `onUnreadable`
   */
  exportAll(options?: ExportOptions): AsyncIterableIterator<ExportedRecord<'inbox'>> {
    return this.#facet.exportAll<'inbox'>(options)
  }

  /**
   * Stores entries as they are: versions, dates, and all else. What has expired is counted, and not stored.
   *
   * @throws TransferError if one of them could not be stored: all others are
   */
  importRecords(records: Given<InboxRecord | ExportedRecord<'inbox'>>, options?: ImportOptions): Promise<KindCounts> {
    return this.#facet.importRecords(records, options)
  }

  /** How many entries there are; about, where counting would read everything. */
  count(): Promise<number> {
    return this.#facet.countOf('inbox')
  }

  /** @internal */
  protected options(options: AcceptOptions | undefined, operation: string): AcceptOptions {
    return presentOptions(options, ACCEPT, operation, this.runner.backend)
  }

  #run(method: 'accept' | 'has' | 'forget', consumer: unknown, messageId: unknown, fields: () => object = () => ({})): Promise<boolean> {
    const operation = OPERATIONS[`inbox.${method}`]
    let given: object
    try {
      for (const [name, value] of [
        ['consumer', consumer],
        ['messageId', messageId],
      ]) {
        // Lost on the way; what is no text is refused there.
        if (typeof value !== 'string' || !/\p{Surrogate}/u.test(value)) continue
        const message = `${name} must be well-formed Unicode (it has an unpaired surrogate)`
        throw invalidArgument(message, operation.name, this.runner.backend)
      }
      given = fields()
    } catch (error) {
      return this.runner.refuse(error, operation.name)
    }
    return this.runner.run<boolean>(operation, [consumer, messageId, given])
  }
}

/** The inbox of a store. */
export class SagaInbox extends SagaInboxEntries {
  readonly #support: InboxSupport

  /** @internal */
  constructor(runner: Runner, support: InboxSupport) {
    super(runner)
    this.#support = support
  }

  /**
   * Accepts a message and does its work in one transaction of the store: what `work` changes through `tx` or the store is
   * stored once, however often the message is delivered. Does nothing for a duplicate. A work that throws is not
   * remembered, and `run` is rejected with what it threw.
   *
   * Like `store.transaction`, it runs `work` again if another transaction got in its way, and joins a transaction that is
   * open already. There, where transactions are only sent at their end (Redis, DynamoDB), a duplicate makes that
   * transaction fail with `ALREADY_EXISTS`.
   *
   * @throws UnsupportedError if the server, or the client that the store was given, has no transactions
   */
  async run<T>(
    consumer: string,
    messageId: string,
    work: (tx: SagaTransaction) => Promise<T> | T,
    options?: AcceptOptions,
  ): Promise<InboxResult<T>> {
    const operation = 'inbox.run'
    try {
      if (typeof work !== 'function') throw invalidArgument('run takes a function', operation, this.runner.backend)
      this.options(options, operation)
    } catch (error) {
      return await this.runner.refuse(error, operation)
    }
    const time = new CallTime(this.runner, operation)
    const isKnown = () => time.of(() => this.has(consumer, messageId))
    const learnsLate = this.#support.learnsLate()
    if (learnsLate && (await isKnown())) return { ran: false }
    let isWorked = false
    try {
      return await this.#support.transaction(async (tx): Promise<InboxResult<T>> => {
        isWorked = false
        if (!(await tx.inbox.accept(consumer, messageId, options))) return { ran: false }
        const result = await work(tx)
        isWorked = true
        return { ran: true, result }
      })
    } catch (error) {
      // Another delivery of it has come between.
      const isTaken = error instanceof SagaStoreError && error.code === 'ALREADY_EXISTS' && error.id === messageId
      if (learnsLate && isWorked && isTaken && (await isKnown())) return { ran: false }
      throw error
    }
  }
}
