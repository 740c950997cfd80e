// A claim check in a saga engine. The slip of an order is too large for a message: the engine stores it, and sends the claim id.
// The engine here is thirty lines and stands for yours. It knows no store, only the four methods of `SagaStoreAdapter`.
//   npm start [-- URL]     memory by default, or sqlite:, postgres:, redis:, mongodb:, dynamodb:
import { EventEmitter } from 'node:events'
import { NotFoundError, openStore, type SagaStoreAdapter } from 'sagastore'

interface RoutingSlip {
  orderId: string
  itinerary: string[]
  done: string[]
  items: { sku: string; note: string }[]
}

type Activities = Record<string, (slip: RoutingSlip) => Promise<void>>

/** Runs routing slips. What travels on its bus is an id of fifty bytes, whatever the order has in it. */
class Engine {
  /** Stands for a broker. */
  readonly #bus = new EventEmitter()
  readonly #claims: SagaStoreAdapter
  readonly #activities: Activities
  /** What it has stored. */
  readonly claimIds: string[] = []

  constructor({ claimCheckStore, activities }: { claimCheckStore: SagaStoreAdapter; activities: Activities }) {
    this.#claims = claimCheckStore
    this.#activities = activities
  }

  /** Resolves when the last step is done. */
  execute(slip: RoutingSlip): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#bus.on('step', (claimId: string) => this.#step(claimId).then((isLast) => isLast && resolve(), reject))
      this.#send(slip).catch(reject)
    })
  }

  /** First the payload, then the event: a put that rejects is an event that is never sent. */
  async #send(slip: RoutingSlip): Promise<void> {
    const claimId = `slip-${slip.orderId}-${Date.now()}-${slip.done.length}`
    await this.#claims.put(claimId, Buffer.from(JSON.stringify(slip)), new Date(Date.now() + 24 * 3_600_000))
    this.claimIds.push(claimId)
    console.log(`   on the bus: ${claimId.replace(/\d{13}/, '…')}`)
    this.#bus.emit('step', claimId)
  }

  async #step(claimId: string): Promise<boolean> {
    const slip = JSON.parse((await this.#claims.get(claimId)).toString()) as RoutingSlip
    const [next, ...rest] = slip.itinerary
    if (next === undefined) return true
    await this.#activities[next]?.(slip)
    await this.#send({ ...slip, itinerary: rest, done: [...slip.done, next] })
    return false
  }
}

const store = openStore(process.argv[2] ?? 'memory://')
await store.initialize()
const act = (text: string) => async (slip: RoutingSlip) => console.log(`   order ${slip.orderId}, ${slip.items.length} items: ${text}`)
const engine = new Engine({
  claimCheckStore: store,
  activities: { 'reserve-stock': act('stock reserved'), 'charge-card': act('card charged') },
})

const items = Array.from({ length: 2_000 }, (_, n) => ({ sku: `SKU-${n}`, note: 'a line of the order' }))
console.log('The slip has three steps on its way, and is stored before each')
await engine.execute({ orderId: '4711', itinerary: ['reserve-stock', 'charge-card'], done: [], items })

// What is gone is an error of its own: such a message is given up, everything else is tried again.
await store
  .get('slip-4710-gone')
  .catch((error) => console.log(`A claim id that nobody knows: ${error instanceof NotFoundError}, ${error.code}`))
// An engine leaves its slips to their expiry. This one removes them, so that nothing of the example is left.
for (const claimId of engine.claimIds) await store.delete(claimId)
await store.cleanup() // a job of yours calls it: docs/operating.md
await store.close()
