import { openStore, type SagaStore, withTransaction } from '../index.js'
import { type Library, type OpenLibrary, postgresLibraries, sqliteLibraries } from './sql-libraries'
import { openTarget, type Target, temporarySchema } from './targets'

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
const QUEUED = ['put', 'putMany'] as const

type Name = (typeof OPERATIONS)[number]
type Call = (operations: SagaStore) => Promise<unknown>

/**
 * A store whose operations each run in a transaction of their own, one after the other: what the suite
 * says of operations has to be true there as well.
 */
function inTransactions(
  store: SagaStore,
  names: readonly Name[],
  run: (call: Call) => Promise<unknown>,
  end?: () => Promise<unknown>,
): SagaStore {
  let last: Promise<unknown> = Promise.resolve()
  let isEnded = false
  const close = async () => {
    await last
    await store.close()
    if (!isEnded) await end?.()
    isEnded = true
  }
  return new Proxy(store, {
    get(target, name) {
      if (names.includes(name as Name)) {
        return (...args: never[]) => {
          const call: Call = (operations) => (operations[name as Name] as (...args: never[]) => Promise<unknown>)(...args)
          const result = last.then(() => run(call))
          last = result.catch(() => undefined)
          return result
        }
      }
      if (name === 'close') return () => close()
      const value = Reflect.get(target, name)
      return typeof value === 'function' ? value.bind(target) : value
    },
  })
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
      const store = await openTarget(target, more)
      const isBuffered = store.capabilities.transactions === 'buffered'
      return inTransactions(store, isBuffered ? QUEUED : OPERATIONS, (call) =>
        store.transaction(async (tx) => await call(tx as unknown as SagaStore)),
      )
    },
  }
}

const variableOf = { postgres: 'POSTGRES_URL', sqlite: undefined } as const

function base(name: string, library: Library): Omit<Executor, 'open'> {
  const variable = variableOf[library.backend]
  return { name, available: variable === undefined || process.env[variable] !== undefined, ...(variable && { variable }) }
}

function storeOn(open: OpenLibrary, library: Library, more: object = {}): SagaStore {
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

/** A library's transactions: the store finds them by `withTransaction`. */
function inClientTransactions(library: Library): Executor {
  return {
    ...base(`in transactions of ${library.name}`, library),
    burst: 200,
    async open(more) {
      const open = await library.open()
      const store = storeOn(open, library, more)
      await store.initialize()
      const { client, transaction } = open
      // BEGIN and COMMIT by hand on a shared handle belong inside.
      const isHandle = library.name.endsWith('better-sqlite3') && !library.name.startsWith('knex')
      const run = async (call: Call) => {
        let result: unknown
        const work = async () => {
          result = await call(store)
        }
        await (isHandle ? withTransaction(client, () => transaction(work)) : transaction((tx) => withTransaction(tx, work)))
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
