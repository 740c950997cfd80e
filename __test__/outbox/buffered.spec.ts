import { afterEach, describe, expect, it } from 'vitest'
import { openStore, type SagaStore } from '../../index.js'
import { rejectionOf } from '../support/promises'
import { missing, randomName, type Target, targets } from '../support/targets'
import { claim, claimed, fresh } from './fresh'

const opened: SagaStore[] = []

afterEach(async () => {
  for (const store of opened.splice(0)) await store.close()
})

async function open(target: Target): Promise<SagaStore> {
  // In a Cluster all keys of a transaction are in one slot.
  const tag = `test:{${randomName()}}`
  const inOneSlot = { keyPrefix: `${tag}:p`, statesKeyPrefix: `${tag}:s:`, outboxKeyPrefix: `${tag}:o:`, inboxKeyPrefix: `${tag}:i:` }
  const store = openStore({ ...target.options(), ...(target.name === 'redis cluster' && inOneSlot) } as never)
  opened.push(store)
  await store.initialize()
  return store
}

for (const target of targets.filter(({ name }) => ['redis', 'redis cluster', 'dynamodb'].includes(name))) {
  const isMissing = missing(target)
  describe.skipIf(isMissing)(`${target.name}, the outbox in a transaction that is sent at its end`, () => {
    it('stores events with payload and state, or none of it', async () => {
      const store = await open(target)
      const names = fresh()
      const { event, id, key } = names
      await store.transaction(async (tx) => {
        await tx.put(id(1), Buffer.from('slip'))
        await tx.states.insert(names.type, id(1), { metadata: { sagaId: id(1) } })
        expect(await tx.outbox.insert([event(1, { partitionKey: key }), event(2, { partitionKey: key })])).toEqual([])
        await tx.outbox.insert(event(3, { payload: Buffer.from('three') }))
        expect(await store.has(id(2)).catch(({ code }) => code)).toBe('UNSUPPORTED')
      })
      expect(await store.has(id(1))).toBe(true)
      expect((await claim(store.outbox, names)).map(({ eventId }) => eventId)).toEqual([id(1), id(2), id(3)])
      const failed = store.transaction(async (tx) => {
        await tx.put(id(4), Buffer.from('slip'))
        await tx.outbox.insert(event(4))
        throw new RangeError('no')
      })
      await expect(failed).rejects.toThrow(RangeError)
      expect([await store.has(id(4)), await store.outbox.get(id(4))]).toEqual([false, null])
    })

    it('fails as a whole if the id of an event is taken', async () => {
      const store = await open(target)
      const names = fresh()
      const { event, id } = names
      await store.outbox.insert(event(1))
      const refused = store.transaction(async (tx) => {
        await tx.put(id(2), Buffer.from('slip'))
        await tx.outbox.insert([event(2), event(1)])
      })
      expect(await rejectionOf(refused)).toMatchObject({ code: 'ALREADY_EXISTS', id: id(1) })
      expect([await store.has(id(2)), await store.outbox.get(id(2))]).toEqual([false, null])
      expect(await claimed(store.outbox, names)).toEqual([1])
    })

    it('is UNSUPPORTED where an answer is needed', async () => {
      const store = await open(target)
      const { event, id, type } = fresh()
      await store.outbox.insert(event(1))
      const held = { eventId: id(1), token: 'x' }
      for (const call of [
        (tx: SagaStore) => tx.outbox.insert(event(2), { claim: { workerId: 'w' } }),
        (tx: SagaStore) => tx.outbox.get(id(1)),
        (tx: SagaStore) => tx.outbox.list(),
        (tx: SagaStore) => tx.outbox.pendingCount(),
        (tx: SagaStore) => tx.outbox.claim({ workerId: 'w', eventTypes: [type] }),
        (tx: SagaStore) => tx.outbox.ack(held),
        (tx: SagaStore) => tx.outbox.fail(held, { error: 'x' }),
        (tx: SagaStore) => tx.outbox.release(held),
        (tx: SagaStore) => tx.outbox.extend(held, 5),
        (tx: SagaStore) => tx.outbox.updateStatus(id(1), 'sent'),
        (tx: SagaStore) => tx.outbox.findStuck({ olderThanMs: 0 }),
        (tx: SagaStore) => tx.outbox.releaseStuck({ olderThanMs: 0 }),
        (tx: SagaStore) => tx.outbox.requeue([id(1)]),
        (tx: SagaStore) => tx.outbox.discard([id(1)]),
        (tx: SagaStore) => tx.outbox.blockedKeys(),
        (tx: SagaStore) => tx.outbox.archive({ olderThanMs: 0 }),
        (tx: SagaStore) => tx.outbox.statistics(),
      ]) {
        const refused = store.transaction(async (tx): Promise<unknown> => await call(tx as unknown as SagaStore))
        expect((await rejectionOf(refused)).code, String(call)).toBe('UNSUPPORTED')
      }
      expect(await store.outbox.get(id(1))).toMatchObject({ status: 'pending' })
    })
  })
}
