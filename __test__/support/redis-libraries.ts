import { Cluster, Redis } from 'ioredis'
import { createClient, createClientPool, createCluster } from 'redis'

/** A client of Redis, as an application makes it, with what the tests do on it beside the store. */
export interface RedisLibrary {
  name: string
  /** Where its server is said. */
  variable: 'REDIS_URL' | 'REDIS_CLUSTER_URL'
  /** On the server of the variable, or on another one of its kind. */
  open(url?: string): Promise<OpenRedisLibrary>
}

export interface OpenRedisLibrary {
  client: object
  /** A transaction of the application's; `set` is a command of its own in it. */
  multi(): { multi: object; set(key: string, value: string): void; exec(): Promise<unknown> }
  /** A pipeline of the library's that is no transaction. */
  pipeline?: () => object
  /** Runs a command on its own, where `key` is. */
  command(key: string, ...words: string[]): Promise<unknown>
  close(): Promise<unknown>
}

/** The address of a test server. */
export function addressOf(variable: RedisLibrary['variable'], url = process.env[variable]): { host: string; port: number } {
  const { hostname, port } = new URL(url ?? 'redis://127.0.0.1:1')
  return { host: hostname, port: Number(port) }
}

function ioredisOn(client: Redis | Cluster): OpenRedisLibrary {
  return {
    client,
    multi() {
      const multi = client.multi()
      return { multi, set: (key, value) => void multi.set(key, value), exec: () => multi.exec() }
    },
    pipeline: () => client.pipeline(),
    command: (_key, ...[name, ...words]) => client.call(name as string, ...words),
    // Not quit(): a client that a test left unused never connects.
    close: async () => client.disconnect(),
  }
}

interface NodeRedisMulti {
  set(key: string, value: string): unknown
  exec(): Promise<unknown>
}

function nodeRedisOn(client: { multi(): unknown; destroy(): unknown }, command: OpenRedisLibrary['command']): OpenRedisLibrary {
  return {
    client,
    multi() {
      const multi = client.multi() as NodeRedisMulti
      return { multi, set: (key, value) => void multi.set(key, value), exec: () => multi.exec() }
    },
    command,
    close: async () => client.destroy(),
  }
}

export const redisLibraries: RedisLibrary[] = [
  {
    name: 'ioredis',
    variable: 'REDIS_URL',
    open: async (url) => ioredisOn(new Redis(addressOf('REDIS_URL', url))),
  },
  {
    name: 'ioredis, lazy, with prefix and automatic pipelines',
    variable: 'REDIS_URL',
    open: async (url) => {
      const options = { lazyConnect: true, keyPrefix: 'theirs:', enableAutoPipelining: true, stringNumbers: true }
      return ioredisOn(new Redis({ ...addressOf('REDIS_URL', url), ...options }))
    },
  },
  {
    name: 'ioredis Cluster',
    variable: 'REDIS_CLUSTER_URL',
    open: async (url) => ioredisOn(new Cluster([addressOf('REDIS_CLUSTER_URL', url)])),
  },
  {
    name: 'ioredis Cluster, lazy, with prefix, reading from replicas',
    variable: 'REDIS_CLUSTER_URL',
    open: async (url) =>
      ioredisOn(new Cluster([addressOf('REDIS_CLUSTER_URL', url)], { lazyConnect: true, keyPrefix: 'theirs:', scaleReads: 'slave' })),
  },
  {
    name: 'node-redis',
    variable: 'REDIS_URL',
    open: async (url) => {
      const client = createClient({ socket: addressOf('REDIS_URL', url) })
      await client.connect()
      return nodeRedisOn(client, (_key, ...words) => client.sendCommand(words))
    },
  },
  {
    name: 'node-redis, RESP 2, with prefix',
    variable: 'REDIS_URL',
    open: async (url) => {
      const client = createClient({ socket: addressOf('REDIS_URL', url), RESP: 2, keyPrefix: 'theirs:' })
      await client.connect()
      return nodeRedisOn(client, (_key, ...words) => client.sendCommand(words))
    },
  },
  {
    name: 'node-redis pool',
    variable: 'REDIS_URL',
    open: async (url) => {
      const client = createClientPool({ socket: addressOf('REDIS_URL', url) })
      await client.connect()
      return nodeRedisOn(client, (_key, ...words) => client.sendCommand(words))
    },
  },
  {
    name: 'node-redis cluster',
    variable: 'REDIS_CLUSTER_URL',
    open: async (url) => {
      const { host, port } = addressOf('REDIS_CLUSTER_URL', url)
      const client = createCluster({ rootNodes: [{ socket: { host, port } }] })
      await client.connect()
      return nodeRedisOn(client, (key, ...words) => client.sendCommand(key, false, words))
    },
  },
]
