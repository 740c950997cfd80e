import { afterAll, describe, expect, it } from 'vitest'
import { type Claim, MemorySagaStore, type NewOutboxEvent, SagaOutbox } from '../../index.js'
import { claim, claimed, fresh, lostOf, numbers } from './fresh'

const store = new MemorySagaStore()
const { outbox } = store

afterAll(() => store.close())

/** An event as the native side answers it, claimed. */
function raw(eventId: string, payload: string, more: { partitionKey?: string; headers?: string } = {}): unknown[] {
  const { partitionKey = null, headers = null } = more
  const at = new Date(0)
  return [eventId, 'T', payload, null, null, null, headers, null, partitionKey, null, at, 'claimed', at, at, null, 0, 1, null, 'w', 'token']
}

/** An outbox on a native side that is played: it answers this, and notes what it is asked. */
function playing(answer: unknown): { outbox: SagaOutbox; asked: [string, unknown][]; warned: string[] } {
  const asked: [string, unknown][] = []
  const warned: string[] = []
  const runner = {
    backend: 'memory',
    run: async ({ name }: { name: string }, [fields]: unknown[]) => {
      asked.push([name, fields])
      return name === 'outbox.fail' ? [] : answer
    },
    refuse: (error: unknown) => Promise.reject(error),
    executions: { warn: (_operation: string, message: string) => warned.push(message) },
  }
  return { outbox: new SagaOutbox(runner as never), asked, warned }
}

describe('events that cannot be read', () => {
  it('fail at once, and hold up nothing: the others are given', async () => {
    const { outbox, asked, warned } = playing([
      raw('good-1', '1'),
      raw('bad', '{"half":'),
      raw('good-2', '2', { partitionKey: 'k' }),
      raw('bad-headers', '3', { headers: '{' }),
    ])
    expect(numbers((await outbox.claim({ workerId: 'w' })).map(({ payload }) => ({ payload: { n: payload } })))).toEqual([1, 2])
    expect(asked.slice(1)).toEqual([
      ['outbox.fail', { claims: [['bad', 'token']], error: expect.stringContaining('the stored payload is no JSON') }],
      ['outbox.fail', { claims: [['bad-headers', 'token']], error: expect.stringContaining('the stored headers is no JSON') }],
    ])
    expect(warned).toHaveLength(2)
  })

  it('take those behind them of their key along: the store has handed these back', async () => {
    const { outbox, asked } = playing([
      raw('k-1', '1', { partitionKey: 'k' }),
      raw('k-2', 'no', { partitionKey: 'k' }),
      raw('l-1', '2', { partitionKey: 'l' }),
      raw('k-3', '3', { partitionKey: 'k' }),
      raw('k-4', 'no', { partitionKey: 'k' }),
    ])
    expect((await outbox.claim({ workerId: 'w' })).map(({ eventId }) => eventId)).toEqual(['k-1', 'l-1'])
    expect(asked.slice(1)).toMatchObject([['outbox.fail', { claims: [['k-2', 'token']] }]])
  })

  it('are CORRUPT_DATA with their ids where they are read', async () => {
    const bad = raw('bad', '{')
    await expect(playing(bad).outbox.get('bad')).rejects.toMatchObject({ code: 'CORRUPT_DATA', id: 'bad' })
    const page = { events: [raw('good', '1'), bad], cursor: null }
    await expect(playing(page).outbox.list()).rejects.toMatchObject({ code: 'CORRUPT_DATA', id: 'bad' })
    await expect(playing([bad]).outbox.findStuck({ olderThanMs: 0 })).rejects.toMatchObject({ code: 'CORRUPT_DATA', id: 'bad' })
  })

  it('can be brought back by what they are', async () => {
    const { outbox, asked } = playing({ events: [raw('bad', '{'), raw('good', '1')], cursor: null })
    await outbox.requeue({ eventType: 'T' })
    expect(asked[1]).toEqual(['outbox.requeue', { ids: ['bad', 'good'] }])
  })
})

describe('many events at once', () => {
  it('are 1,000 in one insertion and in one claim', async () => {
    const names = fresh()
    await outbox.insert(Array.from({ length: 1_000 }, (_, n) => names.event(n)))
    const claims = await claim(outbox, names, { batchSize: 1_000 })
    expect(numbers(claims)).toEqual(Array.from({ length: 1_000 }, (_, n) => n))
    expect(await outbox.ack(claims)).toEqual({ acked: 1_000, lost: [] })
    await outbox.insert(Array.from({ length: 101 }, (_, n) => names.event(n)))
    expect(await outbox.claim({ workerId: 'w', eventTypes: [names.type] })).toHaveLength(100)
  })

  it('are settled in any number, also where a key goes across claims', async () => {
    const names = fresh()
    const { event, key } = names
    const count = 2_500
    for (let from = 0; from < count; from += 500) {
      await outbox.insert(Array.from({ length: 500 }, (_, n) => event(from + n, n % 2 === 0 ? { partitionKey: key } : {})))
    }
    const all: Claim[] = []
    for (const batchSize of [700, 700, 700, 700]) all.push(...(await claim(outbox, names, { batchSize })))
    expect(await outbox.extend(all, 60_000)).toEqual({ extended: all.length, lost: [] })
    // Given in any order: what one claim has of a key stays together, or those behind would be lost.
    expect(await outbox.release(all.toReversed())).toEqual({ released: all.length, lost: [] })
    let acked = 0
    for (let claims = all; claims.length > 0; ) {
      claims = await claim(outbox, names, { batchSize: 1_000 })
      if (claims.length > 0) acked += (await outbox.ack(claims)).acked
    }
    expect(acked).toBe(count)
  })

  it('are all told as lost, in whichever call', async () => {
    const held = Array.from({ length: 1_500 }, (_, n) => ({ eventId: `none-${n}`, token: `t-${n}` }))
    expect((await lostOf(outbox.ack(held))).lost).toHaveLength(1_500)
  })

  it('are brought back and removed in any number', async () => {
    const names = fresh()
    const ids = Array.from({ length: 1_200 }, (_, n) => names.id(n))
    for (const from of [0, 600]) await outbox.insert(ids.slice(from, from + 600).map((_, n) => names.event(from + n)))
    for (const id of ids) await outbox.updateStatus(id, 'dead_letter')
    expect(await outbox.requeue({ eventType: names.type })).toBe(1_200)
    for (const id of ids) await outbox.updateStatus(id, 'dead_letter')
    expect(await outbox.requeue(ids.slice(0, 1_100))).toBe(1_100)
    expect(await outbox.discard(ids)).toBe(100)
    expect(await claimed(outbox, names, { batchSize: 1_000 })).toHaveLength(1_000)
    expect(await outbox.releaseStuck({ olderThanMs: 0 })).toBeGreaterThanOrEqual(1_000)
  })
})

describe('an argument', () => {
  it('is as it was at the call', async () => {
    const { event, id } = fresh()
    const at = new Date('2041-01-01T00:00:00Z')
    const payload = { list: [1] }
    const given: NewOutboxEvent = event(1, { payload, availableAt: at, headers: { a: 1 } })
    const storing = outbox.insert(given)
    at.setTime(0)
    payload.list.push(2)
    given.sagaId = 'another'
    await storing
    const found = await outbox.get(id(1))
    expect(found).toMatchObject({ payload: { list: [1] }, availableAt: new Date('2041-01-01T00:00:00Z'), headers: { a: 1 } })
    expect(found?.sagaId).toBeUndefined()
  })

  it('may be a claim that has been sent elsewhere and back', async () => {
    const names = fresh()
    await outbox.insert(names.event(1))
    const claims = JSON.parse(JSON.stringify(await claim(outbox, names))) as Claim[]
    expect(await outbox.ack(claims)).toEqual({ acked: 1, lost: [] })
  })
})
