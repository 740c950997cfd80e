import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'vitest'
import type { Claim, NewOutboxEvent, OutboxClaimOptions, SagaOutbox, SagaStoreError } from '../../index.js'
import { rejectionOf } from '../support/promises'
import { randomName } from '../support/targets'

/** Pauses and limits that tests can wait for. */
export const QUICK = { outbox: { retryBackoffMs: 50, maxRetries: 2, maxDeliveries: 3 } }

/** A type of events, ids and keys that no other test has. */
export function fresh() {
  const type = randomName('Order')
  const id = (n: number | string): string => `${type}-${n}`
  /** An event of this type: its number is its payload. */
  const event = (n: number | string, more: Partial<NewOutboxEvent> = {}): NewOutboxEvent => ({
    eventId: id(n),
    eventType: type,
    payload: { n },
    ...more,
  })
  return { type, key: `${type}-key`, other: `${type}-other-key`, id, event }
}

export type Fresh = ReturnType<typeof fresh>

/** What a worker is given of this type. */
export function claim(outbox: SagaOutbox, { type }: Pick<Fresh, 'type'>, more: Partial<OutboxClaimOptions> = {}): Promise<Claim[]> {
  return outbox.claim({ workerId: 'w', leaseMs: 60_000, eventTypes: [type], ...more })
}

/** The numbers of what a worker is given of this type, which it then has. */
export async function claimed(outbox: SagaOutbox, names: Pick<Fresh, 'type'>, more?: Partial<OutboxClaimOptions>): Promise<unknown[]> {
  return numbers(await claim(outbox, names, more))
}

export function numbers(events: readonly { payload: unknown }[]): unknown[] {
  return events.map(({ payload }) => (payload as { n: unknown }).n)
}

/** Claims an event of this type that is the only one to be had, and lets it fail until it is a dead letter. */
export async function kill(outbox: SagaOutbox, names: Pick<Fresh, 'type'>, error: unknown = 'no more'): Promise<void> {
  for (;;) {
    const [one] = await claim(outbox, names, { batchSize: 1 })
    if (one === undefined) throw new Error('there is nothing to kill')
    await outbox.fail(one, { error, retryAt: new Date(0) })
    if ((await outbox.get(one.eventId))?.status === 'dead_letter') return
  }
}

/** A claim whose lease is over. */
export async function lapsed(outbox: SagaOutbox, names: Pick<Fresh, 'type'>, more: Partial<OutboxClaimOptions> = {}): Promise<Claim[]> {
  const claims = await claim(outbox, names, { workerId: 'late', leaseMs: 40, ...more })
  expect(claims.length).toBeGreaterThan(0)
  await sleep(120)
  return claims
}

/** The error of a call of which all events were lost. */
export async function lostOf(call: Promise<unknown>): Promise<SagaStoreError & { lost?: readonly string[] }> {
  const error = await rejectionOf(call)
  expect(error.code).toBe('LEASE_LOST')
  return error
}
