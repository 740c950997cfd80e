import { randomBytes } from 'node:crypto'
import { Cluster, Redis } from 'ioredis'
import { createCluster } from 'redis'
import { afterEach, describe, expect, it } from 'vitest'
import { openStore, type SagaStore } from '../../../index.js'
import { clockOffset, startRedis, startRedisCluster } from '../../../scripts/services/servers.mjs'
import { runProgram } from '../../support/programs'
import { eventually, rejectionOf } from '../../support/promises'
import { missing, randomName, type Target, targets } from '../../support/targets'

const targetOf = (variable: string) => targets.find((target) => target.variable === variable) as Target
const inAnHour = () => new Date(Date.now() + 3_600_000)

const stores: SagaStore[] = []

afterEach(async () => {
  for (const store of stores.splice(0)) await store.close()
})

function open(options: object): SagaStore {
  const store = openStore(options as never)
  stores.push(store)
  return store
}

/** A store on its own connection: what everybody else sees. Its keys share a hash tag unless `prefix` has none. */
function elsewhere(variable: string, keyPrefix: string): SagaStore {
  return open({ url: process.env[variable], keyPrefix })
}

const tagged = () => `test:{${randomName()}}`

for (const variable of ['REDIS_URL', 'REDIS_CLUSTER_URL']) {
  describe.skipIf(missing(targetOf(variable)))(`store.transaction on its own connection, ${variable}`, () => {
    const begin = () => {
      const keyPrefix = tagged()
      return [elsewhere(variable, keyPrefix), open({ url: process.env[variable], keyPrefix, connectTimeoutMs: 4999 })] as const
    }

    it('stores everything at the end, or nothing', async () => {
      const [store, other] = begin()
      await store.put('old', Buffer.from('x'))
      const data = randomBytes(100_000)
      await store.transaction(async (tx) => {
        const mine = Buffer.from(data)
        await tx.put('a', mine, inAnHour())
        mine.fill(0)
        await tx.put('soon', Buffer.from([0, 255]), new Date(Date.now() + 5000))
        await tx.putMany([{ id: 'b', data: Buffer.alloc(0) }])
        await tx.delete('old')
        for (const refused of [tx.get('a'), tx.find('a'), tx.has('a'), tx.touch('a', inAnHour()), tx.getMany(['a'])]) {
          expect(await rejectionOf(refused)).toMatchObject({ code: 'UNSUPPORTED' })
        }
        expect((await other.getMany(['a', 'b'])).size).toBe(0)
      })
      expect([...(await other.getMany(['a', 'soon', 'b', 'old'])).keys()]).toEqual(['a', 'soon', 'b'])
      expect((await other.get('a')).equals(data)).toBe(true)
      const failed = store.transaction(async (tx) => {
        await tx.put('c', Buffer.from('x'))
        throw new Error('no')
      })
      await expect(failed).rejects.toThrow('no')
      expect(await other.has('c')).toBe(false)
    })

    it('keeps other operations on the connection out of it', async () => {
      const [store] = begin()
      const results = await Promise.all(
        Array.from({ length: 300 }, async (_, n) => {
          await store.put(`p${n}`, Buffer.from(`${n}`), inAnHour())
          const transaction = store.transaction(async (tx) => {
            await tx.put(`p${n}`, Buffer.from(`t${n}`))
            await tx.put(`q${n}`, Buffer.from(`t${n}`))
          })
          const put = store.put(`r${n}`, Buffer.from(`${n}`))
          await Promise.all([transaction, put])
          return [...(await store.getMany([`p${n}`, `q${n}`, `r${n}`])).values()]
        }),
      )
      expect(results.map((found) => found.map(String))).toEqual(Array.from({ length: 300 }, (_, n) => [`t${n}`, `t${n}`, `${n}`]))
    })
  })
}

describe.skipIf(missing(targetOf('REDIS_CLUSTER_URL')))('store.transaction on its own connection, in a cluster', () => {
  it('refuses keys of other hash slots at the call, and collects nothing of it', async () => {
    const store = elsewhere('REDIS_CLUSTER_URL', 'test')
    const tag = `{${randomName()}}`
    await store.transaction(async (tx) => {
      await tx.put(`${tag}1`, Buffer.from('x'))
      const entries = [`${tag}2`, 'elsewhere'].map((id) => ({ id, data: Buffer.from('x') }))
      const error = await rejectionOf(tx.putMany(entries))
      expect(error).toMatchObject({ code: 'INVALID_ARGUMENT', id: 'elsewhere' })
      expect(error.message).toContain('hash tag')
    })
    expect([...(await store.getMany([`${tag}1`, `${tag}2`, 'elsewhere'])).keys()]).toEqual([`${tag}1`])
  })
})

describe('store.transaction on a bad day', () => {
  const calls = async (port: number, command: string) => {
    const asking = new Redis({ port })
    const stats = (await asking.info('commandstats')) as string
    asking.disconnect()
    return Number(new RegExp(`cmdstat_${command}:calls=(\\d+)`).exec(stats)?.[1] ?? 0)
  }

  it('sends MULTI and EXEC once, and nothing for an empty transaction', async () => {
    await using server = await startRedis()
    const store = open({ url: server.url })
    await store.transaction(() => undefined)
    await store.transaction((tx) => rejectionOf(tx.get('a')))
    expect(await calls(server.port, 'multi')).toBe(0)
    await store.transaction((tx) => tx.put('a', Buffer.from('x')))
    expect([await calls(server.port, 'multi'), await calls(server.port, 'exec'), await calls(server.port, 'set')]).toEqual([1, 1, 1])
  })

  it('nobody there', async () => {
    const store = open({ url: 'redis://127.0.0.1:1', retry: { attempts: 2, baseMs: 1 } })
    let ran = 0
    const transaction = store.transaction(async (tx) => {
      ran += 1
      await tx.put('a', Buffer.from('x'))
    })
    expect(await rejectionOf(transaction)).toMatchObject({ code: 'CONNECTION', operation: 'transaction', retryable: true })
    expect(ran).toBe(1)
  })

  it('a full server takes nothing of it', async () => {
    await using server = await startRedis({ maxmemory: '8mb' })
    const client = new Redis(server.url)
    const stores = [open({ url: server.url, retry: { attempts: 1 } }), open({ client, retry: { attempts: 1 } })]
    await Promise.allSettled(Array.from({ length: 60 }, (_, n) => (stores[0] as SagaStore).put(`${n}`, Buffer.alloc(200_000))))
    for (const store of stores) {
      await store.delete('0')
      const transaction = store.transaction(async (tx) => {
        await tx.put('small', Buffer.from('x'))
        for (let n = 0; n < 20; n++) await tx.put(`large ${n}`, Buffer.alloc(200_000))
        await tx.delete('1')
      })
      const error = await rejectionOf(transaction)
      if (error.code !== 'BACKEND') throw error
      expect(error).toMatchObject({ retryable: true, operation: 'transaction' })
      expect(error.message).toMatch(/out of memory/)
      expect([await store.has('small'), await store.has('1')]).toEqual([false, true])
    }
    client.disconnect()
  })

  it('a server that does not answer is a TIMEOUT; nothing is repeated', async () => {
    await using server = await startRedis()
    const store = open({ url: server.url, operationTimeoutMs: 500, connectTimeoutMs: 500 })
    await store.put('before', Buffer.from('x'))
    await server.pause()
    let ran = 0
    const transaction = store.transaction(async (tx) => {
      ran += 1
      await tx.put('a', Buffer.from('x'))
    })
    expect((await rejectionOf(transaction)).code).toMatch(/TIMEOUT|CONNECTION/)
    expect(ran).toBe(1)
    await server.resume()
    await eventually('it answers', () =>
      store
        .transaction((tx) => tx.put('b', Buffer.from('x')))
        .then(
          () => true,
          () => false,
        ),
    )
    expect(await store.has('b')).toBe(true)
  })

  it('a server that is killed in the middle is a CONNECTION error; what had resolved is there', async () => {
    await using server = await startRedis({ appendonly: true })
    const store = open({ url: server.url, connectTimeoutMs: 1000 })
    let [next, isRunning] = [0, true]
    const done: number[] = []
    const slots = Array.from({ length: 16 }, async () => {
      while (isRunning) {
        const n = next++
        await store
          .transaction(async (tx) => {
            await tx.put(`${n} a`, Buffer.alloc(1000))
            await tx.put(`${n} b`, Buffer.alloc(1000))
          })
          .then(
            () => done.push(n),
            async (error) => {
              expect(error.code).toMatch(/CONNECTION|TIMEOUT/)
              await new Promise((resume) => setTimeout(resume, 20))
            },
          )
        await new Promise(setImmediate)
      }
    })
    await new Promise((resume) => setTimeout(resume, 200))
    await server.kill()
    await new Promise((resume) => setTimeout(resume, 300))
    await server.start()
    const before = done.length
    await eventually('it goes on', () => done.length > before + 50)
    isRunning = false
    await Promise.all(slots)
    const halves = await store.getMany(Array.from({ length: next }, (_, n) => [`${n} a`, `${n} b`]).flat())
    for (const n of done) expect([halves.has(`${n} a`), halves.has(`${n} b`)], `${n}`).toEqual([true, true])
    for (let n = 0; n < next; n++) expect(halves.has(`${n} a`), `${n} as a whole`).toBe(halves.has(`${n} b`))
  })
})

describe('a hash slot that has moved to another server', () => {
  it('takes the whole transaction, or nothing of it and the next one', async () => {
    await using cluster = await startRedisCluster({ nodes: 3 })
    const nodes = cluster.nodes.map(({ port }: { port: number }) => new Redis(port))
    const ids = (await Promise.all(nodes.map((node) => node.call('CLUSTER', 'MYID')))) as string[]
    const first = cluster.nodes[0]?.port as number
    const ioredis = new Cluster([{ host: '127.0.0.1', port: first }])
    const nodeRedis = await createCluster({ rootNodes: [{ socket: { host: '127.0.0.1', port: first } }] }).connect()
    const ways = [open({ url: cluster.url }), open({ client: ioredis }), open({ client: nodeRedis })]
    for (const [way, store] of ways.entries()) {
      const keys = [`{way ${way}}a`, `{way ${way}}b`, `{way ${way}}c`]
      const fill = async (tx: { put(id: string, data: Buffer): Promise<void> }) => {
        for (const key of keys) await tx.put(key, Buffer.from('x'))
      }
      await store.put(`{way ${way}}before`, Buffer.from('x'))
      const slot = String(await (nodes[0] as Redis).call('CLUSTER', 'KEYSLOT', `{way ${way}}`))
      await store.delete(`{way ${way}}before`)
      const owner = await ownerOf(nodes, slot)
      const heir = ids[(owner + 1) % 3] as string
      for (const node of nodes) await node.call('CLUSTER', 'SETSLOT', slot, 'NODE', heir)
      const outcome = await store.transaction(fill).then(
        () => 'all',
        (error) => error.code,
      )
      expect(outcome).toMatch(/^(?:all|CONNECTION|BACKEND)$/)
      expect((await store.getMany(keys)).size, `${way}: ${outcome}`).toBe(outcome === 'all' ? 3 : 0)
      await eventually('the next one goes through', () =>
        store.transaction(fill).then(
          () => true,
          () => false,
        ),
      )
      expect((await store.getMany(keys)).size).toBe(3)
    }
    nodeRedis.destroy()
    ioredis.disconnect()
    for (const node of nodes) node.disconnect()
  })

  /** The place of the server that has a slot. */
  async function ownerOf(nodes: Redis[], slot: string): Promise<number> {
    for (const [place, node] of nodes.entries()) {
      const lines = String(await node.call('CLUSTER', 'NODES')).split('\n')
      const ranges =
        lines
          .find((line) => line.includes('myself'))
          ?.split(' ')
          .slice(8) ?? []
      const has = ranges.some((range) => {
        const [from, to = from] = range.split('-').map(Number)
        return from !== undefined && to !== undefined && from <= Number(slot) && Number(slot) <= to
      })
      if (has) return place
    }
    throw new Error(`nobody has slot ${slot}`)
  }
})

describe('clocks that differ', () => {
  const program = `
    const at = (ms) => new Date(Date.now() + ms)
    const all = ['late', 'soon', 'half an hour', 'a day']
    const fill = async (to) => {
      await to.put('late', Buffer.from('to compensate'), at(-1000))
      await to.put('soon', Buffer.from('x'), at(900))
      await to.put('half an hour', Buffer.from('x'), at(1800000))
      await to.put('a day', Buffer.from('x'), at(86400000))
    }
    const { Redis } = require('ioredis')
    const { createClient } = require('redis')
    const client = new Redis(args.port)
    const other = await createClient({ socket: { port: args.port } }).connect()
    const options = { lateRetentionMs: 3000 }
    const url = 'redis://127.0.0.1:' + args.port
    const ways = {
      'ioredis': [{ client }, fill],
      'node-redis': [{ client: other }, fill],
      'own transaction': [{ url }, (store) => store.transaction(fill)],
      'transaction of ioredis': [{ client }, (store) => store.transaction(fill)],
      'multi of ioredis, by a store with a URL': [{ url }, async (store) => {
        const multi = client.multi()
        await sagastore.withTransaction(multi, () => fill(store))
        await multi.exec()
      }],
      'multi of node-redis, where the clock is known': [{ client: other }, async (store) => {
        await store.put('x', Buffer.from('x'), at(1800000))
        const multi = other.multi()
        await sagastore.withTransaction(multi, () => fill(store))
        await multi.exec()
      }],
    }
    const results = {}
    for (const [name, [where, run]] of Object.entries(ways)) {
      const store = sagastore.openStore({ ...options, ...where, keyPrefix: 'p' + Object.keys(results).length })
      await run(store)
      const first = [...(await store.getMany(all)).keys()]
      const left = await client.pttl('p' + Object.keys(results).length + ':half an hour')
      await new Promise((resume) => setTimeout(resume, 1300))
      const second = [...(await store.getMany(all)).keys()]
      results[name] = { first, second, left, offset: (await store.health()).details.clockOffsetMs }
      await store.close()
    }
    client.disconnect()
    other.destroy()
    console.log(JSON.stringify(results))`

  it.each([
    ['+1h', -3_600_000],
    ['-1h', 3_600_000],
  ])('payloads are kept and end on time: ours is off by %s', async (offset, milliseconds) => {
    await using server = await startRedis()
    const results = JSON.parse(await runProgram(program, { port: server.port }, { env: await clockOffset(offset) }))
    expect(Object.keys(results)).toHaveLength(6)
    for (const [name, result] of Object.entries(results) as [
      string,
      { first: string[]; second: string[]; left: number; offset: number },
    ][]) {
      expect({ name, ...result, left: 0, offset: 0 }).toEqual({
        name,
        first: ['late', 'soon', 'half an hour', 'a day'],
        second: ['late', 'half an hour', 'a day'],
        left: 0,
        offset: 0,
      })
      expect(Math.abs(result.offset - milliseconds), name).toBeLessThan(1000)
      expect(Math.abs(result.left - 1_800_000), name).toBeLessThan(1000)
    }
  })
})
