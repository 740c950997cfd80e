import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { type IdempotencyStore, idempotencyStore, openStore } from '../../index.js'
import { rejectionOf } from '../support/promises'
import { missing, openTarget, randomName, targets } from '../support/targets'

const on = targets.filter(({ name }) => ['memory', 'sqlite', 'postgres', 'redis', 'dynamodb'].includes(name))

/** What `createIdempotencyMiddleware` of @saga-bus/middleware-idempotency 0.2 does with its store. */
async function through(store: IdempotencyStore, id: string, next: () => Promise<void>, markTiming = 'after', windowMs = 60_000) {
  if (await store.has(id)) return
  if (markTiming === 'before') await store.set(id, windowMs)
  await next()
  if (markTiming === 'after') await store.set(id, windowMs)
}

for (const target of on) {
  describe.skipIf(missing(target))(`${target.name}, as a store of saga-bus' idempotency`, () => {
    it('lets a message through once, and again if its handler has failed', async () => {
      await using sagas = await openTarget(target)
      const store = idempotencyStore(sagas, { consumer: 'orders' })
      const id = randomName('m')
      let times = 0
      const works = async () => {
        times += 1
      }
      const fails = async () => {
        throw new Error('no')
      }
      await expect(through(store, id, fails)).rejects.toThrow('no')
      await through(store, id, works)
      await through(store, id, works)
      await through(store, id, works, 'before')
      expect(times).toBe(1)
      const other = randomName('m')
      await expect(through(store, other, fails, 'before')).rejects.toThrow('no')
      await through(store, other, works, 'before')
      expect(times).toBe(1)
      await through(idempotencyStore(sagas, { consumer: 'mail' }), id, works)
      expect(times).toBe(2)
    })

    it('forgets a message after its time, and when it is told to', async () => {
      await using sagas = await openTarget(target)
      const store = idempotencyStore(sagas, { ttlMs: 300 })
      await store.set('brief')
      await store.set('long', 60_000)
      await store.set('long')
      expect([await store.has('brief'), await store.has('long')]).toEqual([true, true])
      expect(await sagas.inbox.has('saga-bus', 'brief')).toBe(true)
      await sleep(350)
      expect([await store.has('brief'), await store.has('long')]).toEqual([false, true])
      await store.delete('long')
      await store.delete('long')
      expect(await store.has('long')).toBe(false)
      expect(await rejectionOf(store.clear())).toMatchObject({ code: 'UNSUPPORTED', operation: 'idempotencyStore' })
    })

    it('marks within a transaction', async () => {
      await using sagas = await openTarget(target)
      const failing = sagas.transaction(async (tx) => {
        await idempotencyStore(tx).set('m-1')
        throw new Error('undo')
      })
      await expect(failing).rejects.toThrow('undo')
      expect(await idempotencyStore(sagas).has('m-1')).toBe(false)
    })
  })
}

describe('idempotencyStore', () => {
  it('takes a store, and options that it knows', async () => {
    await using store = openStore('memory://')
    for (const wrong of [undefined, null, {}, store.inbox]) {
      expect(() => idempotencyStore(wrong as never)).toThrow(expect.objectContaining({ code: 'INVALID_ARGUMENT' }))
    }
    for (const options of [{ ttl: 5 }, { ttlMs: 0 }, { ttlMs: 1.5 }, { ttlMs: null }, { consumer: '' }, { consumer: null }]) {
      expect(() => idempotencyStore(store, options as never)).toThrow(expect.objectContaining({ code: 'INVALID_ARGUMENT' }))
    }
  })
})
