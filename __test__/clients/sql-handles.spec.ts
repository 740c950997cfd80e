import { spawnSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import BetterSqlite3 from 'better-sqlite3'
import { drizzle } from 'drizzle-orm/better-sqlite3'
import { build } from 'esbuild'
import { beforeEach, describe, expect, it } from 'vitest'
import { nodeWithSqlite } from '../../scripts/node-sqlite.mjs'
import { enterHandle, guardOf, withHandle } from '../../ts/clients/handle'
import { recognizeSqlClient } from '../../ts/clients/sql'
import { root } from '../support/programs'
import { temporaryDirectory } from '../support/targets'

let db: BetterSqlite3.Database

beforeEach(() => {
  db = new BetterSqlite3(join(temporaryDirectory(), 'app.db'))
  db.exec('create table t (id text primary key, data blob, n integer) strict')
  recognizeSqlClient(db)
})

/** An operation, as a store runs it on a handle. */
function put(id: string, client: object = db): Promise<void> {
  const carrier = recognizeSqlClient(client)
  const guard = guardOf(client)
  try {
    carrier?.check?.()
    const attempt = guard?.attempt(true)
    carrier?.send('execute', ['insert into t values (?, ?, ?)', [id, Buffer.from(id), 5]])
    return attempt?.ran() ?? Promise.resolve()
  } catch (error) {
    return Promise.reject(error)
  }
}

const ids = () =>
  db
    .prepare('select id from t order by id')
    .all()
    .map((row) => (row as { id: string }).id)

const codeOf = (promise: Promise<unknown>) =>
  promise.then(
    () => 'done',
    (error) => `${error.code}: ${error.message}`,
  )

describe('a synchronous library', () => {
  it.each(['better-sqlite3', 'drizzle on better-sqlite3'])('answers synchronously: %s', (name) => {
    const carrier = recognizeSqlClient(name === 'better-sqlite3' ? db : drizzle(db))
    const data = Buffer.alloc(1000, 7)
    expect(carrier?.send('execute', ['insert into t values (?, ?, ?)', ['a', data, 5]])).toBe(1)
    expect(carrier?.send('query', ['select id, data, n from t', []])).toEqual([['a', data, 5]])
    expect(carrier?.send('rows', ['select id, n from t where n = ?', [5]])).toEqual([{ id: 'a', n: 5 }])
    expect(carrier?.send('query', ['delete from t returning id', []])).toEqual([['a']])
    expect(carrier?.send('execute', ['create table if not exists t (id text)', []])).toBe(0)
    expect(() => carrier?.send('query', ['select 1 from nowhere', []])).toThrow(/no such table/)
  })

  it('gives integers as the handle is set up to', () => {
    db.defaultSafeIntegers(true)
    const carrier = recognizeSqlClient(db)
    expect(carrier?.send('query', ['select ? as n, ? as m', [5, 2n ** 60n]])).toEqual([[5n, 2n ** 60n]])
  })

  it('keeps a bounded number of statements', () => {
    const carrier = recognizeSqlClient(db)
    for (let i = 0; i < 1000; i += 1) carrier?.send('query', [`select ${i} as n`, []])
    expect(carrier?.send('query', ['select 0 as n', []])).toEqual([[0]])
  })

  it('says whether it is in a transaction', () => {
    const carrier = recognizeSqlClient(drizzle(db))
    expect(carrier?.isTransaction).toBe(false)
    drizzle(db).transaction((tx) => {
      expect(carrier?.isTransaction).toBe(true)
      expect(recognizeSqlClient(tx)).toMatchObject({ library: 'drizzle-orm', isTransaction: true })
    })
  })
})

describe('the guard of a shared handle', () => {
  it('is found by the handle, a Drizzle database or transaction on it, and their carriers', () => {
    const database = drizzle(db)
    const carriers = [recognizeSqlClient(db), recognizeSqlClient(database)]
    for (const client of [db, database, ...carriers]) expect(guardOf(client as object)).toBe(guardOf(db))
    database.transaction((tx) => {
      recognizeSqlClient(tx)
      expect(guardOf(tx)).toBe(guardOf(db))
    })
    expect(guardOf(new BetterSqlite3(':memory:'))).toBe(undefined)
    expect(enterHandle({})).toBe(undefined)
  })

  it('lets synchronous transactions be: what is put is committed, or rolled back, with them', async () => {
    const puts: Promise<void>[] = []
    db.transaction(() => {
      puts.push(put('a'))
      expect(ids()).toEqual(['a'])
    })()
    expect(() =>
      db.transaction(() => {
        puts.push(put('b'))
        throw new Error('stop')
      })(),
    ).toThrow('stop')
    await Promise.all(puts)
    drizzle(db).transaction((tx) => puts.push(put('c', tx)))
    await Promise.all(puts)
    expect(ids()).toEqual(['a', 'c'])
  })

  it('undoes an operation that got into an asynchronous transaction, and leaves the rest of that as it is', async () => {
    const own = db.prepare('insert into t values (?, null, null)')
    db.exec('begin')
    own.run('before')
    const refused = /^UNSUPPORTED: .*begun asynchronously.*withTransaction.*nothing was written/
    expect(await codeOf(put('a'))).toMatch(refused)
    own.run('between')
    for (const code of await Promise.all([codeOf(put('b')), codeOf(put('c'))])) expect(code).toMatch(refused)
    await sleep(20)
    expect(await codeOf(put('d'))).toMatch(refused)
    expect(ids()).toEqual(['before', 'between'])
    db.exec('commit')
    expect(await codeOf(put('e'))).toBe('done')
    expect(ids()).toEqual(['before', 'between', 'e'])
  })

  it.each([
    ['rows', () => db.exec("insert into t values ('own', null, null)"), () => put('b')],
    ['the schema', () => db.exec('create table own (id text)'), () => Promise.resolve()],
  ])('undoes nothing of what the application has changed meanwhile, and says so: %s', async (_, change, more) => {
    db.exec('begin')
    const refused = put('a')
    change()
    const last = more().catch(() => undefined)
    expect(await codeOf(refused)).toMatch(/^UNSUPPORTED: .*used meanwhile, so what was written belongs to that transaction/)
    await last
    db.exec('commit')
    expect(ids()).toContain('a')
    expect(db.prepare("select 'own' from t where id = 'own' union select 'own' from sqlite_schema where name = 'own'").all()).toHaveLength(
      1,
    )
  })

  it('takes a savepoint that has ended with one around it for a write that stays', async () => {
    db.exec('begin; savepoint outer')
    const refused = put('a')
    db.exec('release outer')
    expect(await codeOf(refused)).toMatch(/^UNSUPPORTED: .*belongs to that transaction/)
    db.exec('rollback')
    expect(ids()).toEqual([])
  })

  it('takes no later synchronous transaction for the one that it has refused', async () => {
    db.exec('begin')
    expect(await codeOf(put('a'))).toMatch(/^UNSUPPORTED/)
    db.exec('rollback')
    const settled: Promise<void>[] = []
    db.transaction(() => settled.push(put('b')))()
    await Promise.all(settled)
    expect(ids()).toEqual(['b'])
  })

  it('joins inside withHandle, and refuses what is outside meanwhile', async () => {
    let outside: string | undefined
    let second: string | undefined
    await Promise.all([
      withHandle(db, async () => {
        db.exec('begin')
        await put('a')
        await sleep(30)
        await put('b')
        await withHandle(drizzle(db), () => put('nested'))
        await put('after')
        db.exec('rollback')
      }),
      (async () => {
        await sleep(10)
        outside = await codeOf(put('x'))
        second = await codeOf(withHandle(db, async () => 'never'))
      })(),
    ])
    expect(outside).toMatch(/^UNSUPPORTED: .*not part of.*nothing was written/)
    expect(second).toMatch(/^UNSUPPORTED: .*another withTransaction/)
    expect(ids()).toEqual([])
    expect(await codeOf(put('free'))).toBe('done')
  })

  it('a scope that is over gives no way in, whoever still carries it', async () => {
    await withHandle(db, async () => expect(guardOf(db)?.isInScope).toBe(true))
    expect(guardOf(db)?.isInScope).toBe(false)
    const fromFirst = new Promise<string>((resolve) => {
      void withHandle(db, async () => {
        setTimeout(() => resolve(codeOf(put('outlived'))), 20)
      })
    })
    await sleep(5)
    const result = await withHandle(db, async () => {
      db.exec('begin')
      const refused = await fromFirst
      db.exec('commit')
      return refused
    })
    expect(result).toMatch(/^UNSUPPORTED/)
    expect(ids()).toEqual([])
  })

  it('keeps handles apart', async () => {
    const other = new BetterSqlite3(':memory:')
    other.exec('create table t (id text primary key, data blob, n integer) strict')
    recognizeSqlClient(other)
    await withHandle(other, async () => {
      expect(await codeOf(put('a'))).toBe('done')
      await withHandle(db, async () => {
        expect(await codeOf(put('b', other))).toBe('done')
        expect(await codeOf(put('b'))).toBe('done')
      })
    })
  })
})

const PROGRAM = `
const { DatabaseSync } = require('node:sqlite')
const assert = require('node:assert')
const { recognizeSqlClient, guardOf, withHandle, describeClientError } = require('./clients.cjs')
const db = new DatabaseSync(':memory:')
db.exec('create table t (id text primary key, data blob, n integer) strict')
const carrier = recognizeSqlClient(db)
assert.equal(carrier.library, 'node:sqlite')
assert.equal(carrier.backend, 'sqlite')
assert.equal(carrier.isTransaction, false)
assert.equal(carrier.begin, undefined)
for (const size of [0, 1, 100_000]) {
  const data = Buffer.alloc(size + 1, 7).subarray(1)
  assert.equal(Number(carrier.send('execute', ['insert into t values (?, ?, ?)', ['x' + size, data, 1_900_000_000_000]])), 1)
  const [row] = carrier.send('query', ['select id, data, n from t where id = ?', ['x' + size]])
  assert.equal(row[0], 'x' + size)
  assert.equal(Buffer.compare(row[1], data), 0)
  assert.equal(Number(row[2]), 1_900_000_000_000)
}
carrier.send('execute', ['insert into t values (?, ?, ?)', ['null', null, 2n ** 60n]])
assert.deepEqual(carrier.send('query', ["select data, n from t where id = 'null'", []]), [[null, 2n ** 60n]])
assert.equal(carrier.send('rows', ['select count(*) as n from t where id <> ?', ['']])[0].n, 4)
assert.deepEqual(carrier.send('query', ["delete from t where id = 'null' returning id", []]), [['null']])
assert.equal(Number(carrier.send('execute', ['delete from t', []])), 3)
carrier.send('execute', ['insert into t values (?, ?, ?)', ['a', null, null]])
assert.throws(
  () => carrier.send('execute', ['insert into t values (?, ?, ?)', ['a', null, null]]),
  (error) => describeClientError(error).code === 'SQLITE_CONSTRAINT' && /UNIQUE/.test(describeClientError(error).message),
)
assert.throws(() => carrier.send('query', ['select 1 from nowhere', []]), (error) => describeClientError(error).code === 'SQLITE_ERROR')

const old = new Proxy(db, {
  get: (target, name) => {
    if (name === 'isTransaction') return undefined
    const value = target[name]
    return typeof value === 'function' ? value.bind(target) : value
  },
})
async function guarded(handle) {
  const { send } = recognizeSqlClient(handle)
  const put = (id) => {
    try {
      recognizeSqlClient(handle).check()
      const attempt = guardOf(handle).attempt(true)
      send('execute', ['insert into t values (?, null, null)', [id]])
      return attempt?.ran() ?? Promise.resolve()
    } catch (error) {
      return Promise.reject(error)
    }
  }
  handle.exec('begin')
  assert.equal(recognizeSqlClient(handle).isTransaction, true)
  const sync = put('sync')
  handle.exec('rollback')
  await sync
  handle.exec('begin')
  await assert.rejects(put('b'), /begun asynchronously.*nothing was written/)
  await assert.rejects(put('c'), /nothing was written/)
  assert.equal(recognizeSqlClient(handle).isOpen({}), true)
  handle.exec('commit')
  assert.equal(recognizeSqlClient(handle).isOpen({}), false)
  await put('d')
  await withHandle(handle, async () => {
    handle.exec('begin')
    await put('e')
    handle.exec('rollback')
  })
  assert.deepEqual(send('query', ['select id from t order by id', []]), [['a'], ['d']])
  send('execute', ["delete from t where id = 'd'", []])
}
guarded(db)
  .then(() => guarded(old))
  .then(() => {
    const file = new DatabaseSync(process.argv[2])
    const { send } = recognizeSqlClient(file)
    send('query', ['select 1 as n', []])
    file.close()
    assert.equal(guardOf(file).isInTransaction, false)
    assert.throws(() => send('query', ['select 1 as n', []]), /not open/)
    file.open()
    assert.deepEqual(send('query', ['select 1 as n', []]).flat().map(Number), [1])
    for (const settings of [{ readBigInts: true }, { returnArrays: true }, { readBigInts: true, returnArrays: true }]) {
      const other = recognizeSqlClient(new DatabaseSync(':memory:', settings))
      other.send('execute', ['create table t (id text, data blob, n int)', []])
      other.send('execute', ['insert into t values (?, ?, ?)', ['a', Buffer.from([0, 255]), 2 ** 53 - 1]])
      const [[id, data, n]] = other.send('query', ['select id, data, n from t', []])
      assert.deepEqual([id, [...data], String(n)], ['a', [0, 255], '9007199254740991'])
    }
    console.log('all well')
  })
`

it('node:sqlite, on a Node.js that has it', { timeout: 300_000 }, async () => {
  const directory = temporaryDirectory()
  const contents = ['clients/sql', 'clients/handle', 'clients/failure'].map((name) => `export * from './ts/${name}'`).join('\n')
  await build({
    stdin: { contents, resolveDir: root, loader: 'ts' },
    bundle: true,
    platform: 'node',
    target: 'node22',
    outfile: join(directory, 'clients.cjs'),
  })
  writeFileSync(join(directory, 'program.cjs'), PROGRAM)
  const { stdout, stderr } = spawnSync(nodeWithSqlite(), [join(directory, 'program.cjs'), join(directory, 'app.db')], { encoding: 'utf8' })
  expect(stderr.replace(/.*ExperimentalWarning.*\n.*\n/, '')).toBe('')
  expect(stdout).toBe('all well\n')
})
