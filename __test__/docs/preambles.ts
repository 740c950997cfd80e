// What the examples of the documents take for granted: a client that the application has, an engine, a table.

/** Code in front of an example, by the name that its marker gives (`with pool`). */
export const PREAMBLES: Record<string, string> = {
  pool: `
import pg from 'pg'
const pool = new pg.Pool({ connectionString: process.env.POSTGRES_URL })
await pool.query('create table orders (id text primary key)')
process.on('beforeExit', () => void (pool.ended || pool.end()))
`,
  prisma: `
import { PrismaPg } from '@prisma/adapter-pg'
import { PrismaClient } from 'my-prisma-client'
const adapter = new PrismaPg({ connectionString: process.env.POSTGRES_URL }, { schema: process.env.POSTGRES_SCHEMA })
const prisma = new PrismaClient({ adapter })
await prisma.$executeRawUnsafe('create table orders (id text primary key, note text)')
{
  const { PostgresSagaStore } = await import('sagastore')
  await new PostgresSagaStore({ client: prisma }).initialize()
}
process.once('beforeExit', () => void prisma.$disconnect())
`,
  engine: `
import { createEngine } from 'my-saga-engine'
const slip = { orderId: 4711, itinerary: ['reserve-stock', 'charge-card'] }
`,
  orders: `
{
  const { default: pg } = await import('pg')
  const client = new pg.Client({ connectionString: process.env.POSTGRES_URL })
  await client.connect()
  await client.query("create table orders (id text primary key, slip text, total int); insert into orders values ('4711', null, 12)")
  await client.end()
}
`,
  'orders-table': `
{
  const { CreateTableCommand, DynamoDBClient } = await import('@aws-sdk/client-dynamodb')
  const key = [{ AttributeName: 'id', KeyType: 'HASH' as const }]
  const attributes = [{ AttributeName: 'id', AttributeType: 'S' as const }]
  const table = { TableName: 'orders', BillingMode: 'PAY_PER_REQUEST' as const, KeySchema: key, AttributeDefinitions: attributes }
  await new DynamoDBClient({ region: 'eu-west-1' }).send(new CreateTableCommand(table))
}
`,
  bus: `
const transport = {}
const definition = { name: 'OrderSaga' }
`,
}

/** Packages that an application has and this repository has not, by name: their types and their code. */
export const STAND_INS: Record<string, { types: string; code: string }> = {
  'my-saga-engine': {
    types: `
import type { SagaStoreAdapter } from 'sagastore'
export interface RoutingSlip { orderId: number; itinerary: string[] }
/** Answers the claim id. */
export declare function createEngine(options: { claimCheckStore: SagaStoreAdapter }): { execute(slip: RoutingSlip): Promise<string> }
`,
    code: `
export function createEngine({ claimCheckStore }) {
  return {
    async execute(slip) {
      const claimId = \`slip-\${slip.orderId}-\${Date.now()}\`
      await claimCheckStore.put(claimId, Buffer.from(JSON.stringify(slip)), new Date(Date.now() + 3600_000))
      return claimId
    },
  }
}
`,
  },
  '@saga-bus/core': {
    types: `
export declare class ConcurrencyError extends Error {
  constructor(sagaId: string, expectedVersion: number, actualVersion?: number)
}
export declare class TransientError extends Error {
  constructor(message: string, cause?: Error)
}
export interface SagaStore<T> {
  getById(sagaName: string, sagaId: string): Promise<T | null>
  getByCorrelationId(sagaName: string, correlationId: string): Promise<T | null>
  insert(sagaName: string, correlationId: string, state: T): Promise<void>
  update(sagaName: string, state: T, expectedVersion: number): Promise<void>
  delete(sagaName: string, sagaId: string): Promise<void>
}
export declare function createBus(options: { transport: object; sagas: { definition: { name: string }; store: SagaStore<any> }[] }): object
`,
    code: `
export class ConcurrencyError extends Error {}
export class TransientError extends Error {}
export const createBus = (options) => options
`,
  },
  'outbox-event-bus': {
    types: `
export interface BusEvent { id: string; type: string; payload: unknown; occurredAt: Date; metadata?: Record<string, unknown> }
export interface FailedBusEvent extends BusEvent { error?: string; retryCount: number }
export declare class HandlerError extends Error {
  constructor(cause: unknown, event: BusEvent)
}
export declare class MaxRetriesExceededError extends Error {
  constructor(cause: unknown, event: FailedBusEvent)
}
export interface IOutbox<Transaction> {
  publish: (events: BusEvent[], transaction?: Transaction) => Promise<void>
  start: (handler: (event: BusEvent) => Promise<void>, onError: (error: Error) => void) => void
  stop: () => Promise<void>
  getFailedEvents: () => Promise<FailedBusEvent[]>
  retryEvents: (eventIds: string[]) => Promise<void>
}
export declare class OutboxEventBus<Transaction> {
  constructor(outbox: IOutbox<Transaction>, onError: (error: Error) => void)
  on(type: string, handler: (event: BusEvent) => Promise<void>): this
  emit(event: Partial<BusEvent> & Pick<BusEvent, 'type' | 'payload'>, transaction?: Transaction): Promise<void>
  start(): void
  stop(): Promise<void>
}
`,
    code: `
export class HandlerError extends Error {}
export class MaxRetriesExceededError extends Error {}
export class OutboxEventBus {
  #outbox
  #onError
  #handlers = new Map()
  constructor(outbox, onError) {
    this.#outbox = outbox
    this.#onError = onError
  }
  on(type, handler) {
    this.#handlers.set(type, handler)
    return this
  }
  emit(event, transaction) {
    return this.#outbox.publish([{ id: crypto.randomUUID(), occurredAt: new Date(), ...event }], transaction)
  }
  start() {
    this.#outbox.start(async (event) => this.#handlers.get(event.type)?.(event), this.#onError)
  }
  stop() {
    return this.#outbox.stop()
  }
}
`,
  },
  '@saga-bus/middleware-idempotency': {
    types: `
export interface IdempotencyStore {
  has(messageId: string): Promise<boolean>
  set(messageId: string, ttlMs?: number): Promise<void>
  delete(messageId: string): Promise<void>
  clear(): Promise<void>
}
export declare function createIdempotencyMiddleware(options: { store: IdempotencyStore; windowMs?: number }): object
`,
    code: 'export const createIdempotencyMiddleware = (options) => options\n',
  },
}
