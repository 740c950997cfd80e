import { MongoClient, MongoServerError } from 'mongodb'

/** @type {import('../trial.mjs').Open} */
export async function open({ place: { url, database, collection } }) {
  const client = new MongoClient(url)
  const given = client.options.writeConcern
  /** @type {import('mongodb').Collection<{ _id: string, data: any, expiresAt: Date }>} */
  const claims = client.db(database).collection(collection, {
    // The same write concern as sagastore's.
    writeConcern: { ...given, w: given?.w ?? 'majority' },
    // Bytes as a Buffer, without the driver's class around it.
    promoteBuffers: true,
  })
  return {
    client,
    async initialize() {
      try {
        await claims.createIndex({ expiresAt: 1 }, { expireAfterSeconds: 0 })
      } catch (error) {
        // FerretDB has no TTL indexes. Removing expired documents needs an index all the same.
        if (!(error instanceof MongoServerError && error.codeName === 'NotImplemented')) throw error
        await claims.createIndex({ expiresAt: 1 })
      }
    },
    put: (id, data, expiresAt) => claims.replaceOne({ _id: id }, { data, expiresAt }, { upsert: true }),
    async get(id) {
      const claim = await claims.findOne({ _id: id, expiresAt: { $not: { $lte: new Date() } } })
      if (claim === null) throw new Error(`no payload ${id}`)
      return claim.data
    },
    close: () => client.close(),
  }
}
