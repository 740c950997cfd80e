import { setTimeout as sleep } from 'node:timers/promises'
import { type ClientSession, MongoClient } from 'mongodb'
import { afterEach, describe, expect, it } from 'vitest'
import { MemorySagaStore, MongoSagaStore, type SagaStates, type SagaStore, withTransaction } from '../../../index.js'
import { type Command, startPeer } from '../../support/mongodb-peer'
import { rejectionOf } from '../../support/promises'
import { missing, targets, temporaryCollection, withMongo } from '../../support/targets'

const slip = Buffer.from([0, 255, 1])
const url = process.env.MONGODB_URL ?? ''
const isMissing = missing(targets.find(({ name }) => name === 'mongodb') as (typeof targets)[number])
const hello = isMissing ? undefined : await withMongo(url, (database) => database.admin().command({ hello: 1 }))
const isReplicaSet = hello?.setName !== undefined
if (!isMissing && !isReplicaSet) {
  console.warn('SKIPPED: transactions on a real server (MONGODB_URL is no replica set; docker compose has one)')
}

const closers: (() => unknown)[] = []
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close()
})

/** Closed last: a driver whose server is gone already waits for it before it closes. */
async function peerOf(script?: Parameters<typeof startPeer>[0]) {
  const peer = await startPeer(script)
  closers.unshift(() => peer[Symbol.asyncDispose]())
  return peer
}

function clientOf(at: string): MongoClient {
  const client = new MongoClient(at)
  closers.push(() => client.close())
  return client
}

function kept<T extends SagaStore>(store: T): T {
  closers.push(() => store.close())
  return store
}

async function sessionOf(client: MongoClient): Promise<ClientSession> {
  const session = client.startSession()
  closers.push(() => session.endSession())
  return session
}

describe('what is sent', () => {
  it('belongs to the transaction of the session, whichever store it is from', async () => {
    const peer = await peerOf()
    const client = clientOf(peer.url)
    const stores = [
      kept(new MongoSagaStore({ client })),
      kept(new MongoSagaStore({ client: client.db('other'), collectionName: 'slips' })),
      kept(new MongoSagaStore({ url: peer.url })),
    ]
    const session = await sessionOf(client)
    await session.withTransaction(async () => {
      await client.db().collection<{ _id: string }>('orders').insertOne({ _id: 'order' }, { session })
      await withTransaction(session, async () => {
        for (const store of stores) {
          await store.put('slip', slip, new Date(Date.now() + 60_000))
          expect(await store.find('slip')).toBe(null)
        }
      })
    })
    const within = peer.commands.filter((command) => command.txnNumber !== undefined)
    const shown = within.map((command) => [Object.keys(command)[0], command.$db, Object.values(command)[0]])
    expect(shown).toEqual([
      ['insert', 'sagas', 'orders'],
      ['update', 'sagas', 'saga_store'],
      ['find', 'sagas', 'saga_store'],
      ['update', 'other', 'slips'],
      ['find', 'other', 'slips'],
      ['update', 'sagas', 'saga_store'],
      ['find', 'sagas', 'saga_store'],
      ['commitTransaction', 'admin', 1],
    ])
    const [first, ...rest] = within
    expect(first).toMatchObject({ startTransaction: true, autocommit: false })
    for (const command of rest) {
      expect(command).toMatchObject({ lsid: first?.lsid, txnNumber: first?.txnNumber, autocommit: false })
      expect(command).not.toHaveProperty('startTransaction')
      expect(command).not.toHaveProperty('readConcern')
      if (command.commitTransaction === undefined) expect(command).not.toHaveProperty('writeConcern')
    }
    // Nothing of it went another way.
    expect(peer.commands.filter((command) => command.update !== undefined)).toHaveLength(3)
  })

  it('goes one by one within a session', async () => {
    let underWay = 0
    let most = 0
    const peer = await peerOf()
    const client = new MongoClient(peer.url, { monitorCommands: true })
    closers.push(() => client.close())
    client.on('commandStarted', ({ commandName }) => {
      if (commandName !== 'hello') most = Math.max(most, ++underWay)
    })
    client.on('commandSucceeded', ({ commandName }) => {
      if (commandName !== 'hello') underWay -= 1
    })
    const store = kept(new MongoSagaStore({ client }))
    const session = await sessionOf(client)
    await session.withTransaction(() =>
      withTransaction(session, () => Promise.all(Array.from({ length: 50 }, (_, n) => store.put(`id-${n}`, slip)))),
    )
    const within = peer.commands.filter((command) => command.txnNumber !== undefined)
    expect(within.filter((command) => command.startTransaction === true)).toEqual([within[0]])
    expect(within).toHaveLength(51)
    expect(most).toBe(1)
  })

  it('is aborted when the application aborts, and nothing comes after it', async () => {
    const peer = await peerOf()
    const client = clientOf(peer.url)
    const store = kept(new MongoSagaStore({ client }))
    const session = await sessionOf(client)
    let late: Promise<unknown> | undefined
    const reason = new Error('out of stock')
    const failed = session.withTransaction(() =>
      withTransaction(session, async () => {
        await store.put('slip', slip)
        late = sleep(50).then(() => store.put('late', slip))
        throw reason
      }),
    )
    await expect(failed).rejects.toBe(reason)
    expect(await rejectionOf(late as Promise<unknown>)).toMatchObject({ code: 'CLOSED' })
    expect(peer.commands.map((command) => Object.keys(command)[0])).toEqual(['update', 'abortTransaction'])
  })

  it('is refused where the session has no transaction, before and after one', async () => {
    const peer = await peerOf()
    const client = clientOf(peer.url)
    const store = kept(new MongoSagaStore({ client }))
    const session = await sessionOf(client)
    const without = () => withTransaction(session, () => store.put('slip', slip))
    expect(await rejectionOf(without())).toMatchObject({ code: 'INVALID_ARGUMENT' })
    session.startTransaction()
    await without()
    await session.commitTransaction()
    expect(await rejectionOf(without())).toMatchObject({ code: 'INVALID_ARGUMENT' })
    await session.endSession()
    expect(await rejectionOf(without())).toMatchObject({ code: 'INVALID_ARGUMENT' })
    expect(peer.commands.map((command) => Object.keys(command)[0])).toEqual(['update', 'commitTransaction'])
    expect(() => withTransaction(client, () => store.put('slip', slip))).toThrow(/not a transaction/)
  })

  it('is not for stores of other databases', async () => {
    const peer = await peerOf()
    const memory = kept(new MemorySagaStore())
    const client = clientOf(peer.url)
    const session = await sessionOf(client)
    await session.withTransaction(() => withTransaction(session, () => memory.put('a', slip)))
    expect([await memory.has('a'), peer.commands]).toEqual([true, []])
  })

  it('is one index, outside of transactions', async () => {
    const peer = await peerOf()
    const client = clientOf(peer.url)
    const store = kept(new MongoSagaStore({ client }))
    const session = await sessionOf(client)
    session.startTransaction()
    expect(await rejectionOf(withTransaction(session, () => store.initialize()))).toMatchObject({ code: 'UNSUPPORTED' })
    await session.abortTransaction()
    expect(peer.commands).toEqual([])
  })
})

const ways = {
  'a URL': (at: string) => kept(new MongoSagaStore({ url: at, operationTimeoutMs: 3000 })),
  'a client': (at: string) => kept(new MongoSagaStore({ client: clientOf(at), operationTimeoutMs: 3000 })),
}

describe.each(Object.entries(ways))('store.transaction of a store on %s: what is sent', (_way, make) => {
  const names = (commands: object[]) => commands.map((command) => Object.keys(command)[0]).filter((name) => name !== 'buildInfo')

  it('is begun with the first command and committed', async () => {
    const peer = await peerOf()
    const store = make(peer.url)
    const result = await store.transaction(async (tx) => {
      await tx.put('a', slip)
      await tx.delete('b')
      expect(await tx.find('c')).toBe(null)
      return 7
    })
    expect([result, names(peer.commands)]).toEqual([7, ['update', 'delete', 'find', 'commitTransaction']])
    expect(peer.commands.map(({ startTransaction }) => startTransaction)).toEqual([true, undefined, undefined, undefined])
    expect(new Set(peer.commands.map(({ txnNumber }) => String(txnNumber))).size).toBe(1)
  })

  it('has payload and state in it, and looks before it inserts', async () => {
    const peer = await peerOf()
    const store = make(peer.url)
    await store.transaction(async (tx) => {
      await tx.put('a', slip)
      await tx.states.insert('Order', 'o-1', { metadata: { sagaId: 's-1' } })
      expect(await tx.states.getById('Order', 's-1')).toBe(null)
    })
    // A duplicate key would end the transaction: both ids are looked for first.
    expect(names(peer.commands)).toEqual(['update', 'find', 'find', 'insert', 'find', 'commitTransaction'])
    expect(new Set(peer.commands.map(({ txnNumber }) => String(txnNumber))).size).toBe(1)
    expect(peer.commands.filter(({ lsid }) => lsid === undefined)).toEqual([])
  })

  it('notes when a saga ends, where it has not ended before', async () => {
    const statement = (command: Command) => (command.updates as { q: Command; u: { $set: Command; $unset?: Command } }[])[0]
    let isOver = false
    const peer = await peerOf((name, command) => {
      if (name === 'find') return { ok: 1, cursor: { id: 0, ns: 'x.y', firstBatch: [{ version: 1, isCompleted: isOver }] } }
      const asksForOpen = name === 'update' && typeof statement(command)?.q.isCompleted === 'object'
      return asksForOpen && isOver ? { ok: 1, n: 0 } : undefined
    })
    const store = make(peer.url)
    const end = (states: SagaStates) => states.update('Order', { metadata: { sagaId: 's-1', isCompleted: true } }, 1)
    const updates = async (work: () => Promise<unknown>) => {
      peer.commands.splice(0)
      await work()
      return peer.commands.filter(({ update }) => update !== undefined).map(statement)
    }
    const inTransaction = () => store.transaction((tx) => end(tx.states))
    const open = { q: { isCompleted: { $ne: true } }, u: { $set: { completedAt: expect.any(Date), isCompleted: true } } }
    expect(await updates(() => end(store.states))).toMatchObject([open])
    expect(await updates(inTransaction)).toMatchObject([open])
    const opened = await updates(() => store.states.update('Order', { metadata: { sagaId: 's-1' } }, 1))
    expect(opened).toMatchObject([{ u: { $unset: { completedAt: 1 } } }])
    isOver = true
    const changed = await updates(() => end(store.states))
    expect(changed).toMatchObject([open, { q: { isCompleted: true } }])
    const inOne = await updates(inTransaction)
    expect(inOne).toMatchObject([{ q: { isCompleted: true } }])
    for (const last of [changed[1], inOne[0]]) {
      expect(last?.u.$set).not.toHaveProperty('completedAt')
      expect(last?.u.$unset).not.toHaveProperty('completedAt')
    }
  })

  it('is aborted when the callback throws or never returns; nothing is sent for nothing', async () => {
    const peer = await peerOf()
    const store = make(peer.url)
    expect(await store.transaction(async () => 7)).toBe(7)
    expect(peer.commands).toEqual([])
    const reason = new Error('no')
    const thrown = store.transaction(async (tx) => {
      await tx.put('a', slip)
      throw reason
    })
    await expect(thrown).rejects.toBe(reason)
    expect(names(peer.commands)).toEqual(['update', 'abortTransaction'])
    const hanging = store.transaction(async (tx) => {
      await tx.put('a', slip)
      await new Promise(() => {})
    })
    expect(await rejectionOf(hanging)).toMatchObject({ code: 'TIMEOUT' })
    expect(names(peer.commands)).toEqual(['update', 'abortTransaction', 'update', 'abortTransaction'])
  })

  it('is run again as a whole after a transient error', async () => {
    let conflicts = 2
    const peer = await peerOf((name) => {
      if (name !== 'update' || conflicts-- <= 0) return undefined
      return { ok: 0, code: 112, errmsg: 'WriteConflict', errorLabels: ['TransientTransactionError'] }
    })
    const store = make(peer.url)
    let runs = 0
    await store.transaction(async (tx) => {
      runs += 1
      await tx.put('a', slip)
    })
    expect(runs).toBe(3)
    const numbers = peer.commands
      .filter(({ update }) => update !== undefined)
      .map(({ txnNumber, lsid }) => JSON.stringify([txnNumber, lsid]))
    expect(new Set(numbers).size).toBe(3)
    expect(names(peer.commands).at(-1)).toBe('commitTransaction')
  })

  it('asks again after a commit whose result is unknown, and says so when it stays unknown', async () => {
    let unknown = 3
    const reply = { ok: 0, code: 91, errmsg: 'shutting down', errorLabels: ['UnknownTransactionCommitResult', 'RetryableWriteError'] }
    const peer = await peerOf((name) => (name === 'commitTransaction' && unknown-- > 0 ? reply : undefined))
    const store = make(peer.url)
    let runs = 0
    const work = () =>
      store.transaction(async (tx) => {
        runs += 1
        await tx.put('a', slip)
      })
    await work()
    expect([runs, names(peer.commands).filter((name) => name === 'commitTransaction').length]).toEqual([1, 4])
    unknown = Number.POSITIVE_INFINITY
    runs = 0
    const error = await rejectionOf(work())
    expect(error.code).toMatch(/TIMEOUT|CONNECTION|BACKEND/)
    // It may have happened: run again, it could happen twice.
    expect(runs).toBe(1)
  })
})

describe.skipIf(isMissing || isReplicaSet)('a server without transactions', () => {
  it('says what is missing, and nothing is written', async () => {
    const collectionName = temporaryCollection()
    const client = clientOf(url)
    const own = kept(new MongoSagaStore({ url, collectionName }))
    const onClient = kept(new MongoSagaStore({ client, database: 'sagas', collectionName }))
    for (const store of [own, onClient]) {
      await store.initialize()
      const refused = await rejectionOf(store.transaction((tx) => tx.put('a', slip)))
      expect(refused).toMatchObject({ code: 'UNSUPPORTED', message: expect.stringContaining('has no transactions') })
      expect(store.capabilities.transactions).toBe('none')
      const session = await sessionOf(client)
      session.startTransaction()
      const joined = await rejectionOf(withTransaction(session, () => store.put('a', slip)))
      expect(joined).toMatchObject({ code: 'UNSUPPORTED', message: expect.stringContaining('FerretDB') })
      expect(await own.find('a')).toBe(null)
    }
  })
})

describe.skipIf(isMissing || !isReplicaSet)('on a replica set', () => {
  async function begin() {
    const names = { collectionName: temporaryCollection(), statesCollectionName: temporaryCollection() }
    const orders = temporaryCollection()
    const client = clientOf(url)
    const store = kept(new MongoSagaStore({ client, database: 'sagas', ...names }))
    const other = kept(new MongoSagaStore({ url: new URL('/sagas', url).href, ...names }))
    await store.initialize()
    const collection = client.db('sagas').collection<{ _id: string }>(orders)
    await client.db('sagas').createCollection(orders)
    return { client, store, other, collection }
  }

  it.each(['the client', 'a URL'])('commits the payload of a store on %s with the order, and not before', async (which) => {
    const { client, store, other, collection } = await begin()
    const joining = which === 'a URL' ? other : store
    const session = await sessionOf(client)
    session.startTransaction()
    await collection.insertOne({ _id: 'order' }, { session })
    await withTransaction(session, async () => {
      await joining.put('slip', slip)
      expect(await joining.get('slip')).toEqual(slip)
    })
    expect([await other.find('slip'), await collection.countDocuments()]).toEqual([null, 0])
    await session.commitTransaction()
    expect([await other.get('slip'), await collection.countDocuments()]).toEqual([slip, 1])
  })

  it('leaves neither when it is aborted', async () => {
    const { client, store, other, collection } = await begin()
    const session = await sessionOf(client)
    const failed = session.withTransaction(async () => {
      await collection.insertOne({ _id: 'order' }, { session })
      await withTransaction(session, () => store.put('slip', slip))
      throw new Error('out of stock')
    })
    await expect(failed).rejects.toThrow('out of stock')
    expect([await other.find('slip'), await collection.countDocuments()]).toEqual([null, 0])
  })

  it('commits payload and state together, or neither', async () => {
    const { client, store, other } = await begin()
    for (const fails of [true, false]) {
      const session = await sessionOf(client)
      const done = session.withTransaction(() =>
        withTransaction(session, async () => {
          await store.put('slip', slip)
          await store.states.insert('Order', 'o-1', { metadata: { sagaId: 's-1' } })
          const taken = await rejectionOf(store.states.insert('Order', 'o-1', { metadata: { sagaId: 's-2' } }))
          expect(taken.code).toBe('ALREADY_EXISTS')
          if (fails) throw new RangeError('no')
        }),
      )
      await (fails ? expect(done).rejects.toThrow(RangeError) : done)
      expect([await other.has('slip'), (await other.states.getById('Order', 's-1')) !== null]).toEqual([!fails, !fails])
    }
  })

  it('runs its own transactions, and again after a conflict', async () => {
    const { store, other } = await begin()
    for (const one of [store, other]) {
      await one.put('counter', Buffer.from('0'))
      const increment = () =>
        one.transaction(async (tx) => {
          const value = Number(await tx.get('counter'))
          await sleep(5)
          await tx.put('counter', Buffer.from(String(value + 1)))
        })
      const settled = await Promise.allSettled([increment(), increment()])
      const done = settled.filter(({ status }) => status === 'fulfilled').length
      expect(done).toBeGreaterThan(0)
      expect(Number(await one.get('counter'))).toBe(done)
      const reason = new Error('no')
      const thrown = one.transaction(async (tx) => {
        await tx.delete('counter')
        throw reason
      })
      await expect(thrown).rejects.toBe(reason)
      expect(await one.has('counter')).toBe(true)
    }
  })
})
