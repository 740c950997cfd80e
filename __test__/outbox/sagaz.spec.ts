import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { openStore, type SagazOutboxEvent, sagazOutbox } from '../../index.js'
import { rejectionOf } from '../support/promises'
import { missing, openTarget, randomName, targets } from '../support/targets'

const on = targets.filter(({ name }) => ['memory', 'sqlite', 'postgres', 'redis', 'dynamodb'].includes(name))

function event(more: object = {}) {
  const sagaId = randomName('saga')
  return { eventId: `${sagaId}-1`, sagaId, eventType: 'OrderCreated', payload: { order: 'o-1', lines: [{ sku: 'w', qty: 2 }] }, ...more }
}

for (const target of on) {
  describe.skipIf(missing(target))(`${target.name}, as an outbox of sagaz`, () => {
    it('does what its worker asks of it', async () => {
      await using store = await openTarget(target)
      const outbox = sagazOutbox(store)
      const createdAt = new Date('2026-11-24T10:00:00.123Z')
      const more = { headers: { trace: 'abc' }, routingKey: 'orders', partitionKey: 'o-1', createdAt }
      const given = event(more)
      const inserted = await outbox.insert(given)
      const expected: SagazOutboxEvent = {
        ...given,
        ...more,
        aggregateType: 'saga',
        aggregateId: given.sagaId,
        status: 'pending',
        claimedAt: null,
        sentAt: null,
        retryCount: 0,
        lastError: null,
        workerId: null,
      }
      expect(inserted).toEqual(expected)
      expect(await outbox.getById(given.eventId)).toEqual(expected)
      expect(await outbox.getById('no')).toBeNull()
      expect(await rejectionOf(outbox.insert(given))).toMatchObject({ code: 'ALREADY_EXISTS', id: given.eventId })
      expect(await outbox.getPendingCount()).toBe(1)
      expect(await outbox.claimBatch('w-1', 10, 60)).toEqual([])
      const [claimed, ...others] = await outbox.claimBatch('w-1', 10)
      expect(claimed).toEqual({ ...expected, status: 'claimed', workerId: 'w-1', claimedAt: expect.any(Date) })
      expect(others).toEqual([])
      expect(await outbox.claimBatch('w-2')).toEqual([])

      // It fails, is set back by the worker, and is sent.
      const failed = await outbox.updateStatus(given.eventId, 'failed', 'no route')
      expect(failed).toMatchObject({ status: 'failed', retryCount: 1, lastError: 'no route', workerId: null })
      expect(await outbox.getById(given.eventId)).toMatchObject({ status: 'pending', retryCount: 1 })
      expect(await outbox.claimBatch('w-1')).toEqual([])
      expect(await outbox.updateStatus(given.eventId, 'pending')).toMatchObject({ status: 'pending', retryCount: 1 })
      expect(await outbox.claimBatch('w-1')).toHaveLength(1)
      const sent = await outbox.updateStatus(given.eventId, 'sent')
      expect(sent).toMatchObject({ status: 'sent', sentAt: expect.any(Date), workerId: null, claimedAt: null })
      expect(await outbox.getPendingCount()).toBe(0)
      expect((await rejectionOf(outbox.updateStatus(given.eventId, 'sent'))).code).toBe('NOT_FOUND')
      expect((await rejectionOf(outbox.updateStatus('no', 'failed'))).code).toBe('NOT_FOUND')
      expect((await rejectionOf(outbox.updateStatus('no', 'claimed'))).code).toBe('INVALID_ARGUMENT')
    })

    it('lists what is of a saga, what hangs, and what nobody tries any more', async () => {
      await using store = await openTarget(target)
      const outbox = sagazOutbox(store)
      const sagaId = randomName('saga')
      for (const n of [1, 2, 3]) await outbox.insert(event({ eventId: `e-${n}`, sagaId }))
      await outbox.insert(event())
      const ids = (events: SagazOutboxEvent[]) => events.map(({ eventId }) => eventId)
      expect(ids(await outbox.getEventsBySaga(sagaId))).toEqual(['e-1', 'e-2', 'e-3'])
      expect(ids(await outbox.claimBatch('w-1', 2))).toEqual(['e-1', 'e-2'])
      expect(await outbox.getStuckEvents()).toEqual([])
      expect(await outbox.releaseStuckEvents()).toBe(0)
      await sleep(400)
      expect(ids(await outbox.getStuckEvents(0.2))).toEqual(['e-1', 'e-2'])
      expect(await outbox.releaseStuckEvents(0.2)).toBe(2)
      expect(await outbox.getPendingCount()).toBe(4)
      expect(await outbox.updateStatus('e-2', 'dead_letter', 'poison')).toMatchObject({ status: 'dead_letter', lastError: 'poison' })
      expect(await outbox.getDeadLetterEvents()).toMatchObject([{ eventId: 'e-2', status: 'dead_letter' }])
      expect(await outbox.getStatistics()).toEqual({ totalRecords: 4, pendingRecords: 3, failedRecords: 1 })
      expect(await outbox.archiveEvents(0, ['sent'])).toBe(0)
      await sleep(5)
      expect(await outbox.archiveEvents(0, ['dead_letter'])).toBe(1)
      expect(await outbox.count()).toBe(3)
      expect(await outbox.healthCheck()).toMatchObject({ isHealthy: true, latencyMs: expect.any(Number) })
    })

    it('remembers messages for each consumer, and answers whether they are duplicates', async () => {
      await using store = await openTarget(target)
      const outbox = sagazOutbox(store)
      const { eventId } = event()
      expect(await outbox.checkAndInsertInbox(eventId, 'mail', 'orders', 'OrderCreated', {})).toBe(false)
      expect(await outbox.checkAndInsertInbox(eventId, 'mail', 'orders', 'OrderCreated', {})).toBe(true)
      expect(await outbox.checkAndInsertInbox(eventId, 'stock')).toBe(false)
      await outbox.updateInboxDuration(eventId, 7)
      expect(await outbox.cleanupInbox('mail', 7)).toBe(0)
      expect(await store.inbox.has('mail', eventId)).toBe(true)
    })

    it('joins a transaction that is given', async () => {
      await using store = await openTarget(target)
      const outbox = sagazOutbox(store)
      const [kept, undone] = [event(), event()]
      await store.transaction(async (tx) => {
        await outbox.insert(kept, tx)
        await outbox.checkAndInsertInbox('m-1', 'mail', 'orders', 'X', {}, tx)
      })
      const failing = store.transaction(async (tx) => {
        await outbox.insert(undone, tx)
        if (store.capabilities.transactions === 'interactive') await outbox.updateStatus(kept.eventId, 'dead_letter', 'no', tx)
        await outbox.checkAndInsertInbox('m-2', 'mail', 'orders', 'X', {}, tx)
        throw new Error('undo')
      })
      await expect(failing).rejects.toThrow('undo')
      expect(await outbox.getById(kept.eventId)).toMatchObject({ status: 'pending' })
      expect(await outbox.getById(undone.eventId)).toBeNull()
      expect([await store.inbox.has('mail', 'm-1'), await store.inbox.has('mail', 'm-2')]).toEqual([true, false])
    })

    it('hands all over to another one: what was sent is not sent again', async () => {
      await using store = await openTarget(target)
      const outbox = sagazOutbox(store)
      const { sagaId } = event()
      for (const n of [1, 2, 3]) await outbox.insert(event({ eventId: `e-${n}`, sagaId, payload: { n }, headers: { n } }))
      await outbox.updateStatus('e-2', 'dead_letter', 'poison')
      await using copy = openStore({ url: 'memory://', outbox: { retainSentMs: 60_000 } })
      const copied = sagazOutbox(copy)
      for await (const record of outbox.exportAll()) await copied.importRecord(record)
      await copied.importRecord({ ...event({ eventId: 'e-4', sagaId }), status: 'sent' })
      const events = await copied.getEventsBySaga(sagaId)
      const short = events.map(({ eventId, status, payload, headers }) => [eventId, status, payload, headers])
      expect(short.slice(0, 3)).toEqual([
        ['e-1', 'pending', { n: 1 }, { n: 1 }],
        ['e-2', 'dead_letter', { n: 2 }, { n: 2 }],
        ['e-3', 'pending', { n: 3 }, { n: 3 }],
      ])
      expect(events[1]?.lastError).toBe('poison')
      expect(await copied.getById('e-4')).toMatchObject({ status: 'sent' })
      expect((await copied.claimBatch('w')).map(({ eventId }) => eventId)).toEqual(['e-1', 'e-3'])
    })
  })
}

describe('sagazOutbox', () => {
  it('takes a store, and nothing else', async () => {
    await using store = openStore('memory://')
    for (const wrong of [undefined, null, {}, 'memory://', store.outbox]) {
      expect(() => sagazOutbox(wrong as never)).toThrow(expect.objectContaining({ code: 'INVALID_ARGUMENT' }))
    }
  })

  it('says with a code what is wrong, and changes nothing then', async () => {
    await using store = openStore('memory://')
    const outbox = sagazOutbox(store)
    const attempts: [() => Promise<unknown>, string][] = [
      [() => outbox.insert(undefined as never), 'an event must be an object'],
      [() => outbox.insert(event(), 'a transaction'), 'none that can be recognised'],
      [() => outbox.insert(event(), []), 'what is on memory cannot join it'],
      [() => outbox.claimBatch('w', 10, Number.NaN), 'olderThanSeconds must be a number'],
      [() => outbox.getStuckEvents(-1), 'claimedOlderThanSeconds must be a number'],
      [() => outbox.archiveEvents('7' as never), 'olderThanDays must be a number'],
      [() => outbox.updateStatus('e', 'done' as never), "one of 'pending'"],
    ]
    for (const [attempt, message] of attempts) {
      const error = await rejectionOf(attempt())
      expect(error.code, message).toBe('INVALID_ARGUMENT')
      expect(error.message).toContain(message)
    }
    expect(await outbox.count()).toBe(0)
  })
})
