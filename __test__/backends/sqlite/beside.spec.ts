import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { openStore } from '../../../index.js'
import { nodeWithSqlite } from '../../../scripts/node-sqlite.mjs'
import { entry, runProgram, startProgram } from '../../support/programs'
import { temporaryDirectory } from '../../support/targets'

// Each program has a store with a URL and handles of another SQLite library in one process, on one file.
// `open(timeout)` makes a handle with `exec(sql)` and `value(sql)`.
const libraries = [
  {
    name: 'better-sqlite3',
    node: () => process.execPath,
    open: `const open = (timeout = 5000) => {
      const db = new (require('better-sqlite3'))(args.path, { timeout })
      return Object.assign(db, { value: (sql) => db.prepare(sql).pluck().get() })
    }`,
  },
  {
    name: 'node:sqlite',
    node: nodeWithSqlite,
    open: `const open = (timeout = 5000) => {
      const db = new (require('node:sqlite').DatabaseSync)(args.path)
      db.exec('pragma busy_timeout = ' + timeout)
      return Object.assign(db, { value: (sql) => Object.values(db.prepare(sql).get() ?? {})[0] })
    }`,
  },
]

const prelude = `
  const sleep = (ms) => new Promise((resume) => setTimeout(resume, ms))
  const state = (promise) => Promise.race([promise.then(() => 'resolved', (error) => error.code), sleep(0).then(() => 'pending')])
  const code = (call) => call.then(() => 'resolved', (error) => error.code)
  const intact = () => { const db = open(); const answer = db.value('pragma integrity_check'); db.close(); return answer }`

function program(library: (typeof libraries)[number], body: string, more: object = {}) {
  const path = join(temporaryDirectory(), 'sagas.db')
  const run = [`${library.open}\n${prelude}\n${body}`, { path, url: `sqlite://${path}`, ...more }, { node: library.node() }] as const
  return { path, url: `sqlite://${path}`, run }
}

async function answers(library: (typeof libraries)[number], body: string): Promise<unknown> {
  return JSON.parse(await runProgram(...program(library, body).run))
}

describe.each(libraries)('a store with a URL beside $name in one process', (library) => {
  it('waits for the lock of a handle', async () => {
    const found = await answers(
      library,
      `const s = sagastore.openStore(args.url)
       await s.initialize()
       const db = open()
       db.exec('create table o(t)')
       db.exec('BEGIN IMMEDIATE')
       db.exec('insert into o values (1)')
       const put = s.put('a', Buffer.from('a'))
       await sleep(300)
       const before = await state(put)
       db.exec('COMMIT')
       await put
       const has = await s.has('a')
       db.close()
       await s.close()
       console.log(JSON.stringify({ before, has, orders: (() => { const db = open(); return db.value('select count(*) from o') })(), intact: intact() }))`,
    )
    expect(found).toEqual({ before: 'pending', has: true, orders: 1, intact: 'ok' })
  })

  it('is TIMEOUT where the lock is not given back, and a handle is told of the locks of the store', async () => {
    const found = await answers(
      library,
      `const s = sagastore.openStore({ url: args.url, operationTimeoutMs: 500 })
       await s.initialize()
       const db = open(0)
       db.exec('create table o(t)')
       db.exec('BEGIN IMMEDIATE')
       const put = await code(s.put('a', Buffer.from('a')))
       const begun = await code(s.transaction(async () => {}))
       db.exec('ROLLBACK')
       let theirs
       await s.transaction(async (tx) => {
         await tx.put('b', Buffer.from('b'))
         try { db.exec('BEGIN IMMEDIATE'); theirs = 'begun' } catch (error) { theirs = /locked/.test(error.message) }
       })
       db.exec('BEGIN IMMEDIATE')
       db.exec('COMMIT')
       console.log(JSON.stringify({ put, begun, theirs, a: await s.has('a'), b: await s.has('b') }))`,
    )
    expect(found).toEqual({ put: 'TIMEOUT', begun: 'TIMEOUT', theirs: true, a: false, b: true })
  })

  it('loses nothing at kill -9 after a handle was opened and closed', async () => {
    const { url, run } = program(
      library,
      `const s = sagastore.openStore({ url: args.url, durability: 'full' })
       await s.initialize()
       await s.put('before', Buffer.from('x'))
       const db = open()
       db.value('select count(*) from saga_store')
       db.close()
       for (let n = 0; n < 20; n++) await s.put('after' + n, Buffer.alloc(3000, n))
       require('node:fs').writeSync(1, 'done')
       process.kill(process.pid, 'SIGKILL')
       await sleep(60_000)`,
    )
    const { stdout, stderr, signal } = await startProgram(...run).done
    expect({ stdout, signal }, stderr).toEqual({ stdout: 'done', signal: 'SIGKILL' })
    await using store = openStore(url)
    const ids = ['before', ...Array.from({ length: 20 }, (_, n) => `after${n}`)]
    expect([...(await store.getMany(ids)).keys()].sort()).toEqual(ids.sort())
  })

  it('joins the transaction of a handle, while it writes outside of it', async () => {
    const found = await answers(
      library,
      `const s = sagastore.openStore(args.url)
       await s.initialize()
       const db = open()
       db.exec('create table o(t)')
       const acknowledged = []
       let isRunning = true
       const outside = (async () => {
         for (let n = 0; isRunning; n++) {
           await s.put('outside' + n, Buffer.alloc(500))
           acknowledged.push('outside' + n)
           await sleep(1)
         }
       })()
       let inside = 0
       for (let n = 0; n < 40; n++) {
         const isKept = n % 2 === 0
         db.exec('BEGIN IMMEDIATE')
         await sagastore.withTransaction(db, async () => {
           db.exec('insert into o values (' + n + ')')
           await s.put('inside' + n, Buffer.alloc(500))
           if (n % 4 < 2) await sleep(2)
         })
         db.exec(isKept ? 'COMMIT' : 'ROLLBACK')
         if (isKept) acknowledged.push('inside' + n)
         inside += await s.has('inside' + n) === isKept
         await sleep(1)
       }
       isRunning = false
       await outside
       const found = await s.getMany(acknowledged)
       const lost = acknowledged.filter((id) => !found.has(id))
       const orders = db.value('select count(*) from o')
       db.close()
       await s.close()
       console.log(JSON.stringify({ inside, lost, orders, outside: acknowledged.length > 25, intact: intact() }))`,
    )
    expect(found).toEqual({ inside: 40, lost: [], orders: 20, outside: true, intact: 'ok' })
  })
})

// Linux tells which descriptors a process has.
describe.runIf(process.platform === 'linux')('descriptors', () => {
  const betterSqlite3 = libraries[0] as (typeof libraries)[number]
  const count = `const count = () => require('node:fs').readdirSync('/proc/self/fd').filter((fd) => {
    try { return require('node:fs').readlinkSync('/proc/self/fd/' + fd).startsWith(args.path) } catch { return false }
  }).length`

  it('are kept while somebody else has locks, used again, and closed after that', async () => {
    const found = await answers(
      betterSqlite3,
      `${count}
       const once = async () => { const s = sagastore.openStore(args.url); await s.initialize(); await s.put('a', Buffer.from('a')); await s.get('a'); await s.close() }
       await once()
       const alone = count()
       const db = open()
       db.value('select count(*) from saga_store')
       const theirs = count()
       await once()
       const kept = count()
       for (let n = 0; n < 10; n++) await once()
       const still = count()
       db.close()
       await once()
       console.log(JSON.stringify({ alone, isKept: kept > theirs, isBounded: still <= kept, end: count() }))`,
    )
    expect(found).toEqual({ alone: 0, isKept: true, isBounded: true, end: 0 })
  })

  it('stay known when the worker ends that loaded the addon', async () => {
    // The addon is loaded by workers only, one after the other.
    const { run } = program(
      betterSqlite3,
      `${count}
       const work = \`
         const { workerData } = require('node:worker_threads')
         const sagastore = require(workerData.entry)
         ;(async () => {
           const s = sagastore.openStore(workerData.url)
           await s.initialize()
           await s.put('a' + workerData.n, Buffer.alloc(3000))
           await s.close()
         })()\`
       const { Worker } = require('node:worker_threads')
       const round = (n) => new Promise((ended, failed) => {
         const worker = new Worker(work, { eval: true, workerData: { entry: args.entry, url: args.url, n } })
         worker.on('error', failed).on('exit', ended)
       })
       await round(0)
       const db = open()
       db.exec('create table o(t)')
       await round(1)
       const kept = count()
       for (let n = 2; n < 8; n++) {
         db.exec('insert into o values (1)')
         await round(n)
       }
       const isBounded = count() <= kept
       db.close()
       await round(8)
       const last = count()
       const check = open()
       console.log(JSON.stringify({ isBounded, last, payloads: check.value('select count(*) from saga_store'), orders: check.value('select count(*) from o'), intact: intact() }))`,
      { entry },
    )
    const [body, args, options] = run
    // Without the line of support.ts that loads the addon here.
    const found = await runProgram(body, args, { ...options, loads: false })
    expect(JSON.parse(found)).toEqual({ isBounded: true, last: 0, payloads: 9, orders: 6, intact: 'ok' })
  })

  it('are never standard input or output', async () => {
    const found = await answers(
      betterSqlite3,
      `const { closeSync, mkdirSync, readlinkSync } = require('node:fs')
       const s = sagastore.openStore(args.url + '-later/sagas.db')
       // Starts the thread that opens the file; then 0 is the lowest free number.
       const first = await code(s.initialize())
       mkdirSync(args.path + '-later')
       closeSync(0)
       await s.initialize()
       await s.put('a', Buffer.from('a'))
       const stdin = readlinkSync('/proc/self/fd/0')
       await s.close()
       console.log(JSON.stringify({ first, stdin, after: readlinkSync('/proc/self/fd/0') }))`,
    )
    expect(found).toEqual({ first: 'CONNECTION', stdin: '/dev/null', after: '/dev/null' })
  })
})
