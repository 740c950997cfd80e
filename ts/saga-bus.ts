import { ConcurrencyError } from './errors'
import type { SagaStates } from './states'

/** What `createBus` of `@saga-bus/core` takes for a saga's store. */
export interface SagaBusStore<T extends object> {
  getById(sagaName: string, sagaId: string): Promise<T | null>
  getByCorrelationId(sagaName: string, correlationId: string): Promise<T | null>
  insert(sagaName: string, correlationId: string, state: T): Promise<void>
  update(sagaName: string, state: T, expectedVersion: number): Promise<void>
  delete(sagaName: string, sagaId: string): Promise<void>
}

/** Options of `sagaBusStore`. */
export interface SagaBusOptions {
  /** That of `@saga-bus/core`: the bus tells a conflict, which it repeats, by this class. */
  ConcurrencyError: new (
    sagaId: string,
    expectedVersion: number,
    actualVersion: number,
  ) => Error
}

/**
 * Saga state as a store of `@saga-bus/core`.
 *
 * ```ts
 * import { ConcurrencyError, createBus } from '@saga-bus/core'
 * const bus = createBus({ transport, sagas: [{ definition, store: sagaBusStore(store.states, { ConcurrencyError }) }] })
 * ```
 *
 * @param states of a store, or of a transaction
 * @param options the class of conflicts
 */
export function sagaBusStore<T extends object>(states: SagaStates, options: SagaBusOptions): SagaBusStore<T> {
  return {
    getById: (sagaName, sagaId) => states.getById<T>(sagaName, sagaId),
    getByCorrelationId: (sagaName, correlationId) => states.getByCorrelationId<T>(sagaName, correlationId),
    insert: (sagaName, correlationId, state) => states.insert(sagaName, correlationId, state),
    async update(sagaName, state, expectedVersion) {
      try {
        await states.update(sagaName, state, expectedVersion)
      } catch (error) {
        if (!(error instanceof ConcurrencyError)) throw error
        const conflict = new options.ConcurrencyError(error.sagaId, error.expectedVersion, error.actualVersion)
        conflict.cause ??= error
        throw conflict
      }
    },
    delete: (sagaName, sagaId) => states.delete(sagaName, sagaId),
  }
}
