import type { SagaMetadata, SagaStore, Stored } from 'sagastore'

export interface Order {
  metadata: SagaMetadata
  status: 'reserved' | 'paid'
}

/** The code under test: it is given a store, and does not know which. */
export class Orders {
  constructor(private readonly store: SagaStore) {}

  /** Begins an order's saga, and keeps its slip. Both, or neither. */
  async place(id: string, lines: string[]): Promise<void> {
    await this.store.transaction(async (tx) => {
      await tx.put(`slip-${id}-1`, Buffer.from(JSON.stringify(lines)))
      await tx.states.insert<Order>('OrderSaga', id, { metadata: { sagaId: `saga-${id}` }, status: 'reserved' })
    })
  }

  async pay(id: string): Promise<Stored<Order>> {
    return await this.store.states.modify<Order>('OrderSaga', `saga-${id}`, (order) => ({ ...order, status: 'paid' }))
  }

  async lines(id: string): Promise<string[]> {
    return JSON.parse((await this.store.get(`slip-${id}-1`)).toString())
  }
}
