// Compiled, never run: what a typed application may write, and what it must not.
import {
  MemorySagaStore,
  NotFoundError,
  openStore,
  PostgresSagaStore,
  RedisSagaStore,
  type SagaStore,
  type SagaStoreAdapter,
  SagaStoreError,
  SqliteSagaStore,
} from 'sagastore'

// The saga engine's own interface, as it declares it: no type of sagastore.
interface EngineAdapter {
  put(id: string, data: Buffer, expiresAt: Date): Promise<void>
  get(id: string): Promise<Buffer>
  cleanup?(): Promise<void>
  initialize?(): Promise<void>
}

async function engine(adapter: EngineAdapter): Promise<Buffer> {
  await adapter.initialize?.()
  await adapter.put('slip', Buffer.from('{}'), new Date())
  await adapter.cleanup?.()
  return await adapter.get('slip')
}

export async function accepted(): Promise<void> {
  const stores = [
    new MemorySagaStore(),
    new SqliteSagaStore({ url: 'sqlite:sagas.db', durability: 'normal' }),
    new PostgresSagaStore('postgres://localhost/app'),
    new RedisSagaStore({ url: 'redis://localhost:6379', keyPrefix: 'my-app:sagas', logger: console }),
    openStore('memory://'),
  ]
  for (const store of stores) await engine(store)
  const adapter: SagaStoreAdapter = new MemorySagaStore()
  await engine(adapter)

  await using store: SagaStore = openStore({ url: 'memory://', lateRetentionMs: 0, retry: { attempts: 2 } })
  await store.put('id', new Uint8Array(3), undefined, { routingSlipId: 'order-1' })
  const found: Buffer | null = await store.find('id')
  const many: Map<string, Buffer> = await store.getMany(['id'])
  try {
    await store.get('other')
  } catch (error) {
    if (error instanceof NotFoundError) console.log(error.id, found, many)
    else if (error instanceof SagaStoreError && error.code === 'TIMEOUT') console.log(error.retryable)
  }
}

export async function refused(store: SagaStore): Promise<void> {
  // @ts-expect-error: a misspelt option
  new RedisSagaStore({ url: 'redis://localhost', keyPrefx: 'my-app' })
  // @ts-expect-error: an option of another backend
  new SqliteSagaStore({ url: 'sqlite:sagas.db', keyPrefix: 'my-app' })
  // @ts-expect-error: no URL
  new PostgresSagaStore({ poolSize: 2 })
  // @ts-expect-error: a value that is not one of the two
  new SqliteSagaStore({ url: 'sqlite:sagas.db', durability: 'fast' })
  // @ts-expect-error: text in place of bytes
  await store.put('id', 'text', new Date())
  // @ts-expect-error: milliseconds in place of a Date
  await store.put('id', Buffer.alloc(0), Date.now())
  // @ts-expect-error: there may be none
  const found: Buffer = await store.find('id')
  // @ts-expect-error: not a code
  if (new NotFoundError(found as never).code === 'NOT_THERE') return
}
