import { Agent } from 'node:http'
import { type AddressInfo, createServer, type Server } from 'node:net'
import { inspect } from 'node:util'
import { DynamoDBClient, ListTablesCommand } from '@aws-sdk/client-dynamodb'
import { afterEach, describe, expect, it } from 'vitest'
import { DynamoDBSagaStore, openStore, RedisSagaStore } from '../../../index.js'
import { configOf, dynamoDBLibraries } from '../../support/dynamodb-libraries'
import { startProxy } from '../../support/dynamodb-proxy'
import { dynamo, withDynamoDB } from '../../support/dynamodb-server'
import { connectionsTo, freePort } from '../../support/ports'
import { runProgram } from '../../support/programs'
import { eventually, rejectionOf } from '../../support/promises'
import { randomName } from '../../support/targets'

describe('beside a store with a URL', () => {
  withDynamoDB()

  const closers: (() => unknown)[] = []
  afterEach(async () => {
    for (const close of closers.splice(0).reverse()) await close()
  })

  async function listening(server: Server): Promise<number> {
    await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
    closers.push(() => server.close())
    return (server.address() as AddressInfo).port
  }

  for (const library of dynamoDBLibraries) {
    it(`${library.name}: the same records, table and answers`, async () => {
      const { url, credentials } = dynamo.server
      const { client, close } = library.open(url)
      closers.push(close)
      const tableName = randomName('t')
      await using store = new DynamoDBSagaStore({ client: client as never, tableName })
      await using own = new DynamoDBSagaStore({ url, credentials, tableName })
      expect(await rejectionOf(store.put('id', Buffer.from('x')))).toMatchObject({
        code: 'BACKEND',
        message: expect.stringContaining('initialize'),
      })
      await Promise.all([store.initialize(), store.initialize()])
      expect(store.capabilities).toEqual(own.capabilities)
      const at = new Date(Date.now() + 3_600_001)
      for (const data of [Buffer.alloc(0), Buffer.from([0, 255, 128]), Buffer.alloc(400_000, 7)]) {
        await store.put('ü', new Uint8Array(data), at)
        expect((await own.get('ü')).equals(data)).toBe(true)
        await own.put('ü', data)
        expect((await store.get('ü')).equals(data)).toBe(true)
      }
      await own.putMany([
        { id: 'a', data: Buffer.from('a'), expiresAt: at },
        { id: 'b', data: Buffer.from('b') },
      ])
      expect(await store.getMany(['b', 'none', 'a'])).toEqual(await own.getMany(['a', 'b']))
      expect(await store.statistics()).toMatchObject({ payloads: { count: 3, bytes: 400_002, expired: 0 }, pool: null })
      expect(await store.health()).toMatchObject({ status: 'healthy', backend: 'dynamodb' })
    })
  }

  it('opens no connection in 10,000 operations, and closes nothing', async () => {
    const port = Number(new URL(dynamo.server.endpoint).port)
    const requestHandler = { httpAgent: new Agent({ keepAlive: true, maxSockets: 4 }) }
    const client = new DynamoDBClient({ ...configOf(dynamo.server.url), requestHandler })
    closers.push(() => client.destroy())
    await eventually('nobody else is connected', () => connectionsTo(port) === 0)
    const store = new DynamoDBSagaStore({ client, tableName: randomName('t') })
    await store.initialize()
    const round = async (count: number) => {
      const ids = Array.from({ length: count }, (_, n) => `id-${n}`)
      await Promise.all(ids.map((id) => store.put(id, Buffer.from(id))))
      const found = await Promise.all(ids.map((id) => store.get(id)))
      expect(found.map(String)).toEqual(ids)
    }
    await round(20)
    expect(connectionsTo(port)).toBe(4)
    for (let done = 0; done < 10_000; done += 500) await round(250)
    expect(connectionsTo(port)).toBe(4)
    await store.close()
    await client.send(new ListTablesCommand({}))
    expect(connectionsTo(port), 'close() closes nothing of the application’s').toBe(4)
    // About 18 seconds on two idle cores.
  }, 240_000)

  it('leaves retries to the client, and tells refusals with codes', async () => {
    let refusal: { code: string; message?: string } | undefined
    let refused = 0
    await using proxy = await startProxy(dynamo.server.endpoint, {
      request(operation) {
        if (refusal === undefined || operation === 'GetItem') return undefined
        refused += 1
        return refusal
      },
    })
    const client = new DynamoDBClient({ ...configOf(proxy.url), maxAttempts: 10 })
    closers.push(() => client.destroy())
    const hasty = new DynamoDBClient({ ...configOf(proxy.url), maxAttempts: 1 })
    closers.push(() => hasty.destroy())
    const tableName = randomName('t')
    await using store = new DynamoDBSagaStore({ client, tableName })
    await using once = new DynamoDBSagaStore({ client: hasty, tableName })
    await store.initialize()
    refusal = { code: 'AccessDeniedException', message: 'not authorized to perform: dynamodb:PutItem' }
    const denied = await rejectionOf(store.put('id', Buffer.from('secret payload')))
    expect(denied).toMatchObject({ code: 'BACKEND', retryable: false, backend: 'dynamodb', id: 'id' })
    expect(denied.message).toContain('dynamodb:PutItem')
    expect(inspect(denied)).not.toContain('secret')
    expect(denied.cause).toMatchObject({ name: 'AccessDeniedException' })
    refusal = { code: 'ProvisionedThroughputExceededException' }
    expect(await rejectionOf(once.put('id', Buffer.from('x')))).toMatchObject({ code: 'BACKEND', retryable: true })
    refused = 0
    setTimeout(() => {
      refusal = undefined
    }, 300)
    await store.put('id', Buffer.from('x'))
    expect(refused).toBeGreaterThan(0)
    expect((await store.get('id')).toString()).toBe('x')
  })

  it('nobody there, a server that never answers, no credentials', async () => {
    const client = new DynamoDBClient({ ...configOf(), endpoint: `http://127.0.0.1:${await freePort()}`, maxAttempts: 1 })
    closers.push(() => client.destroy())
    await using store = new DynamoDBSagaStore({ client, operationTimeoutMs: 2000 })
    expect(await rejectionOf(store.put('id', Buffer.from('x')))).toMatchObject({ code: 'CONNECTION', retryable: true })
    expect(await store.health()).toMatchObject({ status: 'unhealthy' })
    const endpoint = `http://127.0.0.1:${await listening(createServer(() => {}))}`
    const waiting = new DynamoDBClient({ ...configOf(), endpoint, maxAttempts: 1 })
    closers.push(() => waiting.destroy())
    await using patient = new DynamoDBSagaStore({ client: waiting, operationTimeoutMs: 400 })
    expect(await rejectionOf(patient.get('id'))).toMatchObject({ code: 'TIMEOUT' })
    const nobody = async () => {
      throw Object.assign(new Error('there are none'), { name: 'CredentialsProviderError' })
    }
    const unknown = new DynamoDBClient({ ...configOf(dynamo.server.url), credentials: nobody })
    closers.push(() => unknown.destroy())
    await using refused = new DynamoDBSagaStore({ client: unknown })
    const error = await rejectionOf(refused.get('id'))
    expect(error).toMatchObject({ code: 'CONNECTION', retryable: false, message: expect.stringContaining('credentials') })
    expect(error.cause).toMatchObject({ name: 'CredentialsProviderError' })
  })

  it('refuses what it does not know', () => {
    const client = new DynamoDBClient(configOf())
    closers.push(() => client.destroy())
    const invalid = expect.objectContaining({ code: 'INVALID_ARGUMENT' })
    expect(() => new DynamoDBSagaStore({ client, tableNmae: 'x' } as never)).toThrow(/tableNmae/)
    expect(() => new DynamoDBSagaStore({ client, region: 'eu-west-1' } as never)).toThrow(invalid)
    expect(() => new DynamoDBSagaStore({ client, url: 'dynamodb://local' } as never)).toThrow(invalid)
    expect(() => new DynamoDBSagaStore({ client, tableName: 'a b' })).toThrow(invalid)
    expect(() => new DynamoDBSagaStore({ client: { send() {}, destroy() {} } as never })).toThrow(/client-dynamodb/)
    expect(() => new RedisSagaStore({ client: client as never })).toThrow(/client-dynamodb client of dynamodb/)
    const shared = { send() {}, destroy() {}, middlewareStack: {} }
    for (const other of [{ ...shared, config: { serviceId: 'S3' } }, { ...shared }, { config: { serviceId: 'DynamoDB' } }]) {
      expect(() => openStore({ client: other } as never)).toThrow(/none that can be recognised; accepted: .*client-dynamodb/)
    }
    // What is only collected would be lost.
    for (const collector of [[], { TransactItems: [] }]) {
      expect(() => openStore({ client: collector } as never)).toThrow(/sent at its end .*withTransaction/)
    }
  })

  // Neither the application nor the package finds the SDK from here on, as in a bundle.
  const hidden = `
    const Module = require('node:module')
    const find = Module._resolveFilename
    Module._resolveFilename = function (name, ...rest) {
      if (name.startsWith('@aws-sdk/')) throw Object.assign(new Error('no ' + name), { code: 'MODULE_NOT_FOUND' })
      return find.call(this, name, ...rest)
    }`

  it('says so when the commands of a client cannot be found', async () => {
    const program = `
      ${hidden}
      const client = { config: { serviceId: 'DynamoDB' }, middlewareStack: {}, send() {}, destroy() {} }
      const store = sagastore.openStore({ client })
      await store.put('id', Buffer.from('x')).catch((error) => console.log(error.code, error.message))
    `
    expect(await runProgram(program)).toMatch(/INVALID_ARGUMENT.*@aws-sdk\/client-dynamodb.*install/)
  })

  it('does without commands on a client that has them as methods', async () => {
    const program = `
      const { DynamoDB } = require('@aws-sdk/client-dynamodb')
      const client = new DynamoDB(args.config)
      ${hidden}
      const store = sagastore.openStore({ client, tableName: args.tableName })
      await store.initialize()
      await store.put('id', Buffer.from('x'), new Date(Date.now() + 60000))
      await store.transaction((tx) => tx.put('other', Buffer.from('y')))
      console.log(String(await store.get('id')), await store.touch('id', new Date(Date.now() - 1)), await store.delete('other'), (await store.health()).status)
      await store.close()
      client.destroy()
    `
    const config = configOf(dynamo.server.url)
    expect(await runProgram(program, { config, tableName: randomName('t') })).toContain('x true true healthy')
  })
})
