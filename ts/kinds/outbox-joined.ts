import type { BackendName } from '../backend'
import { recognize } from '../clients/recognize'
import { invalidArgument } from '../errors'
import { withTransaction } from '../run/context'
import type { SagaInboxEntries } from './inbox'
import type { SagaOutbox } from './outbox'

/** A store, or the transaction that `store.transaction` gives. */
export interface OutboxSource {
  /** A transaction has none. */
  readonly backend?: BackendName
  readonly outbox: SagaOutbox
  readonly inbox: SagaInboxEntries
}

/** Whether it has an outbox of ours. */
export function isOutboxSource(source: unknown): source is OutboxSource {
  const { outbox, inbox } = (source ?? {}) as Partial<OutboxSource>
  return typeof outbox?.insert === 'function' && typeof inbox?.accept === 'function'
}

/**
 * Runs `work` in a transaction that the caller has: one of `store.transaction`, or one of a client, which it joins as in
 * `withTransaction`. Without one it runs as the store does.
 *
 * @throws InvalidArgumentError if it is a transaction that the store would not join
 */
export async function joined<T>(
  source: OutboxSource,
  transaction: unknown,
  operation: string,
  work: (within: OutboxSource) => Promise<T>,
): Promise<T> {
  if (transaction === undefined || transaction === null) return await work(source)
  if (isOutboxSource(transaction)) return await work(transaction)
  const { backend, library } = recognize(transaction, 'the transaction', operation)
  // It would run beside the transaction.
  if (source.backend !== backend) {
    const where = source.backend === undefined ? 'in a transaction of its own' : `on ${source.backend}`
    throw invalidArgument(`the transaction is one of ${library}: what is ${where} cannot join it`, operation, source.backend)
  }
  return await withTransaction(transaction, () => work(source))
}
