import { afterEach, describe, expect, it } from 'vitest'
import { openStore, type SagaStore, withTransaction } from '../../../index.js'
import { done, fresh, logOf } from '../../executions/fresh'
import { rejectionOf } from '../../support/promises'
import { type OpenRedisLibrary, redisLibraries } from '../../support/redis-libraries'
import { missing, randomName, type Target, targets } from '../../support/targets'

const targetOf = (variable: string) => targets.find((target) => target.variable === variable) as Target

const opened: OpenRedisLibrary[] = []
const stores: SagaStore[] = []

afterEach(async () => {
  for (const store of stores.splice(0)) await store.close()
  for (const library of opened.splice(0)) await library.close()
})

function open(options: object): SagaStore {
  const store = openStore(options as never)
  stores.push(store)
  return store
}

const prefixes = () => ({
  keyPrefix: `test:{${randomName()}}`,
  statesKeyPrefix: `test:${randomName()}:`,
  executionsKeyPrefix: `test:${randomName()}:`,
})

for (const library of redisLibraries) {
  describe.skipIf(missing(targetOf(library.variable)))(`executions on ${library.name}`, () => {
    /** A store on the client, and one of its own for the same records. */
    async function begin() {
      const one = await library.open()
      opened.push(one)
      const names = prefixes()
      return { one, store: open({ client: one.client, ...names }), other: open({ url: process.env[library.variable], ...names }) }
    }

    it('in a transaction of the store, sent at its end', async () => {
      const { store, other } = await begin()
      const { id, name } = fresh()
      const { executions } = other
      await executions.create(id, name, { n: 1 })
      const checkpoint = await store.transaction(async (tx) => {
        const answer = await tx.executions.checkpoint(id, { expectedVersion: 1, context: { n: 2 }, steps: [done('a'), done('b')] })
        expect(await executions.load(id)).toMatchObject({ version: 1, entries: 0 })
        return answer
      })
      expect(checkpoint).toEqual({ version: 2, firstSeq: 1 })
      expect(await executions.load(id)).toMatchObject({ version: 2, entries: 2, context: { n: 2 } })
      let runs = 0
      await store.transaction(async (tx) => {
        runs += 1
        await tx.executions.logStep(id, `run-${runs}`, 'act', 'completed')
        if (runs === 1) await executions.logStep(id, 'between', 'act', 'completed')
      })
      expect((await logOf(executions, id)).map(({ stepName }) => stepName)).toEqual(['a', 'b', 'between', 'run-2'])
      const failed = store.transaction(async (tx) => {
        await tx.executions.delete(id)
        throw new RangeError('no')
      })
      await expect(failed).rejects.toThrow(RangeError)
      expect(await executions.find(id)).not.toBeNull()
    })

    it('in a multi() of the application: refused at the call, and nothing is queued', async () => {
      const { one, store, other } = await begin()
      const { id, name } = fresh()
      await other.executions.create(id, name, {})
      const multi = (one.client as { multi(): unknown }).multi()
      await withTransaction(multi as never, async () => {
        for (const call of [
          () => store.executions.create(`${id}-2`, name, {}),
          () => store.executions.checkpoint(id, { context: { no: 1 } }),
          () => store.executions.delete(id),
          () => store.executions.load(id),
          () => store.executions.claim({ workerId: 'a' }),
        ]) {
          expect((await rejectionOf(call())).code).toBe('UNSUPPORTED')
        }
      })
      expect(await other.executions.load(id)).toMatchObject({ version: 1 })
      expect(await other.executions.find(`${id}-2`)).toBeNull()
    })
  })
}

for (const variable of ['REDIS_URL', 'REDIS_CLUSTER_URL']) {
  const isCluster = variable === 'REDIS_CLUSTER_URL'

  describe.skipIf(missing(targetOf(variable)))(`executions of several sagas in one transaction, ${variable}`, () => {
    it('go together in one bucket, and where there is one server', async () => {
      const store = open({ url: process.env[variable], ...prefixes() })
      const { id, name } = fresh()
      const create = (ids: string[]) =>
        store.transaction(async (tx) => {
          for (const one of ids) await tx.executions.create(one, name, {})
        })
      await create([`{${id}}-1`, `{${id}}-2`])
      expect(await store.executions.count({ name })).toBe(2)
      const ids = ['a', 'b', 'c', 'd'].map((end) => `${id}-${end}`)
      if (!isCluster) return await create(ids)
      const error = await rejectionOf(create(ids))
      expect(error).toMatchObject({ code: 'INVALID_ARGUMENT' })
      expect(error.message).toMatch(/hash slot.*executions go together whose ids share one/)
      expect(await store.executions.count({ name })).toBe(2)
    })

    it('have one change each', async () => {
      const store = open({ url: process.env[variable], ...prefixes() })
      const { id, name } = fresh()
      const twice = store.transaction(async (tx) => {
        await tx.executions.create(id, name, {})
        await tx.executions.create(id, name, {})
      })
      expect((await rejectionOf(twice)).code).toBe('INVALID_ARGUMENT')
      expect(await store.executions.find(id)).toBeNull()
    })

    it('payloads, sagas and executions are stored together, or not at all', async () => {
      if (isCluster) return
      const store = open({ url: process.env[variable], ...prefixes() })
      const { id, name } = fresh()
      const metadata = { sagaId: id, version: 0, isCompleted: false, createdAt: new Date(), updatedAt: new Date() }
      const all = (version: number) =>
        store.transaction(async (tx) => {
          await tx.put(id, Buffer.from('slip'))
          await tx.states.insert(name, id, { metadata })
          await tx.executions.checkpoint(id, { expectedVersion: version, status: 'running', steps: [done('a')] })
        })
      await store.executions.create(id, name, {})
      expect((await rejectionOf(all(2))).code).toBe('CONCURRENCY_CONFLICT')
      expect([await store.find(id), await store.states.findById(name, id)]).toEqual([null, null])
      await all(1)
      expect(await store.find(id)).toEqual(Buffer.from('slip'))
      expect(await store.states.findById(name, id)).not.toBeNull()
      expect(await store.executions.load(id)).toMatchObject({ version: 2, status: 'running', entries: 1 })
    })
  })
}

describe('executionsKeyPrefix', () => {
  it('has no brace, and is apart from the other prefixes', () => {
    const url = 'redis://h'
    for (const options of [
      { executionsKeyPrefix: '{a}:' },
      { executionsKeyPrefix: 'a{' },
      { executionsKeyPrefix: '' },
      { keyPrefix: 'saga', executionsKeyPrefix: 'saga:' },
      { keyPrefix: 'saga', executionsKeyPrefix: 'saga:executions:' },
      { keyPrefix: 'saga:buckets', executionsKeyPrefix: 'saga:' },
      { statesKeyPrefix: 'x', executionsKeyPrefix: 'xsaga:' },
    ]) {
      expect(() => openStore({ url, ...options }), JSON.stringify(options)).toThrow(/executionsKeyPrefix/)
    }
    for (const options of [
      { keyPrefix: 'saga:payloads', statesKeyPrefix: 'saga:', executionsKeyPrefix: 'saga:' },
      { namespace: 'orders' },
      { keyPrefix: 'saga' },
    ]) {
      open({ url, ...options })
    }
  })
})
