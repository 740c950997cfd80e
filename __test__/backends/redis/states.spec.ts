import { setTimeout as sleep } from 'node:timers/promises'
import { Cluster, Redis } from 'ioredis'
import { afterEach, describe, expect, it } from 'vitest'
import { openStore, type SagaStore } from '../../../index.js'
import { startRedis } from '../../../scripts/services/servers.mjs'
import { eventually, rejectionOf } from '../../support/promises'
import { addressOf, redisLibraries } from '../../support/redis-libraries'
import { missing, openTarget, randomName, targets } from '../../support/targets'

const ends: (() => unknown)[] = []

afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end()
})

type Variable = 'REDIS_URL' | 'REDIS_CLUSTER_URL'

/** Asks Redis directly, as another program would. */
function redisOf(variable: Variable): Redis | Cluster {
  const client = variable === 'REDIS_URL' ? new Redis(addressOf(variable)) : new Cluster([addressOf(variable)])
  ends.push(() => client.disconnect())
  return client
}

const saga = (sagaId: string, more: object = {}) => ({ metadata: { sagaId, ...more } })

interface Way {
  name: string
  variable: Variable
  available: boolean
  open(more: object): Promise<SagaStore>
}

const own: Way[] = targets
  .filter(({ name }) => name.startsWith('redis'))
  .map((target) => ({
    name: target.name,
    variable: target.variable as Variable,
    available: target.available,
    async open(more) {
      const store = openStore({ ...target.options(), ...more } as never)
      ends.push(() => store.close())
      return store
    },
  }))

const onClients: Way[] = redisLibraries.map((library) => ({
  name: `on ${library.name}`,
  variable: library.variable,
  available: process.env[library.variable] !== undefined,
  async open(more) {
    const { client, close } = await library.open()
    ends.push(close)
    return openStore({ client, ...more } as never)
  },
}))

for (const way of [...own, ...onClients]) {
  describe.skipIf(missing(way))(`sagas in lists, ${way.name}`, () => {
    const lists = ['open', 'completed', 'ended', 'timeouts', 'expires', 'unsettled']

    it('are taken out of all of them by cleanup() when they have ended by themselves', async () => {
      const client = redisOf(way.variable)
      const statesKeyPrefix = `test:${randomName()}:`
      const sizes = async () => {
        const keys = ['Order', 'Invoice'].flatMap((name) => lists.map((list) => `${statesKeyPrefix}saga:${name}:idx:${list}`))
        return (await Promise.all(keys.map((key) => client.zcard(key)))).reduce((sum, size) => sum + size, 0)
      }
      const store = await way.open({ statesKeyPrefix, defaultTtlMs: 600, completedTtlMs: 500 })
      const lasting = await way.open({ statesKeyPrefix })
      for (const name of ['Order', 'Invoice']) {
        await lasting.states.insert(name, 'stays', saga('stays'))
        for (let n = 0; n < 5; n += 1) {
          const metadata = { isCompleted: n % 2 === 0, timeoutExpiresAt: new Date(Date.now() + 3_600_000) }
          await store.states.insert(name, `c-${n}`, saga(`s-${n}`, metadata))
        }
      }
      // Open ones in three lists, with a time, completed ones as well.
      expect(await sizes()).toBe(2 * (1 + 5 * 3))
      // The last one of those that are kept longest, and a little more: lists are by our clock.
      await eventually('they are over', async () => (await client.exists(`${statesKeyPrefix}saga:Invoice:c-3`)) === 0)
      await sleep(50)
      expect(await lasting.purgeExpired({ limit: 3 })).toBe(3)
      expect(await lasting.purgeExpired()).toBe(7)
      expect(await sizes()).toBe(2)
      expect(await lasting.purgeExpired()).toBe(0)
      expect(await lasting.states.countByName('Order')).toBe(1)
    })
  })
}

/** A state as `@saga-bus/store-redis` 0.1 writes it, with both of its keys. */
async function theirs(client: Redis | Cluster, prefix: string, name: string, n: number, metadata: object = {}): Promise<void> {
  const at = new Date('2026-11-01').toISOString()
  const state = {
    total: n,
    metadata: { sagaId: `s-${n}`, version: 3, createdAt: at, updatedAt: at, isCompleted: false, archivedAt: null, ...metadata },
  }
  await client.set(`${prefix}saga:${name}:order-${n}`, JSON.stringify(state))
  await client.set(`${prefix}saga:${name}:idx:id:s-${n}`, `order-${n}`)
}

for (const way of [...own, ...onClients]) {
  describe.skipIf(missing(way))(`sagas of @saga-bus/store-redis, ${way.name}`, () => {
    it('are noticed by initialize(), and brought into the lists by reindex()', async () => {
      const client = redisOf(way.variable)
      const prefix = `test:${randomName()}:`
      const warnings: string[] = []
      const logger = { debug() {}, info() {}, error() {}, warn: (...args: unknown[]) => void warnings.push(JSON.stringify(args)) }
      const { states, ...store } = await way.open({ statesKeyPrefix: prefix, logger }).then((open) => ({
        states: open.states,
        initialize: () => open.initialize(),
        transaction: (work: (tx: { states: typeof open.states }) => Promise<unknown>) => open.transaction((tx) => work(tx as never)),
      }))
      const due = { timeoutExpiresAt: new Date(Date.now() - 60_000).toISOString() }
      for (let n = 0; n < 30; n += 1) {
        await theirs(client, prefix, n < 20 ? 'Order' : 'Invoice', n, n % 5 === 0 ? { isCompleted: true, ...due } : n % 5 === 1 ? due : {})
      }
      await states.insert('Order', 'ours', saga('ours'))
      await client.set(`${prefix}saga:Order:broken`, '{broken')
      expect(await states.countByName('Order')).toBe(1)

      // As after an interruption: a part of them has been brought in already.
      expect(await states.reindex({ sagaName: 'Invoice' })).toEqual({ found: 10, added: 10, removed: 0, unreadable: 0 })
      expect(await states.countByName('Order')).toBe(1)
      expect(await states.reindex()).toEqual({ found: 31, added: 20, removed: 0, unreadable: 1 })
      expect(await states.reindex()).toEqual({ found: 31, added: 0, removed: 0, unreadable: 1 })
      expect(await states.countByName('Order')).toBe(21)
      expect(await states.countByName('Order', { completed: true })).toBe(4)
      expect(await states.countByName('Invoice', { completed: false })).toBe(8)
      expect((await states.findTimedOut()).map(({ sagaName }) => sagaName).sort()).toEqual([
        ...Array.from({ length: 2 }, () => 'Invoice'),
        ...Array.from({ length: 4 }, () => 'Order'),
      ])
      expect(await states.getById('Order', 's-7')).toMatchObject({ total: 7, metadata: { version: 3 } })

      // Old workers go on: one ends a saga, one deletes one, neither knows of lists.
      await theirs(client, prefix, 'Order', 1, { isCompleted: true, version: 4, ...due })
      await client.del(`${prefix}saga:Order:order-2`)
      await client.del(`${prefix}saga:Order:idx:id:s-2`)
      const open = await states.findByName<{ total: number }>('Order', { completed: false })
      expect(open.items.map(({ total }) => total).filter((n) => n === 1 || n === 2)).toEqual([])
      expect(await states.countByName('Order')).toBe(20)
      expect(await states.countByName('Order', { completed: true })).toBe(5)
      expect(
        (await states.findTimedOut({ sagaName: 'Order' })).map(({ state }) => (state as never as { total: number }).total),
      ).not.toContain(1)
      await theirs(client, prefix, 'Order', 3, { isCompleted: true, version: 4 })
      expect((await states.findByName('Order')).items).toHaveLength(20)
      expect(await states.countByName('Order', { completed: true })).toBe(6)
      await client.del(`${prefix}saga:Order:order-4`)
      expect(await states.reindex({ sagaName: 'Order' })).toEqual({ found: 19, added: 0, removed: 1, unreadable: 1 })
      expect(await states.deleteCompletedBefore('Order', new Date())).toBe(6)

      expect(await rejectionOf(states.reindex({ name: 'x' } as never))).toMatchObject({ code: 'INVALID_ARGUMENT' })
      expect(await rejectionOf(states.reindex({ sagaName: 'a:b' }))).toMatchObject({ code: 'INVALID_ARGUMENT' })
      const inTransaction = store.transaction((tx) => tx.states.reindex())
      expect((await rejectionOf(inTransaction)).code).toBe('UNSUPPORTED')
      await store.initialize()
      expect(warnings.filter((text) => text.includes('reindex'))).toEqual([])
    })
  })
}

describe('sagas of @saga-bus/store-redis, on a server of their own', () => {
  it('are told of by initialize() until reindex() has been called', async () => {
    await using server = await startRedis()
    const client = new Redis(server.url)
    ends.push(() => client.disconnect())
    const warnings: string[] = []
    const logger = { debug() {}, info() {}, error() {}, warn: (...args: unknown[]) => void warnings.push(JSON.stringify(args)) }
    await using store = openStore({ url: server.url, logger })
    await store.states.insert('Order', 'ours', saga('ours'))
    await store.initialize()
    expect(warnings).toEqual([])
    await theirs(client, 'saga-bus:', 'Order', 1)
    await store.initialize()
    expect(warnings).toHaveLength(1)
    expect(warnings[0]).toMatch(/sagas 'Order'.*states\.reindex\(\)/)
    await store.states.reindex()
    await store.initialize()
    expect(warnings).toHaveLength(1)
  })

  it('are gone through in steps while others write, with a call that is broken off', async () => {
    await using server = await startRedis()
    const client = new Redis(server.url)
    ends.push(() => client.disconnect())
    const pipeline = client.pipeline()
    for (let n = 0; n < 20_000; n += 1) {
      pipeline.set(`saga-bus:saga:Order:c-${n}`, JSON.stringify({ metadata: { sagaId: `s-${n}`, version: 2, isCompleted: n % 2 === 0 } }))
      pipeline.set(`saga-bus:saga:Order:idx:id:s-${n}`, `c-${n}`)
    }
    await pipeline.exec()
    const brokenOff = openStore(server.url)
    const broken = rejectionOf(brokenOff.states.reindex())
    await eventually('some are in', async () => (await client.zcard('saga-bus:saga:Order:idx:open')) > 500)
    await brokenOff.close()
    expect((await broken).code).toMatch(/^(CLOSED|CONNECTION)$/)
    await using store = openStore(server.url)
    expect(await store.states.countByName('Order')).toBeLessThan(20_000)
    const [done] = await Promise.all([
      store.states.reindex(),
      ...Array.from({ length: 50 }, (_, n) => store.states.insert('Order', `new-${n}`, saga(`new-${n}`))),
      ...Array.from({ length: 50 }, (_, n) => store.states.delete('Order', `s-${2 * n}`)),
    ])
    expect(done.added).toBeGreaterThan(1_000)
    expect(await store.states.countByName('Order', { completed: false })).toBe(10_050)
    expect(await store.states.countByName('Order', { completed: true })).toBe(9_950)
    expect(await store.states.getById('Order', 's-19999')).toMatchObject({ metadata: { version: 2 } })
  })
})

for (const target of targets.filter(({ name }) => !name.startsWith('redis'))) {
  describe.skipIf(missing(target))(`reindex() on ${target.name}`, () => {
    it('changes nothing of sagas of ours', async () => {
      await using store = await openTarget(target)
      await store.states.insert('Order', 'order-1', saga('s-1', { timeoutExpiresAt: new Date(Date.now() - 1_000) }))
      expect(await store.states.reindex()).toMatchObject({ added: 0, removed: 0, unreadable: 0 })
      expect(await store.states.reindex({ sagaName: 'Order' })).toMatchObject({ added: 0, removed: 0, unreadable: 0 })
      expect(await store.states.countByName('Order')).toBe(1)
      expect(await store.states.findTimedOut()).toHaveLength(1)
      expect(await rejectionOf(store.states.reindex({ sagaName: '' }))).toMatchObject({ code: 'INVALID_ARGUMENT' })
    })
  })
}
