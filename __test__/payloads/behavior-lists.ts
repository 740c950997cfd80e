import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, describe, expect, it } from 'vitest'
import type { PayloadListOptions, SagaStore } from '../../index.js'
import type { Executor } from '../support/executors'
import { rejectionOf } from '../support/promises'
import { ownStore } from '../support/stores'

/** What is told of payloads without their bytes. */
export function payloadListBehavior(executor: Executor): void {
  let store: SagaStore
  const others: SagaStore[] = []

  afterEach(async () => {
    for (const other of others.splice(0)) await other.close()
  })

  describe('lists of payloads', () => {
    ownStore(executor, (opened) => {
      store = opened
    })

    /** All ids; those of a backend without an order are sorted. */
    const ids = async (options: PayloadListOptions = {}) => {
      const found: string[] = []
      let cursor: string | undefined
      do {
        const page = await store.list({ ...options, ...(cursor !== undefined && { cursor }) })
        expect(page.items.length).toBeLessThanOrEqual(options.limit ?? 100)
        found.push(...page.items.map(({ id }) => id))
        cursor = page.cursor
      } while (cursor !== undefined)
      return store.backend === 'redis' || store.backend === 'dynamodb' ? [...new Set(found)].sort(byBytes) : found
    }
    const byBytes = (one: string, other: string) => Buffer.compare(Buffer.from(one), Buffer.from(other))

    it('lists ids in the order of their bytes, by what they begin with, byte for byte', async () => {
      expect(await store.list()).toEqual({ items: [] })
      const given = ['b', 'A', 'a', 'a%1', 'a%2', 'a_1', 'ab', 'aB', 'a*', 'a[1]', 'a?', 'ä', 'z\uffff', 'z😀', 'z', 'Z-1', ' ']
      await store.putMany(given.map((id) => ({ id, data: Buffer.from(id) })))
      const sorted = [...given].sort(byBytes)
      expect(await ids()).toEqual(sorted)
      expect(await ids({ limit: 3 })).toEqual(sorted)
      for (const prefix of ['', 'a', 'A', 'a%', 'a_', 'a*', 'a[', 'a?', 'ä', 'z', 'z\uffff', 'z😀', 'none', ' ']) {
        expect(await ids({ prefix, limit: 2 })).toEqual(sorted.filter((id) => id.startsWith(prefix)))
      }
    })

    it('tells size and expiry, and nothing of what has expired', async () => {
      const expiresAt = new Date(Date.now() + 60_000)
      const over = new Date(Date.now() + 1_500)
      await store.put('p-1', randomBytes(1_000), expiresAt)
      await store.put('p-2', Buffer.alloc(0))
      await store.put('over', randomBytes(10), over)
      const { items } = await store.list({ prefix: 'p-' })
      const sorted = items.sort((one, other) => byBytes(one.id, other.id))
      // A server's clock is measured anew now and then.
      const near = (at: Date | undefined) => Math.abs((at?.getTime() ?? 0) - expiresAt.getTime()) <= 50
      expect(sorted).toEqual([
        { id: 'p-1', bytes: 1_000, expiresAt: expect.toSatisfy(near) },
        { id: 'p-2', bytes: 0 },
      ])
      expect(await store.stat('p-1')).toEqual({
        ...sorted[0],
        originalBytes: 1_000,
        compressed: false,
        expiresAt: expect.toSatisfy(near),
      })
      expect(await store.stat('p-2')).toEqual({ id: 'p-2', bytes: 0, originalBytes: 0, compressed: false })
      expect(await store.stat('nobody')).toBeNull()
      await sleep(1_700)
      expect(await store.stat('over')).toBeNull()
      const missing = await rejectionOf(store.get('over'))
      expect(missing).toMatchObject({ code: 'NOT_FOUND', id: 'over', operation: 'get' })
      if ('expiredAt' in missing) {
        const { expiredAt } = missing as { expiredAt: Date }
        expect(Math.abs(expiredAt.getTime() - over.getTime())).toBeLessThanOrEqual(50)
        expect((missing as unknown as Error).message).toContain(expiredAt.toISOString())
      }
      expect(await rejectionOf(store.get('nobody'))).not.toHaveProperty('expiredAt')
      expect(await ids()).toEqual(['p-1', 'p-2'])
    })

    it('tells how a payload is stored', async () => {
      const compressing = await executor.open({ compression: 'zstd' })
      others.push(compressing)
      await compressing.put('large', Buffer.alloc(20_000, 'a'))
      // It begins as what is compressed does, and is not.
      await compressing.put('strange', Buffer.from('\x89SagaZ\x1a\x01', 'latin1'))
      const large = await compressing.stat('large')
      expect(large).toMatchObject({ compressed: true, originalBytes: 20_000 })
      expect(large?.bytes).toBeLessThan(1_000)
      expect(await compressing.stat('strange')).toEqual({ id: 'strange', bytes: 16, originalBytes: 8, compressed: false })
      const listed = await compressing.list({ prefix: 'large' })
      expect(listed.items).toEqual([{ id: 'large', bytes: large?.bytes }])
    })

    it('refuses what it does not know, and cursors of other lists', async () => {
      await store.putMany(['a-1', 'a-2', 'a-3'].map((id) => ({ id, data: Buffer.from(id) })))
      const { cursor } = await store.list({ prefix: 'a-', limit: 1 })
      expect(cursor).toBeTypeOf('string')
      for (const options of [
        { limit: 0 },
        { limit: 1_001 },
        { limit: '5' },
        { prefix: 1 },
        { prefx: 'a' },
        { cursor: 'x' },
        { cursor },
        { cursor, prefix: 'a' },
      ]) {
        expect((await rejectionOf(store.list(options as object))).code).toBe('INVALID_ARGUMENT')
      }
      for (const id of ['', 5, 'x'.repeat(1_025)]) expect((await rejectionOf(store.stat(id as string))).code).toBe('INVALID_ARGUMENT')
    })
  })
}
