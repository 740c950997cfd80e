import { type Accepted, optionsOf } from '../arguments'
import { errorOf, invalidArgument } from '../errors'
import type { SagaInboxEntries } from './inbox'

/** What `createIdempotencyMiddleware` of `@saga-bus/middleware-idempotency` takes for a store. */
export interface IdempotencyStore {
  /** Whether the message was marked. */
  has(messageId: string): Promise<boolean>
  /** Marks the message for `ttlMs` milliseconds. A mark that is there stays as it is. */
  set(messageId: string, ttlMs?: number): Promise<void>
  /** Removes the mark. */
  delete(messageId: string): Promise<void>
  /** `UNSUPPORTED`: the inbox has the marks of all consumers. */
  clear(): Promise<void>
}

/** Options of `idempotencyStore`. */
export interface IdempotencyStoreOptions {
  /** Whose marks they are: another consumer may have the same message. Default `saga-bus`. */
  consumer?: string
  /** How long a message is remembered that is marked without a time of its own. Default: as long as the inbox does, 7 days. */
  ttlMs?: number
}

const OPTIONS: Accepted<IdempotencyStoreOptions> = { consumer: true, ttlMs: true }

/**
 * The inbox of a store as a store of `@saga-bus/middleware-idempotency`.
 *
 * ```ts
 * const store = idempotencyStore(sagas, { consumer: 'orders' })
 * const bus = createBus({ transport, sagas: [...], middleware: [createIdempotencyMiddleware({ store })] })
 * ```
 *
 * The middleware asks before the handler and marks behind it: two deliveries at the same time are both handled. Where that
 * must not be, do the work in `inbox.run`.
 *
 * @param store a store, or the transaction that `store.transaction` gives
 */
export function idempotencyStore(store: { readonly inbox: SagaInboxEntries }, options?: IdempotencyStoreOptions): IdempotencyStore {
  const operation = 'idempotencyStore'
  if (typeof store?.inbox?.accept !== 'function') {
    throw invalidArgument('idempotencyStore takes a store, or a transaction of one', operation)
  }
  const { consumer = 'saga-bus', ttlMs: usual } = optionsOf(options, OPTIONS, operation)
  if (typeof consumer !== 'string' || consumer === '') throw invalidArgument("option 'consumer' must be text", operation)
  if (usual !== undefined && !(Number.isSafeInteger(usual) && usual > 0)) {
    throw invalidArgument("option 'ttlMs' must be a whole number above 0", operation)
  }
  const { inbox } = store
  return {
    has: (messageId) => inbox.has(consumer, messageId),
    async set(messageId, ttlMs = usual) {
      await inbox.accept(consumer, messageId, ttlMs === undefined ? {} : { ttlMs })
    },
    async delete(messageId) {
      await inbox.forget(consumer, messageId)
    },
    async clear() {
      throw errorOf('UNSUPPORTED', 'the inbox cannot forget all messages of a consumer: forget them one by one', { operation })
    },
  }
}
