import { randomBytes } from 'node:crypto'
import { Worker } from 'node:worker_threads'
import { Redis } from 'ioredis'
import { afterAll, describe, expect, it } from 'vitest'
import { type AnyStoreOptions, openStore } from '../../index.js'
import { startMongo, startPostgres, startRedis } from '../../scripts/services/servers.mjs'
import { connectionsTo } from '../support/ports'
import { entry, runProgram, startProgram } from '../support/programs'
import { eventually } from '../support/promises'
import { sql, temporaryDirectory } from '../support/targets'

// Servers of their own: nobody else's connections are counted.
const redis = await startRedis({})
const postgres = await startPostgres({})
const mongo = await startMongo({})
afterAll(async () => {
  await redis.remove()
  await postgres.remove()
  await mongo.remove()
})

const servers: { name: string; options: AnyStoreOptions & { url: string }; most: number; connections: () => Promise<number> }[] = [
  {
    name: 'redis',
    options: { url: redis.url },
    most: 3,
    connections: async () => {
      const client = new Redis(redis.url)
      try {
        const list = String(await client.client('LIST'))
        return list.trim().split('\n').length - 1
      } finally {
        client.disconnect()
      }
    },
  },
  {
    name: 'postgres',
    options: { url: postgres.url, poolSize: 3 },
    most: 3,
    connections: async () => {
      const rows = await sql(
        "select count(*)::int as n from pg_stat_activity where backend_type = 'client backend' and pid <> pg_backend_pid()",
        [],
        postgres.url,
      )
      return Number(rows[0]?.n)
    },
  },
  {
    name: 'mongodb',
    options: { url: `${mongo.url}?maxPoolSize=2` },
    // The driver watches the server on one or two of its own.
    most: 4,
    connections: async () => connectionsTo(mongo.port),
  },
]

describe.each(servers)('connections to $name', ({ options, most, connections }) => {
  it('are shared by ten stores of one URL, and gone after the last close', async () => {
    expect(await connections()).toBe(0)
    const stores = Array.from({ length: 10 }, () => openStore(options))
    await stores[0]?.initialize()
    await Promise.all(stores.flatMap((store, index) => Array.from({ length: 20 }, (_, n) => store.put(`${index}-${n}`, randomBytes(100)))))
    const open = await connections()
    expect(open).toBeGreaterThan(0)
    expect(open).toBeLessThanOrEqual(most)
    for (const store of stores.slice(1)) await store.close()
    expect(await connections()).toBeGreaterThan(0)
    expect(await stores[0]?.has('3-3')).toBe(true)
    await stores[0]?.close()
    await eventually('no connection is left', async () => (await connections()) === 0, 3000)
    await using again = openStore(options)
    expect(await again.has('3-3')).toBe(true)
  })

  it('are shared with worker threads', async () => {
    await using store = openStore(options)
    await store.initialize()
    await store.put('from main', Buffer.from('main'))
    const before = await connections()
    const program = `
      const { parentPort, workerData } = require('node:worker_threads')
      const { openStore } = require(workerData.entry)
      const store = openStore(workerData.options)
      store.get('from main')
        .then((data) => store.put('from worker', Buffer.concat([data, Buffer.alloc(50000, 1)])))
        .then(() => store.close())
        .then(() => parentPort.postMessage('done'))`
    const workers = [1, 2, 3].map(() => new Worker(program, { eval: true, workerData: { entry, options } }))
    await Promise.all(
      workers.map(
        (worker) =>
          new Promise((resolve, reject) => {
            worker.once('exit', resolve).once('error', reject)
          }),
      ),
    )
    expect((await store.get('from worker')).length).toBe(50_004)
    expect(await connections()).toBeLessThanOrEqual(Math.max(before, most))
  })

  it('end with the process, which an idle open store does not keep alive', async () => {
    const program = `
      const store = sagastore.openStore(args)
      await store.initialize()
      await store.put('id', Buffer.alloc(100000))
      console.log((await store.get('id')).length)`
    expect(await runProgram(program, options)).toBe('100000\n')
    await eventually('the server has noticed', async () => (await connections()) === 0)
  })

  it('are closed when a store is forgotten without close', async () => {
    const program = `
      let store = sagastore.openStore(args)
      await store.initialize()
      await store.put('id', Buffer.alloc(10))
      store = undefined
      for (let i = 0; i < 20; i++) { gc(); await new Promise((r) => setTimeout(r, 50)) }
      console.log('collected')
      await new Promise((r) => setTimeout(r, 60_000))`
    const child = startProgram(program, options, { env: { NODE_OPTIONS: '--expose-gc' } })
    await eventually('it is collected', () => child.output().includes('collected'))
    await eventually('no connection is left', async () => (await connections()) === 0, 3000)
    child.child.kill('SIGKILL')
    await child.done
  })
})

describe('a process', () => {
  // FerretDB takes long for each large payload. From 4 KiB on the caller's own memory is read.
  const sizeFor = (url: string) => (url.startsWith('mongodb:') ? 10_000 : 200_000)
  const urls = [`sqlite://${temporaryDirectory()}/exit.db`, redis.url, postgres.url, mongo.url, 'memory://']

  it.each(urls)('may exit with operations under way: %s', async (url) => {
    const program = `
      const store = sagastore.openStore(args.url)
      await store.initialize()
      for (let i = 0; i < 500; i++) store.put('id' + i, Buffer.alloc(args.size, i)).catch(() => {})
      for (let i = 0; i < 100; i++) store.get('id' + i).catch(() => {})
      setImmediate(() => process.exit(7))`
    for (let round = 0; round < 3; round++) {
      const { code, signal, stderr } = await startProgram(program, { url, size: sizeFor(url) }).done
      expect({ code, signal, stderr }).toEqual({ code: 7, signal: null, stderr: '' })
    }
  })

  it.each(urls)('may terminate a worker with operations under way: %s', async (url) => {
    const program = `
      const { Worker } = require('node:worker_threads')
      const source = \`
        const { openStore } = require(\${JSON.stringify(args.entry)})
        const store = openStore(\${JSON.stringify(args.url)})
        const { parentPort } = require('node:worker_threads')
        store.initialize().then(() => {
          for (let i = 0; i < 300; i++) store.put('w' + i, Buffer.alloc(\${args.size}, i)).catch(() => {})
          parentPort.postMessage('under way')
        })\`
      const store = sagastore.openStore(args.url)
      await store.initialize()
      for (let round = 0; round < 4; round++) {
        const worker = new Worker(source, { eval: true })
        await new Promise((resolve, reject) => worker.once('message', resolve).once('error', reject))
        await worker.terminate()
      }
      await store.put('after', Buffer.from('still works'))
      console.log((await store.get('after')).toString())
      await store.close()`
    const { code, signal, stdout, stderr } = await startProgram(program, { url, entry, size: sizeFor(url) }).done
    expect({ code, signal, stdout, stderr }).toEqual({ code: 0, signal: null, stdout: 'still works\n', stderr: '' })
  })
})
