import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DeleteTableCommand, DynamoDBClient } from '@aws-sdk/client-dynamodb'
import { type Db, MongoClient } from 'mongodb'
import pg from 'pg'
import { afterAll } from 'vitest'
import { type AnyStoreOptions, openStore, type SagaStore } from '../../index.js'
import { LOCAL_CREDENTIALS } from '../../scripts/services/servers.mjs'

/** A backend that the behaviour suite runs on. */
export interface Target {
  name: string
  /** Where a server is needed: its variable, and whether it is set. */
  available: boolean
  variable?: string
  /** Options of a store on data of its own. */
  options(): AnyStoreOptions & { url: string }
}

export function randomName(prefix = 't'): string {
  return `${prefix}_${randomBytes(6).toString('hex')}`
}

const directories: string[] = []

/** A directory that is removed when the test file is done. */
export function temporaryDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), 'sagastore-'))
  directories.push(directory)
  return directory
}

const schemas: string[] = []

/** A PostgreSQL schema that is dropped when the test file is done. */
export function temporarySchema(): string {
  const schema = randomName('sagastore_test')
  schemas.push(schema)
  return schema
}

const tables: string[] = []

/** A DynamoDB table that is deleted when the test file is done. */
export function temporaryTable(): string {
  const table = randomName('sagastore_test')
  tables.push(table)
  return table
}

/** DynamoDB Local wants to have some; for AWS itself they come from where the SDK looks. */
export function dynamoDBCredentials(url: string) {
  return new URL(url).searchParams.has('endpoint') ? { credentials: LOCAL_CREDENTIALS } : {}
}

/** Asks DynamoDB directly, as another program would. */
export function dynamoDB(url = process.env.DYNAMODB_URL ?? ''): DynamoDBClient {
  const { hostname, searchParams } = new URL(url)
  const endpoint = searchParams.get('endpoint')
  return new DynamoDBClient({ region: hostname, ...(endpoint === null ? {} : { endpoint }), ...dynamoDBCredentials(url) })
}

const collections: string[] = []

/** A MongoDB collection that is dropped when the test file is done. */
export function temporaryCollection(): string {
  const collection = randomName('sagastore_test')
  collections.push(collection)
  return collection
}

/** A collection for each kind of records. */
export function temporaryCollections() {
  return {
    collectionName: temporaryCollection(),
    statesCollectionName: temporaryCollection(),
    executionsCollectionName: temporaryCollection(),
    logCollectionName: temporaryCollection(),
    outboxCollectionName: temporaryCollection(),
    inboxCollectionName: temporaryCollection(),
  }
}

/** A DynamoDB table for each kind of records. */
export function temporaryTables() {
  return {
    tableName: temporaryTable(),
    statesTableName: temporaryTable(),
    executionsTableName: temporaryTable(),
    outboxTableName: temporaryTable(),
    inboxTableName: temporaryTable(),
  }
}

/** A prefix of Redis keys for each kind of records. */
export function temporaryPrefixes() {
  return {
    keyPrefix: `test:${randomName()}`,
    statesKeyPrefix: `test:${randomName()}:`,
    executionsKeyPrefix: `test:${randomName()}:`,
    outboxKeyPrefix: `test:${randomName()}:`,
    inboxKeyPrefix: `test:${randomName()}:`,
  }
}

/** Prefixes of payloads and messages that one transaction of a Redis Cluster can have. */
export function prefixesInOneSlot() {
  const tag = `test:{${randomName()}}`
  return { keyPrefix: `${tag}:p`, inboxKeyPrefix: `${tag}:i:` }
}

/** A namespace whose tables and collections are removed when the test file is done. */
export function temporaryNamespace(): string {
  const namespace = randomName()
  for (const kind of ['payloads', 'sagas', 'executions', 'log', 'outbox', 'inbox']) {
    collections.push(`${namespace}_${kind}`)
    tables.push(`${namespace}_${kind}`)
  }
  return namespace
}

/** Asks MongoDB directly, as another program would. */
export async function withMongo<T>(url: string, ask: (database: Db) => Promise<T>): Promise<T> {
  const client = new MongoClient(url)
  try {
    // Not by `URL`, which knows no lists of hosts.
    return await ask(client.db(/^[^:]+:\/\/[^/?]*\/([^?]+)/.exec(url)?.[1] ?? 'sagas'))
  } finally {
    await client.close()
  }
}

function server(name: string, variable: string, options: (url: string) => AnyStoreOptions & { url: string }): Target {
  const url = process.env[variable] ?? ''
  return { name, variable, available: url !== '', options: () => options(url) }
}

const redis = (url: string) => ({ url, ...temporaryPrefixes() })

/** Every backend, and every way to reach it. */
export const targets: Target[] = [
  { name: 'memory', available: true, options: () => ({ url: `memory://${randomName()}` }) },
  { name: 'sqlite', available: true, options: () => ({ url: `sqlite://${join(temporaryDirectory(), 'sagas.db')}` }) },
  {
    name: 'sqlite, durability normal',
    available: true,
    options: () => ({ url: `sqlite://${join(temporaryDirectory(), 'sagas.db')}`, durability: 'normal' }),
  },
  { name: 'sqlite::memory:', available: true, options: () => ({ url: 'sqlite::memory:' }) },
  server('postgres', 'POSTGRES_URL', (url) => ({ url, schema: temporarySchema() })),
  server('redis', 'REDIS_URL', redis),
  server('redis cluster', 'REDIS_CLUSTER_URL', redis),
  server('mongodb', 'MONGODB_URL', (url) => ({ url, ...temporaryCollections() })),
  server('dynamodb', 'DYNAMODB_URL', (url) => ({
    url,
    ...temporaryTables(),
    ...dynamoDBCredentials(url),
  })),
]

/** A target's server is missing: a loud skip on a laptop, a failure in CI. */
export function missing(target: Pick<Target, 'name' | 'available' | 'variable'>): boolean {
  if (target.available) return false
  if (process.env.CI === 'true') throw new Error(`${target.variable} is not set: in CI nothing is skipped`)
  console.warn(`SKIPPED: ${target.name} (${target.variable} is not set; \`npm test\` starts the services)`)
  return true
}

/** An open, initialized store on data of its own. */
export async function openTarget(target: Target, more: object = {}): Promise<SagaStore> {
  const store = openStore({ ...target.options(), ...more } as AnyStoreOptions)
  await store.initialize()
  return store
}

async function withPostgres<T>(url: string | undefined, ask: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  try {
    return await ask(client)
  } finally {
    await client.end()
  }
}

/** Asks PostgreSQL directly, as another program would. */
export function sql(text: string, values: unknown[] = [], url = process.env.POSTGRES_URL): Promise<Record<string, unknown>[]> {
  return withPostgres(url, async (client) => (await client.query(text, values)).rows)
}

/** Hundreds of schemas in a file: one connection drops them all, and tables go twenty at a time. */
afterAll(async () => {
  for (const directory of directories.splice(0)) rmSync(directory, { recursive: true, force: true })
  if (schemas.length > 0 && process.env.POSTGRES_URL !== undefined) {
    await withPostgres(process.env.POSTGRES_URL, async (client) => {
      for (const schema of schemas.splice(0)) await client.query(`drop schema if exists "${schema}" cascade`)
    })
  }
  if (collections.length > 0 && process.env.MONGODB_URL !== undefined) {
    await withMongo(process.env.MONGODB_URL, async (database) => {
      for (const collection of collections.splice(0))
        await database
          .collection(collection)
          .drop()
          .catch(() => undefined)
    })
  }
  if (tables.length > 0 && process.env.DYNAMODB_URL !== undefined) {
    const client = dynamoDB()
    const drop = (TableName: string) => client.send(new DeleteTableCommand({ TableName })).catch(() => undefined)
    while (tables.length > 0) await Promise.all(tables.splice(0, 20).map(drop))
    client.destroy()
  }
}, 300_000)
