// Compiled, not run: what is read has a type of its own, and needs no cast.
import { expectTypeOf } from 'vitest'
import {
  type Claim,
  type InboxResult,
  type OutboxEvent,
  type OutboxPage,
  type OutboxStatus,
  openStore,
  type SagaTransaction,
} from '../../index.js'

interface Placed {
  order: number
}

export async function events(): Promise<void> {
  await using store = openStore({ url: 'memory://', outbox: { onDeadLetter: 'skip', maxRetries: 3 } })
  const { outbox } = store
  expectTypeOf(await outbox.insert({ eventType: 'Placed', payload: { order: 1 } })).toEqualTypeOf<Claim<{ order: number }>[]>()
  expectTypeOf(await outbox.claim<Placed>({ workerId: 'w' })).toEqualTypeOf<Claim<Placed>[]>()
  expectTypeOf(await outbox.get<Buffer>('e')).toEqualTypeOf<OutboxEvent<Buffer> | null>()
  expectTypeOf(await outbox.list({ status: 'sent' })).toEqualTypeOf<OutboxPage>()
  const [claim] = await outbox.claim({ workerId: 'w' })
  if (claim === undefined) return
  expectTypeOf(claim.payload).toBeUnknown()
  expectTypeOf(claim.status).toEqualTypeOf<'claimed'>()
  expectTypeOf<OutboxEvent['status']>().toEqualTypeOf<OutboxStatus>()
  expectTypeOf(await outbox.ack([claim])).toEqualTypeOf<{ acked: number; lost: string[] }>()
  await outbox.ack({ eventId: 'e', token: 't' })
  // @ts-expect-error Why is not said.
  await outbox.fail(claim, {})
  // @ts-expect-error Only claim() gives events to somebody.
  await outbox.updateStatus('e', 'claimed')
  // @ts-expect-error There is no payload.
  await outbox.insert({ eventType: 'Placed' })
  // @ts-expect-error There is no such option.
  openStore({ url: 'memory://', outbox: { retries: 3 } })
}

export async function messages(): Promise<void> {
  await using store = openStore('memory://')
  expectTypeOf(await store.inbox.accept('mailer', 'm')).toEqualTypeOf<boolean>()
  const result = await store.inbox.run('mailer', 'm', async (tx) => {
    expectTypeOf(tx).toEqualTypeOf<SagaTransaction>()
    await tx.inbox.accept('billing', 'm')
    // @ts-expect-error It is in a transaction already.
    await tx.inbox.run('billing', 'm', () => 1)
    return 5
  })
  expectTypeOf(result).toEqualTypeOf<InboxResult<number>>()
  if (result.ran) expectTypeOf(result.result).toEqualTypeOf<number>()
}
