import { isRecord } from '../arguments'
import { invalidArgument } from '../errors'
import type {
  ClaimedSaga,
  ClaimOptions,
  FindOptions,
  ModifyOptions,
  SagaFilter,
  SagaPage,
  SagaState,
  StaleOptions,
  StalePage,
  Stored,
  TimedOutOptions,
  TimedOutSaga,
} from './state-types'
import type { SagaStates } from './states'

/**
 * The sagas of one name, with the type of their state: `store.states.of<OrderState>('OrderSaga')`. Each method is the
 * one of `store.states` for this name.
 */
export class SagaStatesOf<T extends object = SagaState> {
  /** The name of the sagas. */
  readonly sagaName: string
  readonly #states: SagaStates

  /** @internal */
  constructor(states: SagaStates, sagaName: string) {
    this.#states = states
    this.sagaName = sagaName
  }

  /** The state, or null. */
  getById(sagaId: string): Promise<Stored<T> | null> {
    return this.#states.getById<T>(this.sagaName, sagaId)
  }

  /** The state, or null. */
  getByCorrelationId(correlationId: string): Promise<Stored<T> | null> {
    return this.#states.getByCorrelationId<T>(this.sagaName, correlationId)
  }

  /** Stores a new saga: see `SagaStates.insert`. */
  insert(correlationId: string, state: T & SagaState): Promise<void> {
    return this.#states.insert<T>(this.sagaName, correlationId, state)
  }

  /** Replaces the state, if the stored version is the expected one: see `SagaStates.update`. */
  update(state: T & SagaState, expectedVersion: number): Promise<void> {
    return this.#states.update<T>(this.sagaName, state, expectedVersion)
  }

  /** Inserts a state without a version, and updates the saga of one that has a version: see `SagaStates.save`. */
  save(state: T): Promise<Stored<T>> {
    return this.#states.save<T>(this.sagaName, state)
  }

  /** Reads the state, has it changed, and stores it: see `SagaStates.modify`. */
  modify(sagaId: string, change: (state: Stored<T>) => T | Promise<T>, options?: ModifyOptions): Promise<Stored<T>> {
    return this.#states.modify<T>(this.sagaName, sagaId, change, options)
  }

  /** Removes the saga, if there is one. */
  delete(sagaId: string): Promise<void> {
    return this.#states.delete(this.sagaName, sagaId)
  }

  /** Removes the saga, if there is one. */
  deleteByCorrelationId(correlationId: string): Promise<void> {
    return this.#states.deleteByCorrelationId(this.sagaName, correlationId)
  }

  /** A page of them: see `SagaStates.findByName`. */
  find(options?: FindOptions): Promise<SagaPage<T>> {
    return this.#states.findByName<T>(this.sagaName, options)
  }

  /** How many there are: see `SagaStates.countByName`. */
  count(options?: SagaFilter): Promise<number> {
    return this.#states.countByName(this.sagaName, options)
  }

  /** Those whose timeout has passed: see `SagaStates.findTimedOut`. */
  async findTimedOut(options?: Omit<TimedOutOptions, 'sagaName'>): Promise<TimedOutSaga<T>[]> {
    return this.#states.findTimedOut<T>(this.#named(options, 'findTimedOut'))
  }

  /** Those that nobody has changed for a while: see `SagaStates.findStale`. */
  async findStale(options: Omit<StaleOptions, 'sagaName'>): Promise<StalePage<T>> {
    return this.#states.findStale<T>(this.#named(options, 'findStale'))
  }

  /** Those whose timeout has passed, each given to one worker: see `SagaStates.claimTimedOut`. */
  async claimTimedOut(options: Omit<ClaimOptions, 'sagaName'>): Promise<ClaimedSaga<T>[]> {
    return this.#states.claimTimedOut<T>(this.#named(options, 'claimTimedOut'))
  }

  /** Removes those that ended before a time: see `SagaStates.deleteCompletedBefore`. */
  deleteCompletedBefore(before: Date, options?: { limit?: number }): Promise<number> {
    return this.#states.deleteCompletedBefore(this.sagaName, before, options)
  }

  /** The same options with the name. What is no object is left for the method to refuse. */
  #named<O extends object>(options: O | undefined, method: string): O & { sagaName: string } {
    if (options !== undefined && !isRecord(options)) return options
    const { sagaName } = (options ?? {}) as { sagaName?: unknown }
    if (sagaName !== undefined && sagaName !== this.sagaName) {
      throw invalidArgument(`unknown option 'sagaName': these are the sagas '${this.sagaName}'`, `states.${method}`)
    }
    return { ...(options as O), sagaName: this.sagaName }
  }
}
