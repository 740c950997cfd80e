// An order and its routing slip in one transaction of `pg`: both, or neither.
//   POSTGRES_URL=postgres://... npm start
import { randomUUID } from 'node:crypto'
import pg from 'pg'
import { PostgresSagaStore, withTransaction } from 'sagastore'

const schema = `example_${randomUUID().slice(0, 8)}`
const pool = new pg.Pool({ connectionString: process.env.POSTGRES_URL })
const store = new PostgresSagaStore({ client: pool, schema }) // opens no connection of its own

async function placeOrder(id: string, fails: boolean) {
  const client = await pool.connect()
  try {
    await client.query('begin')
    await withTransaction(client, async () => {
      await client.query(`insert into "${schema}".orders values ($1)`, [id])
      await store.put(`slip-${id}-1`, Buffer.from(JSON.stringify({ id, lines: Array(5000).fill('a line') })))
      if (fails) throw new Error('the payment was refused')
    })
    await client.query('commit')
  } catch (error) {
    await client.query('rollback')
    console.log(`order ${id}: ${(error as Error).message}, rolled back`)
  } finally {
    client.release()
  }
}

try {
  await store.initialize()
  await pool.query(`create table "${schema}".orders (id text primary key)`)
  await placeOrder('4711', false)
  await placeOrder('4712', true)
  const { rows } = await pool.query<{ id: string }>(`select id from "${schema}".orders`)
  console.log(`orders: ${rows.map(({ id }) => id).join(', ')}`)
  console.log(`slips: 4711 ${await store.has('slip-4711-1')}, 4712 ${await store.has('slip-4712-1')}`)
} finally {
  await store.close()
  await pool.query(`drop schema if exists "${schema}" cascade`)
  await pool.end()
}
