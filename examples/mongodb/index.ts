// An order and its routing slip in one transaction of the `mongodb` driver: both, or neither. Transactions need a replica set.
//   MONGODB_URL=mongodb://... npm start
import { randomUUID } from 'node:crypto'
import { MongoClient } from 'mongodb'
import { MongoSagaStore, withTransaction } from 'sagastore'

const client = new MongoClient(process.env.MONGODB_URL ?? 'mongodb://127.0.0.1:27017')
const db = client.db(`example_${randomUUID().slice(0, 8)}`)
const orders = db.collection<{ _id: string }>('orders')
const store = new MongoSagaStore({ client: db }) // the collections go into this database

async function placeOrder(id: string, fails: boolean) {
  await client.withSession((session) =>
    session.withTransaction(() =>
      withTransaction(session, async () => {
        await orders.insertOne({ _id: id }, { session })
        await store.put(`slip-${id}-1`, Buffer.from('a routing slip'))
        if (fails) throw new Error('the payment was refused')
      }),
    ),
  )
}

try {
  await store.initialize() // creates the collections and their indexes, and finds out what the server can do
  if (store.capabilities.transactions === 'none') {
    await store.put('slip-4711-1', Buffer.from('a routing slip'))
    console.log(`no replica set, so no transactions; the slip is stored: ${await store.has('slip-4711-1')}`)
  } else {
    await placeOrder('4711', false)
    await placeOrder('4712', true).catch((error: Error) => console.log(`order 4712: ${error.message}, rolled back`))
    console.log(`orders: ${(await orders.find().toArray()).map(({ _id }) => _id).join(', ')}`)
    console.log(`slips: 4711 ${await store.has('slip-4711-1')}, 4712 ${await store.has('slip-4712-1')}`)
  }
} finally {
  await store.close()
  await db.dropDatabase()
  await client.close()
}
