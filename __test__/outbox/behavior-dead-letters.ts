import { describe, expect, it } from 'vitest'
import { type Claim, NotFoundError, type SagaOutbox } from '../../index.js'
import { rejectionOf } from '../support/promises'
import { claim, claimed, fresh, kill, lostOf, numbers } from './fresh'

/** What people decide about events. */
export function deadLetterBehavior(use: () => SagaOutbox): void {
  describe('dead letters', () => {
    it('are brought back by their ids to their old places, with all their attempts', async () => {
      const names = fresh()
      const { event, id } = names
      await use().insert([event(1), event(2)])
      for (let n = 0; n < 2; n += 1) await kill(use(), names, `why ${n + 1}`)
      await use().insert(event(3))
      // What is unknown is not made, and what is no dead letter stays as it is.
      expect(await use().requeue([id(2), id(1), id(1), id(3), id('unknown')])).toBe(2)
      expect(await use().get(id('unknown'))).toBeNull()
      expect(await use().get(id(1))).toMatchObject({ status: 'pending', retryCount: 0, deliveries: 0, lastError: 'why 1' })
      expect(await use().requeue([id(1)])).toBe(0)
      expect(await claimed(use(), names)).toEqual([1, 2, 3])
    })

    it('are brought back by what they are', async () => {
      const [names, alien] = [fresh(), fresh()]
      const { event, id, key, type } = names
      await use().insert([
        event(1, { routingKey: 'x' }),
        event(2, { partitionKey: key }),
        event(3, { sagaId: id('saga') }),
        event(4, { sagaId: id('saga'), routingKey: 'x' }),
        alien.event(5, { sagaId: id('saga') }),
        event(6),
      ])
      for (const n of [1, 2, 3, 4, 6]) await use().updateStatus(id(n), 'dead_letter')
      await use().updateStatus(alien.id(5), 'dead_letter')
      expect(await use().requeue({ eventType: type, olderThanMs: 3_600_000 })).toBe(0)
      expect(await use().requeue({ eventType: type, routingKey: 'y' })).toBe(0)
      expect(await use().requeue({ partitionKey: key })).toBe(1)
      expect(await use().requeue({ sagaId: id('saga'), routingKey: 'x' })).toBe(1)
      expect(await use().requeue({ sagaId: id('saga'), eventType: type })).toBe(1)
      expect(await claimed(use(), names)).toEqual([2, 3, 4])
      expect(await use().requeue({ eventType: type })).toBe(2)
      expect(await claimed(use(), names)).toEqual([1, 6])
      expect(await use().get(alien.id(5))).toMatchObject({ status: 'dead_letter' })
    })

    it('are removed by their ids, and nothing else is', async () => {
      const names = fresh()
      const { event, id } = names
      await use().insert([event(1), event(2)])
      await kill(use(), names)
      expect(await use().discard(new Set([id(1), id(2), id('unknown')]))).toBe(1)
      expect([await use().get(id(1)), (await use().get(id(2)))?.status]).toEqual([null, 'pending'])
      await use().insert(event(1))
      expect(await claimed(use(), names)).toEqual([2, 1])
      expect([await use().discard([]), await use().requeue([])]).toEqual([0, 0])
    })

    it('are refused by arguments that are none', async () => {
      for (const call of [
        () => use().requeue('text'),
        () => use().requeue(undefined as never),
        () => use().requeue([5 as never]),
        () => use().requeue(['']),
        () => use().requeue({ status: 'dead_letter' } as never),
        () => use().requeue({ eventType: 5 as never }),
        () => use().requeue({ eventType: null as never }),
        () => use().requeue({ olderThanMs: -1 }),
        () => use().discard('text'),
        () => use().discard(undefined as never),
        () => use().discard({} as never),
      ]) {
        expect((await rejectionOf(call())).code, String(call)).toBe('INVALID_ARGUMENT')
      }
    })
  })

  describe('a decision', () => {
    it('is made about any event that is not sent, and takes it from whoever has it', async () => {
      const names = fresh()
      const { event, id } = names
      await use().insert([1, 2, 3, 4].map((n) => event(n)))
      const claims = (await claim(use(), names)) as [Claim, Claim, Claim, Claim]
      await use().updateStatus(id(1), 'pending')
      await use().updateStatus(id(2), 'sent')
      await use().updateStatus(id(3), 'failed', new Error('seen by a human'))
      await use().updateStatus(id(4), 'dead_letter', 'given up')
      expect((await lostOf(use().ack(claims))).lost?.toSorted()).toEqual([1, 2, 3, 4].map(id))
      expect(await use().get(id(1))).toMatchObject({ status: 'pending', deliveries: 1, retryCount: 0 })
      expect(await use().get(id(2))).toBeNull()
      expect(await use().get(id(3))).toMatchObject({ status: 'pending', retryCount: 1, lastError: 'seen by a human' })
      expect(await use().get(id(4))).toMatchObject({ status: 'dead_letter', retryCount: 0, deliveries: 1, lastError: 'given up' })
      expect(await claimed(use(), names, { batchSize: 1 })).toEqual([1])
    })

    it('brings a dead letter back, lets it be sent, or waits no longer', async () => {
      const names = fresh()
      const { event, id } = names
      await use().insert([event(1), event(2), event(3, { availableAt: new Date(Date.now() + 3_600_000) })])
      for (let n = 0; n < 2; n += 1) await kill(use(), names)
      await use().updateStatus(id(1), 'pending')
      expect(await use().get(id(1))).toMatchObject({ status: 'pending', retryCount: 0, deliveries: 0, lastError: 'no more' })
      await use().updateStatus(id(2), 'sent')
      expect(await use().get(id(2))).toBeNull()
      await use().updateStatus(id(3), 'pending')
      expect(await claimed(use(), names)).toEqual([1, 3])
    })

    it('counts as a failure, up to the last one', async () => {
      const names = fresh()
      await use().insert(names.event(1))
      for (let n = 0; n < 3; n += 1) await use().updateStatus(names.id(1), 'failed')
      expect(await use().get(names.id(1))).toMatchObject({ status: 'dead_letter', retryCount: 3, lastError: 'marked as failed' })
    })

    it('takes along what the same worker has behind it', async () => {
      const names = fresh()
      const { event, key, id } = names
      await use().insert([1, 2, 3].map((n) => event(n, { partitionKey: key })))
      const [one, two, three] = (await claim(use(), names)) as [Claim, Claim, Claim]
      await use().updateStatus(id(2), 'dead_letter')
      expect(await use().ack([one, two, three])).toEqual({ acked: 1, lost: [id(2), id(3)] })
      expect(await use().get(id(3))).toMatchObject({ status: 'pending', deliveries: 0 })
      expect(await claimed(use(), names)).toEqual([])
      await use().updateStatus(id(2), 'sent')
      expect(numbers(await claim(use(), names))).toEqual([3])
    })

    it('is refused if there is no such event, or no such status', async () => {
      const names = fresh()
      const { event, id } = names
      const error = await rejectionOf(use().updateStatus(id(1), 'pending'))
      expect(error).toBeInstanceOf(NotFoundError)
      expect(error).toMatchObject({ id: id(1), operation: 'outbox.updateStatus' })
      await use().insert(event(1))
      for (const status of ['claimed', 'done', '', undefined, 5]) {
        expect((await rejectionOf(use().updateStatus(id(1), status as never))).code, String(status)).toBe('INVALID_ARGUMENT')
      }
      expect((await rejectionOf(use().updateStatus(5 as never, 'sent'))).code).toBe('INVALID_ARGUMENT')
      expect(await claimed(use(), names)).toEqual([1])
    })
  })
}
