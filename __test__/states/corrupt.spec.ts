import { UpdateItemCommand } from '@aws-sdk/client-dynamodb'
import { Cluster, Redis } from 'ioredis'
import { afterEach, describe, expect, it } from 'vitest'
import { type CorruptDataError, type CorruptSaga, openStore, type SagaPage, type SagaStore } from '../../index.js'
import { rejectionOf } from '../support/promises'
import { dynamoDB, missing, sql, targets, withMongo } from '../support/targets'

const NAME = 'Order'
const NO_DATE = '{"metadata":{"version":1,"sagaId":"s-4","createdAt":"soon"}}'

interface Names {
  url: string
  schema?: string
  statesKeyPrefix?: string
  statesCollectionName?: string
  statesTableName?: string
}

/** Writes to the state of `s-2` what cannot be read, and to that of `s-4` a date that is none. */
type Spoil = (names: Names, store: SagaStore) => Promise<unknown>

async function spoilRedis(redis: Redis | Cluster, { statesKeyPrefix }: Names): Promise<void> {
  await redis.set(`${statesKeyPrefix}saga:${NAME}:o-2`, '{broken')
  await redis.set(`${statesKeyPrefix}saga:${NAME}:o-4`, NO_DATE)
  redis.disconnect()
}

const spoilers: Record<string, Spoil> = {
  sqlite: (_, store) =>
    store.transaction(async (tx) => {
      const set = 'update saga_instances set state = ? where id = ?'
      await tx.query(set, ['{broken', 's-2'])
      await tx.query(set, [NO_DATE, 's-4'])
    }),
  postgres: async ({ schema }) => {
    const set = `update "${schema}".saga_instances set state = $1 where id = $2`
    // (The table's trigger sees to it that what stands beside the state is what it says.)
    await sql(set, [JSON.stringify({ metadata: { sagaId: 's-2', updatedAt: 'soon', timeoutExpiresAt: new Date(0) } }), 's-2'])
    await sql(set, [NO_DATE, 's-4'])
  },
  redis: (names) => spoilRedis(new Redis(names.url), names),
  'redis cluster': (names) => {
    const { hostname, port } = new URL(names.url)
    return spoilRedis(new Cluster([{ host: hostname, port: Number(port) }]), names)
  },
  mongodb: ({ url, statesCollectionName }) =>
    withMongo(url, async (database) => {
      const sagas = database.collection(statesCollectionName as string)
      await sagas.updateOne({ sagaId: 's-2' }, { $set: { state: 7 } })
      await sagas.updateOne({ sagaId: 's-4' }, { $set: { state: NO_DATE } })
    }),
  dynamodb: async ({ statesTableName }) => {
    const client = dynamoDB()
    const set = (id: string, state: { S: string } | { N: string }) =>
      client.send(
        new UpdateItemCommand({
          TableName: statesTableName,
          Key: { id: { S: `saga#${NAME}#${id}` } },
          UpdateExpression: 'SET #state = :state',
          ExpressionAttributeNames: { '#state': 'state' },
          ExpressionAttributeValues: { ':state': state },
        }),
      )
    await set('s-2', { N: '7' })
    await set('s-4', { S: NO_DATE })
    client.destroy()
  },
}

const stores: SagaStore[] = []

afterEach(async () => {
  for (const store of stores.splice(0)) await store.close()
})

for (const [name, spoil] of Object.entries(spoilers)) {
  const target = targets.find((target) => target.name === name) as (typeof targets)[number]

  describe.skipIf(missing(target))(`${name}, sagas that cannot be read`, () => {
    const open = async () => {
      const options = target.options()
      const store = openStore(options)
      stores.push(store)
      await store.initialize()
      // The longest overdue is one of those that cannot be read.
      for (const [at, id] of ['2', '1', '3', '4', '5'].entries()) {
        const timeoutExpiresAt = new Date(Date.now() - 60_000 + at * 1_000)
        await store.states.insert(NAME, `o-${id}`, { metadata: { sagaId: `s-${id}`, timeoutExpiresAt } })
      }
      await spoil(options as Names, store)
      return store.states
    }
    const idsOf = (sagas: readonly { metadata: { sagaId: string } }[]) => sagas.map(({ metadata }) => metadata.sagaId)

    it('are named, and the others are listed', async () => {
      const states = await open()
      const told: CorruptSaga[] = []
      const onCorrupt = (problem: CorruptSaga) => void told.push(problem)
      const found: string[] = []
      let cursor: string | undefined
      do {
        const page: SagaPage<{ metadata: { sagaId: string } }> = await states.findByName(NAME, {
          limit: 2,
          onCorrupt,
          ...(cursor && { cursor }),
        })
        found.push(...idsOf(page.items))
        cursor = page.cursor
      } while (cursor !== undefined)
      expect(found).toEqual(['s-1', 's-3', 's-5'])
      expect(told.map(({ sagaName, sagaId }) => [sagaName, sagaId])).toEqual([
        [NAME, 's-2'],
        [NAME, 's-4'],
      ])
      for (const { error, sagaId } of told) {
        expect(error).toMatchObject({ code: 'CORRUPT_DATA', id: sagaId, operation: 'states.findByName', retryable: false })
      }
      expect(told[1]?.error.message).toContain('metadata.createdAt')
    })

    it('reject a list, and the error has what is needed to go on', async () => {
      const states = await open()
      const error = (await rejectionOf(states.findByName(NAME, { limit: 3 }))) as CorruptDataError
      expect(error).toMatchObject({ code: 'CORRUPT_DATA', id: 's-2', sagaName: NAME, operation: 'states.findByName' })
      expect(error.corrupt?.map(({ sagaId }) => sagaId)).toEqual(['s-2'])
      const page = error.found as SagaPage<{ metadata: { sagaId: string } }>
      expect(idsOf(page.items)).toEqual(['s-1', 's-3'])
      expect(Object.keys(error)).not.toContain('found')
      const rest = (await rejectionOf(states.findByName(NAME, { cursor: page.cursor as string }))) as CorruptDataError
      expect(rest.corrupt?.map(({ sagaId }) => sagaId)).toEqual(['s-4'])
      expect(idsOf((rest.found as typeof page).items)).toEqual(['s-5'])
      expect((rest.found as typeof page).cursor).toBeUndefined()
    })

    it('are in nobody’s way when timeouts are looked for', async () => {
      const states = await open()
      const told: string[] = []
      const onCorrupt = ({ sagaId }: CorruptSaga) => void told.push(sagaId)
      // What stands beside the state still says when the second one times out, but on Redis.
      expect(idsOf((await states.findTimedOut({ limit: 1, onCorrupt, sagaName: NAME })).map(({ state }) => state))).toEqual(['s-1'])
      expect(told).toContain('s-2')
      expect(idsOf((await states.findTimedOut({ onCorrupt, sagaName: NAME })).map(({ state }) => state))).toEqual(['s-1', 's-3', 's-5'])
      const error = (await rejectionOf(states.findTimedOut({ sagaName: NAME }))) as CorruptDataError
      expect(error.corrupt?.map(({ sagaId }) => sagaId)).toContain('s-2')
      expect(idsOf((error.found as { state: { metadata: { sagaId: string } } }[]).map(({ state }) => state))).toEqual(['s-1', 's-3', 's-5'])
    })

    it('leave what else is asked alone', async () => {
      const states = await open()
      expect(await states.countByName(NAME)).toBe(5)
      await states.update(NAME, { metadata: { sagaId: 's-1', isCompleted: true } }, 1)
      expect(await states.deleteCompletedBefore(NAME, new Date(Date.now() + 1_000))).toBe(1)
      expect((await rejectionOf(states.getById(NAME, 's-2'))).code).toBe('CORRUPT_DATA')
      for (const options of [{ onCorrupt: 'skip' }, { onCorupt: () => {} }, null, 5] as never[]) {
        for (const call of [states.findByName(NAME, options), states.findTimedOut(options)]) {
          expect((await rejectionOf(call)).code).toBe('INVALID_ARGUMENT')
        }
      }
    })
  })
}
