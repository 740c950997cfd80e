import { setTimeout as sleep } from 'node:timers/promises'
import { DynamoDBClient } from '@aws-sdk/client-dynamodb'
import { Redis } from 'ioredis'
import pg from 'pg'
import { describe, expect, it } from 'vitest'
import { openStore, type SagaStore } from '../../index.js'
import { configOf } from '../support/dynamodb-libraries'
import { rejectionOf } from '../support/promises'
import { addressOf } from '../support/redis-libraries'
import { missing, prefixesInOneSlot, targets, temporaryPrefixes, temporarySchema, temporaryTables } from '../support/targets'

const slip = Buffer.from('a routing slip')

/** Stores on the same data, and the end of what they stand on. */
interface Opened {
  open(more?: object): SagaStore
  end(): Promise<unknown>
}

const clients: { name: string; variable: string; client(): Opened }[] = [
  {
    name: 'a pg Pool',
    variable: 'POSTGRES_URL',
    client() {
      const client = new pg.Pool({ connectionString: process.env.POSTGRES_URL })
      const schema = temporarySchema()
      return { open: (more) => openStore({ client, schema, ...more } as never), end: () => client.end() }
    },
  },
  {
    name: 'ioredis',
    variable: 'REDIS_URL',
    client() {
      const client = new Redis(addressOf('REDIS_URL'))
      const prefixes = temporaryPrefixes()
      return { open: (more) => openStore({ client, ...prefixes, ...more } as never), end: async () => client.disconnect() }
    },
  },
  {
    name: 'DynamoDBClient',
    variable: 'DYNAMODB_URL',
    client() {
      const client = new DynamoDBClient(configOf())
      const tables = temporaryTables()
      return { open: (more) => openStore({ client, ...tables, ...more } as never), end: async () => client.destroy() }
    },
  },
]

/** Opens a gate, and says when somebody has come to it. */
function gate() {
  let open = () => {}
  let arrived = () => {}
  const opened = new Promise<void>((resolve) => {
    open = resolve
  })
  const reached = new Promise<void>((resolve) => {
    arrived = resolve
  })
  const arrive = () => {
    arrived()
    return opened
  }
  return { open: () => open(), reached, arrive }
}

function closing(start: () => Opened): void {
  /** Runs `test` on two stores of the same data; nothing, where the server has no transactions. */
  async function on(test: (store: SagaStore, other: SagaStore) => Promise<void>, more?: object): Promise<void> {
    const { open, end } = start()
    const [store, other] = [open(more), open()]
    try {
      await other.initialize()
      const tried = await other.transaction((tx) => tx.put('try', slip)).catch((error) => error)
      if (other.backend === 'mongodb' && tried?.code === 'UNSUPPORTED') {
        console.warn('SKIPPED: closing beside transactions (MONGODB_URL is no replica set; docker compose has one)')
        return
      }
      await test(store, other)
    } finally {
      await store.close()
      await other.close()
      await end()
    }
  }
  const stored = async (store: SagaStore) => [...(await store.getMany(['a', 'b', 'c', 'd', 'e'])).keys()].sort()

  it('waits for a transaction under way, and refuses what is new', () =>
    on(async (store, other) => {
      const { open, reached, arrive } = gate()
      const transaction = store.transaction(async (tx) => {
        await tx.put('a', slip)
        await arrive()
        await tx.put('b', slip)
        // What the work asks the store itself belongs to the transaction.
        await store.put('c', slip)
        await store.transaction((inner) => inner.put('d', slip))
      })
      await reached
      const order: string[] = []
      const closed = store.close().then(() => order.push('closed'))
      const again = store.close().then(() => order.push('closed again'))
      for (const call of [
        () => store.transaction((tx) => tx.put('e', slip)),
        () => store.put('e', slip),
        () => store.get('a'),
        () => store.states.getById('Order', 'a'),
      ]) {
        expect(await rejectionOf(call())).toMatchObject({ code: 'CLOSED', backend: store.backend, retryable: false })
      }
      await sleep(50)
      order.push('open')
      open()
      await transaction
      await Promise.all([closed, again])
      expect(order[0]).toBe('open')
      expect(await stored(other)).toEqual(['a', 'b', 'c', 'd'])
      expect(await rejectionOf(store.transaction((tx) => tx.put('e', slip)))).toMatchObject({ code: 'CLOSED' })
    }))

  it('waits for one that rolls back', () =>
    on(async (store, other) => {
      const { open, reached, arrive } = gate()
      const transaction = store.transaction(async (tx) => {
        await tx.put('a', slip)
        await arrive()
        throw new RangeError('no')
      })
      await reached
      const closed = store.close()
      open()
      await expect(transaction).rejects.toThrow(RangeError)
      await closed
      expect(await stored(other)).toEqual([])
    }))

  it('ends one that does not end by itself within operationTimeoutMs', () =>
    on(
      async (store, other) => {
        const { reached, arrive } = gate()
        const transaction = rejectionOf(
          store.transaction(async (tx) => {
            await tx.put('a', slip)
            await arrive()
          }),
        )
        await reached
        await store.close()
        expect((await transaction).code).toMatch(/^(CLOSED|TIMEOUT)$/)
        expect(await stored(other)).toEqual([])
      },
      { operationTimeoutMs: 2_000 },
    ))

  it('ends the one in which it is called', () =>
    on(async (store, other) => {
      const transaction = store.transaction(async (tx) => {
        await tx.put('a', slip)
        await store.close()
      })
      expect(await rejectionOf(transaction)).toMatchObject({ code: 'CLOSED', operation: 'transaction' })
      await store.close()
      expect(await stored(other)).toEqual([])
    }))
}

for (const target of targets.filter(({ name }) => name !== 'sqlite::memory:')) {
  describe.skipIf(missing(target))(`close() on ${target.name}`, () =>
    closing(() => {
      const options = { ...target.options(), ...(target.name === 'redis cluster' && prefixesInOneSlot()) }
      return { open: (more) => openStore({ ...options, ...more }), end: async () => {} }
    }),
  )
}

for (const { name, variable, client } of clients) {
  const available = process.env[variable] !== undefined
  describe.skipIf(missing({ name, variable, available }))(`close() on ${name}`, () => closing(client))
}
