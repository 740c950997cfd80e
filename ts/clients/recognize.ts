import { invalidArgument } from '../errors'
import type { Carrier, Recognizer } from './carrier'
import { membersOf } from './common'
import { recognizeDynamoDB, recognizeDynamoDBTransaction } from './dynamodb'
import { recognizeIoredis } from './ioredis'
import { recognizeMongo } from './mongodb'
import { recognizeNodeRedis } from './node-redis'
import { recognizeSqlClient, SQL_CLIENTS } from './sql'

/** Recognised beside SQL's. */
const recognizers: readonly Recognizer[] = [
  recognizeIoredis,
  recognizeNodeRedis,
  recognizeMongo,
  recognizeDynamoDB,
  recognizeDynamoDBTransaction,
]

/** What can be recognised, for messages. */
const CLIENTS: readonly string[] = [
  ...SQL_CLIENTS,
  'ioredis (Redis, Cluster)',
  'redis (node-redis 5 and later)',
  'mongodb (MongoClient, Db)',
  '@aws-sdk/client-dynamodb and lib-dynamodb',
  "an array of DynamoDB's TransactItems",
]

const known = new WeakMap<object, Carrier>()

/**
 * The carrier of a client or transaction of the application; the same one each time.
 *
 * @throws InvalidArgumentError if it cannot be recognised; the message lists what can
 */
export function recognize(client: unknown, what: string, operation: string): Carrier {
  const members = membersOf(client)
  const found = members === undefined ? undefined : (known.get(members) ?? recognizeSqlClient(client) ?? other(client, members))
  if (found === undefined) throw invalidArgument(`${what} is none that can be recognised; accepted: ${CLIENTS.join(', ')}`, operation)
  return found
}

function other(client: unknown, members: object): Carrier | undefined {
  for (const recognizer of recognizers) {
    const carrier = recognizer(client)
    if (carrier !== undefined) {
      known.set(members, carrier)
      return carrier
    }
  }
  return undefined
}
