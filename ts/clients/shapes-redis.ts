// As in shapes.ts: minimal and structural, for the type checker.

/** `ioredis`: a Redis or a Cluster. */
export interface IoredisClient {
  readonly status: string
  readonly isCluster: boolean
  callBuffer: unknown
  defineCommand: unknown
  multi: unknown
}

/** `redis` (node-redis 5 and later): what createClient, createCluster, createSentinel or createClientPool gives. */
export interface NodeRedisClient {
  sendCommand: unknown
  withTypeMapping: unknown
  multi: unknown
  close: unknown
}

/** Every client of Redis that a store can run on. */
export type RedisClient = IoredisClient | NodeRedisClient
