// An order and its routing slip in one transaction of Prisma: both, or neither.
//   POSTGRES_URL=postgres://... npm start
import { randomUUID } from 'node:crypto'
import { PrismaPg } from '@prisma/adapter-pg'
import { PostgresSagaStore, withTransaction } from 'sagastore'
import { PrismaClient } from './client/index.js' // made by `prisma generate`

const schema = `example_${randomUUID().slice(0, 8)}`
const prisma = new PrismaClient({ adapter: new PrismaPg({ connectionString: process.env.POSTGRES_URL }, { schema }) })
const store = new PostgresSagaStore({ client: prisma, schema })

const placeOrder = (id: string, fails: boolean) =>
  prisma.$transaction((tx) =>
    withTransaction(tx, async () => {
      await tx.order.create({ data: { id } })
      await store.put(`slip-${id}-1`, Buffer.from('a routing slip'))
      if (fails) throw new Error('the payment was refused')
    }),
  )

try {
  await store.initialize()
  await prisma.$executeRawUnsafe(`create table "${schema}".orders (id text primary key)`)
  await placeOrder('4711', false)
  await placeOrder('4712', true).catch((error: Error) => console.log(`order 4712: ${error.message}, rolled back`))
  console.log(`orders: ${(await prisma.order.findMany()).map(({ id }) => id).join(', ')}`)
  console.log(`slips: 4711 ${await store.has('slip-4711-1')}, 4712 ${await store.has('slip-4712-1')}`)
} finally {
  await store.close()
  await prisma.$executeRawUnsafe(`drop schema if exists "${schema}" cascade`)
  await prisma.$disconnect()
}
