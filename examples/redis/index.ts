// A routing slip on the application's own ioredis, and together with a key of its own in one MULTI: both, or neither.
//   REDIS_URL=redis://... npm start
import { randomUUID } from 'node:crypto'
import { Redis } from 'ioredis'
import { RedisSagaStore, withTransaction } from 'sagastore'

const redis = new Redis(process.env.REDIS_URL ?? 'redis://127.0.0.1:6379')
const namespace = `example_${randomUUID().slice(0, 8)}` // every key of the store begins with it
const orders = `${namespace}:orders`
const store = new RedisSagaStore({ client: redis, namespace })

async function placeOrder(id: string, fails: boolean) {
  const multi = redis.multi().sadd(orders, id)
  await withTransaction(multi, async () => {
    await store.put(`slip-${id}-1`, Buffer.from('a routing slip'), new Date(Date.now() + 3_600_000)) // queued in the MULTI
  })
  if (fails) {
    multi.discard()
    return console.log(`order ${id}: the payment was refused, nothing was sent`)
  }
  // Redis runs all commands, also those behind one that fails: look at each answer.
  for (const [error] of (await multi.exec()) ?? []) if (error) throw error
}

try {
  await store.initialize() // warns of a server that evicts keys
  await placeOrder('4711', false)
  await placeOrder('4712', true)
  console.log(`orders: ${(await redis.smembers(orders)).join(', ')}`)
  console.log(`slips: 4711 ${await store.has('slip-4711-1')}, 4712 ${await store.has('slip-4712-1')}`)
} finally {
  await store.delete('slip-4711-1')
  await store.close()
  await redis.del(orders, `${namespace}:executions:buckets`) // the second is what initialize() has noted
  redis.disconnect()
}
