import { inspect } from 'node:util'
import {
  CreateTableCommand,
  DescribeTableCommand,
  DescribeTimeToLiveCommand,
  DynamoDBClient,
  GetItemCommand,
  PutItemCommand,
  UpdateTimeToLiveCommand,
} from '@aws-sdk/client-dynamodb'
import { describe, expect, it } from 'vitest'
import { DynamoDBSagaStore, type DynamoDBStoreOptions, openStore } from '../../../index.js'
import { type Refusal, startProxy } from '../../support/dynamodb-proxy'
import { dynamo, open, withDynamoDB } from '../../support/dynamodb-server'
import { runProgram, startProgram } from '../../support/programs'
import { rejectionOf } from '../../support/promises'
import { randomName } from '../../support/targets'

withDynamoDB()

const inAnHour = () => new Date(Date.now() + 3_600_000)

/** The item as another program sees it. */
const item = async (table: string, id: string) =>
  (await dynamo.client.send(new GetItemCommand({ TableName: table, Key: { id: { S: id } }, ConsistentRead: true }))).Item

const putItem = (table: string, attributes: object) =>
  dynamo.client.send(new PutItemCommand({ TableName: table, Item: attributes as Record<string, never> }))

const createTable = (table: string, key = 'id', type: 'S' | 'N' = 'S') =>
  dynamo.client.send(
    new CreateTableCommand({
      TableName: table,
      KeySchema: [{ AttributeName: key, KeyType: 'HASH' }],
      AttributeDefinitions: [{ AttributeName: key, AttributeType: type }],
      BillingMode: 'PAY_PER_REQUEST',
    }),
  )

const ttl = async (table: string) => (await dynamo.client.send(new DescribeTimeToLiveCommand({ TableName: table }))).TimeToLiveDescription

describe('the format', () => {
  it('is id, data, the TTL second rounded up, and the exact expiry beside it', async () => {
    const { store, table } = open()
    await store.initialize()
    const at = new Date(Math.floor(Date.now() / 1000) * 1000 + 3_600_001)
    await store.put('slip-1', Buffer.from([0, 255, 128]), at)
    const seconds = (at.getTime() + 999) / 1000
    expect(await item(table, 'slip-1')).toEqual({
      id: { S: 'slip-1' },
      data: { B: new Uint8Array([0, 255, 128]) },
      expiresAt: { N: String(seconds) },
      expiresAtMs: { N: String(at.getTime()) },
    })
    // Several at once go as a batch.
    const whole = new Date(Math.floor(Date.now() / 1000) * 1000 + 3_600_000)
    await store.putMany([
      { id: 'a', data: Buffer.alloc(0), expiresAt: whole },
      { id: 'b', data: Buffer.from('b') },
    ])
    expect((await item(table, 'a'))?.expiresAt).toEqual({ N: String(whole.getTime() / 1000) })
    expect(await item(table, 'b')).toEqual({ id: { S: 'b' }, data: { B: new Uint8Array(Buffer.from('b')) } })
    expect(await store.touch('b', at)).toBe(true)
    expect(await item(table, 'b')).toMatchObject({ expiresAt: { N: String(seconds) }, expiresAtMs: { N: String(at.getTime()) } })
    await store.close()
  })

  it('is read as other software writes it', async () => {
    const { store, table } = open()
    await store.initialize()
    const now = Math.floor(Date.now() / 1000)
    const data = { B: Buffer.from('theirs') }
    await putItem(table, { id: { S: 'kept' }, data, expiresAt: { N: String(now + 60) }, other: { S: 'x' } })
    await putItem(table, { id: { S: 'over' }, data, expiresAt: { N: String(now - 5) } })
    await putItem(table, { id: { S: 'moved' }, data, expiresAt: { N: String(now + 60) }, expiresAtMs: { N: '1000' } })
    expect([...(await store.getMany(['kept', 'over', 'moved'])).keys()]).toEqual(['kept', 'moved'])
    expect(await store.delete('over')).toBe(false)
    expect(await store.touch('over', inAnHour())).toBe(false)
    expect(await store.delete('moved')).toBe(true)
    await store.close()
  })

  it.each<[string, object]>([
    ['no data', {}],
    ['a string as data', { data: { S: 'text' } }],
    ['a number set as data', { data: { NS: ['1'] } }],
    ['a string as expiry', { data: { B: Buffer.from('x') }, expiresAt: { S: '2026-01-01T00:00:00Z' } }],
  ])('%s is CORRUPT_DATA, with the id', async (_, attributes) => {
    const { store, table } = open()
    await store.initialize()
    await putItem(table, { id: { S: 'theirs' }, ...attributes })
    await store.put('ours', Buffer.from('x'))
    expect(await rejectionOf(store.get('theirs'))).toMatchObject({ code: 'CORRUPT_DATA', id: 'theirs', retryable: false })
    const [theirs, ours] = await Promise.allSettled([store.get('theirs'), store.get('ours')])
    expect([theirs?.status, ours?.status]).toEqual(['rejected', 'fulfilled'])
    expect((await store.statistics()).payloads.count).toBe(2)
    expect(await store.delete('theirs')).toBe(true)
    expect(await store.has('theirs')).toBe(false)
    await store.close()
  })
})

describe('the size limit', () => {
  it('is that of the whole item, exactly', async () => {
    const { store, table } = open()
    await store.initialize()
    for (const id of ['a', 'slip-order-4711', 'ü'.repeat(512)]) {
      const bytes = Buffer.byteLength(id)
      const limit = store.capabilities.maxPayloadBytes - (bytes - 1)
      await store.put(id, Buffer.alloc(limit))
      // The expiry with the most digits: now the item has 409,600 bytes.
      expect(await store.touch(id, new Date(8_639_999_999_998_999))).toBe(true)
      await store.put(id, Buffer.alloc(limit), new Date(8_639_999_999_998_999))
      const stored = (await item(table, id)) as Record<string, object>
      const longer = { ...stored, data: { B: Buffer.alloc(limit + 1) } }
      await expect(putItem(table, longer)).rejects.toThrow(/Item size has exceeded/)
      const error = await rejectionOf(store.put(id, Buffer.alloc(limit + 1)))
      expect(error).toMatchObject({ code: 'PAYLOAD_TOO_LARGE', id, size: limit + 1, limit, backend: 'dynamodb' })
    }
    // As many as fit: more than one answer of DynamoDB can hold.
    const large = Array.from({ length: 60 }, (_, n) => ({ id: `large-${n}`, data: Buffer.alloc(400_000, n) }))
    await store.putMany(large)
    const found = await store.getMany(large.map(({ id }) => id))
    for (const { id, data } of large) expect(found.get(id)?.equals(data), id).toBe(true)
    await store.close()
  })
})

describe('initialize', () => {
  it('creates the table on demand billing, and switches TTL on, also of an existing table', async () => {
    const { store, table, warnings } = open()
    await store.initialize()
    const description = (await dynamo.client.send(new DescribeTableCommand({ TableName: table }))).Table
    expect(description?.BillingModeSummary?.BillingMode).toBe('PAY_PER_REQUEST')
    expect(await ttl(table)).toEqual({ AttributeName: 'expiresAt', TimeToLiveStatus: 'ENABLED' })
    await store.close()

    const existing = open()
    await createTable(existing.table)
    expect((await existing.store.health()).status).toBe('degraded')
    await existing.store.initialize()
    expect(await ttl(existing.table)).toEqual({ AttributeName: 'expiresAt', TimeToLiveStatus: 'ENABLED' })
    expect((await existing.store.health()).status).toBe('healthy')
    await existing.store.close()
    expect([...warnings, ...existing.warnings]).toEqual([])
  })

  it('warns of a TTL on another attribute', async () => {
    const { store, table, warnings } = open()
    await createTable(table)
    const setting = { AttributeName: 'ttl', Enabled: true }
    await dynamo.client.send(new UpdateTimeToLiveCommand({ TableName: table, TimeToLiveSpecification: setting }))
    await store.initialize()
    expect(warnings).toEqual([expect.stringContaining('attribute ttl')])
    expect(await store.health()).toMatchObject({ status: 'degraded', message: expect.stringContaining('attribute ttl') })
    await store.close()
  })

  it('refuses a table with another key, and names it', async () => {
    for (const [key, type] of [
      ['pk', 'S'],
      ['id', 'N'],
    ] as const) {
      const { store, table } = open()
      await createTable(table, key, type)
      const error = await rejectionOf(store.initialize())
      expect(error).toMatchObject({ code: 'BACKEND', retryable: false })
      expect(error.message).toContain(`${key} (${type}, HASH)`)
      expect(await rejectionOf(store.put('id', Buffer.from('x')))).toMatchObject({ code: 'BACKEND', retryable: false })
      await store.close()
    }
  })

  it('may be called by eight processes at once', async () => {
    const args = { url: dynamo.server.url, tableName: randomName('t'), credentials: dynamo.server.credentials }
    const program = `
      const warnings = []
      const logger = { debug() {}, info() {}, error() {}, warn: (message) => warnings.push(message) }
      const store = sagastore.openStore({ ...args, logger })
      await store.initialize()
      await store.put('id-' + process.pid, Buffer.from('x'))
      await store.close()
      if (warnings.length > 0) throw new Error(warnings.join())`
    const processes = Array.from({ length: 8 }, () => startProgram(program, args))
    for (const { code, stderr } of await Promise.all(processes.map(({ done }) => done))) expect(code, stderr).toBe(0)
    expect((await ttl(args.tableName))?.TimeToLiveStatus).toBe('ENABLED')
    await using store = openStore(args)
    expect((await store.statistics()).payloads.count).toBe(8)
  })

  it('without a table: operations say what to do', async () => {
    const { store, table } = open()
    const error = await rejectionOf(store.put('id', Buffer.from('x')))
    expect(error).toMatchObject({ code: 'BACKEND', retryable: false })
    expect(error.message).toMatch(new RegExp(`${table} does not exist.*initialize`))
    expect(await store.health()).toMatchObject({ status: 'degraded', message: expect.stringContaining('initialize') })
    await store.close()
  })
})

describe('permissions', () => {
  const denied = (operation: string, table = 'x'): Refusal => ({
    code: 'AccessDeniedException',
    message: `User: arn:aws:iam::1:user/x is not authorized to perform: dynamodb:${operation} on resource: table/${table}`,
  })

  it.each([
    [['UpdateTimeToLive'], /dynamodb:UpdateTimeToLive/],
    [['UpdateTimeToLive', 'DescribeTimeToLive'], /dynamodb:UpdateTimeToLive.*dynamodb:DescribeTimeToLive/],
    [['DescribeTable'], /dynamodb:DescribeTable/],
  ])('%s missing is a warning when the table exists', async (operations, warning) => {
    await using proxy = await startProxy(dynamo.server.endpoint, {
      request: (operation) => (operations.includes(operation) ? denied(operation) : undefined),
    })
    const { store, table, warnings } = open({ url: proxy.url })
    await createTable(table)
    await store.initialize()
    // Of the tables of sagas, executions, outbox and inbox, too.
    expect(warnings).toEqual(Array(5).fill(expect.stringMatching(warning)))
    await store.put('id', Buffer.from('x'))
    expect((await store.health()).status).toMatch(operations.includes('DescribeTable') ? 'healthy' : /healthy|degraded/)
    await store.close()
  })

  it('an unknown table without the right to create it is a clear error', async () => {
    for (const operations of [['CreateTable'], ['CreateTable', 'DescribeTable']]) {
      await using proxy = await startProxy(dynamo.server.endpoint, {
        request: (operation) => (operations.includes(operation) ? denied(operation) : undefined),
      })
      const { store, table } = open({ url: proxy.url })
      const error = await rejectionOf(store.initialize())
      expect(error).toMatchObject({ code: 'BACKEND', retryable: false })
      expect(error.message).toMatch(new RegExp(`${table} does not exist.*dynamodb:CreateTable`))
      await store.close()
    }
  })

  it('batches that are forbidden are done one by one', async () => {
    await using proxy = await startProxy(dynamo.server.endpoint, {
      request: (operation) => (operation.startsWith('Batch') ? denied(operation) : undefined),
    })
    const { store } = open({ url: proxy.url })
    await store.initialize()
    const entries = Array.from({ length: 60 }, (_, n) => ({ id: `id-${n}`, data: Buffer.from(`${n}`) }))
    for (let round = 0; round < 3; round++) await store.putMany(entries)
    for (let round = 0; round < 3; round++) expect((await store.getMany(entries.map(({ id }) => id))).size).toBe(60)
    expect(proxy.seen.filter((operation) => operation.startsWith('Batch')).length).toBeLessThan(12)
    await store.close()
  })

  it('one action missing is named, by initialize and health too', async () => {
    await using proxy = await startProxy(dynamo.server.endpoint, {
      request: (operation) => (operation === 'DeleteItem' ? denied(operation) : undefined),
    })
    const { store, names, warnings } = open({ url: proxy.url })
    await store.initialize()
    const lacks = Object.values(names).map((table) => `these credentials lack the permission dynamodb:DeleteItem on table ${table}`)
    expect(warnings.sort()).toEqual(lacks.map((lack) => `sagastore initialize: ${lack}`).sort())
    expect(await store.health()).toMatchObject({ status: 'degraded', message: expect.stringContaining(lacks[0] as string) })
    const client = new DynamoDBClient({
      endpoint: new URL(proxy.url).searchParams.get('endpoint') as string,
      region: 'local',
      credentials: dynamo.server.credentials,
    })
    await using onClient = new DynamoDBSagaStore({ client, ...names })
    expect(await onClient.health()).toMatchObject({ status: 'degraded', message: expect.stringContaining('dynamodb:DeleteItem') })
    client.destroy()
    const error = await rejectionOf(store.delete('id'))
    expect(error).toMatchObject({ code: 'BACKEND', retryable: false })
    expect(error.message).toContain('dynamodb:DeleteItem')
    await store.close()
  })
})

describe('credentials', () => {
  it('that are wrong are said at once, and not shown', async () => {
    const sessionToken = 'a-session-token-that-nobody-may-see'
    for (const code of ['UnrecognizedClientException', 'InvalidSignatureException', 'MissingAuthenticationTokenException']) {
      const message = `The security token is invalid. Canonical: x-amz-security-token:${sessionToken}`
      await using proxy = await startProxy(dynamo.server.endpoint, { request: () => ({ code, message }) })
      const credentials = { accessKeyId: 'AKIAWRONG', secretAccessKey: 'hunter2-hunter2', sessionToken }
      const { store } = open({ url: proxy.url, credentials })
      const error = await rejectionOf(store.put('id', Buffer.from('x')))
      expect(error).toMatchObject({ code: 'CONNECTION', retryable: false, message: expect.stringContaining('credentials') })
      expect(inspect([error, store], { depth: 10, showHidden: true })).not.toMatch(/hunter2|nobody-may-see/)
      expect(await store.health()).toMatchObject({ status: 'unhealthy' })
      expect(await rejectionOf(store.initialize())).toMatchObject({ code: 'CONNECTION', retryable: false })
      await store.close()
    }
  })

  const aws = {
    AWS_CONFIG_FILE: '/nonexistent',
    AWS_SHARED_CREDENTIALS_FILE: '/nonexistent',
    AWS_EC2_METADATA_DISABLED: 'true',
    AWS_ACCESS_KEY_ID: '',
    AWS_SECRET_ACCESS_KEY: '',
    AWS_REGION: '',
    AWS_DEFAULT_REGION: '',
    AWS_PROFILE: '',
  }

  it('come from the environment where the options have none', async () => {
    const program = `
      const store = sagastore.openStore(args)
      await store.initialize()
      await store.put('id', Buffer.from('x'))
      console.log(await store.has('id'))
      await store.close()`
    const { accessKeyId, secretAccessKey } = dynamo.server.credentials
    const args = { url: dynamo.server.url, tableName: randomName('t') }
    const env = { ...aws, AWS_ACCESS_KEY_ID: accessKeyId, AWS_SECRET_ACCESS_KEY: secretAccessKey }
    expect(await runProgram(program, args, { env })).toBe('true\n')
    await using same = openStore({ ...args, credentials: dynamo.server.credentials })
    expect(await same.has('id')).toBe(true)
  })

  it('that are nowhere: an error that says where they are looked for; and a region', async () => {
    const program = `
      const store = sagastore.openStore(args)
      const error = await store.put('id', Buffer.from('x')).then(() => ({}), (error) => error)
      console.log(JSON.stringify({ code: error.code, retryable: error.retryable, message: error.message }))
      await store.close()`
    const nowhere = JSON.parse(await runProgram(program, { url: dynamo.server.url }, { env: aws }))
    expect(nowhere).toMatchObject({ code: 'CONNECTION', retryable: false })
    expect(nowhere.message).toMatch(/default chain.*environment.*profile/)
    const { credentials } = dynamo.server
    const noRegion = JSON.parse(await runProgram(program, { url: 'dynamodb:///orders', credentials }, { env: aws }))
    expect(noRegion).toMatchObject({ code: 'INVALID_ARGUMENT', retryable: false })
    expect(noRegion.message).toContain('AWS_REGION')
  })

  it('and the rest of the options are checked by the constructor', () => {
    const refused = (options: object) => {
      try {
        new DynamoDBSagaStore(options as DynamoDBStoreOptions)
        return undefined
      } catch (error) {
        return error
      }
    }
    const url = 'dynamodb://eu-west-1/orders'
    for (const options of [
      { url, tableName: 'others' },
      { url, region: 'eu-west-2' },
      { url: 'dynamodb://key:hunter2-hunter2@eu-west-1/orders' },
      { url, credentials: { accessKeyId: 'AKIA', secretAccesskey: 'hunter2-hunter2' } },
      { url, credentials: { accessKeyId: 'AKIA' } },
      { url, endpoint: 'localhost:8000' },
      { url: 'dynamodb://eu-west-1/a b' },
      { url, keyPrefix: 'x' },
    ]) {
      const error = refused(options)
      expect(error, JSON.stringify(options)).toMatchObject({ code: 'INVALID_ARGUMENT' })
      expect(inspect(error, { depth: 10 })).not.toContain('hunter2')
    }
    expect(inspect(new DynamoDBSagaStore({ url, credentials: { accessKeyId: 'A', secretAccessKey: 'hunter2' } }))).toContain(url)
  })
})

describe('purgeExpired', () => {
  it('removes what DynamoDB has not removed yet, in bounded batches', async () => {
    const { store, table } = open()
    // Not initialized: TTL stays off, so that DynamoDB Local removes nothing meanwhile.
    await createTable(table)
    const soon = new Date(Date.now() + 300)
    await store.putMany(Array.from({ length: 150 }, (_, n) => ({ id: `old-${n}`, data: Buffer.alloc(30_000), expiresAt: soon })))
    await store.putMany(Array.from({ length: 50 }, (_, n) => ({ id: `kept-${n}`, data: Buffer.alloc(30_000), expiresAt: inAnHour() })))
    await store.put('eternal', Buffer.from('x'))
    const second = Math.floor(Date.now() / 1000)
    await putItem(table, { id: { S: 'theirs' }, data: { B: Buffer.from('x') }, expiresAt: { N: String(second - 1) } })
    await new Promise((resume) => setTimeout(resume, 400))
    expect((await store.statistics()).payloads).toMatchObject({ count: 202, expired: 151 })
    expect(await store.purgeExpired({ limit: 10 })).toBe(10)
    expect(await store.purgeExpired({ limit: 15 })).toBe(15)
    // Expired after the walk through the table began: found all the same.
    await putItem(table, { id: { S: 'late' }, data: { B: Buffer.from('x') }, expiresAt: { N: String(second - 1) } })
    expect(await store.purgeExpired()).toBe(127)
    expect((await store.statistics()).payloads).toEqual({ count: 51, bytes: 50 * 30_000 + 1, expired: 0 })
    expect(await store.purgeExpired()).toBe(0)
    await store.close()
  })
})
