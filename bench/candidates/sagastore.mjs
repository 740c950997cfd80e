import { DynamoDBSagaStore, MemorySagaStore, MongoSagaStore, PostgresSagaStore, RedisSagaStore, SqliteSagaStore } from '../../index.js'

/** @type {Record<string, (place: any) => import('../../index.js').SagaStore>} */
const stores = {
  memory: () => new MemorySagaStore(),
  compression: () => new MemorySagaStore({ compression: 'zstd' }),
  sqlite: ({ file, durability }) => new SqliteSagaStore({ url: `sqlite:${file}`, durability }),
  postgres: ({ url, schema, table }) => new PostgresSagaStore({ url, schema, tableName: table }),
  redis: ({ url, prefix }) => new RedisSagaStore({ url, keyPrefix: prefix }),
  mongodb: ({ url, collection }) => new MongoSagaStore({ url, collectionName: collection }),
  dynamodb: ({ table, ...place }) => new DynamoDBSagaStore({ url: 'dynamodb://', tableName: table, ...place }),
}

/** @type {Record<string, (client: any, place: any) => import('../../index.js').SagaStore>} */
const storesOnClients = {
  sqlite: (client) => new SqliteSagaStore({ client }),
  postgres: (client, { schema, table }) => new PostgresSagaStore({ client, schema, tableName: table }),
  redis: (client, { prefix }) => new RedisSagaStore({ client, keyPrefix: prefix }),
  mongodb: (client, { database, collection }) => new MongoSagaStore({ client: client.db(database), collectionName: collection }),
  dynamodb: (client, { table }) => new DynamoDBSagaStore({ client, tableName: table }),
}

/** @type {import('../trial.mjs').Open} */
export async function open({ backend, place, on, size }) {
  if (on === undefined) return stores[backend](place)
  // The client is the one of that candidate, with its options.
  /** @type {{ open: import('../trial.mjs').Open }} */
  const { open: openClient } = await import(`./${on}.mjs`)
  const { client, close } = await openClient({ backend, place, size })
  const store = storesOnClients[backend](client, place)
  return {
    initialize: () => store.initialize(),
    put: (id, data, expiresAt) => store.put(id, data, expiresAt),
    get: (id) => store.get(id),
    async close() {
      await store.close()
      await close()
    },
  }
}
