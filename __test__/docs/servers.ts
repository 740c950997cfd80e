import { randomBytes } from 'node:crypto'
import { DeleteTableCommand, DynamoDBClient, ListTablesCommand } from '@aws-sdk/client-dynamodb'
import { MongoClient } from 'mongodb'
import { openStore } from '../../index.js'
import { type RedisServer, startRedis } from '../../scripts/services/servers.mjs'
import { missing, sql } from '../support/targets'
import type { Server } from './pages'

/** How an example reaches a server: URLs of the document, and what stands for them; variables of its process. */
export interface Access {
  replaced?: Record<string, string>
  env?: Record<string, string>
  /** Removes what the example has left behind. */
  end?(): Promise<void>
}

const name = () => `docs_${randomBytes(6).toString('hex')}`

const VARIABLES: Record<Server, string> = {
  postgres: 'POSTGRES_URL',
  redis: 'REDIS_URL',
  mongodb: 'MONGODB_URL',
  'mongodb transactions': 'MONGODB_URL',
  dynamodb: 'DYNAMODB_URL',
}

/** Whether an example that needs this server cannot be run here. */
export function lacks(server: Server | undefined, example: string): boolean {
  if (server === undefined) return false
  const variable = VARIABLES[server]
  const url = process.env[variable]
  if (server === 'dynamodb' && url !== undefined && endpointOf(url) === null) {
    console.warn(`SKIPPED: ${example} creates tables: it is run on DynamoDB Local, not on AWS`)
    return true
  }
  return missing({ name: example, available: url !== undefined, variable })
}

/** Whether the server of MONGODB_URL has transactions. */
export async function hasMongoTransactions(): Promise<boolean> {
  await using store = openStore({ url: mongoUrl(name()) })
  await store.initialize()
  return store.capabilities.transactions !== 'none'
}

/** A place of its own on the server, with nothing in it. */
export async function accessTo(server: Server): Promise<Access> {
  switch (server) {
    case 'postgres':
      return await postgres()
    case 'redis':
      return await redis()
    case 'dynamodb':
      return await dynamodb()
    default:
      return mongodb()
  }
}

async function postgres(): Promise<Access> {
  const schema = name()
  await sql(`create schema "${schema}"`)
  const url = new URL(process.env.POSTGRES_URL as string)
  url.searchParams.set('options', `-csearch_path=${schema}`)
  return {
    replaced: { 'postgres://app@db/orders': url.href },
    env: { POSTGRES_URL: url.href, POSTGRES_SCHEMA: schema },
    end: async () => void (await sql(`drop schema "${schema}" cascade`)),
  }
}

let own: Promise<RedisServer> | undefined

/** A server for itself, because the documents have names of their own: `saga-bus:`, `orders:`. */
async function redis(): Promise<Access> {
  own ??= startRedis()
  const server = await own
  await server.command('FLUSHALL')
  return { replaced: { 'redis://localhost:6379': server.url } }
}

/** Ends what was started for the documents. */
export async function endServers(): Promise<void> {
  await (await own)?.remove()
}

function mongoUrl(database: string): string {
  return (process.env.MONGODB_URL as string).replace(/^([^:]+:\/\/[^/?]*)\/?[^?]*/, `$1/${database}`)
}

function mongodb(): Access {
  const url = mongoUrl(name())
  return {
    replaced: { 'mongodb://a:27017,b:27017/orders?replicaSet=rs0': url },
    end: async () => {
      const client = new MongoClient(url)
      await client.db().dropDatabase()
      await client.close()
    },
  }
}

const endpointOf = (url: string) => new URL(url).searchParams.get('endpoint')

/** DynamoDB Local keeps the tables of each access key apart. */
async function dynamodb(): Promise<Access> {
  const endpoint = endpointOf(process.env.DYNAMODB_URL as string) as string
  const accessKeyId = name().replace('_', '')
  const credentials = { accessKeyId, secretAccessKey: 'documents' }
  return {
    env: { AWS_ENDPOINT_URL: endpoint, AWS_ACCESS_KEY_ID: accessKeyId, AWS_SECRET_ACCESS_KEY: credentials.secretAccessKey },
    end: async () => {
      const client = new DynamoDBClient({ region: 'eu-west-1', endpoint, credentials })
      const { TableNames = [] } = await client.send(new ListTablesCommand({}))
      for (const TableName of TableNames) await client.send(new DeleteTableCommand({ TableName }))
      client.destroy()
    },
  }
}
