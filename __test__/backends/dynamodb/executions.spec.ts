import { setTimeout as sleep } from 'node:timers/promises'
import {
  type AttributeValue,
  CreateTableCommand,
  DescribeTableCommand,
  DescribeTimeToLiveCommand,
  ScanCommand,
  UpdateItemCommand,
} from '@aws-sdk/client-dynamodb'
import { describe, expect, it } from 'vitest'
import type { SagaStore } from '../../../index.js'
import { done, logOf } from '../../executions/fresh'
import { type Interference, startProxy } from '../../support/dynamodb-proxy'
import { dynamo, open as openOn, withDynamoDB } from '../../support/dynamodb-server'
import { rejectionOf } from '../../support/promises'
import { randomName } from '../../support/targets'

type Item = Record<string, AttributeValue>

/** A store, the name of its table, and what is in there. */
async function open(more: object = {}) {
  const executionsTableName = randomName('e')
  const { store, warnings } = openOn({ executionsTableName, ...more })
  await store.initialize()
  const items = async (): Promise<Item[]> => {
    const found: Item[] = []
    let ExclusiveStartKey: Item | undefined
    do {
      const page = await dynamo.client.send(
        new ScanCommand({ TableName: executionsTableName, ConsistentRead: true, ...(ExclusiveStartKey && { ExclusiveStartKey }) }),
      )
      found.push(...(page.Items ?? []))
      ExclusiveStartKey = page.LastEvaluatedKey
    } while (ExclusiveStartKey !== undefined)
    return found.sort((a, b) => `${a.id?.S} ${a.part?.S}`.localeCompare(`${b.id?.S} ${b.part?.S}`))
  }
  const parts = async () => (await items()).map(({ part }) => part?.S)
  return { store, warnings, executionsTableName, items, parts }
}

/** A store of the same table behind a proxy. */
async function behind(table: string, interference: Interference, more: object = {}) {
  const proxy = await startProxy(dynamo.server.endpoint, interference)
  const { store } = openOn({ url: proxy.url, executionsTableName: table, ...more })
  return {
    store,
    seen: proxy.seen,
    async [Symbol.asyncDispose]() {
      await store.close()
      await proxy[Symbol.asyncDispose]()
    },
  }
}

/** As if the process were killed behind so many requests of these operations: all that follows is refused. */
function killedBehind(count: number, operations: readonly string[]): Interference {
  let left = count
  let dead = false
  return {
    request(operation) {
      if (operations.includes(operation) && left-- <= 0) dead = true
      return dead ? { code: 'AccessDeniedException', message: 'killed' } : undefined
    },
  }
}

/** The answer to one request of this operation is lost, though it was carried out. */
function losingOne(lost: string): Interference {
  let left = 1
  return {
    response(operation) {
      if (operation === lost && left-- > 0) throw new Error('lost')
    },
  }
}

const LARGE = 'x'.repeat(9_000)

/** Writes a log of so many segments: each entry is larger than what a head keeps. */
async function fill(store: SagaStore, id: string, segments: number) {
  for (let n = 1; n <= segments; n++) await store.executions.checkpoint(id, { steps: [done(`s${n}`, { result: LARGE })] })
}

withDynamoDB()

describe('the table of executions', () => {
  it('has a key of two attributes, five indexes without contexts and logs, and TTL', async () => {
    const { store, executionsTableName: TableName, warnings } = await open()
    const { Table } = await dynamo.client.send(new DescribeTableCommand({ TableName }))
    expect(Table?.KeySchema?.map(({ AttributeName }) => AttributeName)).toEqual(['id', 'part'])
    const indexes = Table?.GlobalSecondaryIndexes?.map(({ IndexName, KeySchema, Projection }) => [
      IndexName,
      KeySchema?.map(({ AttributeName }) => AttributeName).join(),
      Projection?.NonKeyAttributes?.sort().join(),
    ])
    expect(indexes?.sort()).toEqual([
      ['created', 'listedIn,createdKey', 'endsAt,parkedAt,sagaName,tags'],
      ['due', 'shard,dueAt', undefined],
      ['ended', 'listedIn,completedAt', undefined],
      ['parked', 'parkedIn,updatedKey', 'endsAt,parkedAt,sagaName,status,tags'],
      ['updated', 'listedIn,updatedKey', 'contextBytes,endsAt,logBytes,parkedAt,sagaName,tags,workerId'],
    ])
    const { TimeToLiveDescription } = await dynamo.client.send(new DescribeTimeToLiveCommand({ TableName }))
    expect(TimeToLiveDescription).toEqual({ AttributeName: 'expiresAt', TimeToLiveStatus: 'ENABLED' })
    await store.initialize()
    expect(warnings).toEqual([])
    await store.close()
  })

  it('with another key is refused, and the option named', async () => {
    const TableName = randomName('e')
    const key = {
      AttributeDefinitions: [{ AttributeName: 'id', AttributeType: 'S' as const }],
      KeySchema: [{ AttributeName: 'id', KeyType: 'HASH' as const }],
    }
    await dynamo.client.send(new CreateTableCommand({ TableName, ...key, BillingMode: 'PAY_PER_REQUEST' }))
    const { store } = openOn({ executionsTableName: TableName })
    const error = await rejectionOf(store.initialize())
    expect(error).toMatchObject({ code: 'BACKEND', message: expect.stringMatching(/executions need id.*part.*executionsTableName/) })
    await store.close()
  })

  it('has one item of a small saga, as other programs see it', async () => {
    const { store, items } = await open()
    await store.executions.create(
      's-1',
      'Order',
      { n: 1 },
      { status: 'running', tags: ['a'], steps: [done('pay', { stepId: 'p1', result: 7 })] },
    )
    const [head, ...others] = await items()
    expect(others).toEqual([])
    const { S: updated = '' } = (head?.updatedKey as { S?: string }) ?? {}
    expect(updated).toMatch(/^\d{16}#s-1$/)
    expect(head).toMatchObject({
      id: { S: 's-1' },
      part: { S: 'head' },
      sagaName: { S: 'Order' },
      status: { S: 'running' },
      context: { S: '{"n":1}' },
      tags: { L: [{ S: 'a' }] },
      version: { N: '1' },
      seq: { N: '1' },
      listedIn: { S: expect.stringMatching(/^running#[0-7]$/) },
      dueAt: { N: expect.stringMatching(/^\d{13}$/) },
      tail: {
        L: [
          { M: { step: { S: 'pay' }, action: { S: 'act' }, status: { S: 'completed' }, stepId: { S: 'p1' }, body: { S: '{"result":7}' } } },
        ],
      },
    })
    await store.close()
  })

  it('has older entries in segments, and a large context in pieces; both go with the saga', async () => {
    const { store, items, parts } = await open()
    const context = { text: '\u{1f600}'.repeat(250_000) }
    await store.executions.create('s-1', 'Order', context)
    await fill(store, 's-1', 2)
    await store.executions.checkpoint('s-1', { steps: [done('small', { stepId: 'once' })] })
    expect(await parts()).toEqual(['context#0000', 'context#0001', 'context#0002', 'head', 'log#000000000001', 'log#000000000002'])
    expect((await items()).filter(({ context }) => context !== undefined).length).toBe(3)
    expect((await store.executions.load('s-1')).context).toEqual(context)
    expect((await logOf(store.executions, 's-1')).map(({ stepName }) => stepName)).toEqual(['s1', 's2', 'small'])
    // A smaller one has fewer pieces, a small one none.
    const half = { text: 'y'.repeat(400_000) }
    await store.executions.updateContext('s-1', half)
    expect((await store.executions.load('s-1')).context).toEqual(half)
    expect(await parts()).toEqual(['context#0000', 'context#0001', 'head', 'log#000000000001', 'log#000000000002'])
    await store.executions.updateContext('s-1', { n: 1 })
    expect(await parts()).toEqual(['head', 'log#000000000001', 'log#000000000002'])
    expect((await store.executions.load('s-1')).context).toEqual({ n: 1 })
    expect(await store.executions.delete('s-1')).toBe(true)
    expect(await parts()).toEqual([])
    await store.close()
  })

  it('has an entry with an id once, also where the first one is in a segment', async () => {
    const { store } = await open()
    await store.executions.create('s-1', 'Order', {}, { steps: [done('a', { stepId: 'a1', result: LARGE })] })
    await fill(store, 's-1', 3)
    const again = await store.executions.checkpoint('s-1', { steps: [done('a', { stepId: 'a1' }), done('b', { stepId: 'b1' })] })
    expect(again.firstSeq).toBe(1)
    expect((await logOf(store.executions, 's-1')).map(({ stepName }) => stepName)).toEqual(['a', 's1', 's2', 's3', 'b'])
    await store.close()
  })

  it('tells of what it cannot read: CORRUPT_DATA', async () => {
    const { store, executionsTableName: TableName } = await open()
    await store.executions.create('s-1', 'Order', {})
    await dynamo.client.send(
      new UpdateItemCommand({
        TableName,
        Key: { id: { S: 's-1' }, part: { S: 'head' } },
        UpdateExpression: 'SET #status = :status',
        ExpressionAttributeNames: { '#status': 'status' },
        ExpressionAttributeValues: { ':status': { S: 'odd' } },
      }),
    )
    expect(await rejectionOf(store.executions.checkpoint('s-1', { expectedVersion: 9 }))).toMatchObject({ code: 'CORRUPT_DATA', id: 's-1' })
    expect(await rejectionOf(store.executions.load('s-1'))).toMatchObject({ code: 'CORRUPT_DATA', id: 's-1' })
    await store.close()
  })
})

describe('requests', () => {
  it('are one for a checkpoint, without a lease and with one; and for its end', async () => {
    const { store, executionsTableName } = await open()
    await using other = await behind(executionsTableName, {})
    await other.store.executions.create('s-1', 'Order', { n: 1 })
    const requests = async (work: () => Promise<unknown>) => {
      const before = other.seen.length
      await work()
      return other.seen.slice(before)
    }
    const { executions } = other.store
    expect(await requests(() => executions.checkpoint('s-1', { status: 'running', context: { n: 2 }, steps: [done('a')] }))).toEqual([
      'UpdateItem',
    ])
    expect(await requests(() => executions.logStep('s-1', 'b', 'act', 'started'))).toEqual(['UpdateItem'])
    const run = await executions.start('s-2', 'Order', {}, { workerId: 'w', leaseMs: 60_000, renew: false })
    expect(await requests(() => run.checkpoint({ steps: [done('a')], tags: ['x'] }))).toEqual(['UpdateItem'])
    expect(await requests(() => run.complete({ n: 3 }))).toEqual(['UpdateItem'])
    expect(await store.executions.load('s-2')).toMatchObject({
      status: 'completed',
      context: { n: 3 },
      leased: false,
      entries: 1,
      version: 3,
    })
    // The refusal tells why.
    expect(await requests(() => rejectionOf(executions.checkpoint('s-1', { expectedVersion: 7 })))).toEqual(['UpdateItem'])
    expect(await requests(() => rejectionOf(executions.checkpoint('s-2', {})))).toEqual(['UpdateItem'])
    expect(await requests(() => rejectionOf(executions.checkpoint('s-3', {})))).toEqual(['UpdateItem'])
    // The head is full: what it has goes into a segment with the new entry, and nobody has to read it.
    await executions.checkpoint('s-1', { steps: [done('c', { result: 'x'.repeat(5_000) })] })
    const overflow = () => executions.checkpoint('s-1', { steps: [done('d', { result: 'x'.repeat(5_000) })] })
    expect(await requests(overflow)).toEqual(['UpdateItem', 'TransactWriteItems'])
    expect(await requests(() => executions.updateContext('s-1', LARGE))).toEqual(['GetItem', 'TransactWriteItems'])
    expect(await requests(() => executions.delete('s-2'))).toEqual(['DeleteItem'])
    await store.close()
  })

  it('whose answers are lost are repeated, and have happened once', async () => {
    const { store, executionsTableName } = await open()
    for (const [n, lost] of ['UpdateItem', 'TransactWriteItems', 'UpdateItem'].entries()) {
      const id = `s-${n}`
      const context = lost === 'UpdateItem' ? { n } : { n, LARGE }
      {
        await using other = await behind(executionsTableName, losingOne(lost))
        expect(await other.store.executions.create(id, 'Order', context, { steps: [done('a')] })).toBe(1)
      }
      await using other = await behind(executionsTableName, losingOne(lost))
      const changed = await other.store.executions.checkpoint(id, { expectedVersion: 1, context, steps: [done('b')] })
      expect(changed).toMatchObject({ version: 2, firstSeq: 2 })
      expect(await rejectionOf(store.executions.checkpoint(id, { expectedVersion: 1 }))).toMatchObject({
        code: 'CONCURRENCY_CONFLICT',
        actualVersion: 2,
      })
      expect((await logOf(store.executions, id)).length).toBe(2)
    }
    await store.close()
  })

  it('are not sent for what is too large', async () => {
    const { store, executionsTableName, items } = await open()
    await store.executions.create('s-1', 'Order', { n: 1 })
    const before = await items()
    await using other = await behind(executionsTableName, {})
    const { executions } = other.store
    for (const change of [
      { context: 'x'.repeat(5 << 20) },
      { steps: [done('a', { result: 'x'.repeat(450_000) })] },
      { metadata: { text: 'x'.repeat(450_000) } },
      { steps: Array.from({ length: 150 }, (_, n) => done(`s${n}`, { result: 'x'.repeat(100_000) })) },
    ]) {
      expect(await rejectionOf(executions.checkpoint('s-1', change as never))).toMatchObject({ code: 'PAYLOAD_TOO_LARGE', id: 's-1' })
    }
    expect(other.seen).not.toContain('UpdateItem')
    expect(other.seen).not.toContain('TransactWriteItems')
    expect(await items()).toEqual(before)
    // 150 steps that fit are whole.
    const steps = Array.from({ length: 150 }, (_, n) => done(`s${n}`, { result: 'x'.repeat(20_000) }))
    await executions.checkpoint('s-1', { steps })
    expect((await logOf(executions, 's-1')).length).toBe(150)
    await store.close()
  })
})

describe('a process that is killed', () => {
  const SEGMENTS = 120

  it('in a removal leaves nothing that anybody sees, and that others finish', async () => {
    const { store, executionsTableName, parts } = await open()
    const finish: Record<string, () => Promise<unknown>> = {
      'another deletion': async () => expect(await store.executions.delete('s-1')).toBe(false),
      cleanup: () => store.cleanup(),
      'a creation': async () => {
        expect(await store.executions.create('s-1', 'Order', { n: 2 }, { steps: [done('new')] })).toBe(1)
        expect((await logOf(store.executions, 's-1')).map(({ stepName }) => stepName)).toEqual(['new'])
        expect(await store.executions.delete('s-1')).toBe(true)
      },
    }
    for (const [who, how] of Object.entries(finish)) {
      await store.executions.create('s-1', 'Order', { LARGE }, { status: 'running' })
      await fill(store, 's-1', SEGMENTS)
      {
        // The first one, which deletes a head alone, is refused by its condition.
        await using other = await behind(executionsTableName, killedBehind(20, ['DeleteItem']))
        await rejectionOf(other.store.executions.delete('s-1'))
      }
      const left = await parts()
      expect(left.length, who).toBeLessThan(SEGMENTS)
      expect(left, who).toContain('head')
      expect(await store.executions.find('s-1')).toBeNull()
      expect(await store.executions.count({ name: 'Order' })).toBe(0)
      expect(await rejectionOf(store.executions.history('s-1'))).toMatchObject({ code: 'NOT_FOUND' })
      expect(await rejectionOf(store.executions.checkpoint('s-1', {}))).toMatchObject({ code: 'NOT_FOUND' })
      await how()
      expect(await parts(), who).toEqual([])
    }
    await store.close()
  })

  it('in a replacement has replaced it or not, and what it leaves goes with the saga', async () => {
    const { store, executionsTableName, parts } = await open()
    const whole = { sagaId: 's-1', name: 'Order', status: 'running', context: { n: 2 }, steps: [done('new')], metadata: null } as const
    await store.executions.create('s-1', 'Order', { LARGE })
    await fill(store, 's-1', SEGMENTS)
    {
      await using other = await behind(executionsTableName, killedBehind(0, ['TransactWriteItems']))
      await rejectionOf(other.store.executions.save(whole as never))
    }
    expect((await logOf(store.executions, 's-1')).length).toBe(SEGMENTS)
    {
      await using other = await behind(executionsTableName, killedBehind(0, ['DeleteItem']))
      await rejectionOf(other.store.executions.save(whole as never))
    }
    expect((await parts()).length).toBeGreaterThan(1)
    expect(await store.executions.load('s-1')).toMatchObject({ context: { n: 2 }, entries: 1 })
    await fill(store, 's-1', 2)
    expect((await logOf(store.executions, 's-1')).map(({ stepName }) => stepName)).toEqual(['new', 's1', 's2'])
    expect((await store.executions.history('s-1', { reverse: true })).entries.map(({ seq }) => seq)).toEqual([3, 2, 1])
    expect(await store.executions.delete('s-1')).toBe(true)
    expect(await parts()).toEqual([])
    // Nobody kills this one.
    await store.executions.create('s-1', 'Order', {})
    await fill(store, 's-1', SEGMENTS)
    await store.executions.save(whole as never)
    expect(await parts()).toEqual(['head'])
    await store.close()
  })

  it('between an end and its expiry leaves what ends all the same', async () => {
    const { store, executionsTableName, items, parts } = await open({ executionTtlMs: 1_000 })
    await store.executions.create('s-1', 'Order', { LARGE }, { status: 'running' })
    await fill(store, 's-1', 3)
    {
      // The end itself is a transaction's or the first update's; the expiry of the others follows.
      await using other = await behind(executionsTableName, killedBehind(2, ['UpdateItem']), { executionTtlMs: 1_000 })
      await rejectionOf(other.store.executions.updateStatus('s-1', 'completed'))
    }
    const [head] = (await items()).filter(({ part }) => part?.S === 'head')
    expect(head?.endsAt).toBeDefined()
    // TTL must not take the head before the others.
    expect(head?.expiresAt).toBeUndefined()
    expect(await store.executions.load('s-1')).toMatchObject({ status: 'completed' })
    await sleep(2_100)
    expect(await store.executions.find('s-1')).toBeNull()
    expect(await store.executions.count({ name: 'Order' })).toBe(0)
    expect(await store.purgeExpired()).toBe(1)
    expect(await parts()).toEqual([])
    await store.close()
  })
})

describe('the expiry of what has ended', () => {
  it('is that of all items, and of none where it goes on', async () => {
    const { store, items } = await open({ executionTtlMs: 3_600_000 })
    const expiring = async () => (await items()).filter(({ expiresAt }) => expiresAt !== undefined).map(({ part }) => part?.S)
    await store.executions.create('small', 'Order', {}, { status: 'running' })
    await store.executions.updateStatus('small', 'completed')
    expect(await expiring()).toEqual(['head'])
    await store.executions.delete('small')
    await store.executions.create('s-1', 'Order', { LARGE }, { status: 'running' })
    await fill(store, 's-1', 2)
    await store.executions.updateStatus('s-1', 'failed')
    const all = ['context#0000', 'head', 'log#000000000001', 'log#000000000002']
    expect(await expiring()).toEqual(all)
    // What is written behind the end ends as well.
    await fill(store, 's-1', 1)
    expect(await expiring()).toEqual([...all, 'log#000000000003'])
    await store.executions.checkpoint('s-1', { status: 'running', force: true })
    expect(await expiring()).toEqual([])
    await store.transaction((tx) => tx.executions.updateStatus('s-1', 'completed'))
    expect((await expiring()).length).toBe(5)
    await store.transaction((tx) => tx.executions.checkpoint('s-1', { status: 'running', force: true }))
    expect(await expiring()).toEqual([])
    await store.close()
  })
})

describe('readers', () => {
  it('see one context, whoever replaces it meanwhile', async () => {
    const { store } = await open()
    const context = (n: number) => ({ n, text: `${n % 10}`.repeat(900_000) })
    await store.executions.create('s-1', 'Order', context(0))
    let over = false
    const writing = (async () => {
      for (let n = 1; n <= 12; n++) await store.executions.updateContext('s-1', context(n))
      over = true
    })()
    while (!over) {
      const { context: found } = await store.executions.load<{ n: number; text: string }>('s-1')
      expect(found.text === context(found.n).text).toBe(true)
    }
    await writing
    await store.close()
  })
})
