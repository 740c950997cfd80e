import { describe, expect, it } from 'vitest'
import { openStore } from '../../index.js'
import { clientExecutors, dynamoDBExecutors, type Executor, mongoExecutors, ownConnections, ownTransactions } from '../support/executors'
import { rejectionOf } from '../support/promises'
import { redisLibraries } from '../support/redis-libraries'
import { missing, randomName, targets } from '../support/targets'
import { argumentBehavior, atTheCallBehavior } from './arguments-behavior'
import { everyMethodIsCalled, wrongArgumentsBehavior } from './wrong-arguments-behavior'

const redisExecutors: Executor[] = redisLibraries.map((library) => ({
  name: `on ${library.name}`,
  available: process.env[library.variable] !== undefined,
  variable: library.variable,
  async open(more) {
    const { client, close } = await library.open()
    const prefixes = { keyPrefix: `test:${randomName()}`, statesKeyPrefix: `test:${randomName()}:` }
    const store = openStore({ client, ...prefixes, ...more } as never)
    const closeStore = store.close.bind(store)
    store.close = async () => {
      await closeStore()
      await close()
    }
    return store
  },
}))

const own = targets.map(ownConnections)
const direct: Executor[] = [...own, ...clientExecutors.filter(({ name }) => name.startsWith('on ')), ...redisExecutors, ...mongoExecutors]

for (const executor of [...direct, ...dynamoDBExecutors]) {
  describe.skipIf(missing(executor))(executor.name, () => {
    argumentBehavior(executor)
    atTheCallBehavior(executor)
  })
}

const quiet = () => undefined
const watched: Executor[] = own.slice(0, 1).map((executor) => ({
  ...executor,
  name: `${executor.name}, with a logger`,
  open: (more) => executor.open({ logger: { debug: quiet, info: quiet, warn: quiet, error: quiet }, ...more }),
}))
/** One client of each backend: what is wrong is found out before a library hears of it. */
const oneOfEach = ['on pg Pool', 'on better-sqlite3', 'on ioredis', 'on MongoClient', 'on DynamoDBClient']
const ofLibraries = [...direct, ...dynamoDBExecutors].filter(({ name }) => oneOfEach.includes(name))

everyMethodIsCalled()
it('there is a client of each backend', () => expect(ofLibraries.map(({ name }) => name).sort()).toEqual(oneOfEach.toSorted()))
for (const executor of [...own, ...watched, ...ofLibraries]) {
  describe.skipIf(missing(executor))(executor.name, () => wrongArgumentsBehavior(executor))
}

// Calls there begin when the one before has ended: what they are given is read then.
// The MongoDB of these tests has none.
const inTransactions = [
  ...targets.filter(({ name }) => name !== 'mongodb').map(ownTransactions),
  ...clientExecutors.filter(({ name }) => name.startsWith('in ')),
]
for (const executor of inTransactions) {
  describe.skipIf(missing(executor))(executor.name, () => argumentBehavior(executor))
}

describe('what cannot be read', () => {
  it('is the cause of a rejection, not an exception', async () => {
    await using store = openStore('memory://')
    const broken = new Error('no more of them')
    function* failing(): Generator<never> {
      yield* []
      throw broken
    }
    for (const call of [() => store.putMany(failing()), () => store.getMany(failing())]) {
      const error = await rejectionOf(call())
      expect(error).toMatchObject({ code: 'INVALID_ARGUMENT', cause: broken })
    }
  })
})
