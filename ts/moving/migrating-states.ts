import { errorOf, SagaStoreError } from '../errors'
import { metadataOf, StateJson } from '../kinds/state-json'
import type { ModifyOptions, SagaMetadata, SagaState, Stored } from '../kinds/state-types'
import type { SagaStates } from '../kinds/states'
import { isOver } from './measure'
import type { Records, StateRecord } from './records'
import { isStateTombstone, isTombstoneVersion, stateTombstone } from './tombstones'

/** One of the two stores. */
interface Side {
  states: SagaStates
  records: Records
}

/** How long nobody else takes the place of a tombstone that somebody has taken. */
const CLAIM_MS = 60_000
/** How often a saga that is moved at the same time is looked at again. */
const LOOKS = 5

/** Saga state while it is moved: see `migrating`. Its methods are those of `SagaStates`, but for lists. */
export class MigratingStates {
  readonly #old: Side
  readonly #new: Side
  readonly #json: StateJson

  /** @internal */
  constructor(oldSide: Side, newSide: Side) {
    this.#old = oldSide
    this.#new = newSide
    this.#json = new StateJson(newSide.records.backend)
  }

  /** The state, or null. */
  async getById<T extends object = SagaState>(sagaName: string, sagaId: string): Promise<Stored<T> | null> {
    const found = await this.#new.states.getById<T>(sagaName, sagaId)
    if (found !== null) return isStateTombstone(found) ? null : found
    const old = await this.#old.states.getById<T>(sagaName, sagaId)
    if (old === null) return null
    // Moved, changed or deleted between the two looks.
    const again = await this.#new.states.getById<T>(sagaName, sagaId)
    return again === null ? old : isStateTombstone(again) ? null : again
  }

  /** The state, or null. */
  async getByCorrelationId<T extends object = SagaState>(sagaName: string, correlationId: string): Promise<Stored<T> | null> {
    const found = await this.#new.states.getByCorrelationId<T>(sagaName, correlationId)
    if (found !== null) return isStateTombstone(found) ? null : found
    const old = await this.#old.states.getByCorrelationId<T>(sagaName, correlationId)
    if (old === null) return null
    const again = await this.#new.states.getById<T>(sagaName, old.metadata.sagaId)
    return again === null ? old : isStateTombstone(again) ? null : again
  }

  /** `getById`, as in `SagaStates`. */
  findById<T extends object = SagaState>(sagaName: string, sagaId: string): Promise<Stored<T> | null> {
    return this.getById<T>(sagaName, sagaId)
  }

  /** `getByCorrelationId`, as in `SagaStates`. */
  findByCorrelationId<T extends object = SagaState>(sagaName: string, correlationId: string): Promise<Stored<T> | null> {
    return this.getByCorrelationId<T>(sagaName, correlationId)
  }

  /**
   * Stores a new saga in the new store.
   *
   * @throws AlreadyExistsError if one of its ids is taken in either store
   */
  async insert<T extends object>(sagaName: string, correlationId: string, state: T & SagaState): Promise<void> {
    const sagaId = metadataOf(state)?.sagaId
    // What is no saga is refused by the new store.
    if (typeof sagaId !== 'string') return await this.#new.states.insert(sagaName, correlationId, state)
    const [here, byId, byCorrelation] = await Promise.all([
      this.#new.states.getById(sagaName, sagaId),
      this.#old.states.getById(sagaName, sagaId),
      this.#old.states.getByCorrelationId(sagaName, correlationId),
    ])
    const isDeleted = isStateTombstone(here)
    if (byId !== null && !isDeleted) throw this.#taken(sagaName, sagaId, 'sagaId', sagaId)
    const other = byCorrelation?.metadata.sagaId
    if (other !== undefined && other !== sagaId && !(await this.#isMovedOrDeleted(sagaName, other))) {
      throw this.#taken(sagaName, sagaId, 'correlationId', correlationId)
    }
    if (here !== null && isDeleted) await this.#replaceTombstone(sagaName, correlationId, state, here)
    else await this.#new.states.insert(sagaName, correlationId, state)
  }

  /**
   * Replaces the state in the new store, if its version is the expected one. A saga that only the old store has is moved
   * first.
   *
   * @throws ConcurrencyError, NotFoundError
   */
  async update<T extends object>(sagaName: string, state: T & SagaState, expectedVersion: number): Promise<void> {
    const sagaId = metadataOf(state)?.sagaId as string
    if (isTombstoneVersion(expectedVersion)) throw this.#gone(sagaName, sagaId)
    await this.#here(sagaName, sagaId, () => this.#new.states.update(sagaName, state, expectedVersion))
  }

  /** As in `SagaStates`, in the new store. A saga that only the old store has is moved first. */
  async modify<T extends object = SagaState>(
    sagaName: string,
    sagaId: string,
    change: (state: Stored<T>) => T | Promise<T>,
    options?: ModifyOptions,
  ): Promise<Stored<T>> {
    const changed = (state: Stored<T>) => {
      if (isStateTombstone(state)) throw this.#gone(sagaName, sagaId)
      return change(state)
    }
    return await this.#here(sagaName, sagaId, () => this.#new.states.modify<T>(sagaName, sagaId, changed, options))
  }

  /** As in `SagaStates`: inserts a state that has no version, and updates the saga of one that has. */
  async save<T extends object>(sagaName: string, state: T): Promise<Stored<T>> {
    const { id, correlationId } = (state ?? {}) as { id?: string; correlationId?: string }
    const metadata = metadataOf(state)
    const sagaId = (metadata?.sagaId ?? id) as string
    if (isTombstoneVersion(metadata?.version)) throw this.#gone(sagaName, sagaId)
    if (metadata?.version != null) return await this.#here(sagaName, sagaId, () => this.#new.states.save(sagaName, state))
    await this.insert(sagaName, correlationId ?? metadata?.correlationId ?? sagaId, {
      ...state,
      metadata: { ...metadata, sagaId } as SagaMetadata,
    } as T & SagaState)
    const stored = await this.getById<T>(sagaName, sagaId)
    if (stored === null) throw this.#gone(sagaName, sagaId)
    return stored
  }

  /** Removes the saga, if there is one. One that the old store has leaves a tombstone in the new store. */
  async delete(sagaName: string, sagaId: string): Promise<void> {
    const [old] = await this.#old.records.fetch('states', [[sagaName, sagaId]])
    if (old == null || isOver(old, Date.now())) {
      const here = await this.#new.states.getById(sagaName, sagaId)
      if (!isStateTombstone(here)) await this.#new.states.delete(sagaName, sagaId)
      return
    }
    const [fate] = await this.#new.records.importRecords('states', [stateTombstone(sagaName, sagaId)], 'overwrite')
    if (typeof fate === 'object') throw this.#refused(fate, sagaId, 'delete')
  }

  /** Removes the saga, if there is one. */
  async deleteByCorrelationId(sagaName: string, correlationId: string): Promise<void> {
    const found = await this.getByCorrelationId(sagaName, correlationId)
    if (found !== null) await this.delete(sagaName, found.metadata.sagaId)
  }

  /** Runs a change in the new store; where that has no such saga, it is moved there first. */
  async #here<R>(sagaName: string, sagaId: string, change: () => Promise<R>): Promise<R> {
    for (let look = 0; ; look += 1) {
      try {
        return await change()
      } catch (error) {
        if (!(error instanceof SagaStoreError)) throw error
        // A tombstone has a version that nobody expects.
        if (error.code === 'CONCURRENCY_CONFLICT' && isStateTombstone(await this.#new.states.getById(sagaName, sagaId))) {
          throw this.#gone(sagaName, sagaId)
        }
        if (error.code !== 'NOT_FOUND' || look >= LOOKS || !(await this.#bring(sagaName, sagaId))) throw error
      }
    }
  }

  /** Moves a saga, if the new store has none of its saga id. Whether the old store has one. */
  async #bring(sagaName: string, sagaId: string): Promise<boolean> {
    const [record] = await this.#old.records.fetch('states', [[sagaName, sagaId]])
    if (record == null || isOver(record, Date.now())) return false
    const [fate] = await this.#new.records.importRecords('states', [record], 'skip-existing')
    if (typeof fate === 'object') throw this.#refused(fate, sagaId, 'update')
    return fate !== 'expired'
  }

  /** A saga takes the place of one that was deleted: of several that want to, one does. */
  async #replaceTombstone(sagaName: string, correlationId: string, state: object, tombstone: Stored<SagaState>): Promise<void> {
    const { sagaId, version } = tombstone.metadata
    const { claimedAt = 0 } = tombstone as { claimedAt?: number }
    if (Date.now() - claimedAt < CLAIM_MS) throw this.#taken(sagaName, sagaId, 'sagaId', sagaId)
    const holder = await this.#new.states.getByCorrelationId(sagaName, correlationId)
    if (holder !== null) throw this.#taken(sagaName, sagaId, 'correlationId', correlationId)
    const record = this.#record(sagaName, correlationId, state)
    try {
      // Whoever changes the tombstone may replace it. Whoever dies in between keeps others from it for a while.
      await this.#new.states.update(sagaName, { ...tombstone, claimedAt: Date.now() }, version)
    } catch (error) {
      const isTaken = error instanceof SagaStoreError && (error.code === 'CONCURRENCY_CONFLICT' || error.code === 'NOT_FOUND')
      throw isTaken ? this.#taken(sagaName, sagaId, 'sagaId', sagaId) : error
    }
    const [fate] = await this.#new.records.importRecords('states', [record], 'overwrite')
    if (typeof fate === 'object') throw this.#refused(fate, sagaId, 'insert')
  }

  /** The record that an insertion stores. */
  #record(sagaName: string, correlationId: string, state: object): StateRecord {
    const metadata = metadataOf(state)
    const version = metadata?.version ?? 1
    const { stored } = this.#json.record(sagaName, state, metadata, { operation: 'states.insert', version, isChange: false })
    const known = metadataOf(stored) as Required<SagaMetadata>
    return {
      sagaName,
      sagaId: known.sagaId,
      correlationId,
      version,
      isCompleted: known.isCompleted,
      createdAt: known.createdAt,
      updatedAt: known.updatedAt,
      ...(known.isCompleted && { completedAt: known.updatedAt }),
      ...(known.timeoutExpiresAt != null && { timeoutAt: known.timeoutExpiresAt }),
      state: JSON.stringify(stored),
    }
  }

  async #isMovedOrDeleted(sagaName: string, sagaId: string): Promise<boolean> {
    // If it was moved and has this correlation id, the new store knows.
    return (await this.#new.states.getById(sagaName, sagaId)) !== null
  }

  #taken(sagaName: string, id: string, what: 'sagaId' | 'correlationId', value: string): Error {
    const message = `a saga of this name with this ${what === 'sagaId' ? 'saga id' : 'correlation id'} already exists`
    return errorOf('ALREADY_EXISTS', message, { operation: 'migrating.states.insert', id, details: { sagaName, [what]: value } })
  }

  #gone(sagaName: string, sagaId: string): Error {
    const message = `not found: no saga '${sagaName}' has this saga id`
    return errorOf('NOT_FOUND', message, { operation: 'migrating.states', id: sagaId, details: { sagaName, sagaId } })
  }

  #refused({ code, message, retryable }: { code: string; message: string; retryable: boolean }, id: string, method: string): Error {
    return errorOf(code as never, message, { operation: `migrating.states.${method}`, id, retryable })
  }
}
