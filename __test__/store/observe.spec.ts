import { subscribe, tracingChannel, unsubscribe } from 'node:diagnostics_channel'
import pino from 'pino'
import { describe, expect, it } from 'vitest'
import { type AnyStoreOptions, MemorySagaStore, type OperationContext, openStore, type SagaStore } from '../../index.js'
import { freePort } from '../support/ports'
import { runProgram, startProgram } from '../support/programs'
import { rejectionOf } from '../support/promises'

type Line = { level: string; message: string; fields: Record<string, unknown> }

function collector() {
  const lines: Line[] = []
  const at = (level: string) => (message: string, fields: Record<string, unknown>) => {
    lines.push({ level, message, fields })
  }
  return { lines, logger: { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') } }
}

describe('logger', () => {
  it('is told of puts and gets, with backend, operation, id, routing slip, bytes and duration', async () => {
    const { lines, logger } = collector()
    await using store = new MemorySagaStore({ logger })
    await store.put('slip-order-7-1763632000000', Buffer.alloc(123))
    await store.put('any id', Buffer.alloc(5), undefined, { routingSlipId: 'order-8' })
    await store.get('slip-order-7-1763632000000')
    expect(lines.map(({ level, message }) => `${level} ${message}`)).toEqual([
      'debug sagastore put',
      'debug sagastore put',
      'debug sagastore get',
    ])
    expect(lines[0]?.fields).toMatchObject({
      backend: 'memory',
      operation: 'put',
      id: 'slip-order-7-1763632000000',
      routingSlipId: 'order-7',
      bytes: 123,
    })
    expect(lines[0]?.fields.durationMs).toBeGreaterThan(0)
    expect(lines[1]?.fields).toMatchObject({ id: 'any id', routingSlipId: 'order-8', bytes: 5 })
    expect(lines[2]?.fields).toMatchObject({ operation: 'get', routingSlipId: 'order-7', bytes: 123 })
  })

  it('is told of every failure', async () => {
    const { lines, logger } = collector()
    await using store = new MemorySagaStore({ logger, maxPayloadBytes: 10 })
    await store.get('missing').catch(() => undefined)
    await store.put('slip-a-1', Buffer.alloc(11)).catch(() => undefined)
    await store.putMany([{ id: '', data: Buffer.alloc(1) }]).catch(() => undefined)
    expect(lines.map(({ level, fields }) => [level, fields.operation, fields.code])).toEqual([
      ['warn', 'get', 'NOT_FOUND'],
      ['error', 'put', 'PAYLOAD_TOO_LARGE'],
      ['error', 'putMany', 'INVALID_ARGUMENT'],
    ])
    expect(lines[1]?.fields).toMatchObject({ routingSlipId: 'a', id: 'slip-a-1' })
  })

  it('conflicts and ids that are taken are answers; which saga it was has fields of its own', async () => {
    const { lines, logger } = collector()
    await using store = new MemorySagaStore({ logger })
    const saga = { metadata: { sagaId: 'saga-1' } }
    await store.states.insert('Orders', 'order-1', saga)
    await store.states.insert('Orders', 'order-1', saga).catch(() => undefined)
    await store.states.update('Orders', saga, 7).catch(() => undefined)
    await store.states.getByCorrelationId('Orders', 'order-1')
    await store.executions.create('saga-1', 'Orders')
    const told = lines.map(({ level, fields: { operation, code, sagaName, sagaId, correlationId } }) => [
      level, operation, code, sagaName, sagaId, correlationId,
    ]) // biome-ignore format: one line reads better
    expect(told).toEqual([
      ['debug', 'states.insert', undefined, 'Orders', 'saga-1', 'order-1'],
      ['debug', 'states.insert', 'ALREADY_EXISTS', 'Orders', 'saga-1', 'order-1'],
      ['debug', 'states.update', 'CONCURRENCY_CONFLICT', 'Orders', 'saga-1', undefined],
      ['debug', 'states.getByCorrelationId', undefined, 'Orders', undefined, 'order-1'],
      ['debug', 'executions.create', undefined, undefined, 'saga-1', undefined],
    ])
  })

  it('says after how many attempts', async () => {
    const { lines, logger } = collector()
    const url = `redis://127.0.0.1:${await freePort()}`
    await using store = openStore({ url, logger, retry: { attempts: 3, baseMs: 1, maxMs: 1 } })
    expect(await rejectionOf(store.get('a'))).toMatchObject({ code: 'CONNECTION', attempts: 3 })
    expect(lines.map(({ level, fields }) => [level, fields.attempts])).toEqual([['error', 3]])
    await using once = openStore({ url, logger, retry: { attempts: 1 } })
    expect(await rejectionOf(once.get('a'))).not.toHaveProperty('attempts')
  })

  it('is told of an operation that is slow', async () => {
    const { lines, logger } = collector()
    // The work of a transaction takes a while; anything takes longer than a millisecond of it.
    const slow = async (slowMs?: number) => {
      await using store = new MemorySagaStore({ logger, ...(slowMs !== undefined && { slowMs }) })
      await store.transaction(() => new Promise((resume) => setTimeout(resume, 60)))
      return lines.splice(0).map(({ level, message }) => `${level} ${message.replace(/\d+ ms/, '… ms')}`)
    }
    expect(await slow(20)).toEqual(['warn sagastore transaction: slow, … ms', 'debug sagastore transaction'])
    expect(await slow(0)).toEqual(['debug sagastore transaction'])
    expect(await slow(600_000)).toEqual(['debug sagastore transaction'])
    expect(() => new MemorySagaStore({ slowMs: -1 })).toThrow(/slowMs/)
  })

  it('a batch of one is no batch', async () => {
    const { lines, logger } = collector()
    await using store = new MemorySagaStore({ logger })
    await store.putMany([{ id: 'a', data: Buffer.alloc(1) }])
    await store.getMany(['a', 'b'])
    expect(lines.map(({ fields }) => fields.batchSize)).toEqual([undefined, 2])
  })

  it('works with pino, and computes nothing for a level that is off', async () => {
    const written: Record<string, unknown>[] = []
    const stream = { write: (line: string) => void written.push(JSON.parse(line)) }
    const logger = pino({ level: 'debug' }, stream)
    await using store = new MemorySagaStore({ logger })
    await store.put('id', Buffer.alloc(3))
    expect(written[0]).toMatchObject({ msg: 'sagastore put', operation: 'put', bytes: 3 })
    logger.level = 'warn'
    await store.put('id', Buffer.alloc(3))
    expect(written).toHaveLength(1)
    await store.get('none').catch(() => undefined)
    expect(written[1]).toMatchObject({ code: 'NOT_FOUND' })
  })
})

describe('a late payload', () => {
  it('is told at warn, with how late it is', async () => {
    const { lines, logger } = collector()
    await using store = new MemorySagaStore({ logger })
    const anHourAgo = new Date(Date.now() - 3_600_000)
    await store.put('slip-7-1', Buffer.from('x'), anHourAgo)
    await store.putMany([
      { id: 'a', data: Buffer.from('x'), expiresAt: new Date(Date.now() + 60_000) },
      { id: 'b', data: Buffer.from('x'), expiresAt: anHourAgo },
    ])
    expect(await store.touch('a', anHourAgo)).toBe(true)
    expect(await store.touch('none', anHourAgo)).toBe(false)
    await store.transaction((tx) => tx.put('c', Buffer.from('x'), anHourAgo))
    await store.put('in time', Buffer.from('x'), new Date(Date.now() + 60_000))
    const warned = lines.filter(({ level }) => level === 'warn')
    expect(warned.map(({ fields }) => fields.operation)).toEqual(['put', 'putMany', 'touch', 'put'])
    expect(warned[0]).toMatchObject({
      message: expect.stringMatching(/expiresAt passed 3600\.\d+ s/),
      fields: { id: 'slip-7-1', routingSlipId: '7' },
    })
    for (const { fields } of warned) expect(fields.lateMs).toBeGreaterThanOrEqual(3_600_000)
  })
})

describe('observers that fail change no operation', () => {
  const broken = () => {
    throw new Error('the log is full')
  }
  const rejecting = () => Promise.reject(new Error('the log is full'))
  const getters = Object.defineProperties(
    {},
    Object.fromEntries(['debug', 'info', 'warn', 'error'].map((name) => [name, { get: laterBroken() }])),
  )

  /** A getter that works once: while the logger is looked at. */
  function laterBroken() {
    let reads = 0
    return () => (reads++ === 0 ? () => undefined : broken())
  }

  it.each<[string, object]>([
    ['a logger that throws', { debug: broken, info: broken, warn: broken, error: broken }],
    ['a logger that rejects', { debug: rejecting, info: rejecting, warn: rejecting, error: rejecting }],
    ['a logger whose getters throw', getters],
    ['a logger that cannot say its level', { ...console, debug: broken, warn: broken, error: broken, isLevelEnabled: broken }],
    ['a pino whose stream fails', pino({ level: 'debug' }, { write: broken })],
  ])('%s', async (_, logger) => {
    const unhandled: unknown[] = []
    const note = (reason: unknown) => unhandled.push(reason)
    process.on('unhandledRejection', note)
    await using store = new MemorySagaStore({ logger: logger as never })
    await store.put('id', Buffer.from('data'), new Date(Date.now() - 1000))
    expect((await store.get('id')).toString()).toBe('data')
    await expect(store.get('none')).rejects.toMatchObject({ code: 'NOT_FOUND', id: 'none' })
    await expect(store.put('', Buffer.from('x'))).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' })
    await store.transaction((tx) => tx.put('in', Buffer.from('x')))
    expect(await store.has('in')).toBe(true)
    await new Promise((resolve) => setTimeout(resolve, 10))
    process.off('unhandledRejection', note)
    expect(unhandled).toEqual([])
  })

  it('a logger that cannot be read is refused', () => {
    const logger = Object.defineProperty({ ...console }, 'warn', { get: broken })
    expect(() => new MemorySagaStore({ logger: logger as never })).toThrow(/'logger' must have the methods .*missing: warn/)
  })

  it('a subscriber of the channel that freezes what it is given', async () => {
    const freeze = (context: unknown) => void Object.freeze(context)
    const tooLate: unknown[] = []
    const asyncEnd = (context: unknown) => void tooLate.push(context)
    subscribe('tracing:sagastore:operation:start', freeze)
    subscribe('tracing:sagastore:operation:asyncEnd', asyncEnd)
    await using store = new MemorySagaStore()
    await store.put('id', Buffer.from('data'))
    expect((await store.get('id')).toString()).toBe('data')
    await expect(store.get('none')).rejects.toMatchObject({ code: 'NOT_FOUND' })
    unsubscribe('tracing:sagastore:operation:start', freeze)
    unsubscribe('tracing:sagastore:operation:asyncEnd', asyncEnd)
    expect(tooLate).toHaveLength(3)
  })

  it('a subscriber that throws is an uncaught exception, as Node.js has it, and the operation goes on', async () => {
    const program = `
      const { subscribe } = require('node:diagnostics_channel')
      let uncaught = 0
      process.on('uncaughtException', () => { uncaught += 1 })
      for (const name of ['start', 'end', 'asyncStart', 'asyncEnd', 'error'])
        subscribe('tracing:sagastore:operation:' + name, () => { throw new Error('subscriber') })
      const store = sagastore.openStore('memory://')
      await store.put('id', Buffer.from('data'))
      const missing = await store.get('none').catch((error) => error.code)
      const data = String(await store.get('id'))
      await new Promise(setImmediate)
      console.log(missing, data, uncaught)`
    expect(await runProgram(program)).toBe('NOT_FOUND data 13\n')
  })

  it('keeps the caller’s stack', async () => {
    const listener = () => undefined
    subscribe('tracing:sagastore:operation:start', listener)
    await using store = new MemorySagaStore()
    async function loadTheTracedOrder() {
      return await store.get('missing')
    }
    const error = await loadTheTracedOrder().catch((reason: Error) => reason)
    unsubscribe('tracing:sagastore:operation:start', listener)
    expect((error as Error).stack).toContain('loadTheTracedOrder')
  })
})

describe('SAGASTORE_LOG', () => {
  const program = `
    const store = sagastore.openStore('memory://')
    await store.put('slip-x-1', Buffer.alloc(9))
    await store.get('none').catch(() => undefined)`

  it('logs to stderr without any code, from its level on', async () => {
    const debug = await startProgram(program, {}, { env: { SAGASTORE_LOG: 'debug' } }).done
    expect(debug.stderr).toMatch(/DEBUG sagastore put \{.*"routingSlipId":"x".*"bytes":9/)
    expect(debug.stderr).toMatch(/WARN sagastore get failed: .*"code":"NOT_FOUND"/)
    const error = await startProgram(program, {}, { env: { SAGASTORE_LOG: 'error' } }).done
    expect(error.stderr).toBe('')
    expect(await runProgram(program)).toBe('')
  })
})

describe('the tracing channel sagastore:operation', () => {
  it('tells start, end and error of every operation, with OpenTelemetry names', async () => {
    const events: [string, OperationContext][] = []
    const names = ['start', 'asyncEnd', 'error'] as const
    const listeners = names.map(
      (name) =>
        [`tracing:sagastore:operation:${name}`, (context: unknown) => events.push([name, { ...(context as OperationContext) }])] as const,
    )
    for (const [name, listener] of listeners) subscribe(name, listener)
    await using store = new MemorySagaStore()
    await store.put('slip-7-1', Buffer.alloc(44))
    await store.get('slip-7-1')
    await store.get('none').catch(() => undefined)
    await store.getMany(['a', 'b'])
    for (const [name, listener] of listeners) unsubscribe(name, listener)
    await store.get('slip-7-1')

    expect(events.map(([name, { operation }]) => `${operation} ${name}`)).toEqual([
      'put start', 'put asyncEnd', 'get start', 'get asyncEnd', 'get start', 'get error', 'get asyncEnd', 'getMany start', 'getMany asyncEnd',
    ]) // biome-ignore format: one line reads better
    expect(events[0]?.[1]).toMatchObject({ backend: 'memory', id: 'slip-7-1', routingSlipId: '7', bytes: 44 })
    expect(events[0]?.[1].attributes).toMatchObject({ 'db.operation.name': 'put', 'db.system.name': 'sagastore.memory' })
    expect(events[3]?.[1]).toMatchObject({ bytes: 44 })
    expect(events[6]?.[1].attributes).toMatchObject({ 'error.type': 'NOT_FOUND' })
    expect(events[7]?.[1].attributes).toMatchObject({ 'db.operation.batch.size': 2 })
    expect(tracingChannel('sagastore:operation').start.hasSubscribers).toBe(false)
  })
})

describe('the database in traces', () => {
  async function attributesOf(options: AnyStoreOptions, call: (store: SagaStore) => Promise<unknown>) {
    let attributes: OperationContext['attributes'] = {}
    const listener = (context: unknown) => {
      attributes = (context as OperationContext).attributes
    }
    await using store = openStore(options)
    subscribe('tracing:sagastore:operation:asyncEnd', listener)
    await call(store).catch(() => undefined)
    unsubscribe('tracing:sagastore:operation:asyncEnd', listener)
    return attributes
  }
  const get = (store: SagaStore) => store.get('a')
  const getState = (store: SagaStore) => store.states.getById('Orders', 'saga-1')
  const closed = '127.0.0.1:1'
  const once = { retry: { attempts: 1 }, connectTimeoutMs: 500 }

  it.each<[AnyStoreOptions, (store: SagaStore) => Promise<unknown>, string | undefined, string | undefined]>([
    [{ url: 'memory://' }, get, undefined, undefined],
    [{ url: 'sqlite::memory:' }, get, ':memory:', 'saga_store'],
    [{ url: 'sqlite::memory:', namespace: 'orders' }, getState, ':memory:', 'orders_sagas'],
    [{ url: `postgres://u@${closed}/shop`, schema: 'app', ...once }, getState, 'shop|app', 'saga_instances'],
    [{ url: `postgres://u@${closed}/shop`, tableName: 'slips', ...once }, get, 'shop', 'slips'],
    [{ url: `redis://${closed}/3`, ...once }, get, '3', undefined],
    [{ url: `redis://${closed}`, ...once }, getState, '0', undefined],
    [{ url: `mongodb://${closed}/shop`, namespace: 'orders', ...once }, get, 'shop', 'orders_payloads'],
    [{ url: `dynamodb://eu-west-1/slips?endpoint=http://${closed}`, ...once }, get, undefined, 'slips'],
  ])('%o', async (options, call, namespace, collection) => {
    const attributes = await attributesOf(options, call)
    expect([attributes['db.namespace'], attributes['db.collection.name']]).toEqual([namespace, collection])
  })

  it.skipIf(process.env.POSTGRES_URL === undefined)('what the server calls a failure', async () => {
    const url = new URL(process.env.POSTGRES_URL as string)
    url.pathname = '/not_there'
    const attributes = await attributesOf({ url: url.href }, get)
    expect(attributes).toMatchObject({ 'error.type': 'CONNECTION', 'db.response.status_code': '3D000', 'db.namespace': 'not_there' })
  })
})

describe('a stack', () => {
  it('reaches the caller’s await', async () => {
    await using store = new MemorySagaStore()
    async function loadTheOrder() {
      return await store.get('missing')
    }
    const error = await loadTheOrder().catch((reason: Error) => reason)
    expect((error as Error).stack).toContain('loadTheOrder')
    await using watched = new MemorySagaStore({ logger: collector().logger })
    async function loadTheWatchedOrder() {
      return await watched.get('missing')
    }
    const other = await loadTheWatchedOrder().catch((reason: Error) => reason)
    expect((other as Error).stack).toContain('loadTheWatchedOrder')
  })
})
