import type { BackendName } from '../backend'

/** What a move has to know of a store. */
export interface StoreFacts {
  backend: BackendName
  /** Where it is, and under which names: without a password. */
  where: string
  /** Whether another store of the same `where` has the same records. */
  isShared: boolean
  /** The largest payload that can be stored under an id. */
  maxPayloadBytes(id: string): number
}

/** Options that say under which names records are kept. */
const NAMING = /^(namespace|schema)$|[Tt]ableName$|[Cc]ollectionName$|[Kk]eyPrefix$/

const OF_STORES = new WeakMap<object, StoreFacts>()

/** Has `factsOf` answer what is known of a store. */
export function giveFacts(store: object, facts: StoreFacts): void {
  OF_STORES.set(store, facts)
}

/** What is known of a store of this package. */
export function factsOf(store: object): StoreFacts | undefined {
  return OF_STORES.get(store)
}

/** A place and the names there, as one text. */
export function whereOf(place: string, options: object): string {
  const names = Object.entries(options)
    .filter(([name, value]) => NAMING.test(name) && typeof value === 'string')
    .sort(([one], [other]) => (one < other ? -1 : 1))
  return names.length === 0 ? place : `${place} ${names.map(([name, value]) => `${name}=${value}`).join(' ')}`
}
