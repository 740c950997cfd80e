import { type Accepted, optionsOf } from '../arguments'
import { invalidArgument } from '../errors'
import type { SagaStore } from '../store/store'
import { checkedRecords, flagOf, functionOf, kindsOf, signalOf, wholeOf, wordOf } from './arguments'
import { foreignCheckpoint, type Move, type Place, readCheckpoint } from './checkpoint'
import { MAX_BATCH, type Sink, type Source, StoreSink, StoreSource } from './ends'
import { factsOf, type StoreFacts } from './facts'
import { Mover, startOf, type Terms } from './mover'
import { Pace } from './pace'
import { ON_CONFLICT, ON_ERROR } from './records'
import type { TransferIssue, TransferOptions, TransferProgress, TransferResult, TransferValidation, Verification } from './types'
import { issuesBetween } from './validation'
import { verify } from './verify'

const TRANSFER: Accepted<TransferOptions> = {
  kinds: true,
  batchSize: true,
  concurrency: true,
  onError: true,
  onConflict: true,
  onRejected: true,
  resumeFrom: true,
  verify: true,
  dryRun: true,
  recordsPerSecond: true,
  bytesPerSecond: true,
  signal: true,
}

const MAX_CONCURRENCY = 32

/** What a move consists of. */
export interface Moving {
  source: Source
  sink: Sink
  terms: Terms
  place: Place
  /** Why the checkpoint that was given is none of this move. */
  foreign?: Error | undefined
  issues(): Promise<TransferIssue[]>
  /** Compares both sides at the end. */
  verify?: (() => Promise<Verification>) | undefined
}

/**
 * Records on their way. It begins when it is awaited, or when its progress is asked for first:
 *
 * ```ts
 * const moving = transfer(source, target)
 * for await (const progress of moving) console.log(progress.kind, progress.percentComplete)
 * const result = await moving
 * ```
 *
 * The end of such a loop does not stop it: the option `signal` does.
 */
export class Transfer implements AsyncIterable<TransferProgress>, PromiseLike<TransferResult> {
  readonly #moving: Moving
  #running: Promise<TransferResult> | undefined
  #latest: TransferProgress | undefined
  /** How often there was something new, and who waits for it. */
  #news = 0
  #waiting: (() => void)[] = []
  #isOver = false

  /** @internal */
  constructor(moving: Moving) {
    this.#moving = moving
  }

  /** What is in the way, found out without writing anything. */
  async validate(): Promise<TransferValidation> {
    const { foreign } = this.#moving
    const issues = await this.#moving.issues()
    if (foreign !== undefined) issues.unshift({ level: 'error', code: 'TRANSFER', message: foreign.message })
    return { compatible: issues.every(({ level }) => level !== 'error'), issues }
  }

  /**
   * How far it is, after each batch that the target has acknowledged. Whoever is slow is told the latest only. It throws
   * what the move has failed with.
   */
  async *[Symbol.asyncIterator](): AsyncGenerator<TransferProgress, void, undefined> {
    const running = this.#run()
    for (let seen = 0; ; ) {
      if (this.#latest !== undefined && this.#news > seen) {
        seen = this.#news
        yield this.#latest
      } else if (this.#isOver) {
        await running
        return
      } else {
        await new Promise<void>((resolve) => this.#waiting.push(resolve))
      }
    }
  }

  // biome-ignore lint/suspicious/noThenProperty: it is awaited, as the documents say
  then<R = TransferResult, E = never>(
    onFulfilled?: ((result: TransferResult) => R | PromiseLike<R>) | null,
    onRejected?: ((reason: unknown) => E | PromiseLike<E>) | null,
  ): Promise<R | E> {
    return this.#run().then(onFulfilled, onRejected)
  }

  /** As that of a promise. */
  catch<E = never>(onRejected?: ((reason: unknown) => E | PromiseLike<E>) | null): Promise<TransferResult | E> {
    return this.#run().catch(onRejected)
  }

  /** As that of a promise. */
  finally(onFinally?: (() => void) | null): Promise<TransferResult> {
    return this.#run().finally(onFinally)
  }

  #run(): Promise<TransferResult> {
    if (this.#running === undefined) {
      this.#running = this.#move().finally(() => {
        this.#isOver = true
        this.#wake()
      })
      // Whoever only looks at the progress is told there.
      this.#running.catch(() => undefined)
    }
    return this.#running
  }

  async #move(): Promise<TransferResult> {
    const { source, sink, terms, place, foreign, verify: compare } = this.#moving
    if (foreign !== undefined) throw foreign
    const mover = new Mover(source, sink, terms, place, (progress) => {
      this.#latest = progress
      this.#news += 1
      this.#wake()
    })
    const result = await mover.run()
    if (compare === undefined || terms.dryRun) return result
    let verification: Verification
    try {
      verification = await compare()
    } catch (error) {
      throw mover.failure(error)
    }
    const { missing, different, unreadable } = verification
    const wrong = missing + different.bytes + different.expiry + different.version + unreadable
    if (wrong === 0) return { ...result, verification }
    const [first] = verification.ids.filter(({ what }) => what !== 'extra')
    const which = first === undefined ? '' : `; the first: ${first.kind} '${first.id.slice(0, 80)}': ${first.what}`
    const error = mover.failure(undefined, `after the move ${wrong} records are missing or different in the target${which}`)
    throw Object.assign(error, { verification })
  }

  #wake(): void {
    for (const resolve of this.#waiting.splice(0)) resolve()
  }
}

/**
 * Moves whole records from one store into another, as they are: bytes, expiries, versions, dates, statuses, leases,
 * tokens and logs. What has expired is counted and not moved. The source is only read, page by page; nothing in it is
 * blocked. Both stores must be initialized.
 *
 * It begins when it is awaited, or when its progress is asked for. It rejects with a `TransferError` if a record could
 * not be moved, whatever `onError` is; the error has the counts, and a checkpoint where to go on.
 *
 * @throws InvalidArgumentError if an option is wrong
 */
export function transfer(source: SagaStore, target: SagaStore, options?: TransferOptions): Transfer {
  const operation = 'transfer'
  const [from, to] = [checkedRecords(source, 'the source', operation), checkedRecords(target, 'the target', operation)]
  const facts = { source: factsOf(source) as StoreFacts, target: factsOf(target) as StoreFacts }
  const taken = optionsOf(options, TRANSFER, operation)
  const kinds = kindsOf(taken.kinds, operation)
  const terms = termsOf({ ...taken, kinds }, operation)
  const isSame = source === target || (facts.source.isShared && facts.source.where === facts.target.where)
  if (isSame) throw invalidArgument('the source and the target are the same store', operation)
  const move: Move = { source: facts.source.where, target: facts.target.where, kinds }
  let place = startOf(kinds)
  let foreign: Error | undefined
  if (taken.resumeFrom !== undefined) {
    const checkpoint = readCheckpoint(taken.resumeFrom, operation)
    foreign = foreignCheckpoint(checkpoint, move)
    place = { at: checkpoint.at, counts: checkpoint.counts }
  }
  const verifies = flagOf(taken.verify, 'verify', operation)
  const { signal } = terms
  return new Transfer({
    source: new StoreSource(from, facts.source),
    sink: new StoreSink(to, facts.target),
    terms,
    place,
    foreign,
    issues: () => issuesBetween(source, target, terms),
    verify: verifies ? () => verify(source, target, { kinds, ...(signal && { signal }) }) : undefined,
  })
}

/** The options that all moves have. */
export function termsOf(
  options: Omit<TransferOptions, 'kinds' | 'resumeFrom' | 'verify'> & Pick<Terms, 'kinds'>,
  operation: string,
): Terms {
  const signal = signalOf(options.signal, operation)
  const dryRun = flagOf(options.dryRun, 'dryRun', operation)
  const onError = wordOf(options.onError, 'onError', ON_ERROR, operation)
  return {
    operation,
    kinds: options.kinds,
    batchSize: wholeOf(options.batchSize, 'batchSize', MAX_BATCH, 500, operation),
    concurrency: wholeOf(options.concurrency, 'concurrency', MAX_CONCURRENCY, 4, operation),
    onError: dryRun ? 'skip' : onError,
    onConflict: wordOf(options.onConflict, 'onConflict', ON_CONFLICT, operation),
    onRejected: functionOf(options.onRejected, 'onRejected', operation),
    dryRun,
    pace: new Pace({ ...options, ...(signal && { signal }) }, operation),
    signal,
    resumes: true,
  }
}
