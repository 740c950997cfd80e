import { DynamoDBClient } from '@aws-sdk/client-dynamodb'
import { afterAll, beforeAll } from 'vitest'
import { type DynamoDBUrlOptions, openStore } from '../../index.js'
import { type DynamoDBServer, startDynamoDB } from '../../scripts/services/servers.mjs'
import { randomName } from './targets'

/** The server of a test file, and another program's client of it. */
export const dynamo = {} as { server: DynamoDBServer; client: DynamoDBClient }

/** Starts the server before the tests of a file, and removes it after them. */
export function withDynamoDB(): void {
  beforeAll(async () => {
    dynamo.server = await startDynamoDB()
    const { endpoint, credentials } = dynamo.server
    dynamo.client = new DynamoDBClient({ endpoint, credentials, region: 'local' })
  })
  afterAll(async () => {
    dynamo.client?.destroy()
    await dynamo.server?.remove()
  })
}

/** A store on tables of its own, and what it warns of. */
export function open(more: Partial<DynamoDBUrlOptions> = {}) {
  const warnings: string[] = []
  const ignore = () => {}
  const logger = { debug: ignore, info: ignore, error: ignore, warn: (message: string) => void warnings.push(message) }
  const { url, credentials } = dynamo.server
  const names = {
    tableName: randomName('t'),
    statesTableName: randomName('t'),
    executionsTableName: randomName('t'),
    outboxTableName: randomName('t'),
    inboxTableName: randomName('t'),
  }
  const options = { url, ...names, credentials, logger, ...more }
  return { store: openStore(options), names, table: options.tableName, statesTable: options.statesTableName, warnings }
}
