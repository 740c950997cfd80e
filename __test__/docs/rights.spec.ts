// docs/operating.md: a store works with exactly the rights that stand there.
import { Redis } from 'ioredis'
import { afterEach, describe, expect, it } from 'vitest'
import { type AnyStoreOptions, openStore, type SagaStore } from '../../index.js'
import { missing, randomName, sql, targets, temporaryNamespace, temporarySchema } from '../support/targets'
import { readPage } from './pages'

const page = readPage('docs/operating.md')

/** The block of these rights, with other names than those of the document. */
function rights(of: string, names: Record<string, string>): string {
  const block = page.blocks.find(({ marker }) => marker === `rights: ${of}`)
  if (block === undefined) throw new Error(`docs/operating.md has no <!-- rights: ${of} -->`)
  return Object.entries(names).reduce((text, [name, other]) => text.replaceAll(name, other), block.code)
}

const ends: (() => Promise<unknown>)[] = []

afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end()
})

/** A store, and what it has warned of or failed with. */
function opened(options: AnyStoreOptions & { url: string }): { store: SagaStore; told: string[] } {
  const told: string[] = []
  const silent = () => undefined
  const tell = (text: string) => told.push(text)
  const store = openStore({ ...options, logger: { debug: silent, info: silent, warn: tell, error: tell } })
  ends.push(() => store.close())
  return { store, told }
}

const soon = () => new Date(Date.now() + 60_000)

/** Something of each kind, by every way that has a statement or a command of its own. */
async function useEverything(store: SagaStore): Promise<void> {
  await store.initialize()
  await store.put('slip-1', Buffer.from('a slip'), soon())
  await store.putMany([{ id: 'slip-2', data: Buffer.from('another') }])
  await store.getMany(['slip-1', 'slip-2'])
  await store.touch('slip-1', soon())
  await store.delete('slip-2')
  const { states, executions, outbox, inbox } = store
  await states.insert('OrderSaga', 'order-1', { metadata: { sagaId: 'saga-1' } })
  await states.modify('OrderSaga', 'saga-1', (state) => ({ ...state, paid: true }))
  await states.findByName('OrderSaga')
  await states.countByName('OrderSaga')
  await states.claimTimedOut({ workerId: 'worker', leaseMs: 60_000 })
  await states.reindex()
  const run = await executions.start('order-1', 'OrderSaga', {}, { workerId: 'worker' })
  await run.checkpoint({ steps: [{ stepName: 'reserve', status: 'completed' }] })
  await run.release()
  await executions.claim({ workerId: 'worker' })
  await executions.history('order-1')
  await executions.list()
  await outbox.insert([{ eventType: 'OrderPlaced', partitionKey: 'order-1', payload: 1 }, { eventType: 'OrderPlaced', payload: 2 }]) // biome-ignore format: short
  const [first, second] = await outbox.claim({ workerId: 'worker' })
  if (first === undefined || second === undefined) throw new Error('both events can be claimed')
  await outbox.fail(first, { error: new Error('it failed') })
  await outbox.ack([second])
  const relay = outbox.relay(async () => undefined)
  await outbox.insert({ eventType: 'OrderPaid', payload: 3 })
  await relay.stop()
  await outbox.list()
  await outbox.archive({ olderThanMs: 0 })
  await inbox.accept('billing', 'message-1')
  await inbox.forget('billing', 'message-1')
  await store.transaction(async (tx) => {
    await tx.put('slip-3', Buffer.from('in a transaction'))
    await tx.outbox.insert({ eventType: 'OrderShipped', payload: 4 })
  })
  await states.delete('OrderSaga', 'saga-1')
  await executions.delete('order-1')
  await store.cleanup()
  await store.statistics()
  for await (const _ of store.exportAll());
  expect(await store.health()).toMatchObject({ status: 'healthy' })
}

const target = (name: string) => targets.find((one) => one.name === name) as (typeof targets)[number]

describe('PostgreSQL', () => {
  /** A schema with the tables of a namespace; the role is removed at the end. */
  async function made(role: string): Promise<{ schema: string; namespace: string; as: AnyStoreOptions & { url: string } }> {
    const [schema, namespace, url] = [temporarySchema(), randomName('n'), process.env.POSTGRES_URL as string]
    await using owner = openStore({ url, schema, namespace })
    await sql(`create schema "${schema}"`)
    await owner.initialize()
    ends.push(async () => {
      await sql(`drop owned by "${role}"`)
      await sql(`drop role "${role}"`)
    })
    const as = new URL(url)
    as.username = role
    as.password = 'change-me'
    return { schema, namespace, as: { url: as.href, schema, namespace } }
  }

  it.skipIf(missing(target('postgres')))('the statements are enough, and allow nothing else', async () => {
    const role = randomName('role')
    const { schema, namespace, as } = await made(role)
    for (const statement of rights('postgres', { orders_app: role, orders_: `${namespace}_`, sagas: schema }).split(/;\n/)) {
      if (statement.trim() !== '') await sql(statement.replaceAll(`.${namespace}_${schema}`, `.${namespace}_sagas`))
    }
    const { store, told } = opened(as)
    await useEverything(store)
    expect(told).toEqual([])
    expect(await sql('select 1 as one', [], as.url)).toEqual([{ one: 1 }])
    await expect(sql(`create table "${schema}".other (id text)`, [], as.url)).rejects.toThrow('permission denied')
    await expect(sql(`truncate "${schema}"."${namespace}_payloads"`, [], as.url)).rejects.toThrow('permission denied')
    // What is missing is told, and not made.
    await sql(`drop table "${schema}"."${namespace}_inbox"`)
    await store.initialize()
    expect(told).toEqual([expect.stringContaining(`${namespace}_inbox`)])
  })

  const [, table = ''] = page.text.split('| operations | on which tables | rights |\n|---|---|---|\n')
  const rows = (table.split('\n\n')[0] as string).split('\n')

  it.skipIf(missing(target('postgres')))('the table says which rights an operation needs', async () => {
    const works: Record<string, (store: SagaStore) => Promise<unknown>> = {
      '`get`, `find`, `has`, lists, counts, `statistics`': async (store) => {
        await store.has('slip-1')
        await store.states.countByName('OrderSaga')
        await store.outbox.list()
        await store.statistics()
      },
      '`put`, `touch`': async (store) => {
        await store.put('slip-1', Buffer.from('a slip'))
        await store.touch('slip-1', soon())
      },
      '`delete`': async (store) => {
        await store.delete('slip-1')
        await store.states.delete('OrderSaga', 'saga-1')
        await store.inbox.forget('billing', 'message-1')
      },
      '`cleanup` (it locks what it removes)': async (store) => {
        await store.cleanup()
        await store.executions.cleanup({ olderThanMs: 0 })
        await store.outbox.archive({ olderThanMs: 0 })
      },
      'changes of sagas and executions': async (store) => {
        await store.states.insert('OrderSaga', 'order-1', { metadata: { sagaId: 'saga-1' } })
        await store.executions.create('order-1', 'OrderSaga', {})
        await store.executions.updateContext('order-1', { paid: true })
      },
      '`outbox.insert`': (store) => store.outbox.insert({ eventType: 'OrderPlaced', payload: 1 }),
      '`outbox.claim`, `ack`, `fail`': async (store) => {
        await store.outbox.insert({ eventType: 'OrderPlaced', payload: 1 })
        await store.outbox.ack(await store.outbox.claim({ workerId: 'worker' }))
      },
      '`inbox.accept`, `forget`': async (store) => {
        await store.inbox.accept('billing', 'message-1')
        await store.inbox.forget('billing', 'message-1')
      },
    }
    expect(rows.map((row) => row.split(' | ')[0]?.slice(2))).toEqual(Object.keys(works))
    const failed: string[] = []
    for (const [at, work] of Object.values(works).entries()) {
      const allowed = (rows[at] as string).split(' | ').at(-1)?.replace(/ \|$/, '').replaceAll('`', '') as string
      const role = randomName('role')
      const { schema, as } = await made(role)
      await sql(`create role "${role}" login password 'change-me'`)
      await sql(`grant usage on schema "${schema}" to "${role}"`)
      await sql(
        `grant ${allowed === 'all four' ? 'select, insert, update, delete' : allowed} on all tables in schema "${schema}" to "${role}"`,
      )
      await work(opened(as).store).catch((error) => failed.push(`${rows[at]}: ${error.message}: ${error.cause?.message}`))
    }
    expect(failed).toEqual([])
  })
})

describe('Redis', () => {
  it.skipIf(missing(target('redis')))('the line is enough, and allows nothing else', async () => {
    const url = process.env.REDIS_URL as string
    const [user, namespace] = [randomName('user'), temporaryNamespace()]
    const admin = new Redis(url)
    ends.push(async () => {
      await admin.call('ACL', 'DELUSER', user)
      admin.disconnect()
    })
    const [command, ...words] = rights('redis', { orders_app: user, orders: namespace }).trim().split(' ') as [string, ...string[]]
    await admin.call(command, ...words)
    const as = new URL(url)
    as.username = user
    as.password = 'change-me'
    const { store, told } = opened({ url: as.href, namespace })
    await useEverything(store)
    expect(told).toEqual([])
    const client = new Redis(as.href, { lazyConnect: true })
    ends.push(async () => client.disconnect())
    for (const forbidden of [['FLUSHALL'], ['KEYS', '*'], ['CONFIG', 'GET', 'maxmemory'], ['SET', 'other', '1'], ['ACL', 'LIST']]) {
      await expect(client.call(...(forbidden as [string, ...string[]]))).rejects.toThrow('NOPERM')
    }
  })
})
