import { type Accepted, isRecord, listed, presentOptions } from '../arguments'
import type { BackendName } from '../backend'
import { errorOf, invalidArgument, type LeaseLostError } from '../errors'
import { OPERATIONS } from '../operations'
import { CallTime } from './call-time'
import { cursorOf, type ListName, positionOf } from './cursors'
import { known } from './json'
import { OutboxJson, type RawEvent } from './outbox-json'
import type { Claim, DeadLetterFilter, HeldEvent, OutboxListOptions, OutboxPage } from './outbox-types'
import type { Runner } from './runner'

/** The operations on the outbox, without their prefix. */
type OutboxMethod = { [Name in keyof typeof OPERATIONS]: Name extends `outbox.${infer Method}` ? Method : never }[keyof typeof OPERATIONS]
/** Those that say what becomes of claims. */
type Settling = 'ack' | 'fail' | 'release' | 'extend'

interface RawPage {
  events: RawEvent[]
  cursor: string | null
}

const FILTER: Accepted<DeadLetterFilter> = { eventType: true, routingKey: true, partitionKey: true, sagaId: true, olderThanMs: true }

export const PAGE_SIZE = 100
export const MAX_BATCH = 1_000

/** How the methods of the outbox reach the native side. */
export class OutboxCalls {
  readonly runner: Runner
  readonly backend: BackendName
  readonly json: OutboxJson

  constructor(runner: Runner) {
    this.runner = runner
    this.backend = runner.backend
    this.json = new OutboxJson(runner.backend)
  }

  refuse(error: unknown, operation: string): Promise<never> {
    return this.runner.refuse(error, operation)
  }

  /** Of a claim what can be read. What cannot fails; behind it nothing of its key goes to the worker. */
  async readable<P>(claimed: RawEvent[]): Promise<Claim<P>[]> {
    const claims: Claim<P>[] = []
    const blocked = new Set<string | null>()
    const failures: [claim: [string, string], error: Error][] = []
    for (const raw of claimed) {
      const [eventId, , , , , , , , partitionKey] = raw
      if (partitionKey !== null && blocked.has(partitionKey)) continue
      try {
        claims.push(this.json.claim<P>(raw, 'outbox.claim'))
      } catch (error) {
        if (partitionKey !== null) blocked.add(partitionKey)
        failures.push([[eventId, raw[19] as string], error as Error])
      }
    }
    for (const [claim, { message }] of failures) {
      this.runner.executions.warn('outbox.claim', message)
      // Where this fails in turn, its lease ends.
      await this.run('fail', () => ({ claims: [claim], error: message })).catch(() => undefined)
    }
    return claims
  }

  async settle(
    method: Settling,
    claims: HeldEvent | Iterable<HeldEvent>,
    fields: (operation: string) => object,
  ): Promise<{ count: number; lost: string[] }> {
    const operation = `outbox.${method}`
    let batches: [string, string][][]
    let more: object
    let count: number
    try {
      batches = batchesOf(this.#held(claims, operation))
      count = batches.reduce((sum, batch) => sum + batch.length, 0)
      more = fields(operation)
    } catch (error) {
      return await this.runner.refuse(error, operation)
    }
    const lost: string[] = []
    for (const batch of batches) {
      lost.push(...(await this.run<string[]>(method, () => ({ claims: batch, ...more }))))
      if (method === 'extend') continue
      const { leases, whenStored } = this.runner.outbox
      whenStored(() => leases.settled(batch, method !== 'ack'))
    }
    if (count > 0 && lost.length === count) throw this.#lost(operation, lost)
    return { count: count - lost.length, lost }
  }

  /** The events that are given, by token: a worker may have been given an event again, and have both claims. */
  #held(claims: HeldEvent | Iterable<HeldEvent>, operation: string): Map<string, Set<string>> {
    const held = new Map<string, Set<string>>()
    for (const claim of isRecord(claims) ? [claims as HeldEvent] : listed(claims as Iterable<HeldEvent>)) {
      const { eventId, token } = (claim ?? {}) as HeldEvent
      this.json.checkText(eventId, 'eventId of a claim', operation)
      this.json.checkText(token, 'token of a claim', operation)
      const ofToken = held.get(token)
      if (ofToken === undefined) held.set(token, new Set([eventId]))
      else ofToken.add(eventId)
    }
    return held
  }

  #lost(operation: string, lost: string[]): Error {
    const [id] = lost
    const what = lost.length === 1 ? 'the event is' : 'all of the events are'
    const message = `${what} not this worker's any more: the lease was over and another one was given it, or it was handed back or decided about`
    const error = errorOf('LEASE_LOST', message, { backend: this.backend, operation, ...(lost.length === 1 && { id }) })
    return Object.assign(error as LeaseLostError, { lost })
  }

  async list(take: (operation: string) => OutboxListOptions & { sagaId?: string }): Promise<OutboxPage> {
    let list: ListName = []
    const { events, cursor } = await this.#page((operation) => {
      const { cursor: given, ...taken } = take(operation)
      list = ['outbox', taken.sagaId ?? null, taken.status ?? null]
      const after = positionOf(given, list, operation, this.backend)
      return after === undefined ? taken : { ...taken, cursor: after }
    })
    const page: OutboxPage = { events: events.map((raw) => this.json.event(raw, 'outbox.list')) }
    if (cursor !== null) page.cursor = cursorOf(list, cursor)
    return page
  }

  #page(take: (operation: string) => OutboxListOptions & { sagaId?: string }): Promise<RawPage> {
    return this.run<RawPage>('list', (operation) => {
      const { limit = PAGE_SIZE, cursor, ...rest } = take(operation)
      return known({ ...rest, limit, after: cursor })
    })
  }

  async requeueFound(filter: DeadLetterFilter): Promise<number> {
    const operation = 'outbox.requeue'
    let taken: DeadLetterFilter
    let before: number
    try {
      taken = this.options(filter, FILTER, operation)
      before = Date.now() - this.age(taken.olderThanMs ?? 0, operation)
      for (const name of ['eventType', 'routingKey', 'partitionKey', 'sagaId'] as const) {
        if (taken[name] !== undefined) this.json.checkText(taken[name], `option '${name}'`, operation)
      }
    } catch (error) {
      return await this.runner.refuse(error, operation)
    }
    const { sagaId, olderThanMs, eventType, routingKey, partitionKey } = taken
    const isMeant = ([, type, , , , , , routing, partition, , , , createdAt]: RawEvent) =>
      (eventType === undefined || type === eventType) &&
      (routingKey === undefined || routing === routingKey) &&
      (partitionKey === undefined || partition === partitionKey) &&
      (olderThanMs === undefined || createdAt.getTime() <= before)
    const time = new CallTime(this.runner, operation)
    let count = 0
    let cursor: string | null = null
    do {
      const after: string | null = cursor
      const page: RawPage = await time.of(() =>
        this.#page(() => known({ sagaId, status: 'dead_letter' as const, limit: MAX_BATCH, cursor: after ?? undefined })),
      )
      const ids = page.events.filter(isMeant).map(([eventId]) => eventId)
      if (ids.length > 0) count += await time.of(() => this.run<number>('requeue', () => ({ ids })))
      cursor = page.cursor
    } while (cursor !== null)
    return count
  }

  async byIds(method: 'requeue' | 'discard', given: Iterable<string>): Promise<number> {
    const operation = `outbox.${method}`
    let ids: string[]
    try {
      ids = [...new Set(listed(given))]
      for (const id of ids) this.json.checkText(id, 'eventId', operation)
    } catch (error) {
      return await this.runner.refuse(error, operation)
    }
    const time = new CallTime(this.runner, operation)
    let count = 0
    for (let at = 0; at < ids.length; at += MAX_BATCH) {
      const batch = ids.slice(at, at + MAX_BATCH)
      count += await time.of(() => this.run<number>(method, () => ({ ids: batch })))
    }
    return count
  }

  /** Goes on until there are no more. What has become old enough only meanwhile is left: others may make more of it all the time. */
  async batches(method: 'releaseStuck' | 'archive', age: number, limit: number, more: object): Promise<number> {
    const began = performance.now()
    const time = new CallTime(this.runner, `outbox.${method}`)
    let total = 0
    while (total < limit) {
      const batch = Math.min(MAX_BATCH, limit - total)
      const olderThanMs = age + Math.floor(performance.now() - began)
      const count = await time.of(() => this.run<number>(method, () => ({ ...more, olderThanMs, limit: batch })))
      total += count
      if (count < batch) break
    }
    return total
  }

  age(olderThanMs: unknown, operation: string): number {
    if (Number.isSafeInteger(olderThanMs) && (olderThanMs as number) >= 0) return olderThanMs as number
    throw this.invalid('olderThanMs must be a whole number from 0 on', operation)
  }

  names(names: Iterable<string> | undefined, what: string, operation: string): string[] | undefined {
    if (names === undefined) return undefined
    const taken = this.listed(names, what, operation)
    for (const name of taken) this.json.checkText(name, `a name of option '${what}'`, operation)
    return taken
  }

  listed<T>(values: Iterable<T>, what: string, operation: string): T[] {
    try {
      return listed(values)
    } catch (cause) {
      throw invalidArgument(`option '${what}' must be an iterable, such as an array`, operation, this.backend, cause)
    }
  }

  options<O extends object>(given: O | undefined, accepted: Accepted<O>, operation: string): O {
    return presentOptions(given, accepted, operation, this.backend)
  }

  invalid(message: string, operation: string): Error {
    return invalidArgument(message, operation, this.backend)
  }

  run<T>(method: OutboxMethod, fields: (operation: string) => object, first: unknown[] = []): Promise<T> {
    const operation = OPERATIONS[`outbox.${method}`]
    let given: object
    try {
      given = fields(operation.name)
    } catch (error) {
      return this.runner.refuse(error, operation.name)
    }
    return this.runner.run<T>(operation, [...first, given])
  }
}

/**
 * At most 1,000 at once, and no event twice. What is of one claim stays together, as long as it is no more: its order
 * counts.
 */
function batchesOf(held: Map<string, Set<string>>): [string, string][][] {
  const batches: [string, string][][] = []
  let batch: [string, string][] = []
  let ids = new Set<string>()
  for (const [token, ofToken] of held) {
    const all = [...ofToken]
    for (let at = 0; at < all.length; at += MAX_BATCH) {
      const part = all.slice(at, at + MAX_BATCH)
      if (batch.length + part.length > MAX_BATCH || part.some((id) => ids.has(id))) {
        batches.push(batch)
        batch = []
        ids = new Set()
      }
      for (const id of part) {
        batch.push([id, token])
        ids.add(id)
      }
    }
  }
  if (batch.length > 0) batches.push(batch)
  return batches
}
