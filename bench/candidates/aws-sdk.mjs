import {
  CreateTableCommand,
  DynamoDBClient,
  GetItemCommand,
  PutItemCommand,
  UpdateTimeToLiveCommand,
  waitUntilTableExists,
} from '@aws-sdk/client-dynamodb'

/** @type {import('../trial.mjs').Open} */
export async function open({ place: { table, ...where } }) {
  // Its defaults: connections are kept alive, 50 of them at most, three attempts.
  const client = new DynamoDBClient(where)
  return {
    client,
    async initialize() {
      await client.send(
        new CreateTableCommand({
          TableName: table,
          KeySchema: [{ AttributeName: 'id', KeyType: 'HASH' }],
          AttributeDefinitions: [{ AttributeName: 'id', AttributeType: 'S' }],
          BillingMode: 'PAY_PER_REQUEST',
        }),
      )
      await waitUntilTableExists({ client, maxWaitTime: 300 }, { TableName: table })
      const ttl = { Enabled: true, AttributeName: 'expiresAt' }
      await client.send(new UpdateTimeToLiveCommand({ TableName: table, TimeToLiveSpecification: ttl }))
    },
    put(id, data, expiresAt) {
      const seconds = String(Math.ceil(expiresAt.getTime() / 1000))
      const Item = { id: { S: id }, data: { B: data }, expiresAt: { N: seconds } }
      return client.send(new PutItemCommand({ TableName: table, Item }))
    },
    async get(id) {
      const { Item } = await client.send(new GetItemCommand({ TableName: table, Key: { id: { S: id } }, ConsistentRead: true }))
      const data = Item?.data?.B
      if (data === undefined || Number(Item?.expiresAt?.N) * 1000 <= Date.now()) throw new Error(`no payload ${id}`)
      // The same bytes, as a Buffer.
      return Buffer.from(data.buffer, data.byteOffset, data.byteLength)
    },
    async close() {
      client.destroy()
    },
  }
}
