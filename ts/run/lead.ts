import { setTimeout as sleep } from 'node:timers/promises'
import type { Operation } from '../arguments'
import type { Carrier } from '../clients/carrier'
import { type Failure, failureOf, SagaStoreError, toError } from '../errors'
import type { native } from '../native'
import { within } from '../promises'
import { transactionCarrier } from './context'

type Native = InstanceType<typeof native.NativeStore>

/** Their changes are several statements on SQLite. */
const OF_SEVERAL: readonly Operation['kind'][] = ['executions', 'outbox', 'moving']

/**
 * Whether an operation consists of several statements that this client keeps together only in a transaction: changes of
 * executions and of the outbox, and imports, on SQLite. On a handle that answers at once nobody else's statements come
 * between them.
 */
export function isLed(operation: Operation, carrier: Carrier): boolean {
  const isSeveral = carrier.backend === 'sqlite' && OF_SEVERAL.includes(operation.kind) && operation.writes
  return isSeveral && !carrier.isSynchronous && !carrier.isTransaction && carrier.begin !== undefined
}

/**
 * Runs an operation in a transaction of its own: all of it happens, or nothing, so it is repeated where that may help.
 * Rejects with the failure of the operation, or with what `classify` makes of the client's.
 */
export async function lead<T>(
  store: Native,
  carrier: Carrier,
  operation: Operation,
  run: (transaction: Carrier) => Promise<T>,
  classify: (error: unknown) => Failure,
): Promise<T> {
  const { operationTimeoutMs, retryAttempts, retryBaseMs, retryMaxMs } = store.settings
  const end = performance.now() + operationTimeoutMs
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await once(carrier, operation, run, classify, end - performance.now(), operationTimeoutMs)
    } catch (failure) {
      const pause = Math.random() * Math.min(retryMaxMs, retryBaseMs * 2 ** (attempt - 1))
      const { retryable, code } = failure as Failure
      const isInTime = performance.now() + pause < end
      // Without an answer to a commit it is not known whether it has happened.
      if (!retryable || code === 'CONNECTION' || attempt >= retryAttempts || !isInTime) throw failure
      await sleep(pause)
    }
  }
}

function once<T>(
  carrier: Carrier,
  operation: Operation,
  run: (transaction: Carrier) => Promise<T>,
  classify: (error: unknown) => Failure,
  timeoutMs: number,
  totalMs: number,
): Promise<T> {
  let isLate = false
  let thrown: { failure: unknown } | undefined
  const work = async (transaction: unknown): Promise<T> => {
    // The client has kept it waiting until nobody waits for it any more.
    if (isLate) throw new Error('the operation is over')
    try {
      return await run(transactionCarrier(transaction, "the client's transaction", operation.name))
    } catch (failure) {
      thrown = { failure }
      // Libraries want errors.
      throw failure instanceof Error ? failure : toError(failure as Failure)
    }
  }
  const begun = (carrier.begin as NonNullable<Carrier['begin']>)(work, { timeoutMs: totalMs }).catch((error: unknown) => {
    if (thrown !== undefined) throw thrown.failure
    throw error instanceof SagaStoreError ? error : { ...classify(error), operation: operation.name }
  })
  return within(timeoutMs, begun, () => {
    isLate = true
    const message = `no answer of the client within operationTimeoutMs (${totalMs} ms)`
    return failureOf('TIMEOUT', message, { backend: carrier.backend, operation: operation.name, retryable: true })
  })
}
