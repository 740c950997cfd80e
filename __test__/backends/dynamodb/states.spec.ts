import { setTimeout as sleep } from 'node:timers/promises'
import {
  CreateTableCommand,
  DeleteItemCommand,
  DescribeTableCommand,
  DescribeTimeToLiveCommand,
  GetItemCommand,
  PutItemCommand,
  ScanCommand,
} from '@aws-sdk/client-dynamodb'
import { describe, expect, it } from 'vitest'
import { DynamoDBSagaStore, openStore } from '../../../index.js'
import { startProxy } from '../../support/dynamodb-proxy'
import { dynamo, open, withDynamoDB } from '../../support/dynamodb-server'
import { rejectionOf } from '../../support/promises'
import { randomName } from '../../support/targets'

const order = (sagaId: string, rest: object = {}, metadata: object = {}) => ({ metadata: { sagaId, ...metadata }, ...rest })

async function itemOf(table: string, id: string) {
  return (await dynamo.client.send(new GetItemCommand({ TableName: table, Key: { id: { S: id } }, ConsistentRead: true }))).Item
}

/** All items, but those of names. */
async function idsOf(table: string) {
  const { Items = [] } = await dynamo.client.send(new ScanCommand({ TableName: table }))
  return Items.map((item) => item.id?.S)
    .filter((id) => !id?.startsWith('name#'))
    .sort()
}

withDynamoDB()

describe('the table of sagas', () => {
  it('has three indexes, none of which has the state, and TTL', async () => {
    const { store, statesTable, warnings } = open()
    await store.initialize()
    const { Table } = await dynamo.client.send(new DescribeTableCommand({ TableName: statesTable }))
    const indexes = Table?.GlobalSecondaryIndexes?.map(({ IndexName, KeySchema, Projection }) => [
      IndexName,
      KeySchema?.map(({ AttributeName }) => AttributeName),
      Projection?.NonKeyAttributes,
    ])
    expect(indexes?.sort()).toEqual([
      ['completed', ['listedIn', 'endedAt'], ['correlationId']],
      ['listing', ['listedIn', 'sagaId'], ['expiresAt', 'expiresAtMs']],
      ['timeouts', ['shard', 'timeoutAt'], undefined],
    ])
    const { TimeToLiveDescription } = await dynamo.client.send(new DescribeTimeToLiveCommand({ TableName: statesTable }))
    expect(TimeToLiveDescription).toEqual({ AttributeName: 'expiresAt', TimeToLiveStatus: 'ENABLED' })
    await store.initialize()
    expect(warnings).toEqual([])
    await store.close()
  })

  it('has two items for each saga, as other programs see them', async () => {
    const { store, statesTable } = open()
    await store.initialize()
    const at = new Date('2026-11-24T10:00:00.123Z')
    await store.states.insert('Order', 'o-1', order('s-1', { total: 1 }, { createdAt: at, updatedAt: at, timeoutExpiresAt: at }))
    const ms = { N: `${at.getTime()}` }
    expect(await itemOf(statesTable, 'saga#Order#s-1')).toEqual({
      id: { S: 'saga#Order#s-1' },
      sagaName: { S: 'Order' },
      sagaId: { S: 's-1' },
      correlationId: { S: 'o-1' },
      version: { N: '1' },
      createdAt: ms,
      updatedAt: ms,
      timeoutAt: ms,
      listedIn: { S: 'Order#open#4' },
      shard: { S: '4' },
      state: { S: expect.stringContaining('"total":1') },
    })
    expect(await itemOf(statesTable, 'correlation#Order#o-1')).toEqual({ id: { S: 'correlation#Order#o-1' }, sagaId: { S: 's-1' } })
    expect(await itemOf(statesTable, 'name#Order')).toEqual({ id: { S: 'name#Order' }, listedIn: { S: 'names' }, sagaId: { S: 'Order' } })
    const before = Date.now()
    await store.states.update('Order', order('s-1', {}, { updatedAt: at, isCompleted: true }), 1)
    const ended = await itemOf(statesTable, 'saga#Order#s-1')
    expect(ended).toMatchObject({ version: { N: '2' }, listedIn: { S: 'Order#ended#4' }, createdAt: ms })
    expect(Number(ended?.endedAt?.N)).toBeGreaterThanOrEqual(before)
    expect(ended).not.toHaveProperty('timeoutAt')
    await store.states.delete('Order', 's-1')
    expect(await idsOf(statesTable)).toEqual([])
    await store.close()
  })

  it('gives both items the same expiry, and takes both away again', async () => {
    const { store, statesTable } = open({ completedTtlMs: 60_000 })
    await store.initialize()
    await store.states.insert('Order', 'o-1', order('s-1'))
    const expiries = async () =>
      (await Promise.all(['saga#Order#s-1', 'correlation#Order#o-1'].map((id) => itemOf(statesTable, id)))).map(
        (item) => item?.expiresAtMs?.N,
      )
    expect(await expiries()).toEqual([undefined, undefined])
    await store.states.update('Order', order('s-1', {}, { isCompleted: true }), 1)
    const [saga, correlation] = await expiries()
    expect(saga).toBeDefined()
    expect(correlation).toBe(saga)
    await store.states.update('Order', order('s-1', {}, { isCompleted: false }), 2)
    expect(await expiries()).toEqual([undefined, undefined])
    await store.close()
  })

  it('is cleared of what has expired by cleanup(), which does without the table', async () => {
    const { store, statesTable } = open({ completedTtlMs: 300 })
    expect(await rejectionOf(store.states.getById('Order', 's-1'))).toMatchObject({
      code: 'BACKEND',
      message: expect.stringMatching(/does not exist.*initialize/),
    })
    await store.initialize()
    await store.states.insert('Order', 'o-1', order('s-1', {}, { isCompleted: true }))
    await store.states.insert('Order', 'o-2', order('s-2'))
    await sleep(400)
    await store.cleanup()
    expect(await idsOf(statesTable)).toEqual(['correlation#Order#o-2', 'saga#Order#s-2'])
    const { store: other } = open({ tableName: statesTable, statesTableName: 'nobody_made_it' })
    await other.cleanup()
    await other.close()
    await store.close()
  })

  it('may be missing for who keeps payloads only: a warning', async () => {
    const { statesTable } = open()
    await using proxy = await startProxy(dynamo.server.endpoint, {
      request(operation, body) {
        if (operation !== 'CreateTable' || (body.TableName as unknown as string) !== statesTable) return undefined
        return { code: 'AccessDeniedException', message: 'not authorized to perform: dynamodb:CreateTable on resource' }
      },
    })
    const { store, warnings } = open({ url: proxy.url, statesTableName: statesTable })
    await store.initialize()
    expect(warnings).toEqual([expect.stringMatching(new RegExp(`${statesTable} does not exist.*CreateTable.*store.states`))])
    await store.put('slip-1', Buffer.from('slip'))
    expect((await store.health()).status).toBe('healthy')
    await store.close()
  })

  it('made by others without the indexes is a warning, with another key an error', async () => {
    const make = (table: string, name: string) =>
      dynamo.client.send(
        new CreateTableCommand({
          TableName: table,
          KeySchema: [{ AttributeName: name, KeyType: 'HASH' }],
          AttributeDefinitions: [{ AttributeName: name, AttributeType: 'S' }],
          BillingMode: 'PAY_PER_REQUEST',
        }),
      )
    const { store, statesTable, warnings } = open()
    await make(statesTable, 'id')
    await store.initialize()
    expect(warnings).toEqual([expect.stringContaining('lacks the indexes listing, completed, timeouts')])
    await store.states.insert('Order', 'o-1', order('s-1'))
    expect(await rejectionOf(store.states.findByName('Order'))).toMatchObject({ code: 'BACKEND' })
    await store.close()
    const other = open()
    await make(other.statesTable, 'pk')
    const error = await rejectionOf(other.store.initialize())
    expect(error).toMatchObject({ code: 'BACKEND', message: expect.stringMatching(/sagas need id.*statesTableName/) })
    await other.store.close()
  })

  it.each(['own', 'client'] as const)('with another key is named by each operation and by health (%s)', async (way) => {
    const wrong = randomName('t')
    const kinds = ['statesTableName', 'executionsTableName', 'outboxTableName', 'inboxTableName'] as const
    await dynamo.client.send(
      new CreateTableCommand({
        TableName: wrong,
        KeySchema: [{ AttributeName: 'pk', KeyType: 'HASH' }],
        AttributeDefinitions: [{ AttributeName: 'pk', AttributeType: 'S' }],
        BillingMode: 'PAY_PER_REQUEST',
      }),
    )
    const { tableName, ...names } = open().names
    await using right = openStore({ url: dynamo.server.url, tableName, ...names, credentials: dynamo.server.credentials })
    await right.initialize()
    for (const kind of kinds) {
      const options = { tableName, ...names, [kind]: wrong }
      await using store =
        way === 'client'
          ? new DynamoDBSagaStore({ client: dynamo.client, ...options })
          : openStore({ url: dynamo.server.url, credentials: dynamo.server.credentials, ...options })
      const write = {
        statesTableName: () => store.states.insert('Order', 'o-1', order('s-1')),
        executionsTableName: () => store.executions.create('s-1', 'Order', {}),
        outboxTableName: () => store.outbox.insert({ eventType: 'placed', payload: 1 }),
        inboxTableName: () => store.inbox.accept('shop', 'm-1'),
      }[kind]
      const error = await rejectionOf(write() as Promise<unknown>)
      expect(error, kind).toMatchObject({ code: 'BACKEND', message: expect.stringContaining(`table ${wrong} has another key`) })
      const { status, message } = await store.health()
      expect(status, kind).toBe('degraded')
      expect(message).toMatch(new RegExp(`table ${wrong} exists with another key: pk \\(S, HASH\\);.*${kind}`))
    }
  })
})

describe('both ids', () => {
  it('are found to be free where only the other item is left', async () => {
    const { store, statesTable } = open()
    await store.initialize()
    const { states } = store
    const remove = (id: string) => dynamo.client.send(new DeleteItemCommand({ TableName: statesTable, Key: { id: { S: id } } }))
    await states.insert('Order', 'o-1', order('s-1'))
    // Somebody removes the saga, and leaves what leads to it.
    await remove('saga#Order#s-1')
    expect(await states.getByCorrelationId('Order', 'o-1')).toBeNull()
    await states.insert('Order', 'o-1', order('s-2'))
    expect(await states.getByCorrelationId('Order', 'o-1')).toMatchObject({ metadata: { sagaId: 's-2' } })
    // And the other way round.
    await remove('correlation#Order#o-1')
    expect(await states.getById('Order', 's-2')).not.toBeNull()
    await states.delete('Order', 's-2')
    expect(await idsOf(statesTable)).toEqual([])
    await store.close()
  })

  it('that lead to another saga are left to it', async () => {
    const { store, statesTable } = open()
    await store.initialize()
    const { states } = store
    await states.insert('Order', 'o-1', order('s-1'))
    const Item = { id: { S: 'correlation#Order#o-1' }, sagaId: { S: 's-2' } }
    await dynamo.client.send(new PutItemCommand({ TableName: statesTable, Item }))
    expect(await states.getByCorrelationId('Order', 'o-1')).toBeNull()
    await states.delete('Order', 's-1')
    expect(await states.getById('Order', 's-1')).toBeNull()
    expect(await idsOf(statesTable)).toEqual(['correlation#Order#o-1'])
    await store.close()
  })

  it('are taken once, where the answer to an insert is lost', async () => {
    let lost = 0
    await using proxy = await startProxy(dynamo.server.endpoint, {
      response(operation) {
        if (operation === 'TransactWriteItems' && lost++ === 0) throw new Error('the connection breaks')
      },
    })
    const { store } = open({ url: proxy.url })
    await store.initialize()
    await store.states.insert('Order', 'o-1', order('s-1'))
    expect(lost).toBe(2)
    expect(await store.states.getByCorrelationId('Order', 'o-1')).toMatchObject({ metadata: { version: 1 } })
    await store.close()
  })

  it('are free for another attempt, where a transaction of somebody else is in the way', async () => {
    let met = 0
    await using proxy = await startProxy(dynamo.server.endpoint, {
      request(operation) {
        if (operation === 'TransactWriteItems' && met++ < 3) {
          const message = 'Transaction cancelled, please refer cancellation reasons for specific reasons [None, TransactionConflict]'
          return { code: 'TransactionCanceledException', message }
        }
        if (operation === 'UpdateItem' && met++ < 8) return { code: 'TransactionConflictException', message: 'ongoing' }
        return undefined
      },
    })
    const { store } = open({ url: proxy.url })
    await store.initialize()
    await store.states.insert('Order', 'o-1', order('s-1'))
    await store.states.update('Order', order('s-1', { total: 1 }), 1)
    expect(met).toBeGreaterThan(8)
    expect(await store.states.getById('Order', 's-1')).toMatchObject({ total: 1 })
    await store.close()
  })
})

describe('a saga of 400 KB', () => {
  it('is refused before it is sent, and an update of a byte too many as well', async () => {
    const { store } = open()
    await store.initialize()
    const { states } = store
    const correlation = 'o'.repeat(500)
    const text = (length: number) => order('s-1', { text: 'x'.repeat(length) })
    for (const refused of [states.insert('Order', correlation, text(409_600)), states.insert('Order', correlation, text(2_000_000))]) {
      expect(await rejectionOf(refused)).toMatchObject({ code: 'PAYLOAD_TOO_LARGE', limit: 409_600, id: 's-1', retryable: false })
    }
    await states.insert('Order', correlation, text(408_000))
    // The second: only the server knows how long the correlation id is.
    for (const length of [409_600, 408_900]) {
      expect(await rejectionOf(states.update('Order', text(length), 1))).toMatchObject({ code: 'PAYLOAD_TOO_LARGE', limit: 409_600 })
    }
    await states.update('Order', text(407_000), 1)
    expect(await states.getById('Order', 's-1')).toMatchObject({ metadata: { version: 2 } })
    await store.close()
  })
})

describe('lists', () => {
  it('of many sagas, and of large ones, are whole', async () => {
    const { store } = open()
    await store.initialize()
    const ids = Array.from({ length: 300 }, (_, n) => `s-${String(n).padStart(3, '0')}`)
    const large = 'x'.repeat(100_000)
    await Promise.all(
      ids.map((id, n) => store.states.insert('Order', `o-${n}`, order(id, { text: n < 200 ? large : '' }, { isCompleted: n % 2 === 0 }))),
    )
    const page = await store.states.findByName('Order', { limit: 1_000 })
    expect(page.items.map(({ metadata }) => metadata.sagaId)).toEqual(ids)
    expect(page.cursor).toBeUndefined()
    const found: string[] = []
    for (let cursor: string | undefined; ; ) {
      const next = await store.states.findByName('Order', { completed: true, limit: 40, ...(cursor !== undefined && { cursor }) })
      found.push(...next.items.map(({ metadata }) => metadata.sagaId))
      if (next.cursor === undefined) break
      cursor = next.cursor
    }
    expect(found).toEqual(ids.filter((_, n) => n % 2 === 0))
    expect(await store.states.countByName('Order', { completed: true })).toBe(150)
    expect(await store.states.deleteCompletedBefore('Order', new Date(Date.now() + 60_000), { limit: 100 })).toBe(100)
    expect(await store.states.deleteCompletedBefore('Order', new Date(Date.now() + 60_000))).toBe(50)
    expect(await store.states.countByName('Order')).toBe(150)
    await store.close()
  })

  it('say nothing of sagas that are gone when the index still has them', async () => {
    const gone: Record<string, never>[] = []
    await using proxy = await startProxy(dynamo.server.endpoint, {
      response(operation, answer) {
        if (operation !== 'Query') return
        const page = answer as unknown as { Items?: Record<string, never>[] }
        if (gone.length > 0) page.Items = gone
        else gone.push(...(page.Items ?? []))
      },
    })
    const { store } = open({ url: proxy.url })
    await store.initialize()
    await store.states.insert('Order', 'o-1', order('s-1'))
    expect((await store.states.findByName('Order', { completed: false })).items).toHaveLength(1)
    await store.states.delete('Order', 's-1')
    expect(await store.states.findByName('Order')).toEqual({ items: [] })
    await store.close()
  })
})
