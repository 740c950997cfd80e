import { DynamoDB, DynamoDBClient, type TransactWriteItem, TransactWriteItemsCommand } from '@aws-sdk/client-dynamodb'
import { DynamoDBDocument, DynamoDBDocumentClient, TransactWriteCommand } from '@aws-sdk/lib-dynamodb'
import { dynamoDBCredentials } from './targets'

/** A client of DynamoDB, as an application makes it. */
export interface DynamoDBLibrary {
  name: string
  /** On the server of `DYNAMODB_URL`, or on another one. */
  open(url?: string): OpenDynamoDBLibrary
}

export interface OpenDynamoDBLibrary {
  client: object
  /** An item of the application's own for `TransactItems`, which is only put where there is none of its id. */
  order(table: string, id: string): object
  /** Sends what was collected. */
  send(items: object[]): Promise<unknown>
  close(): void
}

/** Region and endpoint of a URL, as the SDK takes them. */
export function configOf(url = process.env.DYNAMODB_URL ?? 'dynamodb://local?endpoint=http://127.0.0.1:1') {
  const { hostname, searchParams } = new URL(url)
  const endpoint = searchParams.get('endpoint')
  return { region: hostname, ...(endpoint === null ? {} : { endpoint }), ...dynamoDBCredentials(url) }
}

const CONDITION = { ConditionExpression: 'attribute_not_exists(id)' }

function typed(client: DynamoDBClient): OpenDynamoDBLibrary {
  return {
    client,
    order: (TableName, id) => ({ Put: { TableName, Item: { id: { S: id }, state: { S: 'placed' } }, ...CONDITION } }),
    send: (items) => client.send(new TransactWriteItemsCommand({ TransactItems: items as TransactWriteItem[] })),
    close: () => client.destroy(),
  }
}

function documents(client: DynamoDBDocumentClient, under: DynamoDBClient): OpenDynamoDBLibrary {
  return {
    client,
    order: (TableName, id) => ({ Put: { TableName, Item: { id, state: 'placed' }, ...CONDITION } }),
    send: (items) => client.send(new TransactWriteCommand({ TransactItems: items as never })),
    close: () => under.destroy(),
  }
}

export const dynamoDBLibraries: DynamoDBLibrary[] = [
  { name: 'DynamoDBClient', open: (url) => typed(new DynamoDBClient(configOf(url))) },
  { name: 'DynamoDB', open: (url) => typed(new DynamoDB({ ...configOf(url), cacheMiddleware: true })) },
  {
    name: 'DynamoDBDocumentClient',
    open(url) {
      const under = new DynamoDBClient(configOf(url))
      return documents(DynamoDBDocumentClient.from(under, { marshallOptions: { removeUndefinedValues: true } }), under)
    },
  },
  {
    name: 'DynamoDBDocument',
    open(url) {
      const under = new DynamoDBClient(configOf(url))
      return documents(DynamoDBDocument.from(under), under)
    },
  },
]
