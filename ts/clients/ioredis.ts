import type { Writable } from 'node:stream'
import { invalidArgument } from '../errors'
import type { Carrier, Recognizer } from './carrier'
import { hasMethods, membersOf } from './common'
import { alreadyExecuted, type Command, failed, keptWords, settled, words } from './redis'

interface Commander {
  options: { keyPrefix?: string | Buffer | null }
  callBuffer(...words: (string | Buffer)[]): Promise<unknown>
  sendCommand(command: unknown): unknown
}

interface Client extends Commander {
  isCluster: boolean
  multi(): Multi
  /** Its connection, once there is one. A Cluster has none of its own. */
  stream?: Writable
  /** Of a Cluster. */
  nodes?(role: 'master'): (Commander & { options: { host?: string; port?: number } })[]
}

interface Queued {
  name: string
  getKeys(): (string | Buffer)[]
}

interface Multi extends Commander {
  isCluster: boolean
  _queue: Queued[]
  /** How many MULTI are open: 0 before, and again once `exec` has been called. */
  _transactions: number
  exec(): Promise<[error: Error | null, result?: unknown][] | null>
}

/** `ioredis`: Redis (Sentinel too), Cluster, and what their `multi()` gives. */
export const recognizeIoredis: Recognizer = (client) => {
  const members = membersOf(client)
  if (members === undefined || !hasMethods(members, 'callBuffer', 'sendCommand', 'multi', 'defineCommand')) return undefined
  if (members.isPipeline === true) return Array.isArray(members._queue) ? multiCarrier(client as Multi) : undefined
  if (typeof members.status !== 'string' || typeof members.isCluster !== 'boolean') return undefined
  return clientCarrier(client as Client)
}

function clientCarrier(client: Client): Carrier {
  return {
    backend: 'redis',
    library: 'ioredis',
    isTransaction: false,
    isBuffered: false,
    isOneServer: !client.isCluster,
    send(method, args) {
      if (method === 'one') return one(client, args as Command)
      if (method === 'nodes') return primaries(client)
      if (method === 'transact') return transact(client, args[0] as Command[])
      const [commands, node] = args as [Command[], string | undefined]
      const on = node === undefined ? client : nodesOf(client).find((one) => nameOf(one) === node)
      if (on === undefined) throw Object.assign(new Error(`${node} has left the cluster`), { code: 'ECONNRESET' })
      // In one turn, over one connection: in this order. Not as a pipeline, which in a cluster has room
      // for the keys of one server only.
      if (client.stream !== undefined) writeTogether(client.stream)
      return settled(commands, (command) => call(on, words(command)))
    },
    takesUnits: true,
  }
}

function one(client: Client, command: Command): Promise<unknown> {
  if (client.stream !== undefined) writeTogether(client.stream)
  return call(client, words(command))
}

/** What is called in one turn is written at its end: a system call for each would wake the server for each. */
function writeTogether(stream: Writable): void {
  if (stream.writableCorked > 0) return
  stream.cork()
  process.nextTick(() => stream.uncork())
}

/**
 * Calls a command whose keys are what they are: a store's records have the same names on every client,
 * so the client's own `keyPrefix` is kept off. The command's name is in capitals, by which ioredis's
 * Cluster does not find out that it could ask a replica (`scaleReads`), which lags behind.
 */
function call(on: Commander, command: (string | Buffer)[]): Promise<unknown> {
  if (!on.options.keyPrefix) return on.callBuffer(...command)
  const bare = { options: {}, isPipeline: true, sendCommand: (made: unknown) => on.sendCommand(made) }
  return on.callBuffer.apply(bare as unknown as Commander, command)
}

/** The names of a cluster's primaries; of a single server there is none. */
async function primaries(client: Client): Promise<(string | null)[]> {
  if (!client.isCluster) return [null]
  // Before its first command a lazy cluster knows nobody.
  if (nodesOf(client).length === 0) await client.callBuffer('PING')
  return nodesOf(client).map(nameOf)
}

function nodesOf(client: Client) {
  return client.nodes?.('master') ?? []
}

function nameOf({ options }: { options: { host?: string; port?: number } }): string {
  return `${options.host}:${options.port}`
}

function multiCarrier(multi: Multi): Carrier {
  const isOpen = () => multi._transactions > 0
  if (!isOpen() && !hasExec(multi)) {
    throw invalidArgument('an ioredis pipeline() is no transaction: use multi()', 'withTransaction', 'redis')
  }
  return {
    backend: 'redis',
    library: 'ioredis',
    isTransaction: true,
    isBuffered: true,
    send(method, args) {
      if (method === 'queued') return { cluster: multi.isCluster, key: firstKey(multi) }
      for (const command of args[0] as Command[]) queue(multi, keptWords(command))
      return null
    },
    check() {
      if (!isOpen()) throw alreadyExecuted('ioredis')
    },
  }
}

function hasExec({ _queue }: Multi): boolean {
  return _queue.some(({ name }) => name === 'exec')
}

function firstKey({ _queue }: Multi): string | Buffer | null {
  for (const command of _queue) {
    const [key] = command.getKeys()
    if (key !== undefined) return key
  }
  return null
}

/** In small letters: older versions do not find the key behind capitals, by which a cluster routes. */
function queue(multi: Multi, [name, ...rest]: (string | Buffer)[]): void {
  call(multi, [String(name).toLowerCase(), ...rest])
}

/** The replies of EXEC; null if it was not carried out. */
async function transact(client: Client, commands: readonly Command[]): Promise<unknown[] | null> {
  const multi = client.multi()
  for (const command of commands) queue(multi, words(command))
  const replies = await multi.exec().catch((error) => {
    // Why a command was refused tells more than that the transaction was given up for it.
    throw error?.previousErrors?.[0] ?? error
  })
  return replies?.map(([error, reply]) => (error ? failed(error) : reply)) ?? null
}
