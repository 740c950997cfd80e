import { DynamoDBClient } from '@aws-sdk/client-dynamodb'
import { DynamoDBDocument, DynamoDBDocumentClient, type TranslateConfig } from '@aws-sdk/lib-dynamodb'
import BetterSqlite3 from 'better-sqlite3'
import { Cluster, Command, Redis } from 'ioredis'
import knex from 'knex'
import { CamelCasePlugin, Kysely, ParseJSONResultsPlugin, SqliteDialect } from 'kysely'
import { MongoClient, type MongoClientOptions } from 'mongodb'
import { createClient, createCluster, RESP_TYPES } from 'redis'
import { afterEach, describe, expect, it } from 'vitest'
import { openStore } from '../../index.js'
import { configOf } from '../support/dynamodb-libraries'
import { givesBack } from '../support/gives-back'
import { addressOf } from '../support/redis-libraries'
import { missing, randomName, targets, temporaryCollection } from '../support/targets'

const isMissing = (name: string) => missing(targets.find((target) => target.name === name) as (typeof targets)[number])

/** Every setting of a library that changes what comes back: the store's answers stay what they are. */
async function on(client: object, options: object, close: () => unknown): Promise<void> {
  const store = openStore({ client, ...options } as object)
  try {
    await givesBack(store)
  } finally {
    await store.close()
    await close()
  }
}

const prefixes = () => ({ keyPrefix: randomName('p'), statesKeyPrefix: `${randomName('s')}:` })

afterEach(() => {
  for (const name of ['get', 'set', 'eval', 'mget']) Reflect.deleteProperty(transformers, name)
})
const transformers = (Command as unknown as { _transformer: { reply: Record<string, unknown> } })._transformer.reply

describe.skipIf(isMissing('redis'))('ioredis', () => {
  it.each([
    { stringNumbers: true },
    { keyPrefix: 'app:', enableAutoPipelining: true, autoPipeliningIgnoredCommands: [] },
    { enableOfflineQueue: true, showFriendlyErrorStack: true, commandTimeout: 20_000 },
  ])('with %o', async (options) => {
    const client = new Redis({ ...addressOf('REDIS_URL'), ...options })
    await on(client, prefixes(), () => client.disconnect())
  })

  it('with transformers of the whole process', async () => {
    for (const name of ['get', 'set', 'eval', 'mget']) Command.setReplyTransformer(name, () => 'transformed')
    const client = new Redis(addressOf('REDIS_URL'))
    await on(client, prefixes(), () => client.disconnect())
  })
})

describe.skipIf(isMissing('redis cluster'))('clusters', () => {
  it('ioredis with settings of its nodes', async () => {
    const client = new Cluster([addressOf('REDIS_CLUSTER_URL')], { scaleReads: 'slave', redisOptions: { stringNumbers: true } })
    await on(client, prefixes(), () => client.disconnect())
  })

  it('node-redis with type mappings', async () => {
    const client = createCluster({
      rootNodes: [{ socket: addressOf('REDIS_CLUSTER_URL') }],
      commandOptions: { typeMapping: MAPPINGS.all },
    })
    await client.connect()
    await on(client, prefixes(), () => client.destroy())
  })
})

describe.skipIf(isMissing('redis') || isMissing('redis cluster'))('a keyPrefix of node-redis', () => {
  it('is kept off, as that of ioredis', async () => {
    const one = createClient({ url: process.env.REDIS_URL ?? '', keyPrefix: 'app:' })
    const cluster = createCluster({ rootNodes: [{ socket: addressOf('REDIS_CLUSTER_URL') }], keyPrefix: 'app:' })
    const plain = new Redis(addressOf('REDIS_URL'))
    const plainCluster = new Cluster([addressOf('REDIS_CLUSTER_URL')])
    for (const [client, other] of [
      [one, plain],
      [cluster, plainCluster],
    ] as const) {
      await client.connect()
      const names = prefixes()
      const store = openStore({ client, ...names } as object)
      await store.put('id', Buffer.from('x'))
      await store.transaction(async (tx) => tx.put('in a transaction', Buffer.from('y')))
      expect(await other.get(`${names.keyPrefix}:id`)).toBe('x')
      expect(await other.get(`${names.keyPrefix}:in a transaction`)).toBe('y')
      await store.close()
      await on(client, prefixes(), () => client.destroy())
      other.disconnect()
    }
  })
})

const MAPPINGS = {
  all: {
    [RESP_TYPES.SIMPLE_STRING]: Buffer,
    [RESP_TYPES.BLOB_STRING]: Buffer,
    [RESP_TYPES.NUMBER]: String,
    [RESP_TYPES.DOUBLE]: String,
    [RESP_TYPES.BIG_NUMBER]: String,
    [RESP_TYPES.MAP]: Array,
    [RESP_TYPES.SET]: Set,
  },
  text: { [RESP_TYPES.BLOB_STRING]: String, [RESP_TYPES.NUMBER]: Number },
}

describe.skipIf(isMissing('redis'))('node-redis', () => {
  for (const RESP of [2, 3] as const) {
    for (const [name, typeMapping] of Object.entries(MAPPINGS)) {
      it(`with RESP ${RESP} and the type mapping ${name}`, async () => {
        const client = createClient({ url: process.env.REDIS_URL ?? '', RESP, commandOptions: { typeMapping } })
        await client.connect()
        await on(client, prefixes(), () => client.destroy())
        const mapped = createClient({ url: process.env.REDIS_URL ?? '', RESP })
        await mapped.connect()
        await on(mapped.withTypeMapping(typeMapping), prefixes(), () => mapped.destroy())
      })
    }
  }
})

describe.skipIf(isMissing('mongodb'))('mongodb', () => {
  const settings: MongoClientOptions[] = [
    { promoteBuffers: false, promoteLongs: false, promoteValues: false },
    { promoteBuffers: true, ignoreUndefined: true, bsonRegExp: true, serializeFunctions: true },
    { useBigInt64: true },
    { raw: true },
    { fieldsAsRaw: { data: true }, enableUtf8Validation: false } as MongoClientOptions,
  ]
  it.each(settings)('with %o', async (options) => {
    const client = new MongoClient(process.env.MONGODB_URL ?? '', options)
    const names = { collectionName: temporaryCollection(), statesCollectionName: temporaryCollection() }
    await on(client, { database: 'sagas', ...names }, () => client.close())
  })
})

describe.skipIf(isMissing('dynamodb'))('dynamodb', () => {
  const settings: TranslateConfig[] = [
    { unmarshallOptions: { wrapNumbers: true } },
    { unmarshallOptions: { wrapNumbers: (text) => `n${text}`, convertWithoutMapWrapper: true } },
    { marshallOptions: { convertEmptyValues: true, removeUndefinedValues: true, convertClassInstanceToMap: true } },
    { marshallOptions: { convertTopLevelContainer: true, allowImpreciseNumbers: true } },
  ]
  it.each(settings)('with %o', async (options) => {
    for (const library of [DynamoDBDocumentClient, DynamoDBDocument]) {
      const under = new DynamoDBClient(configOf())
      const tables = ['tableName', 'statesTableName', 'executionsTableName', 'outboxTableName', 'inboxTableName']
      const names = Object.fromEntries(tables.map((table) => [table, randomName('t')]))
      await on(library.from(under, options), names, () => under.destroy())
    }
  })
})

describe('SQLite', () => {
  it('better-sqlite3 with safe integers', async () => {
    const client = new BetterSqlite3(':memory:')
    client.defaultSafeIntegers(true)
    await on(client, {}, () => client.close())
  })

  // node:sqlite: see sql-clients-handles.spec.ts, which runs a Node.js that has it.
  it('Knex with what it does to answers', async () => {
    const client = knex({
      client: 'better-sqlite3',
      connection: { filename: ':memory:', options: { safeIntegers: true } } as object,
      useNullAsDefault: true,
      postProcessResponse: () => 'changed',
      wrapIdentifier: (name) => `"x_${name}"`,
    })
    await on(client, {}, () => client.destroy())
  })

  it('Kysely with plugins', async () => {
    const client = new Kysely({
      dialect: new SqliteDialect({ database: new BetterSqlite3(':memory:') }),
      plugins: [new CamelCasePlugin(), new ParseJSONResultsPlugin()],
    })
    await on(client, {}, () => client.destroy())
  })
})
