import { describe, expect, it } from 'vitest'
import {
  DynamoDBSagaStore,
  InvalidArgumentError,
  MemorySagaStore,
  MongoSagaStore,
  openStore,
  PostgresSagaStore,
  RedisSagaStore,
  type SagaStore,
  SqliteSagaStore,
  sagaBusStore,
} from '../../index.js'
import { rejectionOf } from '../support/promises'

const LISTS = 'limit, onCorrupt'
const sorted = (names: string) => names.split(', ').toSorted().join(', ')

/** Every method with options, and the options that it says it accepts. */
const METHODS: [string, (store: SagaStore, options: never) => Promise<unknown>, string][] = [
  ['put', (store, options) => store.put('id', Buffer.from('x'), undefined, options), 'routingSlipId'],
  ['purgeExpired', (store, options) => store.purgeExpired(options), 'limit'],
  ['transaction', (store, options) => store.transaction(() => undefined, options), 'isolation'],
  ['states.modify', (store, options) => store.states.modify('O', 'saga', (state) => state, options), 'maxRetries, retryDelayMs'],
  ['states.findByName', (store, options) => store.states.findByName('O', options), `completed, cursor, ${LISTS}`],
  ['states.countByName', (store, options) => store.states.countByName('O', options), 'completed'],
  ['states.deleteCompletedBefore', (store, options) => store.states.deleteCompletedBefore('O', new Date(), options), 'limit'],
  ['states.findTimedOut', (store, options) => store.states.findTimedOut(options), `now, sagaName, ${LISTS}`],
  ['states.claimTimedOut', (store, options) => store.states.claimTimedOut(options), `leaseMs, now, sagaName, workerId, ${LISTS}`],
  ['states.reindex', (store, options) => store.states.reindex(options), 'sagaName'],
  ['outbox.insert', (store, options) => store.outbox.insert({ eventType: 'O', payload: 1 }, options), 'onDuplicate, claim'],
  ['outbox.list', (store, options) => store.outbox.list(options), 'limit, cursor, status'],
  ['outbox.blockedKeys', (store, options) => store.outbox.blockedKeys(options), 'limit'],
  ['inbox.accept', (store, options) => store.inbox.accept('mailer', 'message', options), 'ttlMs'],
]

/** Options without which the call is wrong. */
const needed = (method: string) => (method === 'states.claimTimedOut' ? { workerId: 'w', leaseMs: 1_000 } : {})

describe.each(METHODS)('the options of %s', (method, call, accepted) => {
  const open = async () => {
    const store = openStore('memory://')
    await store.states.insert('O', 'order', { metadata: { sagaId: 'saga' } })
    return store
  }
  const within = async (work: (run: (options: unknown) => Promise<unknown>) => Promise<void>) => {
    await using store = await open()
    await work((options) => call(store, options as never))
    // The same in a transaction, where there is the same method.
    if (method !== 'purgeExpired' && method !== 'transaction' && method !== 'states.reindex') {
      await store.transaction((tx) => work((options) => call(tx as unknown as SagaStore, options as never)))
    }
  }

  it('are closed, and the message names those that there are', () =>
    within(async (run) => {
      const error = await rejectionOf(run({ ...needed(method), isCompleted: true }))
      expect(error).toMatchObject({ code: 'INVALID_ARGUMENT', backend: 'memory', operation: method })
      const [, name, names] = /unknown option '(\w+)'; accepted: (.*)$/.exec(error.message) ?? []
      expect([name, sorted(names ?? '')]).toEqual(['isCompleted', sorted(accepted)])
    }))

  it('are an object', () =>
    within(async (run) => {
      for (const wrong of [null, 5, 'limit', true, Symbol('x'), 1n, [], new Date(), Buffer.from('x'), new Map(), () => undefined]) {
        const error = await rejectionOf(run(wrong))
        expect(error, String(wrong)).toMatchObject({ code: 'INVALID_ARGUMENT', operation: method })
        expect(error.message).toContain('options are an object; accepted: ')
      }
    }))

  it('may be undefined, and their values too', () =>
    within(async (run) => {
      await run({ ...needed(method), ...Object.fromEntries(accepted.split(', ').map((name) => [name, undefined])), ...needed(method) })
      await run({ ...needed(method), unheardOf: undefined })
      await run(Object.assign(Object.create(null), needed(method)))
      if (method !== 'states.claimTimedOut') await run(undefined)
    }))

  it('are own properties', () =>
    within(async (run) => {
      const inherited = Object.fromEntries(['unheardOf', ...accepted.split(', ')].map((name) => [name, Symbol('wrong')]))
      await run(Object.assign(Object.create(inherited), needed(method)))
    }))

  it('may throw when they are read', () =>
    within(async (run) => {
      const cause = new Error('not today')
      const get = () => {
        throw cause
      }
      const [name] = accepted.split(', ') as [string]
      const throwing = [Object.defineProperty({}, name, { get, enumerable: true }), new Proxy({}, { ownKeys: get })]
      for (const options of throwing) {
        expect(await rejectionOf(run(options))).toMatchObject({ code: 'INVALID_ARGUMENT', operation: method, cause })
      }
    }))
})

describe('a store takes one argument', () => {
  const cases: [string, new (...args: never[]) => SagaStore, string][] = [
    ['memory', MemorySagaStore, 'memory://'],
    ['sqlite', SqliteSagaStore, 'sqlite::memory:'],
    ['postgres', PostgresSagaStore, 'postgres://127.0.0.1:1/x'],
    ['redis', RedisSagaStore, 'redis://127.0.0.1:1'],
    ['mongodb', MongoSagaStore, 'mongodb://127.0.0.1:1/x'],
    ['dynamodb', DynamoDBSagaStore, 'dynamodb://eu-west-1/orders'],
  ]
  const refusal = (open: () => unknown) => {
    try {
      open()
    } catch (error) {
      return error
    }
    return undefined
  }

  it.each(cases)('%s', (_, StoreClass, url) => {
    for (const first of [url, { url }]) {
      for (const second of [{ namespace: 'orders' }, {}, null, 'orders']) {
        for (const open of [
          () => new StoreClass(...([first, second] as never[])),
          () => openStore(...([first, second] as never as [string])),
        ]) {
          const error = refusal(open)
          expect(error).toBeInstanceOf(InvalidArgumentError)
          expect((error as Error).message).toMatch(/a store takes one argument: a connection string, or options with 'url' or 'client'/)
        }
      }
      expect(new StoreClass(...([first, undefined] as never[])).backend).toBe(openStore(url).backend)
    }
  })

  it('whose unknown keys are refused, and whose undefined ones are not there', () => {
    const url = 'redis://127.0.0.1:1'
    expect(refusal(() => openStore({ url, keyPrefx: 'x' } as never))).toMatchObject({ code: 'INVALID_ARGUMENT' })
    expect(openStore({ url, keyPrefx: undefined, client: undefined, logger: undefined } as never).backend).toBe('redis')
    expect(new MemorySagaStore({ url: undefined } as never).backend).toBe('memory')
    expect(openStore(Object.assign(Object.create({ keyPrefx: 'x', client: 5 }), { url })).backend).toBe('redis')
  })

  it('that may throw when it is read', () => {
    const get = () => {
      throw new Error('not today')
    }
    const circular: Record<string, unknown> = { url: 'memory://' }
    circular.retry = circular
    const revoked = Proxy.revocable({}, {})
    revoked.revoke()
    const throwing = Object.defineProperty({}, 'url', { get, enumerable: true })
    for (const wrong of [circular, throwing, revoked.proxy, { url: 'memory://', lateRetentionMs: Object(1n) }, [], 5, Symbol('x'), null]) {
      expect(refusal(() => openStore(wrong as never))).toMatchObject({ code: 'INVALID_ARGUMENT' })
      expect(refusal(() => new MemorySagaStore(wrong as never))).toMatchObject({ code: 'INVALID_ARGUMENT' })
    }
  })
})

describe('sagaBusStore', () => {
  it('takes the states of a store and two classes', async () => {
    await using store = openStore('memory://')
    class ConcurrencyError extends Error {}
    const make =
      (...args: unknown[]) =>
      () =>
        sagaBusStore(...(args as [never, never]))
    expect(make(store.states, { ConcurrencyError })).not.toThrow()
    expect(make(store, { ConcurrencyError })).toThrow(/takes the 'states' of a store/)
    expect(make(undefined, { ConcurrencyError })).toThrow(InvalidArgumentError)
    expect(make(store.states)).toThrow(/'ConcurrencyError' must be the class/)
    expect(make(store.states, null)).toThrow(/options are an object; accepted: ConcurrencyError, TransientError/)
    expect(make(store.states, { ConcurrencyError, Transient: Error })).toThrow(/unknown option 'Transient'; accepted: ConcurrencyError/)
  })
})
