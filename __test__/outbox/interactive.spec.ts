import { afterEach, describe, expect, it } from 'vitest'
import { type Claim, openStore, type SagaStore } from '../../index.js'
import { rejectionOf } from '../support/promises'
import { missing, type Target, targets } from '../support/targets'
import { claim, claimed, fresh, numbers, QUICK } from './fresh'

const opened: SagaStore[] = []

afterEach(async () => {
  for (const store of opened.splice(0)) await store.close()
})

/** A store, and another one on the same data, whose operations join no transaction of the first. */
async function open(target: Target, context: { skip(): void }): Promise<{ store: SagaStore; other: SagaStore }> {
  const options = { ...target.options(), ...QUICK }
  const [store, other] = [openStore(options as never), openStore(options as never)]
  opened.push(store, other)
  await store.initialize()
  if (store.capabilities.transactions !== 'interactive') context.skip()
  return { store, other }
}

const INTERACTIVE = ['memory', 'sqlite', 'postgres', 'mongodb']

for (const target of targets.filter(({ name }) => INTERACTIVE.includes(name))) {
  describe.skipIf(missing(target))(`${target.name}, the outbox in transactions`, () => {
    it('stores events with payload, state and execution, or none of it', async (context) => {
      const { store } = await open(target, context)
      const names = fresh()
      const { event, id } = names
      const all = async (tx: Pick<SagaStore, 'put' | 'executions' | 'states' | 'outbox'>, n: number) => {
        await tx.put(id(n), Buffer.from('slip'))
        await tx.states.insert(names.type, id(n), { metadata: { sagaId: id(n) } })
        await tx.executions.create(id(n), names.type, {})
        await tx.outbox.insert(event(n))
      }
      await store.transaction(async (tx) => {
        await all(tx as never, 1)
        expect(await tx.outbox.get(id(1))).toMatchObject({ status: 'pending', payload: { n: 1 } })
      })
      const failed = store.transaction(async (tx) => {
        await all(tx as never, 2)
        throw new RangeError('no')
      })
      await expect(failed).rejects.toThrow(RangeError)
      expect([await store.has(id(1)), await store.has(id(2))]).toEqual([true, false])
      expect(await store.outbox.get(id(2))).toBeNull()
      expect(await claimed(store.outbox, names)).toEqual([1])
    })

    it('claims, settles and decides with the transaction, or not at all', async (context) => {
      const { store } = await open(target, context)
      const names = fresh()
      const { event, id } = names
      await store.outbox.insert([1, 2, 3].map((n) => event(n)))
      const failed = store.transaction(async (tx) => {
        const claims = (await claim(tx.outbox, names)) as [Claim, Claim, Claim]
        await tx.outbox.ack(claims[0])
        await tx.outbox.fail(claims[1], { error: 'no' })
        await tx.outbox.updateStatus(id(3), 'dead_letter')
        throw new RangeError('no')
      })
      await expect(failed).rejects.toThrow(RangeError)
      const claims = await store.transaction(async (tx) => {
        const [one, ...rest] = (await claim(tx.outbox, names)) as [Claim, Claim, Claim]
        expect([one, ...rest].map(({ deliveries }) => deliveries)).toEqual([1, 1, 1])
        expect(await tx.outbox.ack(one)).toEqual({ acked: 1, lost: [] })
        expect(await tx.outbox.get(id(1))).toBeNull()
        return rest
      })
      expect(await store.outbox.get(id(1))).toBeNull()
      expect(await store.outbox.ack(claims)).toEqual({ acked: 2, lost: [] })
    })

    it('goes on after an event id that is taken', async (context) => {
      const { store } = await open(target, context)
      const names = fresh()
      const { event, id } = names
      await store.outbox.insert(event(1))
      await store.transaction(async (tx) => {
        expect(await rejectionOf(tx.outbox.insert([event(2), event(1)]))).toMatchObject({ code: 'ALREADY_EXISTS', id: id(1) })
        await tx.outbox.insert([event(1), event(3)], { onDuplicate: 'ignore' })
      })
      expect(await claimed(store.outbox, names)).toEqual([1, 3])
    })

    // A transaction of SQLite waits for the one before it.
    it.skipIf(target.name === 'sqlite')('gives what is committed late, although later events were sent meanwhile', async (context) => {
      const { store, other } = await open(target, context)
      const names = fresh()
      await store.transaction(async (tx) => {
        await tx.outbox.insert(names.event('late'))
        await other.outbox.insert(names.event('early'))
        const claims = await claim(other.outbox, names)
        expect(numbers(claims)).toEqual(['early'])
        await other.outbox.ack(claims)
        expect(await claimed(other.outbox, names)).toEqual([])
      })
      expect(await claimed(other.outbox, names)).toEqual(['late'])
    })

    it('keeps the order of a key within a transaction', async (context) => {
      const { store } = await open(target, context)
      const names = fresh()
      const { event, key } = names
      await store.outbox.insert(event(1, { partitionKey: key }))
      await store.transaction(async (tx) => {
        await tx.outbox.insert(event(2, { partitionKey: key }))
        await tx.outbox.insert(event(3, { partitionKey: key }))
      })
      const run = await claim(store.outbox, names)
      expect(numbers(run)).toEqual([1, 2, 3])
    })
  })
}
