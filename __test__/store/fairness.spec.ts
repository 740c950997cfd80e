import { join } from 'node:path'
import BetterSqlite3 from 'better-sqlite3'
import { describe, expect, it, vi } from 'vitest'
import { openStore } from '../../index.js'
import { nodeWithSqlite } from '../../scripts/node-sqlite.mjs'
import { runProgram } from '../support/programs'
import { temporaryDirectory } from '../support/targets'

// Answers that are given on the caller's thread: a loop that awaits them must let timers and signals through.
const LOOP = `
  let ticks = 0, gaps = [], last = performance.now(), isOver = false
  const interval = setInterval(() => { const now = performance.now(); gaps.push(now - last); last = now; ticks += 1 }, 1)
  process.on('SIGTERM', () => { isOver = true })
  setTimeout(() => process.kill(process.pid, 'SIGTERM'), 50)
  const end = performance.now() + 5000
  let calls = 0
  last = performance.now()
  while (!(isOver && ticks >= 50) && performance.now() < end) { await call(); calls += 1 }
  clearInterval(interval)
  gaps.sort((a, b) => a - b)
  console.log(JSON.stringify({ isOver, ticks, calls, median: gaps[gaps.length >> 1] }))
  process.exit(0)`

const memory = "const store = sagastore.openStore('memory://'); await store.initialize();"
const sqlite = "const store = sagastore.openStore('sqlite://' + args.file); await store.initialize();"
const betterSqlite3 = `const Database = require('better-sqlite3'); const db = new Database(args.file)
  const store = sagastore.openStore({ client: db }); await store.initialize();`
const nodeSqlite = `const { DatabaseSync } = require('node:sqlite'); const db = new DatabaseSync(args.file)
  const store = sagastore.openStore({ client: db }); await store.initialize();`
const state = "await store.states.insert('Order', 'c', { metadata: { sagaId: 's' } });"

describe('a loop of awaited calls lets the event loop turn', () => {
  it.each<[string, string]>([
    ['memory, gets of 1 byte', `${memory} await store.put('k', Buffer.from('x')); const call = () => store.get('k')`],
    ['memory, gets of 300 KB', `${memory} await store.put('k', Buffer.alloc(300_000)); const call = () => store.get('k')`],
    ['memory, puts of 300 KB', `${memory} const data = Buffer.alloc(300_000); const call = () => store.put('k', data)`],
    ['memory, states that are refused', `${memory} const call = () => store.states.insert('Order', 'c', {}).catch(() => undefined)`],
    ['memory, finds of nothing', `${memory} const call = () => store.find('none')`],
    ['memory, states', `${memory} ${state} const call = () => store.states.getById('Order', 's')`],
    ['memory, rejections', `${memory} const call = () => store.get('none').catch(() => undefined)`],
    ['memory, refused arguments', `${memory} const call = () => store.put('', Buffer.alloc(1)).catch(() => undefined)`],
    ['memory, arguments refused before they are native', `${memory} const call = () => store.putMany(7).catch(() => undefined)`],
    [
      'memory, watched',
      `process.env.SAGASTORE_LOG = 'error'; ${memory} await store.put('k', Buffer.from('x')); const call = () => store.get('k')`,
    ],
    ['sqlite, gets of 1 KB', `${sqlite} await store.put('k', Buffer.alloc(1000)); const call = () => store.get('k')`],
    ['better-sqlite3, gets', `${betterSqlite3} await store.put('k', Buffer.alloc(1000)); const call = () => store.get('k')`],
    ['better-sqlite3, states', `${betterSqlite3} ${state} const call = () => store.states.getById('Order', 's')`],
    ['better-sqlite3, rejections', `${betterSqlite3} const call = () => store.get('none').catch(() => undefined)`],
  ])('%s', (_, begin) => expectTurns(begin))

  it('node:sqlite, gets', { timeout: 300_000 }, async () => {
    const call = "await store.put('k', Buffer.alloc(1000)); const call = () => store.get('k')"
    await expectTurns(`${nodeSqlite} ${call}`, nodeWithSqlite())
  })
})

async function expectTurns(begin: string, node = process.execPath): Promise<void> {
  const printed = await runProgram(`${begin}\n${LOOP}`, { file: join(temporaryDirectory(), 'sagas.db') }, { node })
  const { isOver, ticks, calls, median } = JSON.parse(printed.trim().split('\n').at(-1) ?? '')
  expect({ isOver, ticks }).toEqual({ isOver: true, ticks: expect.any(Number) })
  expect(ticks).toBeGreaterThanOrEqual(50)
  expect(calls).toBeGreaterThan(50)
  // A timer of 1 ms, of which more than half are in time even on a busy machine.
  expect(median).toBeLessThan(10)
}

describe('an answer that waits for the event loop', () => {
  it('belongs to work that was done within the call', async () => {
    const db = new BetterSqlite3(join(temporaryDirectory(), 'sagas.db'))
    await using store = openStore({ client: db })
    await store.initialize()
    await store.put('k', Buffer.from('x'))
    const stored = db.prepare('select count(*) as count from saga_store').pluck()
    const began = performance.now()
    for (let n = 0; performance.now() - began < 20; n += 1) {
      let put: Promise<void> | undefined
      db.transaction(() => {
        put = store.put(`id ${n}`, Buffer.from('x'))
      })()
      expect(stored.get()).toBe(n + 2)
      // Microtasks only, as in a loop that does something else than to wait for a turn.
      await Promise.race([put, Promise.resolve()])
    }
    db.close()
  })

  it('comes in the order of the calls', async () => {
    await using store = openStore('memory://')
    await store.put('k', Buffer.alloc(200_000))
    const order: number[] = []
    await Promise.all(Array.from({ length: 300 }, (_, n) => store.get('k').then(() => order.push(n))))
    expect(order).toEqual(Array.from({ length: 300 }, (_, n) => n))
  })

  it('comes where timers are fake', async () => {
    const now = process.hrtime.bigint.bind(process.hrtime)
    vi.useFakeTimers({ toFake: ['setImmediate', 'setTimeout', 'setInterval', 'Date', 'performance', 'hrtime'] })
    try {
      await using store = openStore('memory://')
      await store.put('k', Buffer.from('x'))
      const until = now() + 30_000_000n
      while (now() < until) await store.get('k')
    } finally {
      vi.useRealTimers()
    }
  })
})
