import { afterEach, beforeEach, expect } from 'vitest'
import type { SagaStates, SagaStore } from '../../index.js'
import type { Executor } from '../support/executors'

export interface OrderMetadata {
  sagaId: string
  version: number
  createdAt: Date
  updatedAt: Date
  isCompleted: boolean
  archivedAt?: Date | null
  timeoutExpiresAt?: Date | null
  traceParent?: string | null
}

export interface Order {
  metadata: OrderMetadata
  total?: number
  steps?: string[]
  [more: string]: unknown
}

export const NAME = 'OrderSaga'

export function order(sagaId: string, more: Partial<OrderMetadata> = {}, rest: object = {}): Order {
  const createdAt = new Date('2026-11-24T10:00:00.123Z')
  return { metadata: { sagaId, version: 1, createdAt, updatedAt: createdAt, isCompleted: false, ...more }, total: 12.5, ...rest }
}

/** The states that a test is about: of a store that is opened before each test, and closed after it. */
export interface StatesUnderTest {
  /** Those of the store that is open now. */
  readonly states: SagaStates
  readonly store: SagaStore
  /** Another store, with more options, takes the place of the first. */
  reopen(more: object): Promise<SagaStates>
  /** Both ways to a saga lead to the same, or to nothing. */
  consistent(id: string, correlationId: string): Promise<Order | null>
}

export function statesUnderTest(executor: Executor): StatesUnderTest {
  const opened: SagaStore[] = []
  let store: SagaStore

  const open = async (more: object = {}) => {
    store = await executor.open(more)
    opened.push(store)
    return store.states
  }

  beforeEach(async () => {
    await open()
  })

  afterEach(async () => {
    for (const store of opened.splice(0)) await store.close()
  })

  return {
    get store() {
      return store
    },
    get states() {
      return store.states
    },
    reopen: open,
    async consistent(id, correlationId) {
      const { states } = store
      const [byId, byCorrelation] = [await states.getById<Order>(NAME, id), await states.getByCorrelationId<Order>(NAME, correlationId)]
      expect(byId).toEqual(byCorrelation)
      return byId
    },
  }
}
