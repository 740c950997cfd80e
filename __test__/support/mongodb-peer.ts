import { createServer, type Socket } from 'node:net'
import { BSON } from 'mongodb'

export type Command = Record<string, unknown> & { $db?: string }
type Reply = Record<string, unknown>

const OP_REPLY = 1
const OP_QUERY = 2004
const OP_MSG = 2013
const HEADER = 16

/** Sent in answer to `hello`, and by other names; not told to tests. */
const GREETINGS = ['hello', 'ismaster', 'isMaster', 'ping', 'endSessions']

/**
 * A server that says it is a replica set's primary and does nothing: it keeps the commands that arrive, and
 * answers what `script` says, or that all is well. `more` is added to what it says of itself.
 */
export async function startPeer(
  script: (name: string, command: Command) => Reply | undefined = () => undefined,
  more: () => Reply = () => ({}),
) {
  const commands: Command[] = []
  let connections = 0
  let port = 0
  const greeting = () => ({
    ok: 1,
    isWritablePrimary: true,
    ismaster: true,
    setName: 'rs0',
    setVersion: 1,
    hosts: [`127.0.0.1:${port}`],
    primary: `127.0.0.1:${port}`,
    me: `127.0.0.1:${port}`,
    logicalSessionTimeoutMinutes: 30,
    localTime: new Date(),
    maxBsonObjectSize: 16_777_216,
    maxMessageSizeBytes: 48_000_000,
    maxWriteBatchSize: 100_000,
    minWireVersion: 0,
    maxWireVersion: 25,
    ...more(),
  })
  const answer = (command: Command): Reply => {
    const [name = ''] = Object.keys(command)
    if (GREETINGS.includes(name)) return name === 'ping' || name === 'endSessions' ? { ok: 1 } : greeting()
    commands.push(command)
    return script(name, command) ?? (name === 'find' ? { ok: 1, cursor: { id: 0, ns: 'x.y', firstBatch: [] } } : { ok: 1, n: 1 })
  }
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    connections += 1
    sockets.add(socket)
    let pending = Buffer.alloc(0)
    socket.on('error', () => {})
    socket.on('data', (chunk) => {
      pending = Buffer.concat([pending, chunk])
      while (pending.length >= HEADER && pending.length >= pending.readInt32LE(0)) {
        const message = pending.subarray(0, pending.readInt32LE(0))
        pending = pending.subarray(message.length)
        const code = message.readInt32LE(12)
        const reply = answer(code === OP_QUERY ? queryOf(message) : messageOf(message))
        if (reply.hangUp === true) return socket.destroy()
        socket.write(envelope(code === OP_QUERY ? OP_REPLY : OP_MSG, message.readInt32LE(4), reply))
      }
    })
  })
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening))
  port = (server.address() as { port: number }).port
  return {
    url: `mongodb://127.0.0.1:${port}/sagas?replicaSet=rs0`,
    port: () => port,
    /** What was sent, without greetings. */
    commands,
    connections: () => connections,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy()
      await new Promise((closed) => server.close(closed))
    },
  }
}

function queryOf(message: Buffer): Command {
  const query = message.indexOf(0, HEADER + 4) + 1 + 8
  return BSON.deserialize(message.subarray(query, query + message.readInt32LE(query)))
}

function messageOf(message: Buffer): Command {
  let at = HEADER + 4
  let command: Command = {}
  while (at < message.length) {
    const kind = message[at]
    const size = message.readInt32LE(at + 1)
    const body = message.subarray(at + 1, at + 1 + size)
    if (kind === 0) command = { ...BSON.deserialize(body, { promoteBuffers: true }), ...command }
    else command = { ...command, ...sequence(body) }
    at += 1 + size
  }
  return command
}

/** Documents that are sent beside the command: `{ [name]: documents }`. */
function sequence(body: Buffer): Command {
  const end = body.indexOf(0, 4)
  const documents: unknown[] = []
  for (let at = end + 1; at < body.length; at += body.readInt32LE(at)) {
    documents.push(BSON.deserialize(body.subarray(at, at + body.readInt32LE(at)), { promoteBuffers: true }))
  }
  return { [body.toString('utf8', 4, end)]: documents }
}

function envelope(code: number, responseTo: number, reply: Reply): Buffer {
  const document = BSON.serialize(reply)
  const before = code === OP_REPLY ? Buffer.alloc(20) : Buffer.alloc(5)
  if (code === OP_REPLY) before.writeInt32LE(1, 16)
  const header = Buffer.alloc(HEADER)
  header.writeInt32LE(HEADER + before.length + document.length, 0)
  header.writeInt32LE(responseTo, 8)
  header.writeInt32LE(code, 12)
  return Buffer.concat([header, before, document])
}
