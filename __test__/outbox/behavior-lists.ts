import { describe, expect, it } from 'vitest'
import type { OutboxEvent, OutboxPage, OutboxPageOptions, SagaOutbox } from '../../index.js'
import { rejectionOf } from '../support/promises'
import { fresh, numbers } from './fresh'

/** All pages of a list, and how many events each of them has. */
async function pages(
  list: (options: OutboxPageOptions) => Promise<OutboxPage>,
  limit: number,
): Promise<{ events: OutboxEvent[]; sizes: number[] }> {
  const events: OutboxEvent[] = []
  const sizes: number[] = []
  let cursor: string | undefined
  do {
    const page = await list({ limit, ...(cursor !== undefined && { cursor }) })
    events.push(...page.events)
    sizes.push(page.events.length)
    cursor = page.cursor
  } while (cursor !== undefined)
  return { events, sizes }
}

/** What is stored, as it is listed. Events of other tests may be among it. */
export function listBehavior(use: () => SagaOutbox, { canClaim }: { canClaim: boolean }): void {
  describe('a list', () => {
    it('has the events of a saga, the earliest first, in pages', async () => {
      const { event, id } = fresh()
      const sagaId = id('saga')
      await use().insert([1, 2, 3].map((n) => event(n, { sagaId })))
      await use().insert([event(4), event(5, { sagaId: id('other') }), event(6, { sagaId }), event(7, { sagaId })])
      const { events, sizes } = await pages((options) => use().bySaga(sagaId, options), 2)
      expect(numbers(events)).toEqual([1, 2, 3, 6, 7])
      expect(sizes).toEqual([2, 2, 1])
      expect(await use().bySaga(sagaId)).toEqual({ events })
      expect((await pages((options) => use().bySaga(sagaId, options), 5)).sizes).toEqual([5])
      expect(await use().bySaga(id('none'))).toEqual({ events: [] })
      expect(events[0]).toEqual(await use().get(id(1)))
    })

    it('has the events of a status', async () => {
      const { event, id } = fresh()
      await use().insert([1, 2, 3, 4].map((n) => event(n)))
      await use().insert(event(5), canClaim ? { claim: { workerId: 'w' } } : {})
      for (const n of [1, 3]) await use().updateStatus(id(n), 'dead_letter')
      const ours = async (list: (options: OutboxPageOptions) => Promise<OutboxPage>) => {
        const { events } = await pages(list, 25)
        return numbers(events.filter(({ eventId }) => eventId.startsWith(id(''))))
      }
      expect(await ours((options) => use().list(options))).toEqual([1, 2, 3, 4, 5])
      expect(await ours((options) => use().list({ ...options, status: 'pending' }))).toEqual(canClaim ? [2, 4] : [2, 4, 5])
      expect(await ours((options) => use().list({ ...options, status: 'claimed' }))).toEqual(canClaim ? [5] : [])
      expect(await ours((options) => use().list({ ...options, status: 'dead_letter' }))).toEqual([1, 3])
      expect(await ours((options) => use().deadLetters(options))).toEqual([1, 3])
      expect(await ours((options) => use().list({ ...options, status: 'sent' }))).toEqual([])
      expect(await use().discard([id(1), id(3)])).toBe(2)
    })

    it('goes on behind its cursor, whatever has become of the events before it', async () => {
      const { event, id } = fresh()
      const sagaId = id('saga')
      await use().insert([1, 2, 3, 4].map((n) => event(n, { sagaId })))
      const { cursor } = await use().bySaga(sagaId, { limit: 2 })
      await use().updateStatus(id(1), 'sent')
      await use().updateStatus(id(2), 'sent')
      await use().updateStatus(id(3), 'sent')
      await use().insert(event(5, { sagaId }))
      expect(numbers((await use().bySaga(sagaId, { cursor: cursor as string })).events)).toEqual([4, 5])
    })

    it('refuses what it does not know', async () => {
      for (const call of [
        () => use().list({ limit: 0 }),
        () => use().list({ limit: 1_001 }),
        () => use().list({ cursor: 'none of ours' }),
        () => use().list({ cursor: 5 as never }),
        () => use().list({ status: 'failed' as never }),
        () => use().list({ order: 'created' } as never),
        () => use().bySaga(''),
        () => use().bySaga(undefined as never),
        () => use().bySaga('saga', { status: 'pending' } as never),
        () => use().deadLetters({ limit: 1.5 }),
        () => use().get(''),
        () => use().get(undefined as never),
        () => use().blockedKeys({ limit: 0 }),
        () => use().findStuck({} as never),
        () => use().findStuck({ olderThanMs: -1 }),
        () => use().releaseStuck({} as never),
        () => use().releaseStuck({ olderThanMs: 1.5 }),
        () => use().archive({} as never),
        () => use().archive({ olderThanMs: 0, statuses: ['pending' as never] }),
        () => use().archive({ olderThanMs: 0, statuses: [] }),
        () => use().archive({ olderThanMs: 0, statuses: 'sent' as never }),
        () => use().archive({ olderThanMs: 0, limit: 0 }),
      ]) {
        expect((await rejectionOf(call())).code, String(call)).toBe('INVALID_ARGUMENT')
      }
    })
  })
}
