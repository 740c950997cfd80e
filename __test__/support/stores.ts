import { afterAll, afterEach, beforeAll, beforeEach } from 'vitest'
import type { SagaStore } from '../../index.js'
import type { Executor } from './executors'

type Use = (store: SagaStore) => void

/**
 * One store for all tests of a `describe`, which take ids of their own and do not count: to make tables takes longer
 * than most tests.
 */
export function sharedStore(executor: Executor, use: Use, more?: object): void {
  let store: SagaStore
  beforeAll(async () => {
    store = await executor.open(more)
    use(store)
  })
  afterAll(async () => {
    await store?.close()
  })
}

/** A store for each test of a `describe`. */
export function ownStore(executor: Executor, use: Use, more?: object): void {
  let store: SagaStore
  beforeEach(async () => {
    store = await executor.open(more)
    use(store)
  })
  afterEach(async () => {
    await store.close()
  })
}
