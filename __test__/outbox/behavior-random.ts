import { expect, it } from 'vitest'
import { type Claim, LeaseLostError, type SagaOutbox } from '../../index.js'
import type { Executor } from '../support/executors'
import { sharedStore } from '../support/stores'
import { type Fresh, fresh } from './fresh'

const WORKERS = 4
/** Of each of them. DynamoDB takes several requests for each. */
const stepsOn = ({ variable }: Executor) => (variable === 'DYNAMODB_URL' ? 15 : 60)
const KEYS = 3

/** Numbers that are the same for the same seed. */
function seeded(seed: number): (below: number) => number {
  let state = seed
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return Math.floor((state / 2 ** 32) * below)
  }
}

/** What is known of an event on this side. */
interface Known {
  id: string
  key: string | undefined
  /** Whose claim it is in, until something is asked that ends it. */
  token: string | undefined
  /** Its acknowledgement was asked for. */
  isAsked: boolean
  /** How often an acknowledgement succeeded. */
  acked: number
}

/** Watches what workers are answered, and says what must not be. */
class Ledger {
  readonly events = new Map<string, Known>()
  readonly #ofKey = new Map<string, Known[]>()

  inserting(id: string, key: string | undefined): void {
    const known = { id, key, token: undefined, isAsked: false, acked: 0 }
    this.events.set(id, known)
    if (key !== undefined) this.#ofKey.set(key, [...(this.#ofKey.get(key) ?? []), known])
  }

  /** A worker was given these: nobody else has them, and nothing of their keys is before them. */
  given(claims: readonly Claim[], limit: number): void {
    expect(claims.length).toBeLessThanOrEqual(limit)
    for (const { eventId, token } of claims) {
      const known = this.events.get(eventId) as Known
      expect(known.token, `${eventId} is another one's`).toBeUndefined()
      expect(known.acked, `${eventId} was sent already`).toBe(0)
      for (const before of this.#ofKey.get(known.key ?? '') ?? []) {
        if (before === known) break
        expect(before.isAsked || before.token === token, `${eventId} was given before ${before.id}`).toBe(true)
      }
      known.token = token
    }
  }

  /** It ends here: from now on another worker may be given them, and those of their keys behind them. */
  ending(claims: readonly Claim[]): void {
    for (const { eventId, token } of claims) {
      const known = this.events.get(eventId) as Known
      const ofKey = known.key === undefined ? [known] : (this.#ofKey.get(known.key) ?? [])
      for (const behind of ofKey.slice(ofKey.indexOf(known))) if (behind.token === token) behind.token = undefined
    }
  }

  acking(claims: readonly Claim[]): void {
    for (const { eventId } of claims) {
      const known = this.events.get(eventId) as Known
      known.isAsked = true
      known.token = undefined
    }
  }

  acked(claims: readonly Claim[], lost: readonly string[]): void {
    for (const { eventId } of claims) {
      const known = this.events.get(eventId) as Known
      if (!lost.includes(eventId)) known.acked += 1
      else if (known.acked === 0) known.isAsked = false
    }
  }
}

/** Inserts, claims, and does this or that with what it has, at random. */
async function work(
  outbox: SagaOutbox,
  ledger: Ledger,
  { type, id }: Fresh,
  { worker, steps, random }: { worker: number; steps: number; random: (below: number) => number },
): Promise<void> {
  let held: Claim[] = []
  let made = 0
  /** Some of what it has: of a key the first ones, or whatever. */
  const taken = (): Claim[] => {
    const count = 1 + random(held.length)
    return random(2) === 0 ? held.slice(0, count) : held.slice(-count)
  }
  const without = (gone: readonly string[]) => {
    held = held.filter(({ eventId }) => !gone.includes(eventId))
  }
  const lostOf = (error: unknown): string[] => {
    if (error instanceof LeaseLostError) return [...(error.lost ?? [])]
    throw error
  }
  for (let step = 0; step < steps; step += 1) {
    const what = random(10)
    if (what < 3) {
      // Events of one key come from one worker: their order is known.
      const events = Array.from({ length: 1 + random(4) }, () => {
        made += 1
        const key = random(3) === 0 ? undefined : `${type}-${worker}-${random(KEYS)}`
        return { eventId: id(`${worker}-${made}`), eventType: type, payload: { made }, ...(key !== undefined && { partitionKey: key }) }
      })
      for (const { eventId, partitionKey } of events) ledger.inserting(eventId, partitionKey)
      const claims = await outbox.insert(events, random(3) === 0 ? { claim: { workerId: `w-${worker}` } } : {})
      ledger.given(claims, events.length)
      held.push(...claims)
    } else if (what < 6 || held.length === 0) {
      const batchSize = 1 + random(6)
      const claims = await outbox.claim({ workerId: `w-${worker}`, batchSize, ...(random(2) === 0 && { eventTypes: [type] }) })
      ledger.given(claims, batchSize)
      held.push(...claims)
    } else if (what < 8) {
      const claims = taken()
      ledger.acking(claims)
      const lost = await outbox.ack(claims).then(({ lost }) => lost, lostOf)
      ledger.acked(claims, lost)
      without(claims.map(({ eventId }) => eventId))
    } else {
      const claims = taken()
      ledger.ending(claims)
      const ending = what === 8 ? outbox.release(claims) : outbox.fail(claims, { error: 'at random', retryAt: new Date(0) })
      await ending.catch(lostOf)
      // What it had behind them it has no more, and is not told before it asks: it asks.
      without(claims.map(({ eventId }) => eventId))
      if (held.length > 0) without(await outbox.extend(held, 300_000).then(({ lost }) => lost, lostOf))
    }
  }
  if (held.length > 0) {
    ledger.ending(held)
    await outbox.release(held).catch(lostOf)
  }
}

/** Several workers at once, at random: an event has one holder at a time, keys are in order, nothing is lost or sent twice. */
export function randomBehavior(executor: Executor): void {
  let outbox: SagaOutbox
  sharedStore(executor, ({ outbox: its }) => (outbox = its), { outbox: { maxRetries: 1_000, maxDeliveries: 1_000 } })

  it('has one holder for each event, order in each key, and loses nothing', async () => {
    const seed = Number(process.env.OUTBOX_SEED ?? Date.now() % 1_000_000)
    const names = fresh()
    const ledger = new Ledger()
    try {
      const workers = Array.from({ length: WORKERS }, (_, worker) =>
        work(outbox, ledger, names, { worker, steps: stepsOn(executor), random: seeded(seed + worker) }),
      )
      await Promise.all(workers)
      for (;;) {
        const claims = await outbox.claim({ workerId: 'last', batchSize: 100 })
        if (claims.length === 0) break
        ledger.given(claims, 100)
        ledger.acking(claims)
        ledger.acked(claims, (await outbox.ack(claims)).lost)
      }
      const wrong = [...ledger.events.values()].filter(({ acked }) => acked !== 1)
      expect(wrong).toEqual([])
      expect(await outbox.statistics()).toMatchObject({ ready: 0, claimed: 0, waiting: 0, dead: 0 })
      expect(ledger.events.size).toBeGreaterThan(10)
    } catch (error) {
      console.error(`OUTBOX_SEED=${seed} has it again, about`)
      throw error
    }
  })
}
