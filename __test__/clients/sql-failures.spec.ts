import { DynamoDBClient, ListTablesCommand } from '@aws-sdk/client-dynamodb'
import { PrismaPg } from '@prisma/adapter-pg'
import { DrizzleQueryError } from 'drizzle-orm'
import Redis from 'ioredis'
import knex from 'knex'
import { MongoClient, MongoServerError } from 'mongodb'
import pg from 'pg'
import postgres from 'postgres'
import { createClient, ErrorReply } from 'redis'
import { describe, expect, it } from 'vitest'
import { describeClientError } from '../../ts/clients/failure'
import { recognizeSqlClient } from '../../ts/clients/sql'
import { prismaClient } from '../support/sql-libraries'

const thrown = (promise: Promise<unknown>) =>
  promise.then(
    () => Promise.reject(new Error('did not reject')),
    (error: unknown) => error,
  )

/** As a library made it, with what it adds. */
function error(message: string, fields: object = {}, name = 'Error'): Error {
  return Object.assign(new Error(message), { name }, fields)
}

describe('what libraries throw', () => {
  const sqlstate = error('could not serialize access', { code: '40001', severity: 'ERROR' }, 'error')

  it.each<[string, unknown, object]>([
    ['pg', sqlstate, { code: '40001', message: 'could not serialize access' }],
    ['drizzle', new DrizzleQueryError('insert ...', [], sqlstate), { code: '40001', message: 'could not serialize access' }],
    [
      'prisma 6',
      error('Raw query failed', { code: 'P2010', meta: { code: '23505', message: 'duplicate key' } }, 'PrismaClientKnownRequestError'),
      { code: '23505', message: 'duplicate key', name: 'PrismaClientKnownRequestError' },
    ],
    [
      'prisma 7',
      error(
        'Raw query failed',
        {
          code: 'P2010',
          meta: { driverAdapterError: { cause: { kind: 'postgres', originalCode: '40P01', originalMessage: 'deadlock' } } },
        },
        'PrismaClientKnownRequestError',
      ),
      { code: '40P01', message: 'deadlock' },
    ],
    ['prisma, no more', error('closed', { code: 'P2028', meta: {} }, 'PrismaClientKnownRequestError'), { code: 'P2028' }],
    ['prisma, no server', error('down', { code: 'P1001' }, 'PrismaClientInitializationError'), { code: 'ECONNREFUSED' }],
    ['better-sqlite3', error('locked', { code: 'SQLITE_BUSY' }, 'SqliteError'), { code: 'SQLITE_BUSY', name: 'SqliteError' }],
    ['node:sqlite', error('locked', { code: 'ERR_SQLITE_ERROR', errcode: 517 }), { code: 'SQLITE_BUSY' }],
    ['node:sqlite, other', error('what', { code: 'ERR_SQLITE_ERROR', errcode: 1 }), { code: 'SQLITE_ERROR' }],
    ['a socket', error('connect ECONNREFUSED', { code: 'ECONNREFUSED' }), { code: 'ECONNREFUSED' }],
    [
      'a socket, both addresses',
      Object.assign(new AggregateError([error('connect ECONNREFUSED ::1', { code: 'ECONNREFUSED' })]), { code: 'ECONNREFUSED' }),
      { code: 'ECONNREFUSED', message: 'connect ECONNREFUSED ::1' },
    ],
    ['a pipe', error('write EPIPE', { code: 'EPIPE' }), { code: 'EPIPE' }],
    ['a wrapped socket', new Error('outer', { cause: error('read', { code: 'ECONNRESET' }) }), { code: 'ECONNRESET', message: 'read' }],
    ['a database above a socket', error('EPIPE', { code: 'EPIPE', cause: sqlstate }), { code: '40001' }],
    ['ioredis', error('WRONGTYPE Operation against a key', {}, 'ReplyError'), { code: 'WRONGTYPE', name: 'ReplyError' }],
    ['ioredis, cluster', error('Failed to refresh', { lastNodeError: error('x', { code: 'ECONNREFUSED' }) }), { code: 'ECONNREFUSED' }],
    ['node-redis', new ErrorReply('CROSSSLOT Keys in request'), { code: 'CROSSSLOT', name: 'ErrorReply' }],
    ['node-redis, OOM', new ErrorReply("OOM command not allowed when used memory > 'maxmemory'."), { code: 'OOM' }],
    [
      'mongodb',
      new MongoServerError({ message: 'conflict', code: 112, errorLabels: ['TransientTransactionError'] }),
      { code: '112', labels: ['TransientTransactionError'], name: 'MongoServerError' },
    ],
    [
      'aws',
      error('no', { $metadata: {}, $fault: 'client' }, 'ConditionalCheckFailedException'),
      { code: 'ConditionalCheckFailedException', message: 'no' },
    ],
    ['aws, no server', error('connect', { $metadata: { attempts: 3 }, code: 'ECONNREFUSED' }), { code: 'ECONNREFUSED' }],
    ['text', 'oops', { message: 'oops', name: 'Error', labels: [] }],
    ['nothing', undefined, { message: 'undefined' }],
    ['an empty object', {}, { message: 'no message', labels: [] }],
    ['a bare symbol', Symbol('x'), { message: 'Symbol(x)' }],
  ])('%s', (_name, thrown, expected) => {
    expect(describeClientError(thrown)).toMatchObject(expected)
  })

  it('never throws, nor runs forever', () => {
    const circle = new Error('circle') as Error & { cause: unknown }
    circle.cause = new Error('other', { cause: circle })
    expect(describeClientError(circle)).toMatchObject({ message: 'circle', labels: [] })
    const hostile = {
      get message() {
        throw new Error('no')
      },
    }
    expect(describeClientError(hostile).labels).toEqual([])
  })
})

describe('a server that is not there', () => {
  const url = 'postgres://nobody@127.0.0.1:1/none'
  const ask = (client: unknown) => thrown(Promise.resolve(recognizeSqlClient(client)?.send('query', ['select $1::text as a', ['x']])))

  it('pg', async () => {
    expect(describeClientError(await ask(new pg.Pool({ connectionString: url })))).toMatchObject({ code: 'ECONNREFUSED' })
  })

  it('postgres', async () => {
    const sql = postgres(url, { max: 1 })
    expect(describeClientError(await ask(sql))).toMatchObject({ code: 'ECONNREFUSED' })
    await sql.end({ timeout: 0 })
    expect(describeClientError(await ask(sql))).toMatchObject({ code: 'CONNECTION_CLOSED' })
  })

  it('prisma', async () => {
    const prisma = prismaClient('postgresql', new PrismaPg({ connectionString: url }))
    expect(describeClientError(await ask(prisma))).toMatchObject({ code: 'ECONNREFUSED' })
  })

  it('knex', async () => {
    const client = knex({ client: 'pg', connection: url, acquireConnectionTimeout: 2000 })
    expect(describeClientError(await ask(client)).code).toMatch(/^(?:ECONNREFUSED|ETIMEDOUT)$/)
    await client.destroy()
  })

  it('ioredis, node-redis, mongodb, DynamoDB', async () => {
    const redis = new Redis({ port: 1, retryStrategy: () => null, maxRetriesPerRequest: 0 })
    redis.on('error', () => {})
    expect(describeClientError(await thrown(redis.get('a'))).code).toMatch(/^(?:ECONNREFUSED|CONNECTION_CLOSED)$/)
    const nodeRedis = createClient({ socket: { port: 1, reconnectStrategy: false } })
    nodeRedis.on('error', () => {})
    expect(describeClientError(await thrown(nodeRedis.connect()))).toMatchObject({ code: 'ECONNREFUSED' })
    expect(describeClientError(await thrown(nodeRedis.get('a')))).toMatchObject({ code: 'CONNECTION_CLOSED' })
    const mongo = new MongoClient('mongodb://127.0.0.1:1', { serverSelectionTimeoutMS: 500 })
    expect(describeClientError(await thrown(mongo.connect()))).toMatchObject({ code: 'ECONNREFUSED' })
    const dynamoDB = new DynamoDBClient({
      region: 'local',
      endpoint: 'http://127.0.0.1:1',
      maxAttempts: 1,
      credentials: { accessKeyId: 'a', secretAccessKey: 'b' },
    })
    expect(describeClientError(await thrown(dynamoDB.send(new ListTablesCommand({}))))).toMatchObject({ code: 'ECONNREFUSED' })
    dynamoDB.destroy()
  })
})
