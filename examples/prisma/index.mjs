// An order and its routing slip in one transaction of Prisma: both, or neither.
//   POSTGRES_URL=postgres://... node examples/prisma/index.mjs
import { createRequire } from 'node:module'
import { PrismaPg } from '@prisma/adapter-pg'
import { PostgresSagaStore, withTransaction } from 'sagastore'
// In an application `prisma generate` makes the client. Here a script does, so that the example runs by itself.
import { generatePrismaClient } from '../../scripts/prisma.mjs'

const MODELS = 'model ExampleOrder {\n  id String @id\n  @@map("example_orders")\n}\n'
const { PrismaClient } = createRequire(import.meta.url)(generatePrismaClient(MODELS, 'postgresql'))

const prisma = new PrismaClient({ adapter: new PrismaPg({ connectionString: process.env.POSTGRES_URL }) })
const store = new PostgresSagaStore({ client: prisma, tableName: 'example_slips' })
await store.initialize()
await prisma.$executeRawUnsafe('create table if not exists example_orders (id text primary key)')

const placeOrder = (id, fails) =>
  prisma.$transaction((tx) =>
    withTransaction(tx, async () => {
      await tx.exampleOrder.create({ data: { id } })
      await store.put(`slip-${id}-1`, Buffer.from('a routing slip'))
      if (fails) throw new Error('the payment was refused')
    }),
  )

try {
  await placeOrder('4711', false)
  await placeOrder('4712', true).catch((error) => console.log(`order 4712: ${error.message}, rolled back`))
  console.log(`orders: ${(await prisma.exampleOrder.findMany()).map(({ id }) => id).join(', ')}`)
  console.log(`slips: 4711 ${await store.has('slip-4711-1')}, 4712 ${await store.has('slip-4712-1')}`)
} finally {
  await store.close()
  await prisma.$executeRawUnsafe('drop table example_orders, example_slips')
  await prisma.$disconnect()
}
