import { afterEach, describe, expect, it } from 'vitest'
import { openStore, type SagaStore } from '../../index.js'
import { rejectionOf } from '../support/promises'
import { missing, prefixesInOneSlot, randomName, type Target, targets } from '../support/targets'

const opened: SagaStore[] = []

afterEach(async () => {
  for (const store of opened.splice(0)) await store.close()
})

/** A store, and another one on the same data, whose operations join no transaction of the first. */
async function open(target: Target, context: { skip(): void }): Promise<{ store: SagaStore; other: SagaStore }> {
  // In a Cluster all keys of a transaction are in one slot.
  const options = { ...target.options(), ...(target.name === 'redis cluster' && prefixesInOneSlot()) }
  const [store, other] = [openStore(options as never), openStore(options as never)]
  opened.push(store, other)
  await store.initialize()
  if (store.capabilities.transactions === 'none') context.skip()
  return { store, other }
}

/** What is stored and what is remembered go together. */
for (const target of targets.filter(({ name }) => name !== 'sqlite::memory:' && name !== 'sqlite, durability normal')) {
  describe.skipIf(missing(target))(`${target.name}, messages in transactions`, () => {
    const isBuffered = ['redis', 'redis cluster', 'dynamodb'].includes(target.name)

    it('are remembered with what is stored, or not at all', async (context) => {
      const { store } = await open(target, context)
      const id = randomName('message')
      const failed = store.transaction(async (tx) => {
        expect(await tx.inbox.accept('mailer', id)).toBe(true)
        await tx.put(id, Buffer.from('effect'))
        throw new RangeError('no')
      })
      await expect(failed).rejects.toThrow(RangeError)
      expect([await store.inbox.has('mailer', id), await store.has(id)]).toEqual([false, false])
      await store.transaction(async (tx) => {
        await tx.inbox.accept('mailer', id)
        await tx.put(id, Buffer.from('effect'))
      })
      expect([await store.inbox.has('mailer', id), await store.has(id)]).toEqual([true, true])
      await store.transaction((tx) => tx.inbox.forget('mailer', id))
      expect(await store.inbox.has('mailer', id)).toBe(false)
    })

    it.skipIf(isBuffered)('that are known break no transaction', async (context) => {
      const { store } = await open(target, context)
      const id = randomName('message')
      await store.inbox.accept('mailer', id)
      await store.transaction(async (tx) => {
        expect(await tx.inbox.accept('mailer', id)).toBe(false)
        expect(await tx.inbox.has('mailer', id)).toBe(true)
        expect(await tx.inbox.accept('billing', id)).toBe(true)
        expect(await tx.inbox.accept('billing', id)).toBe(false)
        await tx.put(id, Buffer.from('effect'))
      })
      expect([await store.inbox.has('billing', id), await store.has(id)]).toEqual([true, true])
    })

    it.runIf(isBuffered)('that are known break a transaction that is sent at its end', async (context) => {
      const { store } = await open(target, context)
      const id = randomName('message')
      await store.inbox.accept('mailer', id)
      const refused = store.transaction(async (tx) => {
        expect(await tx.inbox.accept('mailer', id)).toBe(true)
        await tx.put(id, Buffer.from('effect'))
      })
      expect(await rejectionOf(refused)).toMatchObject({ code: 'ALREADY_EXISTS', id })
      expect(await store.has(id)).toBe(false)
      const asked = store.transaction((tx) => tx.inbox.has('mailer', id))
      expect((await rejectionOf(asked)).code).toBe('UNSUPPORTED')
    })

    it('are worked on once, if another delivery comes between', async (context) => {
      const { store, other } = await open(target, context)
      // A transaction of SQLite waits for the one before it.
      if (target.name === 'sqlite') context.skip()
      const id = randomName('message')
      let runs = 0
      const late = store.inbox.run('mailer', id, async (tx) => {
        runs += 1
        await tx.put(id, Buffer.from('late'))
        // PostgreSQL has the second one wait for the end of the first one.
        if (target.name === 'postgres') return 'late'
        expect(await other.inbox.run('mailer', id, (tx) => tx.put(id, Buffer.from('early')))).toMatchObject({ ran: true })
        return 'late'
      })
      if (target.name === 'postgres') {
        const [one, two] = await Promise.all([late, other.inbox.run('mailer', id, (tx) => tx.put(id, Buffer.from('early')))])
        expect([one.ran, two.ran].filter((ran) => ran)).toHaveLength(1)
        return
      }
      expect(await late).toEqual({ ran: false })
      expect([runs, (await store.get(id)).toString()]).toEqual([1, 'early'])
    })

    it('join the transaction that is open already', async (context) => {
      const { store } = await open(target, context)
      const id = randomName('message')
      const failed = store.transaction(async () => {
        expect(await store.inbox.run('mailer', id, (tx) => tx.put(id, Buffer.from('effect')))).toMatchObject({ ran: true })
        throw new RangeError('no')
      })
      await expect(failed).rejects.toThrow(RangeError)
      expect([await store.inbox.has('mailer', id), await store.has(id)]).toEqual([false, false])
    })
  })
}
