import { DynamoDBSagaStore, MemorySagaStore, MongoSagaStore, PostgresSagaStore, RedisSagaStore, SqliteSagaStore } from '../../index.js'

/** @type {Record<string, (place: any) => import('../../index.js').SagaStore>} */
const stores = {
  memory: () => new MemorySagaStore(),
  sqlite: ({ file, durability }) => new SqliteSagaStore({ url: `sqlite:${file}`, durability }),
  postgres: ({ url, schema, table }) => new PostgresSagaStore({ url, schema, tableName: table }),
  redis: ({ url, prefix }) => new RedisSagaStore({ url, keyPrefix: prefix }),
  mongodb: ({ url, collection }) => new MongoSagaStore({ url, collectionName: collection }),
  dynamodb: ({ table, ...place }) => new DynamoDBSagaStore({ url: 'dynamodb://', tableName: table, ...place }),
}

/** @type {import('../trial.mjs').Open} */
export async function open({ backend, place }) {
  return stores[backend](place)
}
