import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { SagaStates, SagaStore, SagaStoreError, SagaTransaction } from '../../index.js'
import type { Executor } from '../support/executors'

/** A call that would be right. */
interface Call {
  args: unknown[]
  /** The place of the options, and every one of them. */
  options?: { at: number; all: object }
  /** Places where some of the wrong values are not wrong. */
  free?: number[]
}

const inAMinute = new Date(Date.now() + 60_000)
const state = { metadata: { sagaId: 'saga' } }

const ON_PAYLOADS: Record<string, Call> = {
  put: { args: ['id', Buffer.from('x'), inAMinute], options: { at: 3, all: { routingSlipId: 'slip' } }, free: [2] },
  get: { args: ['id'] },
  find: { args: ['id'] },
  has: { args: ['id'] },
  delete: { args: ['id'] },
  touch: { args: ['id', inAMinute] },
  // An empty list is one, too.
  putMany: { args: [[{ id: 'id', data: Buffer.from('x') }]], free: [0] },
  getMany: { args: [['id']], free: [0] },
  list: { args: [], options: { at: 0, all: { prefix: 'i', limit: 10, cursor: 'id' } } },
  stat: { args: ['id'] },
}

const told = () => undefined
const exported = { onUnreadable: told, signal: new AbortController().signal }
const imported: Call = { args: [[]], options: { at: 1, all: { onConflict: 'overwrite', onRejected: told } }, free: [0] }

const lists = { limit: 10, onCorrupt: () => undefined }
const timedOut = { ...lists, now: inAMinute, sagaName: 'O' }

const ON_STATES: Record<string, Call> = {
  getById: { args: ['O', 'saga'] },
  getByCorrelationId: { args: ['O', 'order'] },
  findById: { args: ['O', 'saga'] },
  findByCorrelationId: { args: ['O', 'order'] },
  insert: { args: ['O', 'order', state] },
  update: { args: ['O', state, 1] },
  save: { args: ['O', state] },
  delete: { args: ['O', 'saga'] },
  deleteByCorrelationId: { args: ['O', 'order'] },
  modify: { args: ['O', 'saga', (state: unknown) => state], options: { at: 3, all: { maxRetries: 1, retryDelayMs: 1 } }, free: [2] },
  findByName: { args: ['O'], options: { at: 1, all: { ...lists, completed: true, cursor: 'saga' } } },
  countByName: { args: ['O'], options: { at: 1, all: { completed: false } } },
  deleteCompletedBefore: { args: ['O', inAMinute], options: { at: 2, all: { limit: 1 } } },
  findTimedOut: { args: [], options: { at: 0, all: timedOut } },
  claimTimedOut: { args: [], options: { at: 0, all: { ...timedOut, workerId: 'w', leaseMs: 1_000 } } },
  names: { args: [], options: { at: 0, all: { limit: 10, cursor: 'O' } } },
  findStale: { args: [], options: { at: 0, all: { ...lists, unchangedForMs: 1, cursor: 'saga', sagaName: 'O' } } },
  reindex: { args: [], options: { at: 0, all: { sagaName: 'O' } } },
  exportAll: { args: [], options: { at: 0, all: exported } },
  importRecords: imported,
  count: { args: [] },
}

const OF_A_STORE: Record<string, Call> = {
  ...ON_PAYLOADS,
  purgeExpired: { args: [], options: { at: 0, all: { limit: 1 } } },
  exportAll: { args: [], options: { at: 0, all: { ...exported, kinds: ['payloads'] } } },
  importRecords: imported,
  count: { args: [], options: { at: 0, all: { kinds: ['payloads'] } } },
  transaction: { args: [() => undefined], options: { at: 1, all: { isolation: 'serializable' } }, free: [0] },
}

const OF_A_TRANSACTION: Record<string, Call> = { ...ON_PAYLOADS, query: { args: ['select 1', []], free: [0, 1] } }

/** These take nothing, or are no operations. */
const WITHOUT_ARGUMENTS = ['cleanup', 'schemaSql', 'initialize', 'health', 'statistics', 'close']

const boom = () => {
  throw new Error('boom')
}
const revoked = Proxy.revocable({}, {})
revoked.revoke()

/** What is wrong in every place, unless the place is free. */
const WRONG: [string, unknown][] = [
  ['null', null],
  ['a number', 7.5],
  ['a bigint', 10n],
  ['a symbol', Symbol('wrong')],
  ['true', true],
  ['a function', () => 'text'],
  ['a list of symbols', [Symbol('wrong')]],
  ['an object with a getter that throws', Object.defineProperty({}, 'metadata', { get: boom, enumerable: true })],
  ['an iterable that throws', { [Symbol.iterator]: boom }],
  ['a proxy that throws', new Proxy({}, { get: boom, has: boom, ownKeys: boom, getPrototypeOf: boom, getOwnPropertyDescriptor: boom })],
  ['a revoked proxy', revoked.proxy],
  ['a Date that is none', new Date(Number.NaN)],
  ['a proxy of a Date', new Proxy(new Date(), {})],
  ['a proxy of a Buffer', new Proxy(Buffer.from('x'), {})],
]

/** What each place of a call, and each of its options, is given in turn. */
function wrongCalls({ args, options, free = [] }: Call): { what: string; args: unknown[]; isFree: boolean }[] {
  const places = WRONG.flatMap(([what, value]) => [
    ...args.map((_, at) => ({ what: `${what} as argument ${at + 1}`, args: args.with(at, value), isFree: free.includes(at) })),
    { what: `${what} everywhere`, args: [...args.map(() => value), ...(options === undefined ? [] : [value])], isFree: true },
    { what: `${what} as one argument too many`, args: [...args, ...(options === undefined ? [] : [options.all]), value], isFree: true },
  ])
  if (options === undefined) return places
  const at = (value: unknown) => [...args, ...Array(options.at - args.length).fill(undefined), value]
  return [
    ...places,
    ...WRONG.map(([what, value]) => ({ what: `${what} as options`, args: at(value), isFree: what.startsWith('a proxy of') })),
    ...Object.keys(options.all).flatMap((name) =>
      WRONG.map(([what, value]) => ({
        what: `${what} as ${name}`,
        args: at({ ...options.all, [name]: value }),
        isFree: value === null || value === true || typeof value === 'function',
      })),
    ),
    { what: 'an unknown option', args: at({ ...options.all, offset: 1 }), isFree: false },
  ]
}

const CODES = ['INVALID_ARGUMENT', 'SERIALIZATION', 'UNSUPPORTED']

/** What becomes of a call: no exception, no error without a code. */
async function outcomeOf(call: () => unknown): Promise<string> {
  let running: unknown
  try {
    running = call()
    // An iteration has failed when its first step has.
    if (typeof running === 'object' && running !== null && Symbol.asyncIterator in running) {
      running = (running as AsyncGenerator<unknown>).next()
    }
  } catch (error) {
    return `throws ${String(error)}`
  }
  if (!(running instanceof Promise)) return `answers ${typeof running}`
  return running.then(
    () => 'resolves',
    (error: unknown) => (error instanceof SagaStoreError ? error.code : `rejects with ${String(error)}`),
  )
}

type Methods = Record<string, (...args: unknown[]) => unknown>
type Run = (work: (on: Methods) => Promise<void>) => Promise<unknown>

async function wrongOutcomes(calls: Record<string, Call>, run: Run): Promise<string[]> {
  const wrong: string[] = []
  for (const [name, call] of Object.entries(calls)) {
    for (const { what, args, isFree } of wrongCalls(call)) {
      await run(async (on) => {
        const outcome = await outcomeOf(() => (on[name] as (...args: unknown[]) => unknown)(...args))
        const isRight = isFree ? /^([A-Z_]+|resolves)$/.test(outcome) : CODES.includes(outcome)
        if (!isRight) wrong.push(`${name}, ${what}: ${outcome}`)
      })
    }
  }
  return wrong
}

/** That a wrong argument is a rejection with a code, and no exception, wherever it stands. */
export function wrongArgumentsBehavior(executor: Executor): void {
  // A server that many tests use at once may take its time.
  describe('wrong arguments', { timeout: 180_000 }, () => {
    let store: SagaStore
    beforeEach(async () => {
      store = await executor.open()
    })
    afterEach(() => store.close())

    it('are rejections with a code', async () => {
      const on = store as unknown as Methods
      expect(await wrongOutcomes(OF_A_STORE, (work) => work(on))).toEqual([])
    })

    it('are rejections with a code, of states', async () => {
      await store.states.insert('O', 'order', state)
      expect(await wrongOutcomes(ON_STATES, (work) => work(store.states as unknown as Methods))).toEqual([])
    })

    it('are rejections with a code, in a transaction', async ({ skip }) => {
      let hasBegun = false
      const run = (pick: (tx: SagaTransaction) => unknown) => (work: (on: Methods) => Promise<void>) =>
        store
          .transaction(async (tx) => {
            hasBegun = true
            await work(pick(tx) as Methods)
            throw new Error('rolled back')
          })
          .catch((error: Error) => {
            if (error.message !== 'rolled back') throw error
          })
      try {
        await run(() => ({}))(async () => undefined)
      } catch (error) {
        if ((error as SagaStoreError).code === 'UNSUPPORTED' && !hasBegun) return skip()
        throw error
      }
      expect(
        await wrongOutcomes(
          OF_A_TRANSACTION,
          run((tx) => tx),
        ),
      ).toEqual([])
      expect(
        await wrongOutcomes(
          ON_STATES,
          run((tx) => tx.states),
        ),
      ).toEqual([])
    })
  })
}

/** The methods that a class has, with those of the class behind it. */
function methodsOf(prototype: object): string[] {
  const names: string[] = []
  for (let at = prototype; at !== Object.prototype; at = Object.getPrototypeOf(at)) {
    for (const [name, { value }] of Object.entries(Object.getOwnPropertyDescriptors(at))) {
      if (typeof value === 'function' && name !== 'constructor') names.push(name)
    }
  }
  return names.sort()
}

/** That no method is left out above. */
export function everyMethodIsCalled(): void {
  it('every method is called', () => {
    expect(methodsOf(SagaStore.prototype)).toEqual([...Object.keys(OF_A_STORE), ...WITHOUT_ARGUMENTS].sort())
    expect(methodsOf(SagaTransaction.prototype)).toEqual(Object.keys(OF_A_TRANSACTION).sort())
    // `of` is no operation.
    expect(methodsOf(SagaStates.prototype).filter((name) => name !== 'of')).toEqual(Object.keys(ON_STATES).sort())
  })
}
