import type { Carrier, Recognizer } from './carrier'
import { hasMethods, type Members, membersOf } from './common'
import { alreadyExecuted, type Command, failed, keptWords, keyOf, settled, words } from './redis'

type Words = (string | Buffer)[]

/** Strings of the server's as bytes: what RESP calls `$`, as node-redis numbers it. */
const AS_BUFFERS = { typeMapping: { 36: Buffer } }

interface Client {
  sendCommand(args: Words, options?: object): Promise<unknown>
  multi(): Multi
}

interface Cluster {
  sendCommand(key: string | Buffer | undefined, isReadonly: boolean, args: Words, options?: object): Promise<unknown>
  masters: { address: string }[]
  nodeClient(node: { address: string }): Promise<Client> | Client
  multi(): Multi
}

interface SentinelClient {
  sendCommand(isReadonly: boolean, args: Words, options?: object): Promise<unknown>
}

interface Sentinel {
  use<T>(work: (client: SentinelClient) => Promise<T>): Promise<T>
  multi(): Multi
}

interface Pool {
  execute<T>(work: (client: Client) => Promise<T>): Promise<T>
  multi(): Multi
}

interface Multi {
  /** `(args, onReply)` of a client; `(isReadonly, args, onReply)` of Sentinel's; `(key, isReadonly, args, onReply)` of a cluster's. */
  addCommand(...args: unknown[]): unknown
  exec(): Promise<unknown[]>
}

type Call = (commands: Words[], node?: string) => Promise<unknown[]>

/** How one command reaches a client, and several. */
interface Calls {
  one(command: Words): Promise<unknown>
  call: Call
}

/** `redis` (node-redis 5 and later): what createClient, createCluster, createSentinel and createClientPool give, and their `multi()`. */
export const recognizeNodeRedis: Recognizer = (client) => {
  const members = membersOf(client)
  if (members === undefined) return undefined
  if (hasMethods(members, 'addCommand', 'execTyped', 'execAsPipeline', 'exec')) return multiCarrier(client as Multi)
  if (!hasMethods(members, 'multi', 'sendCommand', 'withTypeMapping')) return undefined
  return clientCarrier(client as { multi(): Multi }, callsOf(client, members), members)
}

/** How commands reach this kind of client: together, over one connection where one server has all keys. */
function callsOf(client: unknown, members: Members): Calls {
  if (hasMethods(members, 'nodeClient')) {
    return {
      one: (args) => sendToCluster(client as Cluster, args),
      call: (commands, node) => callCluster(client as Cluster, commands, node),
    }
  }
  if (hasMethods(members, 'use', 'getMasterNode')) {
    const send = (one: SentinelClient, args: Words) => one.sendCommand(false, args, AS_BUFFERS)
    return {
      one: (args) => (client as Sentinel).use((one) => send(one, args)),
      call: (commands) => (client as Sentinel).use((one) => settled(commands, (args) => send(one, args))),
    }
  }
  const send = (one: Client, args: Words) => one.sendCommand(args, AS_BUFFERS)
  if (hasMethods(members, 'execute')) {
    return {
      one: (args) => (client as Pool).execute((one) => send(one, args)),
      call: (commands) => (client as Pool).execute((one) => settled(commands, (args) => send(one, args))),
    }
  }
  return {
    one: (args) => send(client as Client, args),
    call: (commands) => settled(commands, (args) => send(client as Client, args)),
  }
}

/** Never as read-only: a replica lags behind. */
function sendToCluster(cluster: Cluster, args: Words): Promise<unknown> {
  return cluster.sendCommand(keyOf(args), false, args, AS_BUFFERS)
}

async function callCluster(cluster: Cluster, commands: Words[], node?: string): Promise<unknown[]> {
  if (node === undefined) return settled(commands, (args) => sendToCluster(cluster, args))
  const found = cluster.masters.find(({ address }) => address === node)
  if (found === undefined) throw Object.assign(new Error(`${node} has left the cluster`), { code: 'ECONNRESET' })
  const client = await cluster.nodeClient(found)
  return settled(commands, (args) => client.sendCommand(args, AS_BUFFERS))
}

function clientCarrier(client: { multi(): Multi }, { one, call }: Calls, members: Members): Carrier {
  return {
    backend: 'redis',
    library: 'redis',
    isTransaction: false,
    isBuffered: false,
    isOneServer: members.masters === undefined,
    send(method, args) {
      if (method === 'one') return one(words(args as Command))
      if (method === 'transact') return transact(client.multi(), (args[0] as Command[]).map(words))
      if (method === 'nodes') return (members as { masters?: { address: string }[] }).masters?.map(({ address }) => address) ?? [null]
      return call((args[0] as Command[]).map(words), args[1] as string | undefined)
    },
    takesUnits: true,
  }
}

/**
 * node-redis shows nothing of what is in a `multi()`. So in a cluster only keys that came through here
 * can be compared before they are queued (the server refuses the others at EXEC), and that it has been
 * executed is known by the replies to what came through here.
 */
function multiCarrier(multi: Multi): Carrier {
  const cluster = multi.addCommand.length === 4
  let key: Words[number] | null = null
  let isExecuted = false
  const onReply = (reply: unknown) => {
    isExecuted = true
    return reply
  }
  return {
    backend: 'redis',
    library: 'redis',
    isTransaction: true,
    isBuffered: true,
    send(method, args) {
      if (method === 'queued') return { cluster, key }
      for (const command of (args[0] as Command[]).map(keptWords)) {
        key ??= keyOf(command) ?? null
        queue(multi, command, onReply)
      }
      return null
    },
    check() {
      if (isExecuted) throw alreadyExecuted('redis')
    },
  }
}

function queue(multi: Multi, command: Words, onReply?: (reply: unknown) => unknown): void {
  if (multi.addCommand.length === 4) multi.addCommand(keyOf(command), false, command, onReply)
  else if (multi.addCommand.length === 3) multi.addCommand(false, command, onReply)
  else multi.addCommand(command, onReply)
}

/** The replies of EXEC. A null EXEC is a WatchError. */
async function transact(multi: Multi, commands: readonly Words[]): Promise<unknown[]> {
  for (const command of commands) queue(multi, command)
  try {
    return await multi.exec()
  } catch (error) {
    const { replies } = error as { replies?: unknown[] }
    if (!Array.isArray(replies)) throw error
    return replies.map((reply) => (reply instanceof Error ? failed(reply) : reply))
  }
}
