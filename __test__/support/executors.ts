import { MongoClient } from 'mongodb'
import {
  openStore,
  SagaExecutions,
  SagaInboxEntries,
  SagaOutbox,
  SagaRun,
  SagaStates,
  type SagaStore,
  withTransaction,
} from '../../index.js'
import { dynamoDBLibraries } from './dynamodb-libraries'
import { type Library, type OpenLibrary, postgresLibraries, sqliteLibraries } from './sql-libraries'
import { openTarget, randomName, type Target, temporaryCollections, temporarySchema, temporaryTables } from './targets'

/** Another way for a backend's operations to reach the database than the store's own connections. */
export interface Executor {
  name: string
  /** Where a server is needed: its variable, and whether it is set. */
  available: boolean
  variable?: string
  /** Operations that the suite starts at once. Default 2,000. */
  burst?: number
  /** An initialized store on data of its own. */
  open(more?: object): Promise<SagaStore>
}

const OPERATIONS = ['put', 'get', 'find', 'has', 'delete', 'touch', 'putMany', 'getMany'] as const
/** Buffered are those whose answer the suite can do without. */
const QUEUED: readonly Name[] = ['put', 'putMany']
/** What a saga's state can be asked; `modify` and `save` consist of these. */
const ON_STATES = methodsOf(SagaStates.prototype)
const ON_EXECUTIONS = methodsOf(SagaExecutions.prototype)
/** These go on for longer than a transaction, and are the store's alone. */
const ON_OUTBOX = methodsOf(SagaOutbox.prototype).filter((name) => name !== 'relay' && name !== 'subscribe')
/** `run` opens a transaction itself. */
const ON_INBOX = methodsOf(SagaInboxEntries.prototype)

type Name = (typeof OPERATIONS)[number] | `${'states' | 'executions' | 'outbox' | 'inbox'}.${string}`
type Call = (operations: SagaStore) => Promise<unknown>

/**
 * A store whose operations each run in a transaction of their own, one after the other: what the suite
 * says of operations has to be true there as well.
 */
function inTransactions(
  store: SagaStore,
  names: readonly Name[],
  run: (call: Call, name: Name) => Promise<unknown>,
  end?: () => Promise<unknown>,
): SagaStore {
  let last: Promise<unknown> = Promise.resolve()
  let closed: Promise<void> | undefined
  const close = async () => {
    await last
    await store.close()
    await end?.()
  }
  const inTurn = (name: Name, call: Call) => {
    // A closed store is asked itself: the client of the library is closed as well.
    const result = closed === undefined ? last.then(() => run(call, name)) : closed.then(() => call(store))
    last = result.catch(() => undefined)
    return result
  }
  const kindInTurn = <K extends 'states' | 'outbox' | 'inbox'>(kind: K, methods: readonly string[]): SagaStore[K] =>
    new Proxy(store[kind], {
      get(target, name) {
        const value = Reflect.get(target, name, target)
        if (!methods.includes(name as string)) return typeof value === 'function' ? value.bind(target) : value
        return (...args: never[]) =>
          inTurn(`${kind}.${name as string}`, (operations) =>
            (operations[kind][name as never] as (...args: never[]) => Promise<unknown>).apply(operations[kind], args),
          )
      },
    })
  const states = kindInTurn('states', ON_STATES)
  const outbox = kindInTurn('outbox', ON_OUTBOX)
  const inbox = kindInTurn('inbox', ON_INBOX)
  /** What is written through a run goes into transactions, too. */
  const runInTurn = (run: SagaRun): SagaRun =>
    new Proxy(run, {
      get(target, name) {
        const value = Reflect.get(target, name, target)
        if (typeof value !== 'function') return value
        if (name === 'lose') return value.bind(target)
        return (...args: never[]) => inTurn(`executions.${String(name)}`, () => value.apply(target, args))
      },
    })
  const executions = new Proxy(store.executions, {
    get(_target, name) {
      if (!ON_EXECUTIONS.includes(name as string)) return undefined
      return async (...args: never[]) => {
        const answer = await inTurn(`executions.${name as string}`, (operations) =>
          (operations.executions[name as 'load'] as (...args: never[]) => Promise<unknown>)(...args),
        )
        if (answer instanceof SagaRun) return runInTurn(answer)
        return name === 'claim' ? (answer as SagaRun[]).map(runInTurn) : answer
      }
    },
  })
  return new Proxy(store, {
    get(target, name) {
      if (names.includes(name as Name)) {
        return (...args: never[]) =>
          inTurn(name as Name, (operations) => (operations[name as 'get'] as (...args: never[]) => Promise<unknown>)(...args))
      }
      if (name === 'close') {
        return () => {
          closed ??= close()
          return closed
        }
      }
      if (name === 'states' && names.length > 0) return states
      if (name === 'executions' && names.length > 0) return executions
      if (name === 'outbox' && names.length > 0) return outbox
      if (name === 'inbox' && names.length > 0) return inbox
      const value = Reflect.get(target, name)
      return typeof value === 'function' ? value.bind(target) : value
    },
  })
}

function methodsOf(prototype: object): string[] {
  const properties = Object.entries(Object.getOwnPropertyDescriptors(prototype))
  return properties.filter(([name, { value }]) => name !== 'constructor' && typeof value === 'function').map(([name]) => name)
}

/** The store's own connections. */
export function ownConnections(target: Target): Executor {
  const { name, available, variable } = target
  return { name, available, ...(variable && { variable }), open: (more) => openTarget(target, more) }
}

/** The store's own transactions; where they are buffered, of what can be queued. */
export function ownTransactions(target: Target): Executor {
  return {
    name: `${target.name}, each operation in a transaction of the store`,
    available: target.available,
    ...(target.variable === undefined ? {} : { variable: target.variable }),
    burst: 200,
    async open(more) {
      const isCluster = target.name === 'redis cluster'
      const store = await openTarget(target, { ...(isCluster && { keyPrefix: `test:{${randomName()}}` }), ...more })
      const isInteractive = store.capabilities.transactions === 'interactive'
      // One item too many for DynamoDB, which its own tests have.
      const queued = target.name === 'dynamodb' ? ['put'] : QUEUED
      return inTransactions(store, OPERATIONS, (call, name) =>
        isInteractive || queued.includes(name) ? store.transaction(async (tx) => await call(tx as unknown as SagaStore)) : call(store),
      )
    },
  }
}

const variableOf = { postgres: 'POSTGRES_URL', sqlite: undefined } as const

function base(name: string, library: Library): Omit<Executor, 'open'> {
  const variable = variableOf[library.backend]
  return { name, available: variable === undefined || process.env[variable] !== undefined, ...(variable && { variable }) }
}

export function storeOn(open: OpenLibrary, library: Library, more: object = {}): SagaStore {
  return openStore({ client: open.client, ...(library.backend === 'postgres' && { schema: temporarySchema() }), ...more } as never)
}

/** The store closes nothing that it did not open: the test does. */
function closing(store: SagaStore, end: () => Promise<unknown>): SagaStore {
  return inTransactions(store, [], () => Promise.resolve(), end)
}

/** A library's client. */
function onClient(library: Library): Executor {
  return {
    ...base(`on ${library.name}`, library),
    burst: 200,
    async open(more) {
      const open = await library.open()
      const store = storeOn(open, library, more)
      await store.initialize()
      return closing(store, open.close)
    },
  }
}

/** Runs `work` in a transaction of the library's, and what stores do in it with it. */
export async function joined(library: Library, { client, transaction }: OpenLibrary, work: () => Promise<void>): Promise<void> {
  // BEGIN and COMMIT by hand on a shared handle belong inside.
  const isHandle = library.name.endsWith('better-sqlite3') && !library.name.startsWith('knex')
  await (isHandle ? withTransaction(client, () => transaction(work)) : transaction((tx) => withTransaction(tx, work)))
}

/** A library's transactions: the store finds them by `withTransaction`. */
function inClientTransactions(library: Library): Executor {
  return {
    ...base(`in transactions of ${library.name}`, library),
    burst: 200,
    async open(more) {
      const open = await library.open()
      const store = storeOn(open, library, more)
      await store.initialize()
      const run = async (call: Call) => {
        let result: unknown
        await joined(library, open, async () => {
          result = await call(store)
        })
        return result
      }
      return inTransactions(store, OPERATIONS, run, open.close)
    },
  }
}

/** Every client of the application, and its transactions. */
export const clientExecutors: Executor[] = [...postgresLibraries, ...sqliteLibraries].flatMap((library) => [
  onClient(library),
  inClientTransactions(library),
])

/** DynamoDB's clients; its transactions answer nothing, and have a suite of their own. */
export const dynamoDBExecutors: Executor[] = dynamoDBLibraries.map((library) => ({
  name: `on ${library.name}`,
  available: process.env.DYNAMODB_URL !== undefined,
  variable: 'DYNAMODB_URL',
  burst: 200,
  async open(more) {
    const { client, close } = library.open()
    const store = openStore({ client, ...temporaryTables(), ...more } as never)
    await store.initialize()
    return closing(store, async () => close())
  },
}))

/** MongoDB's clients, with answers decoded in more than one way. */
export const mongoExecutors: Executor[] = [
  { name: 'MongoClient', open: (url: string) => new MongoClient(url), client: (client: MongoClient) => client },
  {
    name: 'Db, with values not promoted',
    open: (url: string) => new MongoClient(url, { promoteValues: false, useBigInt64: false }),
    client: (client: MongoClient) => client.db(),
  },
].map(({ name, open, client }) => ({
  name: `on ${name}`,
  available: process.env.MONGODB_URL !== undefined,
  variable: 'MONGODB_URL',
  burst: 200,
  async open(more) {
    const made = open(process.env.MONGODB_URL as string)
    const store = openStore({
      client: client(made),
      ...temporaryCollections(),
      ...more,
    } as never)
    await store.initialize()
    return closing(store, () => made.close())
  },
}))
