import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import Database from 'better-sqlite3'
import { afterEach, describe, expect, it } from 'vitest'
import { AlreadyExistsError, openStore, type SagaStore } from '../../index.js'
import { startProgram } from '../support/programs'
import { rejectionOf } from '../support/promises'
import { missing, openTarget, sql, targets, temporaryDirectory, temporarySchema } from '../support/targets'

const INTERACTIVE = ['memory', 'sqlite', 'postgres']
const SHARED = ['sqlite', 'postgres', 'mongodb', 'redis', 'redis cluster', 'dynamodb']
const interactive = targets.filter(({ name }) => INTERACTIVE.includes(name))
const shared = targets.filter(({ name }) => SHARED.includes(name))
const opened: SagaStore[] = []

afterEach(async () => {
  for (const store of opened.splice(0)) await store.close()
})

async function open(target: (typeof targets)[number], more: object = {}): Promise<SagaStore> {
  const store = await openTarget(target, more)
  opened.push(store)
  return store
}

const order = (sagaId: string, rest: object = {}) => ({ metadata: { sagaId }, ...rest })
const overdue = (sagaId: string, msAgo: number, rest: object = {}) => ({
  metadata: { sagaId, timeoutExpiresAt: new Date(Date.now() - msAgo) },
  ...rest,
})

for (const target of interactive) {
  describe.skipIf(missing(target))(`${target.name}, states in transactions`, () => {
    it('commits payload and state together, or neither', async () => {
      const store = await open(target)
      await store.transaction(async (tx) => {
        await tx.put('slip-1', Buffer.from('slip'))
        await tx.states.insert('Order', 'order-1', order('s-1', { step: 1 }))
        expect(await tx.states.getById('Order', 's-1')).toMatchObject({ step: 1 })
        expect(await tx.states.getByCorrelationId('Order', 'order-1')).toMatchObject({ step: 1 })
        expect((await tx.states.findByName('Order')).items).toHaveLength(1)
      })
      expect(await store.states.getById('Order', 's-1')).toMatchObject({ step: 1 })
      const failed = store.transaction(async (tx) => {
        await tx.put('slip-2', Buffer.from('slip'))
        await tx.states.update('Order', order('s-1', { step: 2 }), 1)
        await tx.states.insert('Order', 'order-2', order('s-2'))
        await tx.states.delete('Order', 's-1')
        expect(await tx.states.countByName('Order')).toBe(1)
        throw new RangeError('no')
      })
      await expect(failed).rejects.toThrow(RangeError)
      expect(await store.has('slip-2')).toBe(false)
      expect(await store.states.getById('Order', 's-1')).toMatchObject({ step: 1, metadata: { version: 1 } })
      expect(await store.states.getById('Order', 's-2')).toBeNull()
      expect(await store.states.countByName('Order')).toBe(1)
    })

    it('goes on after a conflict that was caught, and joins through the store itself', async () => {
      const store = await open(target)
      await store.states.insert('Order', 'order-1', order('s-1'))
      await store.transaction(async () => {
        expect((await rejectionOf(store.states.update('Order', order('s-1'), 7))).code).toBe('CONCURRENCY_CONFLICT')
        expect(await rejectionOf(store.states.insert('Order', 'order-1', order('s-2')))).toBeInstanceOf(AlreadyExistsError)
        await store.states.update('Order', order('s-1', { step: 2 }), 1)
        await store.put('slip-1', Buffer.from('slip'))
      })
      expect(await store.states.getById('Order', 's-1')).toMatchObject({ step: 2, metadata: { version: 2 } })
      expect(await store.has('slip-1')).toBe(true)
    })

    it('gives sagas that have timed out to a worker with the transaction, or not at all', async () => {
      const store = await open(target)
      await store.states.insert('Order', 'order-1', overdue('s-1', 1_000))
      const claim = (on: Pick<SagaStore, 'states'>, workerId: string) => on.states.claimTimedOut({ workerId, leaseMs: 60_000 })
      const failed = store.transaction(async (tx) => {
        expect(await claim(tx, 'a')).toHaveLength(1)
        expect(await claim(tx, 'a')).toEqual([])
        throw new RangeError('no')
      })
      await expect(failed).rejects.toThrow(RangeError)
      await store.transaction(async (tx) => {
        expect(await claim(tx, 'b')).toHaveLength(1)
        await tx.states.update('Order', overdue('s-1', 500, { step: 2 }), 1)
      })
      expect(await claim(store, 'c')).toMatchObject([{ workerId: 'c', state: { step: 2 } }])
      expect(await claim(store, 'd')).toEqual([])
    })

    it('has one winner among transactions that update the same saga', async () => {
      const store = await open(target)
      await store.states.insert('Order', 'order-1', order('s-1'))
      const race = (racer: number) =>
        store.transaction(async (tx) => {
          await tx.put(`slip-${racer}`, Buffer.from('slip'))
          await tx.states.update('Order', order('s-1', { racer }), 1)
        })
      const settled = await Promise.allSettled(Array.from({ length: 6 }, (_, racer) => race(racer)))
      const winners = settled.flatMap(({ status }, racer) => (status === 'fulfilled' ? [racer] : []))
      expect(winners).toHaveLength(1)
      expect(await store.states.getById('Order', 's-1')).toMatchObject({ racer: winners[0], metadata: { version: 2 } })
      const stored = await store.getMany(settled.map((_, racer) => `slip-${racer}`))
      expect([...stored.keys()]).toEqual([`slip-${winners[0]}`])
    })
  })
}

/** Two processes that run the same program at the same moment; what each printed as JSON. */
async function together(program: string, options: object): Promise<unknown[]> {
  const go = join(temporaryDirectory(), 'go')
  const body = `const store = sagastore.openStore(args.options)
    process.stdout.write('ready\\n')
    while (!require('node:fs').existsSync(args.go)) await new Promise((resume) => setTimeout(resume, 2))
    ${program}
    await store.close()`
  const programs = [0, 1].map((number) => startProgram(body, { options, number, go }))
  await Promise.all(programs.map(({ child }) => once(child.stdout, 'data')))
  writeFileSync(go, '')
  const ends = await Promise.all(programs.map(({ done }) => done))
  return ends.map(({ code, stdout, stderr }) => {
    expect(stderr).toBe('')
    expect(code).toBe(0)
    return JSON.parse(stdout.slice(stdout.indexOf('\n') + 1))
  })
}

for (const target of shared) {
  describe.skipIf(missing(target))(`${target.name}, states from two processes`, () => {
    it('has one winner among 50 inserts with the same correlation id', async () => {
      const options = target.options()
      const store = openStore(options)
      opened.push(store)
      await store.initialize()
      const inserts = (await together(
        `const calls = Array.from({ length: 25 }, (_, n) => store.states.insert('Order', 'order-1', { metadata: { sagaId: 's-' + args.number + '-' + n } }));
         const settled = await Promise.allSettled(calls);
         console.log(JSON.stringify(settled.map((one) => one.status === 'fulfilled' ? 'won' : one.reason.code)))`,
        options,
      )) as string[][]
      expect(inserts.flat().sort()).toEqual([...Array(49).fill('ALREADY_EXISTS'), 'won'])
      const [saga] = (await store.states.findByName('Order')).items
      expect(await store.states.getByCorrelationId('Order', 'order-1')).toEqual(saga)
    })

    // FerretDB 1 finds a document and changes it in two steps.
    const isAtomic = target.name !== 'mongodb' || /[?&]replicaSet=/.test(process.env.MONGODB_URL ?? '')
    if (!isAtomic) console.warn('SKIPPED: updates of one saga from two processes (MONGODB_URL is no replica set; docker compose has one)')

    it.skipIf(!isAtomic)('has one winner among 50 updates of the same version', async () => {
      const options = target.options()
      const store = openStore(options)
      opened.push(store)
      await store.initialize()
      await store.states.insert('Order', 'order-1', order('s-1'))
      const updates = (await together(
        `const calls = Array.from({ length: 25 }, () => store.states.update('Order', { metadata: { sagaId: 's-1' } }, 1));
         const settled = await Promise.allSettled(calls);
         console.log(JSON.stringify(settled.map((one) => one.status === 'fulfilled' ? 'won' : [one.reason.expectedVersion, one.reason.actualVersion].join())))`,
        options,
      )) as string[][]
      expect(updates.flat().sort()).toEqual([...Array(49).fill('1,2'), 'won'])
    })

    it.skipIf(!isAtomic)('loses nothing when 20 workers modify a saga 10 times each', async () => {
      const options = target.options()
      const store = openStore(options)
      opened.push(store)
      await store.initialize()
      await store.states.insert('Order', 'order-1', order('s-1', { total: 0 }))
      await together(
        `const add = (state) => ({ ...state, total: state.total + 1 });
         const worker = async () => { for (let n = 0; n < 10; n += 1) await store.states.modify('Order', 's-1', add, { maxRetries: 100000, retryDelayMs: 2 }) };
         await Promise.all(Array.from({ length: 10 }, worker));
         console.log('[]')`,
        options,
      )
      expect(await store.states.getById('Order', 's-1')).toMatchObject({ total: 200, metadata: { version: 201 } })
    })

    it.skipIf(!isAtomic)(
      'gives each of a thousand overdue sagas to exactly one of eight workers',
      async () => {
        const options = target.options()
        const store = openStore(options)
        opened.push(store)
        await store.initialize()
        const ids = Array.from({ length: 1_000 }, (_, n) => `s-${n}`)
        for (let from = 0; from < ids.length; from += 100) {
          // Ten of each moment.
          const inserts = ids.slice(from, from + 100).map((id, n) => store.states.insert('Order', id, overdue(id, 1_000 + from + n / 10)))
          await Promise.all(inserts)
        }
        const claimed = (await together(
          `const worker = async (n) => {
             const mine = []
             for (let empty = 0; empty < 3; ) {
               const found = await store.states.claimTimedOut({ workerId: args.number + '-' + n, leaseMs: 600000, limit: 10 + n * 20 })
               mine.push(...found.map(({ state }) => state.metadata.sagaId))
               // DynamoDB's index follows a moment later.
               empty = found.length === 0 ? empty + 1 : 0
               if (found.length === 0) await new Promise((resume) => setTimeout(resume, 50))
             }
             return mine
           };
           console.log(JSON.stringify((await Promise.all([0, 1, 2, 3].map(worker))).flat()))`,
          options,
        )) as string[][]
        expect(claimed.flat().sort()).toEqual([...ids].sort())
      },
      120_000,
    )

    it('is consistent by both ids after a process that inserts, updates and deletes is killed', async () => {
      const options = target.options()
      const store = openStore(options)
      opened.push(store)
      await store.initialize()
      const program = startProgram(
        `const store = sagastore.openStore(args.options)
         const churn = async (worker) => {
           for (let n = 0; ; n += 1) {
             const id = 's-' + worker + '-' + (n % 5), correlation = 'o-' + worker + '-' + (n % 7)
             await store.states.insert('Order', correlation, { metadata: { sagaId: id } }).catch(() => {})
             await store.states.update('Order', { metadata: { sagaId: id, isCompleted: n % 2 === 0 } }, 1).catch(() => {})
             if (n % 3 !== 0) await store.states.delete('Order', id)
             if (n === 20 && worker === 0) process.stdout.write('going\\n')
           }
         }
         await Promise.all([0, 1, 2, 3].map(churn))`,
        { options },
      )
      await once(program.child.stdout, 'data')
      await sleep(100 + Math.random() * 200)
      program.child.kill('SIGKILL')
      await program.done
      // What it had sent the server does to its end.
      await sleep(1_000)
      const pairs = [0, 1, 2, 3].flatMap((worker) =>
        Array.from({ length: 5 }, (_, id) =>
          Array.from({ length: 7 }, (_, o) => [`s-${worker}-${id}`, `o-${worker}-${o}`] as const),
        ).flat(),
      )
      const listed = (await store.states.findByName('Order', { limit: 1_000 })).items.map((saga) => saga.metadata.sagaId)
      const ids = [...new Set(pairs.map(([id]) => id))]
      const alive = []
      for (const id of ids) if ((await store.states.getById('Order', id)) !== null) alive.push(id)
      expect(listed).toEqual(alive.sort())
      expect(await store.states.countByName('Order')).toBe(alive.length)
      let byCorrelation = 0
      for (const correlation of new Set(pairs.map(([, o]) => o))) {
        const found = await store.states.getByCorrelationId('Order', correlation)
        if (found === null) continue
        byCorrelation += 1
        expect(await store.states.getById('Order', found.metadata.sagaId)).toEqual(found)
      }
      expect(byCorrelation).toBe(alive.length)
      // Every place can be taken again.
      for (const id of ids) await store.states.delete('Order', id)
      for (const [index, id] of ids.entries()) await store.states.insert('Order', `o-${index}`, order(id))
      expect(await store.states.countByName('Order')).toBe(ids.length)
    })
  })
}

describe('stored states', () => {
  it('that do not parse are CORRUPT_DATA', async () => {
    const path = join(temporaryDirectory(), 'sagas.db')
    await using store = openStore(`sqlite://${path}`)
    await store.initialize()
    for (const id of ['text', 'none', 'date']) await store.states.insert('Order', id, order(id))
    const database = new Database(path)
    const set = database.prepare('update saga_instances set state = ? where id = ?')
    set.run('{"metadata"', 'text')
    set.run('{"total": 1}', 'none')
    set.run('{"metadata": {"sagaId": "date", "version": 1, "createdAt": "soon"}}', 'date')
    database.close()
    for (const [id, message] of [
      ['text', 'is no JSON'],
      ['none', 'has no metadata'],
      ['date', 'metadata.createdAt'],
    ] as const) {
      const error = await rejectionOf(store.states.getById('Order', id))
      expect(error).toMatchObject({ code: 'CORRUPT_DATA', id, backend: 'sqlite' })
      expect(error.message).toContain(message)
    }
  })
})

describe('the table of sagas', () => {
  it('may be missing when cleanup() runs, before initialize has made it', async () => {
    await using store = openStore(`sqlite://${join(temporaryDirectory(), 'old.db')}`)
    await store.initialize()
    await store.transaction((tx) => tx.query('drop table saga_instances'))
    await store.put('late', Buffer.from('x'), new Date(Date.now() + 5))
    await sleep(10)
    await store.cleanup()
    expect((await store.statistics()).payloads.count).toBe(0)
  })

  it('is printed for people who run their own migrations', async () => {
    await using store = openStore({ url: 'postgres://u@localhost/d', schema: 'app', statesTableName: 'sagas' })
    const text = store.schemaSql()
    expect(text).toContain('create table if not exists "app"."sagas"')
    expect(text).toContain('create table if not exists "app"."saga_store"')
    expect(text.trimEnd().endsWith(';')).toBe(true)
    await using other = openStore('memory://')
    expect(() => other.schemaSql()).toThrow(expect.objectContaining({ code: 'UNSUPPORTED' }))
  })

  const isMissing = missing({ name: 'postgres', available: process.env.POSTGRES_URL !== undefined, variable: 'POSTGRES_URL' })

  it.skipIf(isMissing)('printed and run by hand is as initialize makes it', async () => {
    const url = process.env.POSTGRES_URL as string
    const describeTables = (schema: string) =>
      sql(
        `select table_name, column_name, data_type, is_nullable, collation_name from information_schema.columns where table_schema = $1 order by 1, 2`,
        [schema],
      )
    const indexes = async (schema: string) =>
      (await sql('select indexdef from pg_indexes where schemaname = $1 order by 1', [schema])).map((row) =>
        (row.indexdef as string).replaceAll(schema, 'schema'),
      )
    const [byHand, initialized] = [temporarySchema(), temporarySchema()]
    await using one = openStore({ url, schema: byHand })
    await sql(one.schemaSql())
    await one.initialize()
    await using two = openStore({ url, schema: initialized })
    await two.initialize()
    expect(await describeTables(byHand)).toEqual(await describeTables(initialized))
    expect((await indexes(byHand)).sort()).toEqual((await indexes(initialized)).sort())
    await one.states.insert('Order', 'order-1', order('s-1'))
  })

  it.skipIf(isMissing)('made by @saga-bus/store-postgres is brought up to date, with its sagas', async () => {
    const schema = temporarySchema()
    await sql(`create schema "${schema}"`)
    await sql(`create table "${schema}".saga_instances (id varchar(128) not null, saga_name varchar(128) not null,
      correlation_id varchar(256) not null, version integer not null, is_completed boolean not null default false, state jsonb not null,
      created_at timestamptz not null default now(), updated_at timestamptz not null default now(), primary key (saga_name, id))`)
    await sql(`create unique index theirs on "${schema}".saga_instances (saga_name, correlation_id)`)
    const state = {
      metadata: {
        sagaId: 's-1',
        version: 3,
        isCompleted: true,
        createdAt: '2026-01-01T00:00:00.000Z',
        updatedAt: '2026-01-02T00:00:00.000Z',
      },
      total: 1,
    }
    await sql(`insert into "${schema}".saga_instances values ('s-1', 'Order', 'order-1', 3, true, $1, '2026-01-01', '2026-01-02')`, [
      JSON.stringify(state),
    ])
    const stores = Array.from({ length: 4 }, () => openStore({ url: process.env.POSTGRES_URL as string, schema }))
    opened.push(...stores)
    await Promise.all(stores.map((store) => store.initialize()))
    const [store] = stores as [SagaStore]
    expect(await store.states.getByCorrelationId('Order', 'order-1')).toMatchObject({
      total: 1,
      metadata: { version: 3, createdAt: new Date('2026-01-01') },
    })
    await store.states.update('Order', order('s-1', { total: 2 }), 3)
    await store.states.insert('Order', 'order-2', { metadata: { sagaId: 's-2', isCompleted: true, updatedAt: new Date('2026-01-02') } })
    expect(await store.states.deleteCompletedBefore('Order', new Date('2026-02-01'))).toBe(1)
    expect(await store.states.countByName('Order', { completed: false })).toBe(1)
  })

  it.skipIf(isMissing)('of 100,000 sagas is never read as a whole', async () => {
    const schema = temporarySchema()
    const options = { url: process.env.POSTGRES_URL as string, schema }
    // Making an index reads the table; a server counts what a connection has done when that ends, at the latest.
    const first = openStore(options)
    await first.initialize()
    await first.close()
    await using store = openStore(options)
    await sql(`insert into "${schema}".saga_instances (id, saga_name, correlation_id, version, is_completed, state, created_at, updated_at, completed_at, timeout_at, expires_at)
      select 's-' || n, 'Name' || n % 20, 'o-' || n, 1, n % 2 = 0, '{"metadata": {"sagaId": "x"}}', now(), now(), case when n % 2 = 0 then now() end,
      case when n % 10 = 1 then now() + n * interval '1 second' end, case when n % 7 = 0 then now() + n * interval '1 second' end from generate_series(1, 100000) n`)
    await sql(`analyze "${schema}".saga_instances`)
    // What the store itself has run, as the server has planned it.
    const scans = async () =>
      Number(
        (await sql('select seq_scan from pg_stat_user_tables where schemaname = $1 and relname = $2', [schema, 'saga_instances']))[0]
          ?.seq_scan,
      )
    const settledScans = async () => {
      // Counters arrive late; a session tells its own at the latest when it has been idle for a while.
      await sleep(1_200)
      return await scans()
    }
    const before = await settledScans()
    await store.states.insert('Name1', 'new', order('new'))
    await rejectionOf(store.states.insert('Name1', 'o-1', order('taken')))
    await rejectionOf(store.states.update('Name1', order('s-1'), 9))
    await store.states.update('Name1', order('s-1'), 1)
    await Promise.all(Array.from({ length: 40 }, (_, n) => store.states.update('Name1', order(`s-${n * 20 + 21}`), 1)))
    await store.states.getById('Name1', 's-1')
    await store.states.getByCorrelationId('Name1', 'o-1')
    const together = Array.from({ length: 40 }, (_, n) => n * 20 + 1041)
    const lookups = together.flatMap((n) => [
      store.states.getById('Name1', `s-${n}`),
      store.states.getByCorrelationId('Name1', `o-${n}`),
      store.states.getById('Name1', `missing-${n}`),
    ])
    expect((await Promise.all(lookups)).map((state) => state !== null)).toEqual(together.flatMap(() => [true, true, false]))
    await store.states.findByName('Name1', { limit: 50 })
    await store.states.findByName('Name1', { limit: 50, completed: false, cursor: 's-2' })
    await store.states.countByName('Name1')
    await store.states.countByName('Name1', { completed: false })
    await store.states.findTimedOut({ limit: 50 })
    await store.states.findTimedOut({ limit: 50, sagaName: 'Name1' })
    await store.states.claimTimedOut({ workerId: 'a', leaseMs: 1_000, limit: 5, now: new Date(Date.now() + 50_000) })
    await store.states.claimTimedOut({ workerId: 'a', leaseMs: 1_000, limit: 5, now: new Date(Date.now() + 90_000), sagaName: 'Name1' })
    await store.states.deleteCompletedBefore('Name2', new Date(0))
    await store.states.delete('Name1', 's-1')
    await store.states.deleteByCorrelationId('Name1', 'o-21')
    await store.purgeExpired()
    await store.close()
    expect(await settledScans()).toBe(before)
  })
})
