import { describe, expect, it } from 'vitest'
import { openStore } from '../../index.js'
import { runProgram } from '../support/programs'
import { temporaryDirectory } from '../support/targets'

describe('memory', () => {
  // In memory each call is answered within itself; SQLite's answers come through other threads.
  it.each(['memory://', 'sqlite::memory:'])(
    'stays flat over a million put/get pairs: %s',
    async (url) => {
      const program = `
      const store = sagastore.openStore(args.url)
      await store.initialize()
      const data = Buffer.alloc(1024, 1)
      const rss = []
      for (let block = 0; block < 10; block++) {
        for (let i = 0; i < 100_000; i += 100) {
          const work = []
          for (let j = 0; j < 100; j++) work.push(store.put('id' + j, data).then(() => store.get('id' + j)))
          await Promise.all(work)
        }
        gc()
        rss.push(process.memoryUsage().rss)
      }
      console.log(JSON.stringify(rss))`
      const rss: number[] = JSON.parse(await runProgram(program, { url }, { env: { NODE_OPTIONS: '--expose-gc' } }))
      expect((rss.at(-1) as number) - (rss[2] as number)).toBeLessThan(30e6)
    },
    180_000,
  )

  it('stays flat over large buffers that go both ways through threads', async () => {
    const program = `
      const store = sagastore.openStore(args.url)
      await store.initialize()
      const rss = []
      for (let block = 0; block < 6; block++) {
        for (let i = 0; i < 400; i += 8) {
          await Promise.all([0, 1, 2, 3, 4, 5, 6, 7].map((j) => store.put('id' + j, Buffer.alloc(256 * 1024, i + j)).then(() => store.get('id' + j))))
        }
        gc()
        await new Promise((resume) => setTimeout(resume, 20))
        rss.push(process.memoryUsage().rss)
      }
      await store.close()
      console.log(JSON.stringify(rss))`
    const rss: number[] = JSON.parse(
      await runProgram(program, { url: `sqlite://${temporaryDirectory()}/flat.db` }, { env: { NODE_OPTIONS: '--expose-gc' } }),
    )
    expect((rss.at(-1) as number) - (rss[1] as number)).toBeLessThan(60e6)
  }, 120_000)

  // Node.js 24 collects everything for Buffers of its own too.
  it.runIf(Number(process.versions.node.split('.')[0]) < 24)(
    'of payloads that are let go of is collected with the young objects, as that of other Buffers',
    async () => {
      const program = `
      const { constants, PerformanceObserver } = require('node:perf_hooks')
      const kinds = []
      new PerformanceObserver((list) => kinds.push(...list.getEntries().map(({ detail }) => detail.kind))).observe({ entryTypes: ['gc'] })
      const store = sagastore.openStore(args.url)
      await store.initialize()
      await store.put('a', Buffer.alloc(256 * 1024, 1))
      for (let i = 0; i < 4096; i += 16) await Promise.all(Array.from({ length: 16 }, () => store.get('a')))
      await new Promise((resume) => setTimeout(resume, 20))
      await store.close()
      const { NODE_PERFORMANCE_GC_MAJOR: major, NODE_PERFORMANCE_GC_MINOR: minor } = constants
      console.log(JSON.stringify([major, minor].map((kind) => kinds.filter((seen) => seen === kind).length)))`
      const [major, minor]: [number, number] = JSON.parse(await runProgram(program, { url: `sqlite://${temporaryDirectory()}/young.db` }))
      // Of 1 GiB: a full collection for each 64 MiB would be 16.
      expect(major).toBeLessThan(4)
      expect(minor).toBeGreaterThan(8)
    },
    60_000,
  )
})

describe('names and ids', () => {
  it('arrive whole, whatever their length and their characters', async () => {
    const store = openStore('memory://')
    for (const character of ['a', 'é', '€', '😀']) {
      for (let bytes = 240; bytes <= 264; bytes++) {
        const width = Buffer.byteLength(character)
        const id = 'x'.repeat(bytes % width) + character.repeat(Math.floor(bytes / width))
        await store.states.insert('Order', id, { metadata: { sagaId: id } })
        for (const found of [await store.states.getById('Order', id), await store.states.getByCorrelationId('Order', id)]) {
          expect(found?.metadata.sagaId).toBe(id)
        }
        await store.states.delete('Order', id)
      }
    }
    expect(await store.states.countByName('Order')).toBe(0)
    await store.close()
  })
})

describe('the event loop', () => {
  it('still runs timers while answers keep coming', async () => {
    const program = `
      const store = sagastore.openStore(args.url)
      await store.initialize()
      const data = Buffer.alloc(512)
      const deadline = performance.now() + 1500
      let ticks = 0
      const timer = setInterval(() => ticks++, 5)
      await Promise.all(Array.from({ length: 256 }, async (_, slot) => {
        while (performance.now() < deadline) await store.put('id' + slot, data)
      }))
      clearInterval(timer)
      await store.close()
      console.log(ticks)`
    const ticks = Number(await runProgram(program, { url: 'sqlite::memory:' }))
    // 300 would be perfect; a starved loop sees a handful.
    expect(ticks).toBeGreaterThan(60)
  })

  it('keeps the AsyncLocalStorage context of each call', async () => {
    const program = `
      const { AsyncLocalStorage } = require('node:async_hooks')
      const context = new AsyncLocalStorage()
      const store = sagastore.openStore(args.url)
      await store.initialize()
      const seen = await Promise.all(Array.from({ length: 200 }, (_, n) => context.run(n, async () => {
        await store.put('id' + n, Buffer.alloc(10))
        await store.get('id' + n)
        return context.getStore()
      })))
      console.log(seen.every((value, n) => value === n))`
    expect(await runProgram(program, { url: 'sqlite::memory:' })).toBe('true\n')
  })
})
