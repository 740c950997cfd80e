import { statSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { openStore, type SagaStore } from '../../../index.js'
import { rejectionOf } from '../../support/promises'
import { temporaryDirectory } from '../../support/targets'

/** A limit of the writer's connection: what does not fit is refused as it is where the disk is full (SQLITE_FULL). */
async function limitPages(store: SagaStore, more: number): Promise<void> {
  await store.transaction(async (tx) => {
    const [row] = await tx.query<{ page_count: number }>('pragma page_count')
    await tx.query(`pragma max_page_count = ${(row?.page_count ?? 0) + more}`)
  })
}

describe('a full disk', () => {
  it('degrades health until a write finds room; the WAL is moved into the database and gives its space back', async () => {
    const path = join(temporaryDirectory(), 'sagas.db')
    await using store = openStore({ url: `sqlite://${path}`, retry: { attempts: 1 } })
    await store.initialize()
    await store.put('a', Buffer.alloc(400_000, 1))
    expect(statSync(`${path}-wal`).size).toBeGreaterThan(400_000)
    await limitPages(store, 4)
    const writes: (() => Promise<unknown>)[] = [
      () => store.put('b', Buffer.alloc(2_000_000, 2)),
      () => store.states.insert('Order', 'o-1', { metadata: { sagaId: 's-1' }, text: 'x'.repeat(2_000_000) } as never),
      () => store.transaction((tx) => tx.put('b', Buffer.alloc(2_000_000, 2))),
    ]
    for (const write of writes) {
      expect(await rejectionOf(write())).toMatchObject({ code: 'BACKEND', message: expect.stringContaining('the disk is full') })
      expect(await store.health()).toMatchObject({ status: 'degraded', message: expect.stringContaining('the disk is full') })
      expect(statSync(`${path}-wal`).size).toBe(0)
      // What is there can be read, and removed.
      expect((await store.get('a')).length).toBe(400_000)
      await store.put('small', Buffer.from('x'))
      expect(await store.delete('small')).toBe(true)
      expect(await store.health()).toMatchObject({ status: 'healthy' })
    }
    expect(await store.has('b')).toBe(false)
    await limitPages(store, 100_000)
    for (const write of writes.slice(0, 2)) await write()
    expect(await store.health()).toMatchObject({ status: 'healthy' })
  })
})
