import { setTimeout as sleep } from 'node:timers/promises'
import { invalidArgument } from '../errors'
import type { BeginOptions, Carrier, Recognizer } from './carrier'
import { hasMethods, membersOf } from './common'

type Command = Record<string, unknown>
type Answer = Record<string, unknown>

interface Client {
  db(name?: string): Db
  startSession(): Session
}

interface Db {
  readonly databaseName: string
  readonly client: Client
  readonly writeConcern?: { w?: unknown; journal?: unknown; wtimeoutMS?: unknown }
  readonly readConcern?: { level?: unknown }
  command(command: Command, options: object): Promise<Answer>
}

interface Session {
  readonly client: Client
  inTransaction(): boolean
  startTransaction(options: object): void
  commitTransaction(): Promise<unknown>
  abortTransaction(): Promise<unknown>
  endSession(): Promise<void>
}

/** A carrier, and the database that its client means when nothing else is said. */
interface MongoCarrier extends Carrier {
  readonly database: string | undefined
}

/** Answers as plain values, whatever the application has set for its own; `db.command` takes nothing from there. */
const PLAIN = { promoteBuffers: true, promoteLongs: true, promoteValues: true, readPreference: 'primary' }

const LIBRARY = 'mongodb'
/** Between two attempts to learn whether a commit has happened. */
const COMMIT_PAUSE_MS = 50
/** The commit of a transaction that the store begins for one operation may take so long. */
const TOGETHER_MS = 30_000

/** `mongodb`: MongoClient, Db, and a ClientSession in a transaction. */
export const recognizeMongo: Recognizer = (client) => {
  const members = membersOf(client)
  if (members === undefined) return undefined
  if (hasMethods(members, 'startTransaction', 'commitTransaction', 'abortTransaction', 'inTransaction', 'endSession')) {
    return sessionCarrier(client as Session)
  }
  if (hasMethods(members, 'db', 'startSession', 'withSession', 'close')) return clientCarrier(client as Client)
  if (hasMethods(members, 'command', 'collection', 'aggregate', 'admin') && typeof members.databaseName === 'string') {
    const db = client as Db
    return clientCarrier(db.client, db.databaseName)
  }
  return undefined
}

function clientCarrier(client: Client, database?: string): MongoCarrier {
  return {
    backend: 'mongodb',
    library: LIBRARY,
    database,
    isTransaction: false,
    isBuffered: false,
    send(method, args) {
      const [first, second, third] = args
      if (method === 'hello') return hello(client, databaseOf(client, first, database))
      const db = databaseOf(client, second, database)
      if (method === 'together') return together(client, db, first as Command[], third as Command)
      return run(db, first as Command)
    },
    begin: (work, options) => transaction(client, work, options),
  }
}

function sessionCarrier(session: Session): Carrier {
  const { client } = session
  const check = () => {
    // Outside of a transaction a command would be done at once, and stay.
    if (session.inTransaction()) return
    throw invalidArgument(
      'the ClientSession is not in a transaction: call startTransaction first, or use its withTransaction',
      'withTransaction',
      'mongodb',
    )
  }
  let last: Promise<unknown> = Promise.resolve()
  return {
    backend: 'mongodb',
    library: LIBRARY,
    isTransaction: true,
    isBuffered: false,
    check,
    send(method, args, home?: Carrier) {
      const [first, second] = args
      const database = (home as MongoCarrier | undefined)?.database
      if (method === 'hello') return hello(client, databaseOf(client, first, database))
      const db = databaseOf(client, second, database)
      if (method === 'outside') return run(db, first as Command)
      // A server runs the commands of a transaction one after the other.
      const result = last.then(() => {
        check()
        return run(db, first as Command, session)
      })
      last = result.catch(() => undefined)
      return result
    },
  }
}

function databaseOf(client: Client, wanted: unknown, byDefault: string | undefined): Db {
  return client.db((wanted as string | null) ?? byDefault)
}

async function run(db: Db, command: Command, session?: Session): Promise<Answer> {
  const answer = await db.command(command, session === undefined ? PLAIN : { ...PLAIN, session })
  // What servers add for their drivers is of no use here, and cannot be read as plain data.
  if (answer.$clusterTime === undefined && answer.operationTime === undefined) return answer
  const { $clusterTime, operationTime, ...own } = answer
  return own
}

/** What is being asked of a server already, for each database. */
const greetings = new WeakMap<Client, Map<string, Promise<Answer>>>()

/** All who ask at the same time get one answer. */
function hello(client: Client, db: Db): Promise<Answer> {
  const underWay = greetings.get(client) ?? new Map<string, Promise<Answer>>()
  greetings.set(client, underWay)
  let asked = underWay.get(db.databaseName)
  if (asked === undefined) {
    asked = greet(db).finally(() => underWay.delete(db.databaseName))
    underWay.set(db.databaseName, asked)
  }
  return asked
}

async function greet(db: Db): Promise<Answer> {
  const { msg, setName, logicalSessionTimeoutMinutes, localTime } = await db.command({ hello: 1 }, PLAIN)
  const { w, journal, wtimeoutMS } = db.writeConcern ?? {}
  return {
    database: db.databaseName,
    hello: defined({ msg, setName, logicalSessionTimeoutMinutes, localTime }),
    writeConcern: defined({ w, journal, wtimeoutMS }),
    readConcern: defined({ level: db.readConcern?.level }),
  }
}

function defined(members: Answer): Answer {
  return Object.fromEntries(Object.entries(members).filter(([, value]) => value !== undefined))
}

/** Thrown to end a transaction in which a statement was refused. */
class Refused extends Error {
  constructor(readonly answers: Answer[]) {
    super('a statement of the transaction was refused')
  }
}

/** Runs commands in a transaction of their own; stops at the first in which a statement fails, and then nothing has happened. */
async function together(client: Client, db: Db, commands: Command[], writeConcern: Command): Promise<Answer[]> {
  const work = async (session: unknown) => {
    const answers: Answer[] = []
    for (const command of commands) {
      const answer = await run(db, command, session as Session)
      answers.push(answer)
      if (answer.writeErrors !== undefined) throw new Refused(answers)
    }
    return answers
  }
  try {
    return await transaction(client, work, { timeoutMs: TOGETHER_MS }, { writeConcern })
  } catch (error) {
    if (error instanceof Refused) return error.answers
    throw error
  }
}

async function transaction<T>(
  client: Client,
  work: (transaction: unknown) => Promise<T>,
  { timeoutMs }: BeginOptions,
  more: object = {},
): Promise<T> {
  const session = client.startSession()
  try {
    session.startTransaction({ readPreference: 'primary', maxCommitTimeMS: timeoutMs, ...more })
    let result: T
    try {
      result = await work(session)
    } catch (error) {
      // The server does it by itself where it does not hear of it.
      await session.abortTransaction().catch(() => undefined)
      throw error
    }
    await commit(session, performance.now() + timeoutMs)
    return result
  } finally {
    await session.endSession()
  }
}

/** A server commits a transaction once, however often it is asked whether it has. */
async function commit(session: Session, until: number): Promise<void> {
  for (;;) {
    try {
      await session.commitTransaction()
      return
    } catch (error) {
      const { code, hasErrorLabel } = error as { code?: unknown; hasErrorLabel?: (label: string) => boolean }
      const isOpen = hasErrorLabel?.call(error, 'UnknownTransactionCommitResult') === true
      // 50: it has taken maxCommitTimeMS, and would again.
      if (!isOpen || code === 50 || performance.now() + COMMIT_PAUSE_MS > until) throw error
      await sleep(COMMIT_PAUSE_MS)
    }
  }
}
