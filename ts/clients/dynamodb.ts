import { createRequire } from 'node:module'
import { join } from 'node:path'
import { invalidArgument } from '../errors'
import type { Carrier, Recognizer } from './carrier'
import { hasMethods, type Members, membersOf } from './common'
import { addItem, type CollectedItem, type Item, isTransactItem, summaryOf } from './dynamodb-items'

const SDK = '@aws-sdk/client-dynamodb'
const DOCUMENTS = '@aws-sdk/lib-dynamodb'

interface Response {
  response?: { headers?: Record<string, string | undefined> }
}

interface Command {
  middlewareStack: {
    add(middleware: (next: (args: object) => Promise<Response>) => (args: object) => Promise<Response>, options: object): void
  }
}

type Commands = Record<string, (new (input: object) => Command) | undefined>

interface Client {
  config: { serviceId: string; cacheMiddleware?: boolean }
  /** With options, were they empty ones, it would bypass `cacheMiddleware`, and clear what that has. */
  send(command: Command): Promise<Members>
}

/** The client that has a method for each command. */
type Aggregated = Record<string, (input: object) => Promise<Members>>

/** `@aws-sdk/client-dynamodb` and `@aws-sdk/lib-dynamodb`: clients with commands, and with methods. */
export const recognizeDynamoDB: Recognizer = (client) => {
  const members = membersOf(client)
  if (members === undefined || !hasMethods(members, 'send', 'destroy') || membersOf(members.middlewareStack) === undefined) return undefined
  return membersOf(members.config)?.serviceId === 'DynamoDB' ? clientCarrier(client as Client) : undefined
}

function clientCarrier(client: Client): Carrier {
  // Looked for once: where a bundler has swallowed them, every operation would search the disk.
  let found: { commands: Commands | undefined } | undefined
  const findCommands = () => {
    found ??= { commands: commandsFor(client) }
    return found.commands
  }
  const methods = client as unknown as Aggregated
  return {
    backend: 'dynamodb',
    // Only document clients are made `from` another one.
    library: typeof membersOf(client.constructor)?.from === 'function' ? DOCUMENTS : SDK,
    isTransaction: false,
    isBuffered: false,
    check() {
      if (findCommands() !== undefined || typeof methods.putItem === 'function') return
      const message = `${SDK}, which this client needs for its commands, cannot be found from sagastore or from the application`
      throw invalidArgument(`${message}: install it there, or give a client with methods (new DynamoDB(...) of it)`, 'open', 'dynamodb')
    },
    send(method, args) {
      const [name, input, wantsDate] = args as [string, object, boolean]
      if (method !== 'send') throw new TypeError(`no method ${method}`)
      return send(client, findCommands(), name, input, wantsDate)
    },
    takesUnits: true,
  }
}

/** Runs a command; its output, and the server's time if that is wanted. */
async function send(
  client: Client,
  commands: Commands | undefined,
  name: string,
  input: object,
  wantsDate: boolean,
): Promise<{ output: object; date?: string }> {
  const Command = commands?.[`${name}Command`]
  if (Command === undefined) {
    const method = (client as unknown as Aggregated)[`${name[0]?.toLowerCase()}${name.slice(1)}`]
    if (method === undefined) throw new TypeError(`the client has no method for ${name}`)
    return { output: withoutMetadata(await method.call(client, input)) }
  }
  const command = new Command(input)
  let date: string | undefined
  // Where the client keeps what it makes of a command's middleware, this would stay in all later ones.
  if (wantsDate && client.config.cacheMiddleware !== true) {
    const middleware = (next: (args: object) => Promise<Response>) => async (args: object) => {
      const done = await next(args)
      date = done.response?.headers?.date
      return done
    }
    command.middlewareStack.add(middleware, { step: 'deserialize', name: 'sagastoreDate' })
  }
  const output = withoutMetadata(await client.send(command))
  return { output, ...(date !== undefined && { date }) }
}

function withoutMetadata({ $metadata, ...output }: Members): Members {
  return output
}

/** The module of the client's commands: the copy that the client itself is of, if it can be told. */
function commandsFor(client: object): Commands | undefined {
  const places = [__filename, process.argv[1], join(process.cwd(), 'index.js')]
  const found = places.flatMap((place) => {
    try {
      return place === undefined ? [] : [createRequire(place)(SDK) as Commands]
    } catch {
      return []
    }
  })
  return found.find((commands) => commands.DynamoDBClient !== undefined && client instanceof commands.DynamoDBClient) ?? found[0]
}

/**
 * A transaction that is collected: an array of `TransactItems`, or an object that has one. `document` says
 * whether its values are in the document client's shape; without it the items that are there do, and else the
 * client of the store that adds to it.
 */
export const recognizeDynamoDBTransaction: Recognizer = (transaction) => {
  const items = () => (Array.isArray(transaction) ? transaction : membersOf(transaction)?.TransactItems) as Item[]
  if (!Array.isArray(items()) || !items().every(isTransactItem)) return undefined
  const { document } = transaction as { document?: boolean }
  return {
    backend: 'dynamodb',
    library: 'TransactItems',
    isTransaction: true,
    isBuffered: true,
    send(method, args, home?: Carrier) {
      const isDocument = { said: document, byDefault: home?.library === DOCUMENTS }
      switch (method) {
        case 'collected':
          return summaryOf(items(), args[0] as string)
        case 'push':
          return addItem(items(), args[0] as CollectedItem, isDocument)
        default:
          // What a change has to know is asked where the store's other operations go.
          if (home !== undefined) return home.send(method, args)
          throw new TypeError(`no method ${method}`)
      }
    },
  }
}
