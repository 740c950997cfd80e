import type { BackendName } from '../backend'
import type { Observed } from '../observe'

type Kind = 'payloads' | 'states' | 'executions' | 'outbox' | 'inbox'

/** Of each kind: what stands before `tableName` in its option, its word in a namespace, and its name where nothing is said. */
const NAMES: Record<Kind, readonly [option: string, word: string, byDefault: string]> = {
  payloads: ['', 'payloads', 'saga_store'],
  states: ['states', 'sagas', 'saga_instances'],
  executions: ['executions', 'executions', 'saga_executions'],
  outbox: ['outbox', 'outbox', 'saga_outbox'],
  inbox: ['inbox', 'inbox', 'saga_inbox'],
}

/** The tables or collections of a store, for traces. Redis and memory have none. */
export function collectionsOf(backend: BackendName, url: string, options: object): Observed['collections'] {
  if (backend === 'redis' || backend === 'memory') return () => undefined
  const given = options as Record<string, string | undefined>
  const what = backend === 'mongodb' ? 'collectionName' : 'tableName'
  const names: Record<string, string> = {}
  for (const [kind, [before, word, byDefault]] of Object.entries(NAMES)) {
    const option = before === '' ? what : `${before}${what[0]?.toUpperCase()}${what.slice(1)}`
    const ofNamespace = given.namespace === undefined ? byDefault : `${given.namespace}_${word}`
    names[kind] = given[option] ?? ofNamespace
  }
  if (backend === 'dynamodb') names.payloads = given.tableName ?? (pathOf(url) || (names.payloads as string))
  return (kind) => names[kind]
}

/** The database of a store, as far as its URL and its options tell. */
export function namespaceOf(backend: BackendName, url: string, options: object): string | undefined {
  const { database, schema } = options as { database?: string; schema?: string }
  switch (backend) {
    case 'postgres': {
      const name = pathOf(url) || database
      return name === undefined || schema === undefined ? name : `${name}|${schema}`
    }
    case 'mongodb':
      return database ?? (url === '' ? undefined : pathOf(url) || 'sagas')
    case 'redis':
      return url === '' ? undefined : pathOf(url) || '0'
    case 'sqlite':
      return url === '' ? undefined : url.replace(/^sqlite:(\/\/)?/, '')
    default:
      return undefined
  }
}

/** The path of a URL without its first slash; empty, if it has none. Several hosts are no URL to a parser. */
function pathOf(url: string): string | undefined {
  const path = /^[a-z+-]+:\/\/[^/?#]*\/([^?#]*)/.exec(url)?.[1]
  try {
    return path === undefined ? undefined : decodeURIComponent(path)
  } catch {
    return path
  }
}
