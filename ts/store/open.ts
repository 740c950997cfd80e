import { isMainThread } from 'node:worker_threads'
import type { BackendName } from '../backend'
import type { Carrier } from '../clients/carrier'
import { recognize } from '../clients/recognize'
import { invalidArgument, toError } from '../errors'
import { type StoreFacts, whereOf } from '../moving/facts'
import { native } from '../native'
import { Observer } from '../observe'
import { realSetImmediate } from '../promises'
import { Conversations } from '../run/conversation'
import { type Given, givenBy } from './given'
import { collectionsOf, namespaceOf } from './places'

export type Native = InstanceType<typeof native.NativeStore>

/** What a store is made of. */
export interface Parts {
  backend: BackendName
  native: Native
  /** The operations that are called most, as functions. */
  direct: ReturnType<Native['operations']>
  observer: Observer
  conversations: Conversations
  /** The client that it was given in place of a URL. */
  client: Carrier | undefined
  getTransaction: (() => unknown) | undefined
  requiresTransaction: boolean
  /** What the log of an execution may have. */
  history: { maxHistoryEntries: number; maxHistoryBytes: number }
  /** How often an event of the outbox is tried again. */
  maxRetries: number
  /** What moves of its records must know. */
  facts: StoreFacts
}

/** URLs under which each store has records of its own. */
const PRIVATE: ReadonlySet<string> = new Set(['memory://', 'memory:', 'sqlite::memory:'])

/** Opens a store, without any I/O. `backend`: the only one that is meant; `args`: those of its constructor. */
export function open(backend: BackendName | null, args: readonly unknown[]): Parts {
  const { logger, slowMs = 1_000, client, getTransaction, requireTransaction, ...rest } = givenBy(args, backend)
  if (getTransaction !== undefined && typeof getTransaction !== 'function') {
    throw invalidArgument("option 'getTransaction' must be a function", 'open', backend ?? undefined)
  }
  if (requireTransaction !== undefined && typeof requireTransaction !== 'boolean') {
    throw invalidArgument("option 'requireTransaction' must be true or false", 'open', backend ?? undefined)
  }
  if (!Number.isSafeInteger(slowMs) || slowMs < 0) {
    throw invalidArgument("option 'slowMs' must be a whole number from 0 on", 'open', backend ?? undefined)
  }
  const carrier = client === undefined ? undefined : clientCarrier(client, rest.url, backend)
  const json = jsonOf(rest, backend)
  const opened =
    carrier === undefined
      ? native.NativeStore.open(backend, json, realSetImmediate, isMainThread)
      : native.NativeStore.openOnClients(carrier.backend, json, realSetImmediate, isMainThread)
  if (!(opened instanceof native.NativeStore)) throw toError(opened)
  const direct = opened.operations()
  const name = opened.backend as BackendName
  return {
    backend: name,
    native: opened,
    direct,
    observer: new Observer(name, opened.url, {
      logger,
      slowMs,
      collections: collectionsOf(name, opened.url, rest),
      namespace: namespaceOf(name, opened.url, rest),
    }),
    conversations: new Conversations(opened, carrier, direct.makesWay),
    client: carrier,
    getTransaction,
    requiresTransaction: requireTransaction === true,
    history: { maxHistoryEntries: rest.maxHistoryEntries ?? 10_000, maxHistoryBytes: rest.maxHistoryBytes ?? 50 * 1_024 * 1_024 },
    maxRetries: rest.outbox?.maxRetries ?? 10,
    facts: factsFor(opened, carrier, rest),
  }
}

function factsFor(opened: Native, carrier: Carrier | undefined, options: Given): StoreFacts {
  const backend = opened.backend as BackendName
  const { maxPayloadBytes: most = Number.POSITIVE_INFINITY } = options
  return {
    backend,
    where: whereOf(carrier === undefined ? opened.url : `${backend} by ${carrier.library}`, options),
    // Two clients may be of two databases; what has no name is private.
    isShared: carrier === undefined && !PRIVATE.has(opened.url),
    maxPayloadBytes: (id) => {
      const { maxPayloadBytes: limit } = opened.capabilities
      // Of a whole item or document, under an id of one byte.
      const isWhole = backend === 'dynamodb' || backend === 'mongodb'
      return Math.min(most, isWhole ? limit + 1 - Buffer.byteLength(id) : limit)
    },
  }
}

/** The backend that the URL's scheme names, or that the client given talks to. */
export function backendOf(args: readonly unknown[]): BackendName {
  const { url, client } = givenBy(args, null)
  if (client !== undefined) return clientCarrier(client, url, null).backend
  if (typeof url !== 'string' || url === '') {
    throw invalidArgument(`option 'url' must be a connection string; got ${url === '' ? 'an empty one' : typeof url}`, 'open')
  }
  const backend = native.backendOf(url)
  if (typeof backend !== 'string') throw toError(backend)
  return backend as BackendName
}

function clientCarrier(client: unknown, url: unknown, backend: BackendName | null): Carrier {
  if (url !== undefined) throw invalidArgument("give either 'url' or 'client', not both", 'open', backend ?? undefined)
  if (backend === 'memory') throw invalidArgument("the memory store has no option 'client'", 'open', backend)
  const carrier = recognize(client, "option 'client'", 'open')
  if (backend !== null && carrier.backend !== backend) {
    throw invalidArgument(`option 'client' is a ${carrier.library} client of ${carrier.backend}`, 'open', backend)
  }
  // What a store puts would be gone, unless somebody sends it.
  if (carrier.isBuffered) {
    const message = `option 'client' is a transaction that is sent at its end (${carrier.library}): give the client, and use withTransaction`
    throw invalidArgument(message, 'open', carrier.backend)
  }
  return carrier
}

function jsonOf(options: object, backend: BackendName | null): string {
  try {
    return JSON.stringify(options, jsonValue)
  } catch (cause) {
    throw invalidArgument('the options cannot be read', 'open', backend ?? undefined, cause)
  }
}

/** JSON drops or changes these without a word; as `false` they are refused as the wrong type. */
function jsonValue(_name: string, value: unknown): unknown {
  const isLost = typeof value === 'function' || typeof value === 'symbol' || typeof value === 'bigint'
  return isLost || (typeof value === 'number' && !Number.isFinite(value)) ? false : value
}
