import { createRequire } from 'node:module'
import { PrismaPg } from '@prisma/adapter-pg'
import { generatePrismaClient, TEST_MODELS } from '../../scripts/prisma.mjs'
import { dataOf, statementsOf } from './statements.mjs'

/** @type {import('../trial.mjs').Open} */
export async function open({ place: { url, schema, table } }) {
  const { PrismaClient } = createRequire(import.meta.url)(generatePrismaClient(TEST_MODELS, 'postgresql'))
  const prisma = new PrismaClient({ adapter: new PrismaPg({ connectionString: url, max: 10 }) })
  const { create, index, put, get } = statementsOf(`${schema}.${table}`)
  return {
    client: prisma,
    async initialize() {
      await prisma.$executeRawUnsafe(create)
      await prisma.$executeRawUnsafe(index)
    },
    put: (id, data, expiresAt) => prisma.$executeRawUnsafe(put, id, data, expiresAt),
    async get(id) {
      // It has a Uint8Array.
      return Buffer.from(dataOf(await prisma.$queryRawUnsafe(get, id), id))
    },
    close: () => prisma.$disconnect(),
  }
}
