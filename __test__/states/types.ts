// Compiled, not run: what is read has a type of its own, and needs no cast.
import { expectTypeOf } from 'vitest'
import {
  type ClaimedSaga,
  type ConcurrencyError as ConcurrencyErrorOfTheStore,
  NotFoundError,
  openStore,
  type SagaMetadata,
  type SagaPage,
  type SagaState,
  SagaStoreError,
  type SagaTransaction,
  type Stored,
  sagaBusStore,
  type TimedOutSaga,
} from '../../index.js'

interface Order {
  metadata: SagaMetadata
  status: 'reserved' | 'paid'
  items?: string[]
}

/** Of an engine that knows the metadata well. */
interface Whole {
  metadata: { sagaId: string; version: number; createdAt: Date; updatedAt: Date; isCompleted: boolean; archivedAt: Date | null }
  step: number
}

class ConcurrencyError extends Error {}

export async function theExampleOfTheReadme(): Promise<void> {
  await using store = openStore('memory://')
  await store.states.insert<Order>('OrderSaga', 'order-4711', { metadata: { sagaId: 'saga-1' }, status: 'reserved' })
  const order = await store.states.getById<Order>('OrderSaga', 'saga-1')
  // @ts-expect-error There may be none.
  order.status
  if (order === null) return
  await store.states.update('OrderSaga', { ...order, status: 'paid' }, order.metadata.version)
  expectTypeOf(order).toEqualTypeOf<Stored<Order>>()
  expectTypeOf(order.metadata.version).toEqualTypeOf<number>()
  expectTypeOf(order.metadata.createdAt).toEqualTypeOf<Date>()
  expectTypeOf(order.metadata.updatedAt).toEqualTypeOf<Date>()
  expectTypeOf(order.metadata.isCompleted).toEqualTypeOf<boolean>()
  expectTypeOf(order.metadata.sagaId).toEqualTypeOf<string>()
  expectTypeOf(order.metadata.correlationId).toEqualTypeOf<string>()
  // @ts-expect-error It is only to be read.
  order.metadata.correlationId = 'another'
  expectTypeOf(order.metadata.timeoutExpiresAt).toEqualTypeOf<Date | null | undefined>()
  expectTypeOf(order.status).toEqualTypeOf<'reserved' | 'paid'>()

  const paid = await store.states.modify<Order>('OrderSaga', 'saga-1', (state) => {
    expectTypeOf(state).toEqualTypeOf<Stored<Order>>()
    return { ...state, status: 'paid' }
  })
  expectTypeOf(paid.metadata.version).toEqualTypeOf<number>()
  // The type is that of the function's parameter; what has been read may be of it.
  const again = await store.states.modify('OrderSaga', 'saga-1', (state: Order) => ({ ...state, status: 'paid' as const }))
  expectTypeOf(again.metadata.updatedAt).toEqualTypeOf<Date>()
  const plain = await store.states.modify('OrderSaga', 'saga-1', (state) => ({ ...state, status: 'paid' }))
  expectTypeOf(plain.metadata.version).toEqualTypeOf<number>()
  // @ts-expect-error The metadata is missing.
  await store.states.modify<Order>('OrderSaga', 'saga-1', () => ({ status: 'paid' }))

  const saved = await store.states.save('OrderSaga', paid)
  await store.states.save<Order>('OrderSaga', { ...saved, items: ['a'] })
  expectTypeOf(saved.metadata.version).toEqualTypeOf<number>()
}

export async function whatIsListed({ states }: SagaTransaction): Promise<void> {
  expectTypeOf(await states.findByName<Order>('OrderSaga')).toEqualTypeOf<SagaPage<Order>>()
  expectTypeOf((await states.findByName<Order>('OrderSaga', { completed: false })).items).toEqualTypeOf<Stored<Order>[]>()
  expectTypeOf(await states.findTimedOut<Order>({ onCorrupt: ({ error }) => error.id })).toEqualTypeOf<TimedOutSaga<Order>[]>()
  const claimed = await states.claimTimedOut<Order>({ workerId: 'w', leaseMs: 1_000 })
  expectTypeOf(claimed).toEqualTypeOf<ClaimedSaga<Order>[]>()
  for (const { state, sagaName } of claimed) await states.update(sagaName, state, state.metadata.version)
  // @ts-expect-error There is no such option.
  await states.findByName('OrderSaga', { offset: 1 })
  // @ts-expect-error There is no such option.
  await states.countByName('OrderSaga', { isCompleted: true })
}

export async function otherStates({ states }: SagaTransaction): Promise<void> {
  expectTypeOf((await states.getById('OrderSaga', 'saga-1'))?.metadata.version).toEqualTypeOf<number | undefined>()
  expectTypeOf(await states.findById('OrderSaga', 'saga-1')).toEqualTypeOf<Stored<SagaState> | null>()
  const whole = await states.getByCorrelationId<Whole>('OrderSaga', 'order-4711')
  expectTypeOf(whole).toExtend<Whole | null>()
  // A state may have no metadata of its own type.
  const bare = await states.getById<{ step: number }>('OrderSaga', 'saga-1')
  expectTypeOf(bare?.metadata.version).toEqualTypeOf<number | undefined>()
  const ofTheBus = sagaBusStore<Whole>(states, { ConcurrencyError })
  expectTypeOf(await ofTheBus.getById('OrderSaga', 'saga-1')).toEqualTypeOf<Whole | null>()
}

export function theCodeTells(error: unknown): unknown {
  if (error instanceof NotFoundError) {
    expectTypeOf(error).toEqualTypeOf<NotFoundError>()
    return error.code
  }
  if (!(error instanceof SagaStoreError)) return error
  expectTypeOf(error.retryable).toEqualTypeOf<boolean>()
  if (error.code === 'CONCURRENCY_CONFLICT') {
    expectTypeOf(error).toEqualTypeOf<ConcurrencyErrorOfTheStore>()
    return error.expectedVersion
  }
  // @ts-expect-error Only a conflict has it.
  error.expectedVersion
  switch (error.code) {
    case 'SERIALIZATION':
      return error.path
    case 'PAYLOAD_TOO_LARGE':
      return error.limit
    case 'CORRUPT_DATA':
      return error.corrupt
    case 'BACKEND':
      return error.message
    default:
      return error.code
  }
}

export async function theFacetOfAName({ states }: SagaTransaction): Promise<void> {
  const orders = states.of<Order>('OrderSaga')
  await orders.insert('order-1', { metadata: { sagaId: 'saga-1' }, status: 'reserved' })
  // @ts-expect-error Another type of state.
  await orders.insert('order-1', { metadata: { sagaId: 'saga-1' }, status: 'lost' })
  // @ts-expect-error Without metadata.
  await orders.insert('order-1', {})
  expectTypeOf(await orders.getById('saga-1')).toEqualTypeOf<Stored<Order> | null>()
  const order = await orders.modify('saga-1', (state) => ({ ...state, status: 'paid' }))
  await orders.update({ ...order, status: 'paid' }, order.metadata.version)
  expectTypeOf((await orders.find({ completed: false })).items).toEqualTypeOf<Stored<Order>[]>()
  expectTypeOf(await orders.findTimedOut({ limit: 5 })).toEqualTypeOf<TimedOutSaga<Order>[]>()
  // @ts-expect-error The name is given.
  await orders.findTimedOut({ sagaName: 'Other' })
  // @ts-expect-error A state has metadata with its saga id.
  await states.insert('OrderSaga', 'order-1', {})
  // @ts-expect-error A state has metadata with its saga id.
  await states.update('OrderSaga', { status: 'paid' }, 1)
  // The metadata need not be part of the type.
  await states.insert<{ step: number }>('OrderSaga', 'order-1', { step: 1, metadata: { sagaId: 'saga-1' } })
}
