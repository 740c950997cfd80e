// An order and its routing slip in one TransactWriteItems of the AWS SDK: both, or neither.
//   docker run --rm -p 8000:8000 amazon/dynamodb-local
//   DYNAMODB_ENDPOINT=http://127.0.0.1:8000 npm start      without it: AWS, with the credentials and the region of your environment
import { randomUUID } from 'node:crypto'
import {
  CreateTableCommand,
  DeleteTableCommand,
  DynamoDBClient,
  ScanCommand,
  type TransactWriteItem,
  TransactWriteItemsCommand,
  waitUntilTableExists,
} from '@aws-sdk/client-dynamodb'
import { DynamoDBSagaStore, withTransaction } from 'sagastore'

const endpoint = process.env.DYNAMODB_ENDPOINT
// DynamoDB Local takes any credentials, but it wants some.
const local = { region: 'local', credentials: { accessKeyId: 'local', secretAccessKey: 'local' } }
const client = new DynamoDBClient(endpoint === undefined ? {} : { endpoint, ...local })
const run = randomUUID().slice(0, 8)
const [orders, slips] = [`example-${run}-orders`, `example-${run}-slips`]
const store = new DynamoDBSagaStore({ client, tableName: slips })

/** The store's writes join the items that you collect. They are stored when you send them. */
async function placeOrder(id: string) {
  const items: TransactWriteItem[] = [
    { Put: { TableName: orders, Item: { id: { S: id } }, ConditionExpression: 'attribute_not_exists(id)' } },
  ]
  await withTransaction(items, async () => {
    await store.put(`slip-${id}-1`, Buffer.from('a routing slip'))
  })
  await client.send(new TransactWriteItemsCommand({ TransactItems: items }))
}

try {
  await store.initialize() // creates the table, and switches its TTL on
  await client.send(
    new CreateTableCommand({
      TableName: orders,
      BillingMode: 'PAY_PER_REQUEST',
      KeySchema: [{ AttributeName: 'id', KeyType: 'HASH' }],
      AttributeDefinitions: [{ AttributeName: 'id', AttributeType: 'S' }],
    }),
  )
  await waitUntilTableExists({ client, maxWaitTime: 60 }, { TableName: orders })
  await placeOrder('4711')
  await placeOrder('4711').catch((error: Error) => console.log(`order 4711 again: ${error.name}`))
  const { Items = [] } = await client.send(new ScanCommand({ TableName: orders }))
  console.log(`orders: ${Items.map(({ id }) => id?.S).join(', ')}`)
  console.log(`slips: 4711 ${await store.has('slip-4711-1')}`)
} finally {
  await store.close()
  for (const TableName of [orders, slips]) await client.send(new DeleteTableCommand({ TableName })).catch(() => undefined)
  client.destroy()
}
