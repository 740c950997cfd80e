import { afterEach, describe, expect, it } from 'vitest'
import { AlreadyExistsError, type SagaStore } from '../../index.js'
import { rejectionOf } from '../support/promises'
import { missing, openTarget, targets } from '../support/targets'

const INTERACTIVE = ['memory', 'sqlite', 'postgres']
const opened: SagaStore[] = []

afterEach(async () => {
  for (const store of opened.splice(0)) await store.close()
})

async function open(target: (typeof targets)[number], more: object = {}): Promise<SagaStore> {
  const store = await openTarget(target, more)
  opened.push(store)
  return store
}

const order = (sagaId: string, rest: object = {}) => ({ metadata: { sagaId }, ...rest })
const overdue = (sagaId: string, msAgo: number, rest: object = {}) => ({
  metadata: { sagaId, timeoutExpiresAt: new Date(Date.now() - msAgo) },
  ...rest,
})

for (const target of targets.filter(({ name }) => INTERACTIVE.includes(name))) {
  describe.skipIf(missing(target))(`${target.name}, states in transactions`, () => {
    it('commits payload and state together, or neither', async () => {
      const store = await open(target)
      await store.transaction(async (tx) => {
        await tx.put('slip-1', Buffer.from('slip'))
        await tx.states.insert('Order', 'order-1', order('s-1', { step: 1 }))
        expect(await tx.states.getById('Order', 's-1')).toMatchObject({ step: 1 })
        expect(await tx.states.getByCorrelationId('Order', 'order-1')).toMatchObject({ step: 1 })
        expect((await tx.states.findByName('Order')).items).toHaveLength(1)
      })
      expect(await store.states.getById('Order', 's-1')).toMatchObject({ step: 1 })
      const failed = store.transaction(async (tx) => {
        await tx.put('slip-2', Buffer.from('slip'))
        await tx.states.update('Order', order('s-1', { step: 2 }), 1)
        await tx.states.insert('Order', 'order-2', order('s-2'))
        await tx.states.delete('Order', 's-1')
        expect(await tx.states.countByName('Order')).toBe(1)
        throw new RangeError('no')
      })
      await expect(failed).rejects.toThrow(RangeError)
      expect(await store.has('slip-2')).toBe(false)
      expect(await store.states.getById('Order', 's-1')).toMatchObject({ step: 1, metadata: { version: 1 } })
      expect(await store.states.getById('Order', 's-2')).toBeNull()
      expect(await store.states.countByName('Order')).toBe(1)
    })

    it('goes on after a conflict that was caught, and joins through the store itself', async () => {
      const store = await open(target)
      await store.states.insert('Order', 'order-1', order('s-1'))
      await store.transaction(async () => {
        expect((await rejectionOf(store.states.update('Order', order('s-1'), 7))).code).toBe('CONCURRENCY_CONFLICT')
        expect(await rejectionOf(store.states.insert('Order', 'order-1', order('s-2')))).toBeInstanceOf(AlreadyExistsError)
        await store.states.update('Order', order('s-1', { step: 2 }), 1)
        await store.put('slip-1', Buffer.from('slip'))
      })
      expect(await store.states.getById('Order', 's-1')).toMatchObject({ step: 2, metadata: { version: 2 } })
      expect(await store.has('slip-1')).toBe(true)
    })

    it('gives sagas that have timed out to a worker with the transaction, or not at all', async () => {
      const store = await open(target)
      await store.states.insert('Order', 'order-1', overdue('s-1', 1_000))
      const claim = (on: Pick<SagaStore, 'states'>, workerId: string) => on.states.claimTimedOut({ workerId, leaseMs: 60_000 })
      const failed = store.transaction(async (tx) => {
        expect(await claim(tx, 'a')).toHaveLength(1)
        expect(await claim(tx, 'a')).toEqual([])
        throw new RangeError('no')
      })
      await expect(failed).rejects.toThrow(RangeError)
      await store.transaction(async (tx) => {
        expect(await claim(tx, 'b')).toHaveLength(1)
        await tx.states.update('Order', overdue('s-1', 500, { step: 2 }), 1)
      })
      expect(await claim(store, 'c')).toMatchObject([{ workerId: 'c', state: { step: 2 } }])
      expect(await claim(store, 'd')).toEqual([])
    })

    it('has one winner among transactions that update the same saga', async () => {
      const store = await open(target)
      await store.states.insert('Order', 'order-1', order('s-1'))
      const race = (racer: number) =>
        store.transaction(async (tx) => {
          await tx.put(`slip-${racer}`, Buffer.from('slip'))
          await tx.states.update('Order', order('s-1', { racer }), 1)
        })
      const settled = await Promise.allSettled(Array.from({ length: 6 }, (_, racer) => race(racer)))
      const winners = settled.flatMap(({ status }, racer) => (status === 'fulfilled' ? [racer] : []))
      expect(winners).toHaveLength(1)
      expect(await store.states.getById('Order', 's-1')).toMatchObject({ racer: winners[0], metadata: { version: 2 } })
      const stored = await store.getMany(settled.map((_, racer) => `slip-${racer}`))
      expect([...stored.keys()]).toEqual([`slip-${winners[0]}`])
    })
  })
}
