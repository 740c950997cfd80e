// An order and its routing slip in one transaction of `better-sqlite3`: both, or neither.
//   npm start
import Database from 'better-sqlite3'
import { SqliteSagaStore, withTransaction } from 'sagastore'

const database = new Database(':memory:')
const store = new SqliteSagaStore({ client: database })
await store.initialize()
database.exec('create table orders (id text primary key)')

// Synchronous: the put has run when the call returns. It is committed with the order.
const puts: Promise<void>[] = []
database.transaction(() => {
  database.prepare('insert into orders values (?)').run('4711')
  puts.push(store.put('slip-4711-1', Buffer.from('a routing slip')))
})()
await Promise.all(puts)

// Asynchronous: BEGIN and COMMIT around withTransaction. Meanwhile it keeps the operations of other requests out.
await withTransaction(database, async () => {
  database.exec('begin')
  database.prepare('insert into orders values (?)').run('4712')
  await store.put('slip-4712-1', Buffer.from('a routing slip'))
  database.exec('rollback')
})

const orders = database.prepare<[], { id: string }>('select id from orders').all()
console.log(`orders: ${orders.map(({ id }) => id).join(', ')}`)
console.log(`slips: 4711 ${await store.has('slip-4711-1')}, 4712 ${await store.has('slip-4712-1')}`)
await store.close()
database.close()
