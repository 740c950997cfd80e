import { isUint8Array } from 'node:util/types'
import { errorOf, invalidArgument } from '../errors'
import type { PutOptions, SagaStoreAdapter } from '../options'
import type { SagaStore } from '../store/store'
import { checkedRecords } from './arguments'
import { factsOf } from './facts'
import { isOver } from './measure'
import { MigratingStates } from './migrating-states'
import type { Records } from './records'
import { isTombstone, isTombstoneRecord, TOMBSTONE } from './tombstones'

/**
 * A store for an application that goes on while its records are moved: see `migrating`. It has the methods of the engine's
 * adapter, and saga state.
 */
export class MigratingStore implements SagaStoreAdapter {
  readonly #old: SagaStore
  readonly #new: SagaStore
  readonly #oldRecords: Records
  readonly #newRecords: Records
  readonly #states: MigratingStates

  /** @internal */
  constructor(oldStore: SagaStore, newStore: SagaStore) {
    this.#old = oldStore
    this.#new = newStore
    this.#oldRecords = checkedRecords(oldStore, 'the old store', 'migrating')
    this.#newRecords = checkedRecords(newStore, 'the new store', 'migrating')
    const [one, other] = [factsOf(oldStore), factsOf(newStore)]
    if (oldStore === newStore || (one?.isShared === true && one.where === other?.where)) {
      throw invalidArgument('the old and the new store are the same', 'migrating')
    }
    this.#states = new MigratingStates(
      { states: oldStore.states, records: this.#oldRecords },
      { states: newStore.states, records: this.#newRecords },
    )
  }

  /** The state of sagas, under the same rules. */
  get states(): MigratingStates {
    return this.#states
  }

  /** Initializes the new store. */
  async initialize(): Promise<void> {
    await this.#new.initialize()
  }

  /** Removes from the new store what has expired. */
  async cleanup(): Promise<void> {
    await this.#new.cleanup()
  }

  /** Stores a payload in the new store. */
  async put(id: string, data: Uint8Array, expiresAt?: Date, options?: PutOptions): Promise<void> {
    if (isUint8Array(data) && isTombstone(data)) {
      throw errorOf('INVALID_ARGUMENT', 'these bytes stand for a payload that was deleted', { operation: 'migrating.put', id })
    }
    await this.#new.put(id, data, expiresAt, options)
    await this.#outlive(id, expiresAt)
  }

  /**
   * The payload.
   *
   * @throws NotFoundError if neither store has it, or if it was deleted
   */
  async get(id: string): Promise<Buffer> {
    const found = await this.find(id)
    if (found !== null) return found
    throw errorOf('NOT_FOUND', 'not found: no payload has this id, or it has expired', { operation: 'migrating.get', id })
  }

  /** The payload, or null if there is none. */
  async find(id: string): Promise<Buffer | null> {
    const found = await this.#new.find(id)
    if (found !== null) return isTombstone(found) ? null : found
    const old = await this.#old.find(id)
    if (old === null) return null
    // Moved, replaced or deleted between the two looks.
    const again = await this.#new.find(id)
    return again === null ? old : isTombstone(again) ? null : again
  }

  /** Whether there is a payload. */
  async has(id: string): Promise<boolean> {
    return (await this.find(id)) !== null
  }

  /** Removes a payload; whether there was one. One that the old store has leaves a tombstone in the new store. */
  async delete(id: string): Promise<boolean> {
    if (!(await this.#old.has(id))) return await this.#deleteNew(id)
    const found = await this.#new.find(id)
    if (isTombstone(found)) return false
    await this.#new.put(id, TOMBSTONE)
    return true
  }

  async #deleteNew(id: string): Promise<boolean> {
    // One of another process, whose payload has expired in the old store meanwhile.
    if (isTombstone(await this.#new.find(id))) return false
    return await this.#new.delete(id)
  }

  /** Sets another expiry; whether there was a payload. One that only the old store has is moved first. */
  async touch(id: string, expiresAt: Date): Promise<boolean> {
    const found = await this.#new.find(id)
    if (isTombstone(found)) return false
    if (found === null) await this.#bring(id)
    const isTouched = await this.#new.touch(id, expiresAt)
    if (isTouched) await this.#outlive(id, expiresAt)
    return isTouched
  }

  /**
   * Ends the move: removes the tombstones from the new store, and answers how many there were. Call it when all records
   * have been moved and every process works with the new store alone: this store would find again in the old one what was
   * deleted. Meanwhile nobody may put a payload under an id that was deleted during the move: it could be removed.
   */
  async finish(): Promise<number> {
    let count = 0
    for await (const { records } of this.#newRecords.pagesOfSizes()) {
      for (const { id, bytes } of records) {
        if (bytes !== TOMBSTONE.byteLength || !isTombstone(await this.#new.find(id))) continue
        if (await this.#new.delete(id)) count += 1
      }
    }
    for await (const { records } of this.#newRecords.pages('states')) {
      for (const record of records.filter(isTombstoneRecord)) {
        await this.#new.states.delete(record.sagaName, record.sagaId)
        count += 1
      }
    }
    return count
  }

  /** Moves a payload, if the new store has none of its id. */
  async #bring(id: string): Promise<void> {
    const [record] = await this.#oldRecords.fetch('payloads', [id])
    if (record != null && !isOver(record, Date.now())) await this.#newRecords.importRecords('payloads', [record], 'skip-existing')
  }

  /** What is over in the new store must not come back from the old one: where it would live on there, it is removed. */
  async #outlive(id: string, expiresAt: Date | undefined): Promise<void> {
    if (expiresAt === undefined) return
    if (!(await this.#old.has(id))) return
    const [old] = await this.#oldRecords.fetch('payloads', [id])
    if (old != null && (old.expiresAt === undefined || old.expiresAt > expiresAt)) await this.#old.delete(id)
  }
}

/**
 * A store for an application that goes on while `transfer(oldStore, newStore)` moves its records, with `onConflict:
 * 'skip-existing'`, which is the default. All processes of the application use it before the move begins.
 *
 * - Writes go to the new store. An update of a saga that only the old store has moves it first.
 * - Reads look in the new store first, then in the old one.
 * - What is deleted, and is in the old store, leaves a tombstone of its id in the new store, so that the move does not
 *   bring it back. `finish()` removes the tombstones.
 *
 * Inserting a saga looks for both of its ids in the old store, too. Executions, outbox and inbox are not moved this way:
 * workers of the old store work off what is there, and then it is moved.
 */
export function migrating(oldStore: SagaStore, newStore: SagaStore): MigratingStore {
  return new MigratingStore(oldStore, newStore)
}
