import { setTimeout as sleep } from 'node:timers/promises'
import { CreateTableCommand, DynamoDBClient, ScanCommand } from '@aws-sdk/client-dynamodb'
import { DynamoDBDocumentClient, TransactWriteCommand } from '@aws-sdk/lib-dynamodb'
import { afterEach, beforeAll, describe, expect, it } from 'vitest'
import { DynamoDBSagaStore, MemorySagaStore, type SagaStore, withTransaction } from '../../../index.js'
import { configOf, dynamoDBLibraries, type OpenDynamoDBLibrary } from '../../support/dynamodb-libraries'
import { startProxy } from '../../support/dynamodb-proxy'
import { dynamo, withDynamoDB } from '../../support/dynamodb-server'
import { rejectionOf } from '../../support/promises'
import { randomName } from '../../support/targets'

withDynamoDB()

const ORDERS = 'orders'
const slip = Buffer.from([0, 255, 1])
const inAnHour = () => new Date(Date.now() + 3_600_000)
const closers: (() => unknown)[] = []

beforeAll(async () => {
  const key = { KeySchema: [{ AttributeName: 'id', KeyType: 'HASH' as const }] }
  const attributes = { AttributeDefinitions: [{ AttributeName: 'id', AttributeType: 'S' as const }] }
  await dynamo.client.send(new CreateTableCommand({ TableName: ORDERS, ...key, ...attributes, BillingMode: 'PAY_PER_REQUEST' }))
})

afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close()
})

function kept<T extends SagaStore>(store: T): T {
  closers.push(() => store.close())
  return store
}

const ordersOf = async (id: string) => {
  const { Items } = await dynamo.client.send(new ScanCommand({ TableName: ORDERS, ConsistentRead: true }))
  return Items?.filter((item) => item.id?.S === id).length
}

/** A store on a client, and one with a URL for the same table. */
async function begin(open: (url: string) => OpenDynamoDBLibrary) {
  const one = open(dynamo.server.url)
  closers.push(one.close)
  const tableName = randomName('t')
  const { url, credentials } = dynamo.server
  const [statesTableName, executionsTableName] = [randomName('s'), randomName('e')]
  const store = kept(new DynamoDBSagaStore({ client: one.client as never, tableName, statesTableName, executionsTableName }))
  const other = kept(new DynamoDBSagaStore({ url, credentials, tableName, statesTableName, executionsTableName }))
  await store.initialize()
  return { one, store, other, tableName }
}

for (const library of dynamoDBLibraries) {
  describe(`items that are collected for ${library.name}`, () => {
    it.each(['the client', 'a URL'])('go with the order, and not before it; a store on %s', async (which) => {
      const { one, store, other } = await begin(library.open)
      const joining = which === 'a URL' ? other : store
      await other.put('outdated', slip)
      const id = randomName('o')
      const items = [one.order(ORDERS, id)]
      await withTransaction(items, async () => {
        await joining.put('slip', slip, inAnHour())
        await joining.putMany([
          { id: 'a', data: Buffer.alloc(0) },
          { id: 'b', data: Buffer.alloc(300_000, 1) },
        ])
        expect(await joining.delete('outdated')).toBe(undefined)
      })
      expect(items).toHaveLength(5)
      expect([(await other.getMany(['slip', 'a', 'b'])).size, await other.has('outdated'), await ordersOf(id)]).toEqual([0, true, 0])
      await one.send(items)
      expect(await other.get('slip')).toEqual(slip)
      expect((await other.getMany(['a', 'b'])).get('b')).toEqual(Buffer.alloc(300_000, 1))
      expect([await other.has('outdated'), await ordersOf(id)]).toEqual([false, 1])
    })

    it.each(['the client', 'a URL'])('take executions with them, or leave them; a store on %s', async (which) => {
      const { one, store, other } = await begin(library.open)
      const joining = which === 'a URL' ? other : store
      const large = 'x'.repeat(9_000)
      await other.executions.create('s-1', 'Order', { n: 1 })
      await other.executions.create('s-2', 'Order', { large }, { steps: [{ stepName: 'a', status: 'completed', result: large }] })
      const id = randomName('o')
      const items = [one.order(ORDERS, id)]
      await withTransaction(items, async () => {
        const steps = [{ stepName: 'pay', status: 'completed' as const, result: large }]
        expect(await joining.executions.checkpoint('s-1', { context: { n: 2, large }, tags: ['x'], steps })).toMatchObject({
          version: 2,
          firstSeq: 1,
        })
        expect(await joining.executions.create('s-3', 'Order', { n: 3 })).toBe(1)
        expect(await joining.executions.delete('s-2')).toBe(true)
        expect(await joining.executions.delete('nobody')).toBe(false)
        const refused = {
          CONCURRENCY_CONFLICT: () => joining.executions.checkpoint('s-1', { expectedVersion: 7 }),
          ALREADY_EXISTS: () => joining.executions.create('s-1', 'Order', {}),
          NOT_FOUND: () => joining.executions.checkpoint('nobody', {}),
          INVALID_ARGUMENT: () => joining.executions.updateStatus('s-1', 'running'),
          UNSUPPORTED: () => joining.executions.load('s-1'),
        }
        for (const [code, call] of Object.entries(refused)) expect(await rejectionOf(call())).toMatchObject({ code })
      })
      expect(await other.executions.load('s-1')).toMatchObject({ version: 1, context: { n: 1 } })
      await one.send(structuredClone(items))
      expect(await other.executions.load('s-1')).toMatchObject({ version: 2, context: { n: 2, large }, tags: ['x'], entries: 1 })
      expect((await other.executions.history('s-1')).entries).toMatchObject([{ seq: 1, stepName: 'pay', result: large }])
      expect([await other.executions.find('s-2'), await other.executions.count({ name: 'Order' }), await ordersOf(id)]).toEqual([
        null,
        2,
        1,
      ])
      // Somebody else was there first: then nothing of it happens, the order neither.
      const late = [one.order(ORDERS, randomName('o'))]
      await withTransaction(late, () => joining.executions.updateStatus('s-1', 'running'))
      await other.executions.updateContext('s-1', { n: 9 })
      await expect(one.send(late)).rejects.toMatchObject({ name: 'TransactionCanceledException' })
      expect(await other.executions.load('s-1')).toMatchObject({ status: 'pending', context: { n: 9 } })
    })

    it.each(['the client', 'a URL'])('take saga state with them, or leave it; a store on %s', async (which) => {
      const { one, store, other } = await begin(library.open)
      const joining = which === 'a URL' ? other : store
      const saga = (sagaId: string, step: number) => ({ metadata: { sagaId }, step })
      for (const id of ['1', '2', '3']) await other.states.insert('Order', `o-${id}`, saga(`s-${id}`, 1))
      const id = randomName('o')
      const items = [one.order(ORDERS, id)]
      await withTransaction(items, async () => {
        await joining.put('slip', slip)
        await joining.states.update('Order', saga('s-1', 2), 1)
        await joining.states.insert('Order', 'o-4', saga('s-4', 1))
        await joining.states.delete('Order', 's-2')
        await joining.states.deleteByCorrelationId('Order', 'o-3')
        await joining.states.delete('Order', 'nobody')
        const refused = {
          CONCURRENCY_CONFLICT: () => joining.states.update('Order', saga('s-1', 3), 7),
          NOT_FOUND: () => joining.states.update('Order', saga('nobody', 3), 1),
          INVALID_ARGUMENT: () => joining.states.delete('Order', 's-1'),
        }
        for (const [code, call] of Object.entries(refused)) expect(await rejectionOf(call())).toMatchObject({ code })
      })
      expect(items).toHaveLength(9)
      expect(await other.states.getById('Order', 's-1')).toMatchObject({ step: 1 })
      await one.send(structuredClone(items))
      expect(await other.states.getByCorrelationId('Order', 'o-1')).toMatchObject({ step: 2, metadata: { version: 2 } })
      expect(await other.states.getByCorrelationId('Order', 'o-4')).toEqual(await other.states.getById('Order', 's-4'))
      expect([await other.states.countByName('Order'), await other.has('slip'), await ordersOf(id)]).toEqual([2, true, 1])
      // Somebody else was there first: then nothing of it happens, the order neither.
      const late = [one.order(ORDERS, randomName('o'))]
      await withTransaction(late, async () => {
        await joining.put('late', slip)
        await joining.states.update('Order', saga('s-1', 3), 2)
      })
      await other.states.update('Order', saga('s-1', 9), 2)
      await expect(one.send(late)).rejects.toMatchObject({ name: 'TransactionCanceledException' })
      expect(await other.has('late')).toBe(false)
      expect(await other.states.getById('Order', 's-1')).toMatchObject({ step: 9, metadata: { version: 3 } })
    })

    it('leave nothing when the condition of the order fails', async () => {
      const { one, store, other } = await begin(library.open)
      const id = randomName('o')
      await one.send([one.order(ORDERS, id)])
      const input = { TransactItems: [one.order(ORDERS, id)] }
      await withTransaction(input, () => store.put('slip', slip))
      await expect(one.send(input.TransactItems)).rejects.toMatchObject({ name: 'TransactionCanceledException' })
      expect(await other.find('slip')).toBe(null)
    })

    it('begin with the payload: the shape of values is that of the client', async () => {
      const { one, store, other } = await begin(library.open)
      const items: object[] = []
      await withTransaction(items, () => store.put('slip', slip, inAnHour()))
      await one.send(items)
      expect(await other.get('slip')).toEqual(slip)
      expect(Object.keys(items[0] as object)).toEqual(['Put'])
    })

    it('are those of store.transaction on the client', async () => {
      const { store, other } = await begin(library.open)
      await other.put('outdated', slip)
      const result = await store.transaction(async (tx) => {
        await tx.put('a', slip)
        await tx.put('a', Buffer.from('last'), inAnHour())
        await tx.delete('outdated')
        expect(await other.find('a')).toBe(null)
        return 'done'
      })
      expect([result, (await other.get('a')).toString(), await other.has('outdated')]).toEqual(['done', 'last', false])
    })
  })
}

const client = dynamoDBLibraries[0]?.open as (url: string) => OpenDynamoDBLibrary

describe('the collector', () => {
  it('takes bytes as they are at the call', async () => {
    const { one, store, other } = await begin(client)
    const items: object[] = []
    const data = Buffer.alloc(1000, 1)
    await withTransaction(items, async () => {
      const queued = store.put('slip', data)
      data.fill(2)
      await queued
      data.fill(3)
    })
    await one.send(items)
    expect(await other.get('slip')).toEqual(Buffer.alloc(1000, 1))
  })

  it('refuses what needs an answer, and adds nothing of it', async () => {
    const { store } = await begin(client)
    const items: object[] = []
    await withTransaction(items, async () => {
      const refused = [
        store.get('a'),
        store.find('a'),
        store.has('a'),
        store.touch('a', inAnHour()),
        store.getMany(['a', 'b']),
        store.initialize(),
        store.statistics(),
        store.purgeExpired(),
        store.states.getById('Order', 's-1'),
        store.states.countByName('Order'),
        store.states.deleteCompletedBefore('Order', new Date()),
      ]
      for (const error of await Promise.all(refused.map(rejectionOf))) expect(error).toMatchObject({ code: 'UNSUPPORTED' })
    })
    expect(items).toEqual([])
  })

  it('refuses the 101st item, and of putMany all or none', async () => {
    const { one, store, other } = await begin(client)
    const items: object[] = [one.order(ORDERS, randomName('o'))]
    const many = (from: number, count: number) =>
      Array.from({ length: count }, (_, n) => ({ id: `id-${from + n}`, data: Buffer.from('x') }))
    await withTransaction(items, async () => {
      await store.putMany(many(0, 90))
      const error = await rejectionOf(store.putMany(many(90, 10)))
      expect(error).toMatchObject({ code: 'INVALID_ARGUMENT', limit: 100 })
      expect(items).toHaveLength(91)
      await store.putMany(many(90, 9))
      expect(await rejectionOf(store.put('one more', slip))).toMatchObject({ code: 'INVALID_ARGUMENT', id: 'one more' })
      expect(await rejectionOf(store.delete('one more'))).toMatchObject({ code: 'INVALID_ARGUMENT' })
    })
    expect(items).toHaveLength(100)
    await one.send(items)
    expect((await other.statistics()).payloads.count).toBe(99)
  })

  it('refuses more than 4 MB, and a payload that no item holds', async () => {
    const { one, store } = await begin(client)
    const items: object[] = []
    await withTransaction(items, async () => {
      for (let n = 0; n < 10; n++) await store.put(`id-${n}`, Buffer.alloc(400_000))
      expect(await rejectionOf(store.put('id-10', Buffer.alloc(400_000)))).toMatchObject({
        code: 'PAYLOAD_TOO_LARGE',
        limit: 4 << 20,
      })
      expect(await rejectionOf(store.put('large', Buffer.alloc(410_000)))).toMatchObject({ code: 'PAYLOAD_TOO_LARGE' })
    })
    expect(items).toHaveLength(10)
    await one.send(items)
  })

  it('refuses a second operation on one item, which DynamoDB would refuse the whole of', async () => {
    const { one, store, other } = await begin(client)
    const items: object[] = []
    await withTransaction(items, async () => {
      await store.put('a', slip)
      for (const call of [store.put('a', Buffer.from('2')), store.delete('a')]) {
        expect(await rejectionOf(call)).toMatchObject({ code: 'INVALID_ARGUMENT', id: 'a' })
      }
    })
    await one.send(items)
    expect(await other.get('a')).toEqual(slip)
  })

  it('says its shape itself, and may be read off what is there', async () => {
    const { store, other } = await begin(client)
    const send = dynamoDBLibraries[2]?.open(dynamo.server.url) as OpenDynamoDBLibrary
    closers.push(send.close)
    const said = { TransactItems: [] as object[], document: true }
    await withTransaction(said, () => store.put('a', slip))
    const read = [send.order(ORDERS, randomName('o'))]
    await withTransaction(read, () => other.put('b', slip, inAnHour()))
    await send.send(said.TransactItems)
    await send.send(read)
    expect([...(await other.getMany(['a', 'b'])).keys()]).toEqual(['a', 'b'])
  })

  it('keeps a payload of no bytes, whatever the document client makes of empty values', async () => {
    const { store, other } = await begin(client)
    const under = new DynamoDBClient(configOf(dynamo.server.url))
    closers.push(() => under.destroy())
    const converting = DynamoDBDocumentClient.from(under, { marshallOptions: { convertEmptyValues: true } })
    const input = { TransactItems: [] as never[], document: true }
    await withTransaction(input, () => store.put('empty', Buffer.alloc(0)))
    await converting.send(new TransactWriteCommand({ TransactItems: input.TransactItems }))
    expect(await other.get('empty')).toEqual(Buffer.alloc(0))
  })

  it('is for stores of DynamoDB, is left alone by others, and is over at its end', async () => {
    const { store, other } = await begin(client)
    const memory = kept(new MemorySagaStore())
    const items: object[] = []
    let late: Promise<unknown> | undefined
    await withTransaction(items, async () => {
      await memory.put('a', slip)
      late = sleep(20).then(() => store.put('late', slip))
    })
    expect([items, await memory.has('a')]).toEqual([[], true])
    expect(await rejectionOf(late as Promise<unknown>)).toMatchObject({ code: 'CLOSED' })
    expect([items, await other.has('late')]).toEqual([[], false])
    const first: object[] = []
    const second: object[] = []
    await Promise.all([
      withTransaction(first, async () => {
        await sleep(10)
        await store.put('first', slip)
        await withTransaction(second, () => store.put('nested', slip))
      }),
      withTransaction(second, () => store.put('second', slip)),
    ])
    expect([first.length, second.length]).toEqual([1, 2])
    expect(() => withTransaction([{ Put: {} }], async () => undefined)).toThrow(expect.objectContaining({ code: 'INVALID_ARGUMENT' }))
  })
})

const ways = {
  'a URL': (url: string, tableName: string) => {
    return new DynamoDBSagaStore({ url, credentials: dynamo.server.credentials, tableName, operationTimeoutMs: 3000 })
  },
  'a client': (url: string, tableName: string) => {
    const client = new DynamoDBClient({ ...configOf(url), maxAttempts: 1 })
    closers.push(() => client.destroy())
    return new DynamoDBSagaStore({ client, tableName, operationTimeoutMs: 3000 })
  },
}

describe.each(Object.entries(ways))('store.transaction of a store on %s', (_way, make) => {
  async function opened(interference: Parameters<typeof startProxy>[1] = {}) {
    const active: typeof interference = {}
    const proxy = await startProxy(dynamo.server.endpoint, active)
    closers.push(() => proxy[Symbol.asyncDispose]())
    const tableName = randomName('t')
    const store = kept(make(proxy.url, tableName))
    await store.initialize()
    // What `initialize` asks (which rights there are) is not looked at.
    proxy.seen.length = 0
    Object.assign(active, interference)
    return { store, proxy, other: kept(ways['a URL'](dynamo.server.url, tableName)) }
  }

  it('is one TransactWriteItems with a token', async () => {
    const bodies: Record<string, unknown>[] = []
    const { store, proxy, other } = await opened({
      request(operation, body) {
        if (operation === 'TransactWriteItems') bodies.push(body)
        return undefined
      },
    })
    const before = proxy.seen.length
    await store.transaction(async (tx) => {
      await tx.put('a', slip)
      await tx.putMany([
        { id: 'b', data: slip },
        { id: 'c', data: slip },
      ])
      await tx.delete('b')
    })
    expect(proxy.seen.slice(before).filter((name) => name !== 'GetItem')).toEqual(['TransactWriteItems'])
    expect(bodies[0]?.ClientRequestToken).toMatch(/^[0-9a-f-]{32,36}$/)
    expect([...(await other.getMany(['a', 'b', 'c'])).keys()]).toEqual(['a', 'c'])
  })

  it('writes nothing when the callback throws, and sends nothing when it is empty', async () => {
    const { store, proxy } = await opened()
    const reason = new Error('no')
    const thrown = store.transaction(async (tx) => {
      await tx.put('a', slip)
      throw reason
    })
    await expect(thrown).rejects.toBe(reason)
    expect(await store.transaction(async () => 7)).toBe(7)
    expect(proxy.seen).not.toContain('TransactWriteItems')
    expect(await store.find('a')).toBe(null)
  })

  it('gives a callback up that never returns', async () => {
    const { store, proxy } = await opened()
    const error = await rejectionOf(
      store.transaction(async (tx) => {
        await tx.put('a', slip)
        await new Promise(() => {})
      }),
    )
    expect(error).toMatchObject({ code: 'TIMEOUT' })
    expect(proxy.seen).not.toContain('TransactWriteItems')
  })

  it('takes 100 items and refuses one more; refuses what needs an answer, isolation and queries', async () => {
    const { store, proxy, other } = await opened()
    await store.transaction(async (tx) => {
      for (let n = 0; n < 100; n++) await tx.put(`id-${n}`, slip)
      expect(await rejectionOf(tx.put('id-100', slip))).toMatchObject({ code: 'INVALID_ARGUMENT', limit: 100 })
      expect(await rejectionOf(tx.get('id-0'))).toMatchObject({ code: 'UNSUPPORTED' })
      expect(await rejectionOf(tx.touch('id-0', inAnHour()))).toMatchObject({ code: 'UNSUPPORTED' })
      expect(await rejectionOf(tx.query('select 1'))).toMatchObject({ code: 'UNSUPPORTED' })
    })
    expect((await other.statistics()).payloads.count).toBe(100)
    expect(proxy.seen.filter((name) => name === 'TransactWriteItems')).toHaveLength(1)
    const isolated = store.transaction(async () => undefined, { isolation: 'serializable' })
    expect(await rejectionOf(isolated)).toMatchObject({ code: 'INVALID_ARGUMENT' })
  })

  it('takes of a putMany all or nothing', async () => {
    const { store, other } = await opened()
    const many = (from: number, count: number, size = 1) =>
      Array.from({ length: count }, (_, n) => ({ id: `id-${from + n}`, data: Buffer.alloc(size) }))
    await store.transaction(async (tx) => {
      await tx.putMany(many(0, 95))
      expect(await rejectionOf(tx.putMany(many(95, 10)))).toMatchObject({ code: 'INVALID_ARGUMENT', id: 'id-100', limit: 100 })
      expect(await rejectionOf(tx.putMany(many(0, 11, 400_000)))).toMatchObject({ code: 'PAYLOAD_TOO_LARGE', id: 'id-10', limit: 4 << 20 })
      // Of an id the last one counts; what is there already needs no room.
      await tx.putMany([...many(90, 10), ...many(90, 10, 2)])
    })
    const found = await other.getMany(many(0, 200).map(({ id }) => id))
    expect([found.size, found.get('id-0')?.length, found.get('id-90')?.length, found.has('id-100')]).toEqual([100, 1, 2, false])
  })

  it('runs again, with what it does then, after a conflict', async () => {
    let conflicts = 2
    const { store, other } = await opened({
      request(operation) {
        if (operation !== 'TransactWriteItems' || conflicts-- <= 0) return undefined
        const message = 'Transaction cancelled, please refer cancellation reasons for specific reasons [None, TransactionConflict]'
        return { code: 'TransactionCanceledException', message }
      },
    })
    let runs = 0
    await store.transaction(async (tx) => {
      runs += 1
      await tx.put('a', Buffer.from(String(runs)))
      await tx.put('b', slip)
    })
    expect([runs, (await other.get('a')).toString()]).toEqual([3, '3'])
  })

  it('tells which item a transaction was cancelled for', async () => {
    const { store } = await opened({
      request(operation) {
        const message = 'Transaction cancelled, please refer cancellation reasons for specific reasons [None, ValidationError]'
        return operation === 'TransactWriteItems' ? { code: 'TransactionCanceledException', message } : undefined
      },
    })
    const error = await rejectionOf(
      store.transaction(async (tx) => {
        await tx.put('a', slip)
        await tx.put('b', slip)
      }),
    )
    expect(error).toMatchObject({ code: 'BACKEND', retryable: false, message: expect.stringContaining('item 2 of 2') })
  })

  it('does not know the outcome when the answer is lost for good', async () => {
    const { store } = await opened({
      request: (operation) => (operation === 'TransactWriteItems' ? { code: 'InternalServerError', status: 500 } : undefined),
    })
    const error = await rejectionOf(store.transaction((tx) => tx.put('a', slip)))
    expect(error).toMatchObject({ code: 'CONNECTION', message: expect.stringContaining('not known') })
  })
})
