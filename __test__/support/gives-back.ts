import { expect } from 'vitest'
import type { SagaStore } from '../../index.js'
import { rejectionOf } from './promises'

/** Each byte once. */
export const ALL_BYTES = Buffer.from(Array.from({ length: 256 }, (_, n) => n))
const PAYLOADS = [Buffer.alloc(0), Buffer.from('\\x6162'), Buffer.from("it's \\101"), ALL_BYTES, Buffer.alloc(100_000, ALL_BYTES)]
const STATE = { note: ' {"a": "\\x41"} ', n: 2 ** 40 }

/** What goes in comes out, of payloads and of states. */
export async function givesBack(store: SagaStore): Promise<void> {
  await store.initialize()
  for (const [n, data] of PAYLOADS.entries()) await store.put(`p${n}`, data, new Date(Date.now() + 60_000))
  for (const [n, data] of PAYLOADS.entries()) expect((await store.get(`p${n}`)).equals(data), `payload ${n}`).toBe(true)
  expect((await store.getMany(PAYLOADS.map((_, n) => `p${n}`))).get('p3')).toEqual(ALL_BYTES)
  expect([await store.has('p0'), await store.touch('p0', new Date(Date.now() + 90_000)), await store.delete('p0')]).toEqual([
    true,
    true,
    true,
  ])
  const now = new Date('2026-01-02T03:04:05.678Z')
  const metadata = { sagaId: 's', version: 1, createdAt: now, updatedAt: now, isCompleted: false }
  await store.states.insert('Order', 'c', { ...STATE, metadata })
  expect(await store.states.getByCorrelationId('Order', 'c')).toMatchObject({
    ...STATE,
    metadata: { sagaId: 's', version: 1, createdAt: now },
  })
  await store.states.modify('Order', 's', (state: typeof STATE) => ({ ...state, n: 1 }))
  expect((await store.states.findByName<typeof STATE>('Order')).items[0]?.n).toBe(1)
  expect(await store.states.countByName('Order')).toBe(1)
  expect(await rejectionOf(store.states.update('Order', { ...STATE, metadata }, 1))).toMatchObject({
    code: 'CONCURRENCY_CONFLICT',
    actualVersion: 2,
  })
  expect((await store.health()).status).toBe('healthy')
}
