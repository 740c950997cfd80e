import { UpdateItemCommand } from '@aws-sdk/client-dynamodb'
import { Cluster, Redis } from 'ioredis'
import { afterEach, describe, expect, it } from 'vitest'
import { openStore, type SagaStore } from '../../index.js'
import { rejectionOf } from '../support/promises'
import { addressOf, redisLibraries } from '../support/redis-libraries'
import { dynamoDB, missing, randomName, type Target, targets, withMongo } from '../support/targets'

type Options = ReturnType<Target['options']> & Record<string, string>

const ends: (() => unknown)[] = []

afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end()
})

/** Asks Redis directly, as another program would. */
function redisOf(variable: 'REDIS_URL' | 'REDIS_CLUSTER_URL'): Redis | Cluster {
  const client = variable === 'REDIS_URL' ? new Redis(addressOf(variable)) : new Cluster([addressOf(variable)])
  ends.push(() => client.disconnect())
  return client
}

/** Another program writes what is no state in place of the one of `s-1`, which is that of `order-1`. */
const breaks: Record<string, (store: SagaStore, options: Options, text: string) => Promise<unknown>> = {
  sqlite: (store, _, text) =>
    store.transaction(async (tx) => await tx.query("update saga_instances set state = $1 where id = 's-1'", [text])),
  // Of jsonb nothing is no JSON.
  postgres: (store, { schema }) =>
    store.transaction(async (tx) => await tx.query(`update "${schema}".saga_instances set state = '5' where id = 's-1'`)),
  redis: (_, { statesKeyPrefix }, text) => redisOf('REDIS_URL').set(`${statesKeyPrefix}saga:Order:order-1`, text),
  'redis cluster': (_, { statesKeyPrefix }, text) => redisOf('REDIS_CLUSTER_URL').set(`${statesKeyPrefix}saga:Order:order-1`, text),
  mongodb: (_, { statesCollectionName }, text) =>
    withMongo(process.env.MONGODB_URL as string, (database) =>
      database.collection(statesCollectionName as string).updateOne({ sagaId: 's-1' }, { $set: { state: text } }),
    ),
  dynamodb: async (_, { statesTableName }, text) => {
    const client = dynamoDB()
    const Key = { id: { S: 'saga#Order#s-1' } }
    const changed = { UpdateExpression: 'SET #s = :s', ExpressionAttributeNames: { '#s': 'state' } }
    await client.send(
      new UpdateItemCommand({ TableName: statesTableName, Key, ...changed, ExpressionAttributeValues: { ':s': { S: text } } }),
    )
    client.destroy()
  },
}

const saga = (sagaId: string, more: object = {}) => ({ metadata: { sagaId, ...more } })

/** Both ids are free, and nothing is left in the lists. */
async function isGone({ states }: SagaStore): Promise<void> {
  expect(await states.getById('Order', 's-1')).toBeNull()
  expect(await states.getByCorrelationId('Order', 'order-1')).toBeNull()
  expect(await states.countByName('Order')).toBe(1)
  expect((await states.findByName<{ metadata: { sagaId: string } }>('Order')).items.map(({ metadata }) => metadata.sagaId)).toEqual(['s-2'])
  expect(await states.findTimedOut()).toEqual([])
  await states.insert('Order', 'order-1', saga('s-1'))
}

const deletions: Record<string, (store: SagaStore) => Promise<unknown>> = {
  'its saga id': (store) => store.states.delete('Order', 's-1'),
  'its correlation id': (store) => store.states.deleteByCorrelationId('Order', 'order-1'),
  'its saga id, in a transaction': (store) => store.transaction((tx) => tx.states.delete('Order', 's-1')),
  'its correlation id, in a transaction': (store) => store.transaction((tx) => tx.states.deleteByCorrelationId('Order', 'order-1')),
}

for (const target of targets.filter(({ name }) => breaks[name] !== undefined)) {
  const isCluster = target.name === 'redis cluster'
  const noTransactions = target.name === 'mongodb'
  const texts = target.name === 'postgres' ? ['5'] : ['{broken', '{"metadata":{"version":1,"sagaId":"s-1",']

  describe.skipIf(missing(target))(`a state that cannot be read, on ${target.name}, is deleted by`, () => {
    const ways = Object.entries(deletions).filter(([name]) => !(noTransactions && name.endsWith('transaction')))
    it.each(ways)('%s', async (_, remove) => {
      const tag = `{${randomName()}}`
      const options = { ...target.options(), ...(isCluster && { keyPrefix: `test:${tag}:p`, statesKeyPrefix: `test:${tag}:s:` }) }
      const store = openStore(options as never)
      ends.push(() => store.close())
      await store.initialize()
      await store.states.insert('Order', 'order-2', saga('s-2'))
      const timeoutExpiresAt = new Date(Date.now() - 1_000)
      await store.states.insert('Order', 'order-1', saga('s-1', { timeoutExpiresAt }))
      for (const text of texts) {
        await breaks[target.name]?.(store, options as Options, text)
        expect((await rejectionOf(store.states.getById('Order', 's-1'))).code).toBe('CORRUPT_DATA')
        await remove(store)
        await isGone(store)
      }
    })
  })
}

for (const library of redisLibraries) {
  describe.skipIf(process.env[library.variable] === undefined)(`a state that cannot be read, on ${library.name}, is deleted by`, () => {
    it.each(Object.entries(deletions))('%s, and leaves no key', async (_, remove) => {
      const { client, close } = await library.open()
      ends.push(close)
      const prefix = `test:{${randomName()}}`
      const store = openStore({ client, keyPrefix: `${prefix}:p`, statesKeyPrefix: `${prefix}:s:` } as never)
      const [state, index] = [`${prefix}:s:saga:Order:order-1`, `${prefix}:s:saga:Order:idx:id:s-1`]
      await store.states.insert('Order', 'order-2', saga('s-2'))
      await store.states.insert('Order', 'order-1', saga('s-1'))
      await redisOf(library.variable).set(state, '{broken')
      expect((await rejectionOf(store.states.getByCorrelationId('Order', 'order-1'))).code).toBe('CORRUPT_DATA')
      await remove(store)
      expect(await redisOf(library.variable).exists(state, index)).toBe(0)
      await isGone(store)
    })
  })
}
