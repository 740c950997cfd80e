import { type Accepted, optionsOf } from '../arguments'
import { AlreadyExistsError, ConcurrencyError, invalidArgument, SagaStoreError } from '../errors'
import { metadataOf } from './state-json'
import type { SagaState } from './state-types'
import type { SagaStates } from './states'

/** What `createBus` of `@saga-bus/core` takes for a saga's store. */
export interface SagaBusStore<T extends object> {
  /** The saga with this id, or null. */
  getById(sagaName: string, sagaId: string): Promise<T | null>
  /** The saga with this correlation id, or null. */
  getByCorrelationId(sagaName: string, correlationId: string): Promise<T | null>
  /** Stores a new saga. Its `ConcurrencyError` if there is one already. */
  insert(sagaName: string, correlationId: string, state: T): Promise<void>
  /** Stores the state if the saga has the expected version. Else its `ConcurrencyError`. */
  update(sagaName: string, state: T, expectedVersion: number): Promise<void>
  /** Removes the saga with this id. It is no error if there is none. */
  delete(sagaName: string, sagaId: string): Promise<void>
}

/** What of saga state the bus uses: that of a store, of a transaction, or of a `migrating` store. */
export type SagaBusSource = Pick<SagaStates, 'getById' | 'getByCorrelationId' | 'insert' | 'update' | 'delete'>

/** Options of `sagaBusStore`: classes of `@saga-bus/core`, by which the bus tells what to do with a message. */
export interface SagaBusOptions {
  /** A conflict: the bus tries the message again, on the saga that is stored then. */
  ConcurrencyError: new (
    sagaId: string,
    expectedVersion: number,
    actualVersion?: number,
  ) => Error
  /** What passes by itself (an error that is `retryable`): the bus tries the message again. */
  TransientError?: new (
    message: string,
    cause?: Error,
  ) => Error
}

const CLASSES: Accepted<SagaBusOptions> = { ConcurrencyError: true, TransientError: true }

/** The bus's default error handler takes what says so for something that passes; what does not goes to the dead letters. */
const SOUNDS_TRANSIENT = /timeout|network/i

/**
 * Saga state as a store of `@saga-bus/core`.
 *
 * ```ts
 * import { ConcurrencyError, createBus, TransientError } from '@saga-bus/core'
 * const store = sagaBusStore(states, { ConcurrencyError, TransientError })
 * const bus = createBus({ transport, sagas: [{ definition, store }] })
 * ```
 *
 * Conflicts of versions are its `ConcurrencyError`, and so is a saga that another message has started meanwhile
 * (`ALREADY_EXISTS`). Errors that are `retryable` are its `TransientError`; without that class they say in their message
 * that they pass. The store's own error is the `cause`. All others are thrown as they are.
 *
 * @param states of a store, or of a transaction
 * @param options the classes of `@saga-bus/core`
 */
export function sagaBusStore<T extends object>(states: SagaBusSource, options: SagaBusOptions): SagaBusStore<T> {
  const { ConcurrencyError: Conflict, TransientError: Transient } = checked(states, options)
  const raise = (error: unknown): never => {
    if (error instanceof ConcurrencyError) throw causedBy(error, new Conflict(error.sagaId, error.expectedVersion, error.actualVersion))
    if (!(error instanceof SagaStoreError) || !error.retryable) throw error
    if (Transient !== undefined) throw causedBy(error, new Transient(error.message, error))
    if (!SOUNDS_TRANSIENT.test(error.message)) error.message += ' (it may pass by itself, as a network error does)'
    throw error
  }
  return {
    getById: (sagaName, sagaId) => states.getById<T>(sagaName, sagaId).catch(raise),
    getByCorrelationId: (sagaName, correlationId) => states.getByCorrelationId<T>(sagaName, correlationId).catch(raise),
    insert: (sagaName, correlationId, state) =>
      states.insert(sagaName, correlationId, state as T & SagaState).catch((error) => {
        if (!(error instanceof AlreadyExistsError)) return raise(error)
        const { sagaId, version = 0 } = metadataOf(state) as { sagaId: string; version?: number }
        // Which version is there has not been read.
        throw causedBy(error, new Conflict(sagaId, version))
      }),
    update: (sagaName, state, expectedVersion) => states.update(sagaName, state as T & SagaState, expectedVersion).catch(raise),
    delete: (sagaName, sagaId) => states.delete(sagaName, sagaId).catch(raise),
  }
}

function checked(states: SagaBusSource, options: SagaBusOptions): SagaBusOptions {
  const invalid = (message: string) => invalidArgument(message, 'sagaBusStore')
  if (typeof states?.getByCorrelationId !== 'function') throw invalid("sagaBusStore takes the 'states' of a store or of a transaction")
  const taken = optionsOf(options, CLASSES, 'sagaBusStore')
  for (const name of ['ConcurrencyError', 'TransientError'] as const) {
    const isLeftOut = name === 'TransientError' && taken[name] === undefined
    if (!isLeftOut && typeof taken[name] !== 'function') throw invalid(`option '${name}' must be the class of @saga-bus/core`)
  }
  return taken
}

function causedBy(cause: SagaStoreError, error: Error): Error {
  error.cause ??= cause
  return error
}
