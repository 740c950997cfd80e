import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, describe, expect, it } from 'vitest'
import { type AnyStoreOptions, openStore, type SagaStore } from '../../index.js'
import { dynamoDBLibraries } from '../support/dynamodb-libraries'
import { rejectionOf } from '../support/promises'
import { redisLibraries } from '../support/redis-libraries'
import { missing, randomName, type Target, targets } from '../support/targets'

const NAME = 'Order'
const slip = Buffer.from('slip')
const closers: (() => unknown)[] = []

const order = (sagaId: string, rest: object = {}, metadata: object = {}) => ({ metadata: { sagaId, ...metadata }, ...rest })

/** In a Cluster all keys of a transaction are in one slot. */
function optionsOf(target: Target) {
  const tag = `{${randomName()}}`
  return {
    ...target.options(),
    ...(target.name === 'redis cluster' && { keyPrefix: `test:${tag}:payloads`, statesKeyPrefix: `test:${tag}:states:` }),
  }
}

/** What a store is made of. */
interface Way {
  name: string
  target: Target
  client?: () => Promise<{ client: object; close(): unknown }>
}

const targetOf = (variable: string) => targets.find((target) => target.variable === variable) as Target

const ways: Way[] = [
  ...targets.filter(({ name }) => ['redis', 'redis cluster', 'dynamodb'].includes(name)).map((target) => ({ name: target.name, target })),
  ...redisLibraries.map(({ name, variable, open }) => ({ name, target: targetOf(variable), client: () => open() })),
  ...dynamoDBLibraries.map(({ name, open }) => ({ name, target: targetOf('DYNAMODB_URL'), client: async () => open() })),
]

/** A store, and another one on the same data, whose operations join no transaction of the first. */
async function open({ target, client }: Way, more: object = {}): Promise<{ store: SagaStore; other: SagaStore }> {
  const options = { ...optionsOf(target), ...more } as AnyStoreOptions
  const made = await client?.()
  if (made !== undefined) closers.push(() => made.close())
  const { url, credentials, ...named } = options as { url?: string; credentials?: object }
  const store = openStore(made === undefined ? options : ({ ...named, client: made.client } as AnyStoreOptions))
  const other = openStore(options)
  closers.push(
    () => store.close(),
    () => other.close(),
  )
  await store.initialize()
  return { store, other }
}

afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close()
})

for (const way of ways) {
  describe.skipIf(missing(way.target))(`${way.name}, states in a transaction that is sent at its end`, () => {
    it('commits payload and states together', async () => {
      const { store } = await open(way)
      await store.states.insert(NAME, 'o-1', order('s-1', { step: 1 }))
      await store.states.insert(NAME, 'o-2', order('s-2'))
      await store.states.insert(NAME, 'o-3', order('s-3'))
      const due = new Date(Date.now() - 1_000)
      await store.transaction(async (tx) => {
        await tx.put('slip-1', slip)
        await tx.states.update(NAME, order('s-1', { step: 2 }, { timeoutExpiresAt: due }), 1)
        await tx.states.insert(NAME, 'o-4', order('s-4', {}, { isCompleted: true }))
        await tx.states.delete(NAME, 's-2')
        await tx.states.deleteByCorrelationId(NAME, 'o-3')
        await tx.states.delete(NAME, 'nobody')
        await tx.states.deleteByCorrelationId(NAME, 'nobody')
        expect(await store.has('slip-1').catch(({ code }) => code), 'in the callback, the store joins').toBe('UNSUPPORTED')
      })
      expect(await store.has('slip-1')).toBe(true)
      const one = await store.states.getById(NAME, 's-1')
      expect(one).toMatchObject({ step: 2, metadata: { version: 2 } })
      expect(await store.states.getByCorrelationId(NAME, 'o-1')).toEqual(one)
      expect(await store.states.getByCorrelationId(NAME, 'o-4')).toEqual(await store.states.getById(NAME, 's-4'))
      for (const id of ['s-2', 's-3']) expect(await store.states.getById(NAME, id)).toBeNull()
      for (const id of ['o-2', 'o-3']) expect(await store.states.getByCorrelationId(NAME, id)).toBeNull()
      const ids = async (completed: boolean) =>
        (await store.states.findByName(NAME, { completed })).items.map((saga) => saga.metadata.sagaId)
      expect([await ids(false), await ids(true)]).toEqual([['s-1'], ['s-4']])
      expect(await store.states.countByName(NAME)).toBe(2)
      expect((await store.states.findTimedOut()).map(({ state }) => state.metadata.sagaId)).toContain('s-1')
      // Both places are free, and both sagas can be changed.
      await store.states.insert(NAME, 'o-2', order('s-3'))
      await store.states.insert(NAME, 'o-3', order('s-2'))
      await store.states.update(NAME, order('s-4'), 1)
      await store.states.delete(NAME, 's-1')
      expect(await store.states.countByName(NAME)).toBe(3)
    })

    it('stores nothing where the callback throws', async () => {
      const { store } = await open(way)
      await store.states.insert(NAME, 'o-1', order('s-1'))
      const failed = store.transaction(async (tx) => {
        await tx.states.update(NAME, order('s-1', { step: 2 }), 1)
        await tx.states.insert(NAME, 'o-2', order('s-2'))
        await tx.put('slip-1', slip)
        throw new RangeError('no')
      })
      await expect(failed).rejects.toThrow(RangeError)
      expect(await store.states.getById(NAME, 's-1')).toMatchObject({ metadata: { version: 1 } })
      expect(await store.states.countByName(NAME)).toBe(1)
      expect(await store.has('slip-1')).toBe(false)
    })

    it('tells what is taken, and stores nothing', async () => {
      const { store } = await open(way)
      await store.states.insert(NAME, 'o-1', order('s-1'))
      for (const [correlationId, sagaId, detail] of [
        ['o-2', 's-1', { sagaId: 's-1' }],
        ['o-1', 's-2', { correlationId: 'o-1' }],
      ] as const) {
        const refused = store.transaction(async (tx) => {
          await tx.put('slip-1', slip)
          await tx.states.insert(NAME, 'o-9', order('s-9'))
          await tx.states.insert(NAME, correlationId, order(sagaId, { step: 9 }))
        })
        expect(await rejectionOf(refused)).toMatchObject({ code: 'ALREADY_EXISTS', retryable: false, id: sagaId, ...detail })
      }
      expect(await store.has('slip-1')).toBe(false)
      expect(await store.states.countByName(NAME)).toBe(1)
      expect(await store.states.getByCorrelationId(NAME, 'o-1')).toMatchObject({ metadata: { sagaId: 's-1' } })
      expect(await store.states.getByCorrelationId(NAME, 'o-2')).toBeNull()
    })

    it('tells a conflict, at the call or at the end, and stores nothing', async () => {
      const { store, other } = await open(way)
      await store.states.insert(NAME, 'o-1', order('s-1'))
      const conflict = { code: 'CONCURRENCY_CONFLICT', sagaId: 's-1', id: 's-1', retryable: false }
      const early = store.transaction(async (tx) => {
        await tx.put('slip-1', slip)
        await tx.states.update(NAME, order('s-1'), 7)
      })
      expect(await rejectionOf(early)).toMatchObject({ ...conflict, expectedVersion: 7, actualVersion: 1 })
      let runs = 0
      const late = store.transaction(async (tx) => {
        runs += 1
        await tx.put('slip-1', slip)
        await tx.states.update(NAME, order('s-1', { step: 'late' }), 1)
        await other.states.update(NAME, order('s-1', { step: 'quick' }), 1)
      })
      expect(await rejectionOf(late)).toMatchObject({ ...conflict, expectedVersion: 1, actualVersion: 2 })
      expect(runs).toBe(1)
      const gone = store.transaction(async (tx) => {
        await tx.put('slip-1', slip)
        await tx.states.update(NAME, order('s-1'), 2)
        await other.states.delete(NAME, 's-1')
      })
      expect(await rejectionOf(gone)).toMatchObject({ code: 'NOT_FOUND', id: 's-1' })
      const absent = store.transaction((tx) => tx.states.update(NAME, order('s-1'), 1))
      expect(await rejectionOf(absent)).toMatchObject({ code: 'NOT_FOUND', id: 's-1' })
      expect(await store.has('slip-1')).toBe(false)
    })

    it('runs the callback again where a saga that is to go has changed its correlation id meanwhile', async () => {
      const { store, other } = await open(way)
      await store.states.insert(NAME, 'o-1', order('s-1'))
      let runs = 0
      await store.transaction(async (tx) => {
        runs += 1
        await tx.put('slip-1', slip)
        await tx.states.delete(NAME, 's-1')
        if (runs > 1) return
        await other.states.delete(NAME, 's-1')
        await other.states.insert(NAME, 'o-2', order('s-1'))
      })
      expect(runs).toBe(2)
      expect(await store.states.countByName(NAME)).toBe(0)
      expect(await store.has('slip-1')).toBe(true)
    })

    it('has one winner among transactions that update the same saga', async () => {
      const { store } = await open(way)
      await store.states.insert(NAME, 'o-1', order('s-1'))
      const race = (racer: number) =>
        store.transaction(async (tx) => {
          await tx.put(`slip-${racer}`, slip)
          await tx.states.update(NAME, order('s-1', { racer }), 1)
        })
      const settled = await Promise.allSettled(Array.from({ length: 12 }, (_, racer) => race(racer)))
      const winners = settled.flatMap(({ status }, racer) => (status === 'fulfilled' ? [racer] : []))
      expect(winners).toHaveLength(1)
      for (const result of settled) if (result.status === 'rejected') expect(result.reason.code).toBe('CONCURRENCY_CONFLICT')
      expect(await store.states.getById(NAME, 's-1')).toMatchObject({ racer: winners[0], metadata: { version: 2 } })
      const stored = await store.getMany(settled.map((_, racer) => `slip-${racer}`))
      expect([...stored.keys()]).toEqual([`slip-${winners[0]}`])
    })

    it('has one winner among transactions and others that insert the same correlation id, and the same saga id', async () => {
      const { store } = await open(way)
      const inTransaction = (n: number, correlation: string, id: string) =>
        store.transaction(async (tx) => {
          await tx.put(`slip-${n}`, slip)
          await tx.states.insert(NAME, correlation, order(id))
        })
      const racers = Array.from({ length: 16 }, (_, n) => {
        const [correlation, id] = n < 8 ? ['o-same', `s-${n}`] : [`o-${n}`, 's-same']
        return n % 2 === 0
          ? inTransaction(n, correlation as string, id as string)
          : store.states.insert(NAME, correlation as string, order(id as string))
      })
      const settled = await Promise.allSettled(racers)
      for (const part of [settled.slice(0, 8), settled.slice(8)]) {
        expect(part.filter(({ status }) => status === 'fulfilled')).toHaveLength(1)
        for (const result of part) if (result.status === 'rejected') expect(result.reason.code).toBe('ALREADY_EXISTS')
      }
      expect(await store.states.countByName(NAME)).toBe(2)
      const same = await store.states.getByCorrelationId(NAME, 'o-same')
      expect(await store.states.getById(NAME, same?.metadata.sagaId as string)).toEqual(same)
      const winner = settled.findIndex(({ status }, n) => n >= 8 && status === 'fulfilled')
      expect(await store.states.getByCorrelationId(NAME, `o-${winner}`)).toEqual(await store.states.getById(NAME, 's-same'))
      const slips = await store.getMany(settled.map((_, n) => `slip-${n}`))
      expect([...slips.keys()]).toEqual(settled.flatMap(({ status }, n) => (status === 'fulfilled' && n % 2 === 0 ? [`slip-${n}`] : [])))
    })

    it('takes one change of a saga, and no questions', async () => {
      const { store } = await open(way)
      await store.states.insert(NAME, 'o-1', order('s-1'))
      const twice = store.transaction(async (tx) => {
        await tx.states.update(NAME, order('s-1'), 1)
        await tx.states.delete(NAME, 's-1')
      })
      expect(await rejectionOf(twice)).toMatchObject({ code: 'INVALID_ARGUMENT', id: 's-1' })
      for (const ask of [
        (tx: Pick<SagaStore, 'states'>) => tx.states.getById(NAME, 's-1'),
        (tx: Pick<SagaStore, 'states'>) => tx.states.countByName(NAME),
        (tx: Pick<SagaStore, 'states'>) => tx.states.findByName(NAME),
        (tx: Pick<SagaStore, 'states'>) => tx.states.claimTimedOut({ workerId: 'a', leaseMs: 1_000 }),
        (tx: Pick<SagaStore, 'states'>) => tx.states.deleteCompletedBefore(NAME, new Date()),
      ]) {
        expect(await rejectionOf(store.transaction((tx) => ask(tx) as Promise<unknown>))).toMatchObject({ code: 'UNSUPPORTED' })
      }
      expect(await store.states.getById(NAME, 's-1')).toMatchObject({ metadata: { version: 1 } })
    })

    it('refuses dates that could not be read again, and has the present as updatedAt', async () => {
      const { store } = await open(way)
      const past = new Date('2026-01-01')
      await store.states.insert(NAME, 'o-1', order('s-1', {}, { updatedAt: past }))
      for (const metadata of [{ archivedAt: 'soon' }, { timeoutExpiresAt: new Date(Number.NaN) }]) {
        const insert = store.transaction((tx) => tx.states.insert(NAME, 'o-2', order('s-2', {}, metadata)))
        const update = store.transaction((tx) => tx.states.update(NAME, order('s-1', {}, metadata), 1))
        for (const { code } of await Promise.all([insert, update].map(rejectionOf))) expect(code).toBe('INVALID_ARGUMENT')
      }
      const before = Date.now()
      await store.transaction((tx) => tx.states.update(NAME, order('s-1', {}, { updatedAt: past }), 1))
      const updated = await store.states.getById(NAME, 's-1')
      expect(updated?.metadata.updatedAt?.getTime()).toBeGreaterThanOrEqual(before)
    })

    it('keeps a saga that ends for completedTtlMs, by both ids and in lists', async () => {
      const { store } = await open(way, { completedTtlMs: 1_000 })
      await store.states.insert(NAME, 'o-1', order('s-1'))
      await store.transaction(async (tx) => {
        await tx.states.update(NAME, order('s-1', {}, { isCompleted: true }), 1)
        await tx.states.insert(NAME, 'o-2', order('s-2', {}, { isCompleted: true }))
        await tx.states.insert(NAME, 'o-3', order('s-3'))
      })
      expect(await store.states.countByName(NAME, { completed: true })).toBe(2)
      await sleep(1_300)
      expect(await store.states.countByName(NAME)).toBe(1)
      for (const id of ['s-1', 's-2']) expect(await store.states.getById(NAME, id)).toBeNull()
      for (const id of ['o-1', 'o-2']) expect(await store.states.getByCorrelationId(NAME, id)).toBeNull()
      await store.transaction((tx) => tx.states.insert(NAME, 'o-1', order('s-2')))
      expect(await store.states.getByCorrelationId(NAME, 'o-1')).toMatchObject({ metadata: { sagaId: 's-2' } })
    })
  })
}
