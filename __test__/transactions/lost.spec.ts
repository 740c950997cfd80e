import { AsyncLocalStorage } from 'node:async_hooks'
import { setTimeout as sleep } from 'node:timers/promises'
import { drizzle } from 'drizzle-orm/postgres-js'
import pg from 'pg'
import postgres from 'postgres'
import { afterEach, beforeAll, describe, expect, it } from 'vitest'
import { openStore, PostgresSagaStore, type SagaStore, type SagaStoreError, withTransaction } from '../../index.js'
import { storeOn } from '../support/executors'
import { eventually } from '../support/promises'
import { type Library, postgresLibraries } from '../support/sql-libraries'
import { missing, sql, temporarySchema } from '../support/targets'

// A transaction whose session has ended: nothing that is called in it afterwards may be stored, however the client goes on.

const url = process.env.POSTGRES_URL ?? ''
const noPostgres = missing({ name: 'postgres', available: url !== '', variable: 'POSTGRES_URL' })
const slip = Buffer.from('a routing slip')
/** As somebody outside of every transaction. */
const outside = AsyncLocalStorage.snapshot()

const closers: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close().catch(() => undefined)
})

beforeAll(() => {
  // Most libraries do not listen on a connection that is lent out, and an 'error' without a listener ends the process.
  const { connect } = pg.Client.prototype
  pg.Client.prototype.connect = function (this: pg.Client, ...args: Parameters<typeof connect>) {
    this.on('error', () => undefined)
    return connect.apply(this, args)
  } as typeof connect
})

const rejectionOf = (promise: Promise<unknown>) =>
  promise.then(
    () => Promise.reject(new Error('it succeeded')),
    (error: SagaStoreError) => error,
  )

const order = (sagaId: string) => {
  const now = new Date()
  return { metadata: { sagaId, version: 0, createdAt: now, updatedAt: now, isCompleted: false, archivedAt: null } }
}

/** What is called in a transaction whose backend has been ended. */
const late: [name: string, call: (store: SagaStore) => Promise<unknown>][] = [
  ['put', (store) => store.put('late', slip)],
  ['put of 5,000 bytes', (store) => store.put('late', Buffer.alloc(5000))],
  ['putMany', (store) => store.putMany([{ id: 'late', data: slip }])],
  ['delete', (store) => store.delete('kept')],
  ['states.insert', (store) => store.states.insert('Order', 'late', order('late'))],
  ['query', (store) => store.transaction((tx) => tx.query('select 1'))],
]

async function endBackend(pid: unknown): Promise<void> {
  await sql('select pg_terminate_backend($1)', [pid])
  await sleep(300)
}

/** Ends the session that `store` works in, lets others use the client, and goes on as if nothing had been. */
async function loseSession(store: SagaStore, useClient: () => Promise<unknown>): Promise<SagaStoreError[]> {
  const [{ pid }] = (await store.transaction((tx) => tx.query<{ pid: number }>('select pg_backend_pid() as pid'))) as [{ pid: number }]
  await store.put('early', slip)
  await endBackend(pid)
  await outside(useClient).catch(() => undefined)
  const errors: SagaStoreError[] = []
  for (const [, call] of late) errors.push(await rejectionOf(call(store)))
  return errors
}

async function expectNothingStored(schema: string): Promise<void> {
  const reader = new PostgresSagaStore({ url, schema })
  closers.push(() => reader.close())
  expect([...(await reader.getMany(['kept', 'early', 'late'])).keys()]).toEqual(['kept'])
  expect(await reader.states.getById('Order', 'late')).toBe(null)
}

/** A store on a library's client, with one payload. */
async function opened(library: Library) {
  const open = await library.open()
  closers.push(open.close)
  const schema = temporarySchema()
  const store = storeOn(open, library, { schema })
  await store.initialize()
  await store.put('kept', slip)
  return { open, schema, store }
}

describe.skipIf(noPostgres)('a transaction whose session has ended', () => {
  // Others tell a lost connection in their own words; what counts is that they reject.
  const codes = (library: Library) => (library.name.includes('prisma') ? /^(CONNECTION|BACKEND|TIMEOUT)$/ : /^(CONNECTION|BACKEND)$/)
  const isOnPostgresJs = (library: Library) => library.name.endsWith('postgres') && !library.name.startsWith('kysely')

  for (const library of postgresLibraries) {
    const expectRejections = (errors: readonly SagaStoreError[]) => {
      expect(errors).toHaveLength(late.length)
      for (const { code, message } of errors) expect(code, message).toMatch(isOnPostgresJs(library) ? /^CONNECTION$/ : codes(library))
    }

    it(`stores nothing afterwards, with withTransaction: ${library.name}`, async () => {
      const { open, schema, store } = await opened(library)
      let working: Promise<SagaStoreError[]> | undefined
      const transaction = open.transaction((tx) =>
        withTransaction(tx, async () => {
          working = loseSession(store, () => Promise.all([store.has('kept'), store.has('kept'), store.has('kept')]))
          await working
        }),
      )
      await rejectionOf(transaction)
      expectRejections(await (working as Promise<SagaStoreError[]>))
      await expectNothingStored(schema)
    })

    // One connection offers no transaction of its own.
    if (library.name === 'pg Client') continue
    it(`stores nothing afterwards, with store.transaction: ${library.name}`, async () => {
      const { schema, store } = await opened(library)
      let working: Promise<SagaStoreError[]> | undefined
      const transaction = store.transaction(async () => {
        working = loseSession(store, () => Promise.all([store.has('kept'), store.has('kept'), store.has('kept')]))
        await working
      })
      await rejectionOf(transaction)
      expectRejections(await (working as Promise<SagaStoreError[]>))
      await expectNothingStored(schema)
      await eventually('the client can be used again', () =>
        store.put('kept', slip).then(
          () => true,
          () => false,
        ),
      )
    })
  }
})

describe.skipIf(noPostgres)('postgres.js, which connects again under a sql that it has handed out', () => {
  async function application(max = 1) {
    const client = postgres(url, { max, onnotice: () => {} })
    closers.push(() => client.end({ timeout: 1 }))
    const schema = temporarySchema()
    const store = openStore({ client, schema } as never)
    await store.initialize()
    await store.put('kept', slip)
    return { client, schema, store }
  }
  const pidOf = async (tx: postgres.ISql) => (await tx`select pg_backend_pid() as pid`)[0]?.pid

  it('rejects what comes first in the scope after the loss', async () => {
    const { client, schema, store } = await application()
    let working: Promise<SagaStoreError> | undefined
    const transaction = client.begin((tx) =>
      withTransaction(tx, () => {
        working = (async () => {
          await endBackend(await pidOf(tx))
          await outside(() => store.has('kept'))
          return await rejectionOf(store.put('late', slip))
        })()
        return working
      }),
    )
    expect(await rejectionOf(transaction)).toMatchObject({ code: 'CONNECTION_CLOSED' })
    expect(await working).toMatchObject({ code: 'CONNECTION', operation: 'put', id: 'late' })
    await expectNothingStored(schema)
  })

  // postgres.js would send its ROLLBACK or COMMIT to the connection that is not there: an exception that nobody can catch.
  it.each([
    ['sql', false, true],
    ['sql', false, false],
    ['Drizzle', true, true],
    ['Drizzle', true, false],
  ])('store.transaction ends well where the client is not used meanwhile: %s', async (_, isDrizzle, isCaught) => {
    const { client, schema, store: onSql } = await application()
    const store = isDrizzle ? openStore({ client: drizzle(client), schema } as never) : onSql
    let working: Promise<unknown> | undefined
    const transaction = store.transaction((tx) => {
      working = (async () => {
        const [{ pid }] = (await tx.query('select pg_backend_pid() as pid')) as [{ pid: number }]
        await endBackend(pid)
        const error = await rejectionOf(tx.put('late', slip))
        if (!isCaught) throw error
        return error
      })()
      return working
    })
    expect(await rejectionOf(transaction)).toMatchObject({ code: 'CONNECTION', operation: 'transaction' })
    expect(await (working as Promise<unknown>).catch((error) => error)).toMatchObject({ code: 'CONNECTION', operation: 'put', id: 'late' })
    await store.put('kept', slip)
    await expectNothingStored(schema)
  })

  it('lets nothing of a lost transaction into the one that has its connection now', async () => {
    const { client, schema, store } = await application()
    let working: Promise<SagaStoreError> | undefined
    const first = client.begin((tx) =>
      withTransaction(tx, () => {
        working = (async () => {
          await endBackend(await pidOf(tx))
          return await outside(() =>
            client.begin(async (other) => {
              await withTransaction(other, () => store.put('kept', Buffer.from('second')))
              return await withTransaction(tx, () => rejectionOf(store.put('late', slip)))
            }),
          )
        })()
        return working
      }),
    )
    await rejectionOf(first)
    expect(await working).toMatchObject({ code: 'CONNECTION' })
    await expectNothingStored(schema)
    expect(String(await store.get('kept'))).toBe('second')
  })

  it('holds for a savepoint, and for a reserved sql', async () => {
    const { client, schema, store } = await application(2)
    const working: Promise<SagaStoreError>[] = []
    const late = async (tx: postgres.ISql) => {
      await endBackend(await pidOf(tx))
      await outside(() => Promise.all([store.has('kept'), store.has('kept')]))
      return await rejectionOf(store.put('late', slip))
    }
    await rejectionOf(
      client.begin((tx) =>
        tx.savepoint((inner) =>
          withTransaction(inner, () => {
            working.push(late(inner))
            return working[0]
          }),
        ),
      ),
    )
    const reserved = await client.reserve()
    await reserved`begin`
    await withTransaction(reserved, async () => {
      await store.put('early', slip)
      working.push(late(reserved))
      await working[1]
    })
    expect(await Promise.all(working)).toMatchObject([{ code: 'CONNECTION' }, { code: 'CONNECTION' }])
    await expectNothingStored(schema)
  })

  it('holds for a transaction that getTransaction returns, and one of Drizzle', async () => {
    const { client, schema } = await application()
    const current = new AsyncLocalStorage<object>()
    const store = openStore({ url, schema, getTransaction: () => current.getStore() })
    closers.push(() => store.close())
    for (const begin of [
      (work: (tx: object) => Promise<unknown>) => client.begin(work),
      (work: (tx: object) => Promise<unknown>) => drizzle(client).transaction(work),
    ]) {
      let working: Promise<SagaStoreError> | undefined
      const transaction = begin((tx) =>
        current.run(tx, () => {
          working = (async () => {
            await store.put('early', slip)
            const [{ pid }] = (await store.transaction((joined) => joined.query('select pg_backend_pid() as pid'))) as [{ pid: number }]
            await endBackend(pid)
            await client`select 1`
            return await rejectionOf(store.put('late', slip))
          })()
          return working
        }),
      )
      await rejectionOf(transaction)
      expect(await working).toMatchObject({ code: 'CONNECTION' })
    }
    await expectNothingStored(schema)
  })

  it('goes on as before while the session is there', async () => {
    const { client, store } = await application()
    await client.begin((tx) =>
      withTransaction(tx, async () => {
        await Promise.all(Array.from({ length: 50 }, (_, index) => store.put(`p-${index}`, Buffer.alloc(index * 100))))
        await tx`select 1`
        await store.put('last', slip)
      }),
    )
    expect((await store.getMany([...Array.from({ length: 50 }, (_, index) => `p-${index}`), 'last'])).size).toBe(51)
  })
})
