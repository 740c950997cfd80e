// Compiled, not run: what is read has a type of its own, and needs no cast.
import { expectTypeOf } from 'vitest'
import {
  cqrsSagaStorage,
  type ExecutionPage,
  type ExecutionStatus,
  type HistoryPage,
  InvalidStateError,
  openStore,
  type SagaExecution,
  SagaRun,
  type SagaStep,
  type SagaTransaction,
  sagazStorage,
} from '../../index.js'

interface Order {
  order: number
}

export async function contexts(): Promise<void> {
  await using store = openStore('memory://')
  const { executions } = store
  const run = await executions.start('s', 'Order', { order: 1 }, { workerId: 'a' })
  expectTypeOf(run).toEqualTypeOf<SagaRun<{ order: number }>>()
  expectTypeOf(run.context.order).toEqualTypeOf<number>()
  // @ts-expect-error Another context than that of the run.
  await run.complete({ items: 1 })
  // @ts-expect-error That is what waitUntil is for.
  await run.checkpoint({ dueAt: new Date() })
  // @ts-expect-error The store makes them.
  new SagaRun()
  const claimed = await executions.claim<Order>({ workerId: 'a' })
  expectTypeOf(claimed).toEqualTypeOf<SagaRun<Order>[]>()
  expectTypeOf(await executions.load<Order>('s')).toEqualTypeOf<SagaExecution<Order>>()
  expectTypeOf(await executions.find('s')).toEqualTypeOf<SagaExecution<unknown> | null>()
  expectTypeOf(await executions.list()).toEqualTypeOf<ExecutionPage>()
  // @ts-expect-error Lists have no contexts.
  ;(await executions.list()).items[0]?.context
  expectTypeOf(await executions.history('s')).toEqualTypeOf<HistoryPage>()
  expectTypeOf(await executions.steps('s')).toEqualTypeOf<SagaStep[]>()
  // @ts-expect-error There is no such status.
  await executions.updateStatus('s', 'done')
  // @ts-expect-error It needs a worker.
  await executions.claim({})
  await executions.updateStatus('s', 'running').catch((error: unknown) => {
    if (error instanceof InvalidStateError) expectTypeOf(error.status).toEqualTypeOf<ExecutionStatus>()
  })
}

export async function inTransactions(tx: SagaTransaction): Promise<void> {
  expectTypeOf(await tx.executions.create('s', 'Order')).toEqualTypeOf<number>()
  const [status, context, version] = await cqrsSagaStorage(tx).loadSagaState<Order>('s')
  expectTypeOf({ status, context, version }).toEqualTypeOf<{ status: ExecutionStatus; context: Order; version: number }>()
  // @ts-expect-error A transaction has no health.
  sagazStorage(tx)
}
