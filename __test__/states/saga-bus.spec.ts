import { describe, expect, it } from 'vitest'
import { openStore, type SagaState, sagaBusStore } from '../../index.js'
import { freePort } from '../support/ports'
import { rejectionOf } from '../support/promises'

// Of the shape of those of @saga-bus/core 0.2.

class BusConflict extends Error {
  constructor(
    readonly sagaId: string,
    readonly expectedVersion: number,
    readonly actualVersion?: number,
  ) {
    super('conflict')
  }
}

class BusTransient extends Error {
  override readonly cause?: Error | undefined

  constructor(message: string, cause?: Error) {
    super(message)
    this.cause = cause
  }
}

/** What its default error handler does with a message: it knows its classes, and what some messages say. */
function fate(error: unknown): 'retry' | 'dlq' {
  if (error instanceof BusConflict || error instanceof BusTransient) return 'retry'
  return error instanceof Error && /timeout|network|connection.*(refused|reset)|ECONN|EPIPE/i.test(error.message) ? 'retry' : 'dlq'
}

const stateOf = (sagaId: string, version = 0) => ({
  metadata: { sagaId, version, isCompleted: false, createdAt: new Date(), updatedAt: new Date() },
})

const failureOf = (call: Promise<unknown>) =>
  call.then(
    () => undefined,
    (error: unknown) => error,
  )

const classes = { ConcurrencyError: BusConflict, TransientError: BusTransient }

describe('sagaBusStore', () => {
  it('throws the class of conflicts that the bus knows', async () => {
    await using store = openStore('memory://')
    const bus = sagaBusStore<SagaState>(store.states, { ConcurrencyError: BusConflict })
    const state = stateOf('s-1', 1)
    await bus.insert('Order', 'order-1', state)
    await bus.update('Order', { metadata: { ...state.metadata, version: 2 } }, 1)
    const conflict = await failureOf(bus.update('Order', state, 1))
    expect(conflict).toBeInstanceOf(BusConflict)
    expect(conflict).toMatchObject({ sagaId: 's-1', expectedVersion: 1, actualVersion: 2, cause: { code: 'CONCURRENCY_CONFLICT' } })
    const { updatedAt: _, ...known } = state.metadata
    expect(await bus.getByCorrelationId('Order', 'order-1')).toMatchObject({ metadata: { ...known, version: 2 } })
    expect((await bus.getById('Order', 's-1'))?.metadata.version).toBe(2)
    const missing = await rejectionOf(bus.update('Order', { metadata: { ...state.metadata, sagaId: 'x' } }, 1))
    expect(missing).toMatchObject({ code: 'NOT_FOUND', message: expect.stringContaining('not found') })
    await bus.delete('Order', 's-1')
    expect(await bus.getById('Order', 's-1')).toBeNull()
  })

  it('tells of two messages that start one saga the second to try again', async () => {
    await using store = openStore('memory://')
    const bus = sagaBusStore<SagaState>(store.states, classes)
    await bus.insert('Order', 'order-1', stateOf('s-1'))
    const second = await failureOf(bus.insert('Order', 'order-1', stateOf('s-2')))
    expect(second).toBeInstanceOf(BusConflict)
    expect(second).toMatchObject({ sagaId: 's-2', expectedVersion: 0, actualVersion: undefined })
    expect(second).toMatchObject({ cause: { code: 'ALREADY_EXISTS', message: expect.stringContaining('already exists') } })
    expect(fate(second)).toBe('retry')
    expect((await bus.getByCorrelationId('Order', 'order-1'))?.metadata).toMatchObject({ sagaId: 's-1', version: 0 })
  })

  it('has the bus try again what passes by itself, and nothing else', async () => {
    await using store = openStore({ url: `redis://127.0.0.1:${await freePort()}`, retry: { attempts: 1 }, connectTimeoutMs: 2_000 })
    const known = sagaBusStore<SagaState>(store.states, classes)
    const unknown = sagaBusStore<SagaState>(store.states, { ConcurrencyError: BusConflict })
    const calls = (bus: typeof known) => [
      bus.getById('Order', 's-1'),
      bus.getByCorrelationId('Order', 'order-1'),
      bus.insert('Order', 'order-1', stateOf('s-1')),
      bus.update('Order', stateOf('s-1'), 1),
      bus.delete('Order', 's-1'),
    ]
    for (const error of await Promise.all(calls(known).map(failureOf))) {
      expect(error).toBeInstanceOf(BusTransient)
      expect(error).toMatchObject({ message: expect.stringContaining('redis'), cause: { code: 'CONNECTION', retryable: true } })
    }
    for (const call of calls(unknown)) {
      const error = await rejectionOf(call)
      expect(error).toMatchObject({ code: 'CONNECTION', retryable: true })
      expect(fate(error)).toBe('retry')
    }
    for (const bus of [known, unknown]) {
      const error = await rejectionOf(bus.insert('a:b', 'order-1', stateOf('s-1')))
      expect(error.code).toBe('INVALID_ARGUMENT')
      expect(fate(error)).toBe('dlq')
    }
  })

  it('is made with the classes of the bus, and with nothing else', async () => {
    await using store = openStore('memory://')
    for (const options of [
      undefined,
      {},
      { ConcurrencyError: 'no' },
      { ...classes, TransientError: 1 },
      { ...classes, Transient: BusTransient },
    ]) {
      expect(() => sagaBusStore(store.states, options as never)).toThrow(expect.objectContaining({ code: 'INVALID_ARGUMENT' }))
    }
  })
})
