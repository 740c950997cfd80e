// An order and its routing slip in one transaction of Drizzle: both, or neither.
//   POSTGRES_URL=postgres://... npm start
import { randomUUID } from 'node:crypto'
import { sql } from 'drizzle-orm'
import { drizzle } from 'drizzle-orm/node-postgres'
import { pgSchema, text } from 'drizzle-orm/pg-core'
import pg from 'pg'
import { PostgresSagaStore, withTransaction } from 'sagastore'

const schema = `example_${randomUUID().slice(0, 8)}`
const orders = pgSchema(schema).table('orders', { id: text('id').primaryKey() })
const pool = new pg.Pool({ connectionString: process.env.POSTGRES_URL })
const db = drizzle(pool)
const store = new PostgresSagaStore({ client: db, schema })

const placeOrder = (id: string, fails: boolean) =>
  db.transaction((tx) =>
    withTransaction(tx, async () => {
      await tx.insert(orders).values({ id })
      await store.put(`slip-${id}-1`, Buffer.from('a routing slip'))
      if (fails) throw new Error('the payment was refused')
    }),
  )

try {
  await store.initialize()
  await db.execute(sql.raw(`create table "${schema}".orders (id text primary key)`))
  await placeOrder('4711', false)
  await placeOrder('4712', true).catch((error: Error) => console.log(`order 4712: ${error.message}, rolled back`))
  console.log(`orders: ${(await db.select().from(orders)).map(({ id }) => id).join(', ')}`)
  console.log(`slips: 4711 ${await store.has('slip-4711-1')}, 4712 ${await store.has('slip-4712-1')}`)
} finally {
  await store.close()
  await db.execute(sql.raw(`drop schema if exists "${schema}" cascade`))
  await pool.end()
}
