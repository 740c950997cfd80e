import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import initSqlJs from 'sql.js'
import { describe, expect, it } from 'vitest'
import { openStore, type SagaStore } from '../../../index.js'
import { initializesFromEightProcesses } from '../../support/faults'
import { runProgram, startProgram } from '../../support/programs'
import { eventually, rejectionOf } from '../../support/promises'
import { temporaryDirectory } from '../../support/targets'

const SQL = await initSqlJs()
const file = () => join(temporaryDirectory(), 'sagas.db')

/** A database file as another program would have made it. */
function foreign(path: string, ...statements: string[]): void {
  const database = new SQL.Database()
  for (const statement of statements) database.run(statement)
  writeFileSync(path, database.export())
  database.close()
}

/** Reads the file as another program would, the store being closed. */
function rows(path: string, query: string): unknown[][] {
  const bytes = readFileSync(path)
  // sql.js has no write-ahead log; after a close everything is in the file itself.
  bytes[18] = bytes[19] = 1
  const database = new SQL.Database(bytes)
  const [result] = database.exec(query)
  database.close()
  return result?.values ?? []
}

describe('the file format', () => {
  it('is the documented table, with ISO 8601 text and an index on the expiry', async () => {
    const path = file()
    const store = openStore(`sqlite://${path}`)
    await store.initialize()
    await store.put('a', Buffer.from([1, 2, 3]), new Date('2036-02-03T04:05:06.789Z'))
    await store.put('b', Buffer.alloc(0))
    await store.close()
    expect(rows(path, 'select id, hex(data), typeof(data), expires_at from saga_store order by id')).toEqual([
      ['a', '010203', 'blob', '2036-02-03T04:05:06.789Z'],
      ['b', '', 'blob', null],
    ])
    const schema = rows(path, 'select group_concat(sql) from sqlite_master where sql is not null').flat().join().toLowerCase()
    expect(schema).toContain('id text primary key')
    expect(schema).toContain('(expires_at)')
    // What stands behind a payload is found only by reading all of it.
    expect(rows(path, "select name from pragma_table_info('saga_store')").flat()).toEqual(['id', 'expires_at', 'data'])
    expect(() => rows(path, "insert into saga_store values ('c', x'01', '2036-02-03T04:05:06.789Z')")).toThrow(/CHECK/)
  })

  it('takes another table name', async () => {
    const path = file()
    const store = openStore({ url: `sqlite://${path}`, tableName: 'Select' })
    await store.initialize()
    await store.put('a', Buffer.from('x'))
    await store.close()
    expect(rows(path, 'select count(*) from "Select"')).toEqual([[1]])
  })

  it('reads rows of other programs, whatever form of ISO 8601 they wrote', async () => {
    const path = file()
    const future = new Date(Date.now() + 3_600_000).toISOString()
    const past = new Date(Date.now() - 3_600_000).toISOString()
    const spaced = (iso: string) => iso.replace('T', ' ').replace(/\.\d+Z$/, '')
    foreign(
      path,
      'create table saga_store (id text primary key, data blob not null, expires_at text not null)',
      `insert into saga_store values ('iso', x'01', '${future}'), ('iso past', x'02', '${past}'),
        ('sqlite', x'03', '${spaced(future)}'), ('sqlite past', x'04', '${spaced(past)}'),
        ('offset', x'05', '${future.replace('Z', '+00:00')}'), ('nonsense', x'06', 'tomorrow')`,
    )
    await using store = openStore(`sqlite://${path}`)
    await store.initialize()
    expect([...(await store.getMany(['iso', 'iso past', 'sqlite', 'sqlite past', 'offset'])).keys()].sort()).toEqual([
      'iso',
      'offset',
      'sqlite',
    ])
    expect(await rejectionOf(store.get('nonsense'))).toMatchObject({ code: 'CORRUPT_DATA', id: 'nonsense' })
    expect(await store.purgeExpired()).toBe(2)
    expect(await store.has('sqlite')).toBe(true)
    await store.put('iso', Buffer.from('new'), new Date(Date.now() + 60_000))
    expect((await store.get('iso')).toString()).toBe('new')
  })
})

describe('bad files', () => {
  it.each<[string, (path: string) => void, RegExp]>([
    ['a directory in place of the file', (path) => mkdirSync(path), /directory/],
    [
      'a file that is no database',
      (path) => writeFileSync(path, 'hello, I am a text file, and a long one at that'.repeat(50)),
      /not an SQLite database/,
    ],
  ])('%s', async (_, make, message) => {
    const path = file()
    make(path)
    await using store = openStore(`sqlite://${path}`)
    for (const call of [() => store.initialize(), () => store.put('id', Buffer.from('x')), () => store.get('id')]) {
      const error = await rejectionOf(call())
      expect(error.code).toMatch(/CONNECTION|CORRUPT_DATA/)
      expect(error.message).toMatch(message)
      expect(error.retryable).toBe(false)
    }
    expect(await store.health()).toMatchObject({ status: 'unhealthy' })
  })

  it('a directory that does not exist; once it does, the same store works', async () => {
    const directory = join(temporaryDirectory(), 'later')
    await using store = openStore(`sqlite://${directory}/sagas.db`)
    expect(await rejectionOf(store.initialize())).toMatchObject({ code: 'CONNECTION' })
    mkdirSync(directory)
    await store.initialize()
    await store.put('id', Buffer.from('x'))
  })

  it('a table of other columns is named, column by column', async () => {
    const path = file()
    foreign(path, 'create table saga_store (id integer primary key, payload text)')
    await using store = openStore(`sqlite://${path}`)
    const error = await rejectionOf(store.initialize())
    expect(error.message).toMatch(/saga_store.*id is integer.*data is missing.*expires_at is missing/)
  })

  it('a missing table says to call initialize()', async () => {
    await using store = openStore(`sqlite://${file()}`)
    expect((await rejectionOf(store.put('id', Buffer.from('x')))).message).toContain('initialize()')
    expect(await store.health()).toMatchObject({ status: 'degraded', message: expect.stringContaining('initialize()') })
    await store.initialize()
    await store.put('id', Buffer.from('x'))
  })

  // As nobody, because file modes do not stop root; who is not root is stopped by them already.
  const unprivileged = process.getuid?.() === 0 ? { uid: 65_534 } : {}
  const tryAll = `
    const store = sagastore.openStore(args.url)
    const code = (call) => call.then((value) => String(value), (error) => error.code + ' ' + error.message)
    console.log(JSON.stringify([await code(store.get('id')), await code(store.put('id', Buffer.from('x'))), await code(store.initialize())]))`

  async function readOnlyFile(directoryMode: number): Promise<string[]> {
    const directory = temporaryDirectory()
    const path = join(directory, 'sagas.db')
    const store = openStore(`sqlite://${path}`)
    await store.initialize()
    await store.put('id', Buffer.from('kept'))
    await store.close()
    chmodSync(path, 0o444)
    chmodSync(directory, directoryMode)
    const output = await runProgram(tryAll, { url: `sqlite://${path}` }, unprivileged)
    chmodSync(directory, 0o755)
    return JSON.parse(output)
  }

  it('a read-only file is read, and writing says so', async () => {
    const [read, write, initialize] = await readOnlyFile(0o777)
    expect(read).toBe('kept')
    expect(write).toMatch(/^BACKEND .*read-only/)
    expect(initialize).toBe('undefined')
  })

  it('a read-only directory says so', async () => {
    for (const outcome of await readOnlyFile(0o555)) expect(outcome).toMatch(/^BACKEND .*read-only/)
  })
})

describe('processes', () => {
  it('initialize from eight at once', async () => {
    for (let round = 0; round < 3; round++) {
      const url = `sqlite://${file()}`
      await initializesFromEightProcesses({ url })
    }
  })

  it('two write the same file at the same time', async () => {
    const url = `sqlite://${file()}`
    const store = openStore(url)
    await store.initialize()
    const program = `
      const store = sagastore.openStore(args.url)
      for (let i = 0; i < 300; i++) await store.put(args.name + i, Buffer.alloc(2000))
      await store.close()`
    await Promise.all(['a', 'b'].map((name) => runProgram(program, { url, name })))
    expect((await store.statistics()).payloads.count).toBe(600)
    await store.close()
  })

  it('kill -9 loses no put that had resolved', async () => {
    for (let round = 0; round < 3; round++) {
      const path = file()
      const url = `sqlite://${path}`
      const program = `
        const { writeSync } = require('node:fs')
        const store = sagastore.openStore({ url: args.url, durability: 'full' })
        await store.initialize()
        let next = 0
        await Promise.all(Array.from({ length: 64 }, async () => {
          for (;;) {
            const n = next++
            await store.put('id' + n, Buffer.alloc(3000, n % 256))
            writeSync(1, n + '\\n')
          }
        }))`
      const { child, done, output } = startProgram(program, { url })
      await eventually('some puts have resolved', () => output().length > 2000)
      await sleep(Math.random() * 100)
      child.kill('SIGKILL')
      const { stdout } = await done
      const resolved = stdout.trim().split('\n').slice(0, -1).map(Number)
      expect(resolved.length).toBeGreaterThan(100)
      await using store: SagaStore = openStore(url)
      const found = await store.getMany(resolved.map((n) => `id${n}`))
      for (const n of resolved) expect(found.get(`id${n}`)?.equals(Buffer.alloc(3000, n % 256)), `put ${n}`).toBe(true)
    }
  })
})
