import { beforeEach, expect } from 'vitest'
import type { SagaStates, SagaStore } from '../../index.js'
import type { Executor } from '../support/executors'
import { sharedStore } from '../support/stores'

export interface OrderMetadata {
  sagaId: string
  version: number
  createdAt: Date
  updatedAt: Date
  isCompleted: boolean
  archivedAt?: Date | null
  timeoutExpiresAt?: Date | null
  traceParent?: string | null
  correlationId?: string
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

/** What a test is about. */
export interface StatesUnderTest {
  store: SagaStore
  states: SagaStates
  /** The name of its sagas: no other test uses it. */
  sagaName: string
  /** Another name that no other test uses. */
  otherName: string
}

/** A state as it is read. */
export function asRead(state: Order, correlationId: string): Order {
  return { ...state, metadata: { ...state.metadata, correlationId } }
}

/** Both ways to a saga lead to the same, or to nothing. */
export async function bothWays(states: SagaStates, sagaName: string, id: string, correlationId: string): Promise<Order | null> {
  const byId = await states.getById<Order>(sagaName, id)
  expect(byId).toEqual(await states.getByCorrelationId<Order>(sagaName, correlationId))
  if (byId !== null) expect(byId.metadata.correlationId).toBe(correlationId)
  return byId
}

/** The tests of a `describe` share a store, and each has names of its own. */
export function withNames(executor: Executor, use: (current: StatesUnderTest) => void): void {
  let store: SagaStore
  let tests = 0
  sharedStore(executor, (opened) => {
    store = opened
  })
  beforeEach(() => {
    tests += 1
    use({ store, states: store.states, sagaName: `${NAME}${tests}`, otherName: `Other${tests}` })
  })
}
