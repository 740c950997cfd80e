import { Cluster, Redis } from 'ioredis'
import { createCluster } from 'redis'
import { afterEach, describe, expect, it } from 'vitest'
import { openStore, type SagaStore } from '../../../index.js'
import { startRedis, startRedisCluster } from '../../../scripts/services/servers.mjs'
import { redisLibraries } from '../../support/redis-libraries'
import { openTarget, targets, temporaryPrefixes } from '../../support/targets'

const ends: (() => unknown)[] = []

afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end()
})

interface Way {
  name: string
  available: boolean
  open(): Promise<SagaStore>
}

const own: Way[] = targets
  .filter(({ name }) => name.startsWith('redis'))
  .map((target) => ({ name: target.name, available: target.available, open: () => openTarget(target) }))

const onClients: Way[] = redisLibraries.map((library) => ({
  name: library.name,
  available: process.env[library.variable] !== undefined,
  async open() {
    const { client, close } = await library.open()
    ends.push(close)
    return openStore({ client, ...temporaryPrefixes() } as never)
  },
}))

/** The ids of all payloads, as a scan finds them; `meanwhile` is called with each. */
async function idsOf(store: SagaStore, meanwhile: (id: string) => Promise<void> | void = () => undefined): Promise<string[]> {
  const ids: string[] = []
  for await (const { id } of store.exportAll({ kinds: ['payloads'] })) {
    ids.push(id)
    await meanwhile(id)
  }
  return ids
}

async function fill(store: SagaStore, ids: string[]): Promise<void> {
  for (let at = 0; at < ids.length; at += 1_000) {
    await store.putMany(ids.slice(at, at + 1_000).map((id) => ({ id, data: Buffer.from(id) })))
  }
}

async function removeAll(store: SagaStore, ids: string[]): Promise<void> {
  for (let at = 0; at < ids.length; at += 1_000) await Promise.all(ids.slice(at, at + 1_000).map((id) => store.delete(id)))
}

/** So many ids. */
function numbered(count: number, prefix = 'p'): string[] {
  return Array.from({ length: count }, (_, n) => `${prefix}-${n}`)
}

function lost(expected: string[], found: string[]): string[] {
  const there = new Set(found)
  return expected.filter((id) => !there.has(id))
}

describe.each([...own, ...onClients])('a scan on $name', ({ open, available }) => {
  it.skipIf(!available)('finds all that is there throughout, while others come and go', async () => {
    const store = await open()
    ends.push(() => store.close())
    const ids = numbered(10_000)
    await fill(store, ids)
    let isRunning = true
    let rounds = 0
    const churn = (async () => {
      for (; isRunning; rounds += 1) {
        await fill(store, numbered(500, `other-${rounds}`))
        await removeAll(store, numbered(500, `other-${rounds - 2}`))
      }
    })()
    const found = await idsOf(store)
    isRunning = false
    await churn
    expect(lost(ids, found)).toEqual([])
    // The server is not this test's alone.
    await removeAll(store, ids)
    for (const n of [rounds - 2, rounds - 1]) await removeAll(store, numbered(500, `other-${n}`))
  })

  it.skipIf(!available)('moves records of all kinds, and leaves out what is none', async () => {
    const [source, target] = [await open(), await open()]
    ends.push(
      () => source.close(),
      () => target.close(),
    )
    await source.put('a', Buffer.from('x'), new Date(Date.now() + 60_000))
    await source.states.insert('Order', 'c-1', { metadata: { sagaId: 's-1' }, total: 1 })
    await source.executions.create('e-1', 'order', { n: 1 })
    await source.executions.logStep('e-1', 'charge', 'act', 'completed', { n: 1 })
    await source.outbox.insert([1, 2].map((n) => ({ eventId: `v-${n}`, eventType: 'T', payload: { n }, partitionKey: 'k' })))
    await source.inbox.accept('mailer', 'm-1')
    const claimed = await source.outbox.claim({ workerId: 'w', batchSize: 1, leaseMs: 60_000 })
    const everything = async (store: SagaStore) => {
      const all = []
      for await (const record of store.exportAll()) all.push(record)
      return all.sort((one, other) => (JSON.stringify(one) < JSON.stringify(other) ? -1 : 1))
    }
    const before = await everything(source)
    expect(before).toHaveLength(6)
    expect(await target.importRecords(source.exportAll())).toMatchObject({ transferred: 6, failed: 0, skipped: 0, expired: 0 })
    expect(await everything(target)).toEqual(before)
    expect(await target.importRecords(before)).toMatchObject({ transferred: 0, skipped: 6 })
    expect(await target.outbox.ack(claimed)).toEqual({ acked: 1, lost: [] })
    expect((await target.outbox.claim({ workerId: 'v' })).map(({ eventId }) => eventId)).toEqual(['v-2'])
    expect((await target.executions.history('e-1')).entries).toHaveLength(1)
    expect(await target.inbox.accept('mailer', 'm-1')).toBe(false)
    expect(await target.states.getByCorrelationId('Order', 'c-1')).toMatchObject({ total: 1 })
    expect(await target.count()).toMatchObject({ outbox: { count: 1, approximate: false }, executions: { count: 1 } })
  })
})

describe('expiries', () => {
  it('arrive to the millisecond: none, in a second, in the year 9999; what is over by then is counted', async () => {
    await using server = await startRedis()
    await using source = openStore({ url: server.url, keyPrefix: 'from' })
    await using target = openStore({ url: server.url, keyPrefix: 'to' })
    const client = new Redis(server.url)
    ends.push(() => client.disconnect())
    const times = { never: -1, second: Date.now() + 1_000, last: 253_402_300_799_999 }
    await client.set('from:never', 'x')
    await client.set('from:second', 'x', 'PXAT', times.second)
    await client.set('from:last', 'x', 'PXAT', times.last)
    const all = []
    for await (const record of source.exportAll({ kinds: ['payloads'] })) all.push(record)
    expect(await target.importRecords(all)).toMatchObject({ transferred: 3, expired: 0 })
    for (const [id, at] of Object.entries(times)) expect(await client.pexpiretime(`to:${id}`), id).toBe(at)
    await new Promise((resume) => setTimeout(resume, 1_100))
    expect(await client.exists('to:second')).toBe(0)
    expect(await target.importRecords(all, { onConflict: 'overwrite' })).toMatchObject({ transferred: 2, expired: 1 })
    expect(await client.exists('to:second')).toBe(0)
  })
})

describe('a server that is started again in the middle of a scan', () => {
  it('has its keys in another order: the scan begins again, and loses nothing', async () => {
    await using server = await startRedis({ appendonly: true })
    await using store = openStore({ url: server.url, operationTimeoutMs: 10_000 })
    const ids = numbered(5_000)
    await fill(store, ids)
    // What the kernel has survives the process.
    await new Promise((resume) => setTimeout(resume, 1_100))
    let seen = 0
    const found = await idsOf(store, async () => {
      if (++seen !== 1_200) return
      await server.kill()
      await server.start()
    })
    expect(lost(ids, found)).toEqual([])
  })
})

/** A cluster's server, asked directly. */
interface Node {
  id: string
  port: number
  client: Redis
}

async function nodesOf(cluster: { nodes: { port: number }[] }): Promise<Node[]> {
  const nodes = cluster.nodes.map(async ({ port }) => {
    const client = new Redis(port)
    ends.push(() => client.disconnect())
    return { id: String(await client.call('CLUSTER', 'MYID')), port, client }
  })
  return (await Promise.all(nodes)).sort((one, other) => (one.id < other.id ? -1 : 1))
}

async function slotsOf(node: Node): Promise<number[]> {
  const line = String(await node.client.call('CLUSTER', 'NODES'))
    .split('\n')
    .find((text) => text.includes('myself')) as string
  const ranges = line.split(' ').slice(8)
  return ranges.flatMap((range) => {
    const [from, to = from] = range.split('-').map(Number) as [number, number?]
    return Array.from({ length: (to as number) - from + 1 }, (_, n) => from + n)
  })
}

/** A hash tag whose slot a server has, and the slot. */
async function tagOf(node: Node): Promise<[tag: string, slot: number]> {
  const slots = new Set(await slotsOf(node))
  for (let n = 0; ; n += 1) {
    const slot = Number(await node.client.call('CLUSTER', 'KEYSLOT', `t${n}`))
    if (slots.has(slot)) return [`{t${n}}`, slot]
  }
}

/** The moves of a slot between two servers, as redis-cli does them. */
class Move {
  constructor(
    readonly slot: number,
    readonly from: Node,
    readonly to: Node,
  ) {}

  async begin(): Promise<void> {
    await this.to.client.call('CLUSTER', 'SETSLOT', this.slot, 'IMPORTING', this.from.id)
    await this.from.client.call('CLUSTER', 'SETSLOT', this.slot, 'MIGRATING', this.to.id)
  }

  async some(count: number): Promise<void> {
    const keys = (await this.from.client.call('CLUSTER', 'GETKEYSINSLOT', this.slot, count)) as string[]
    if (keys.length > 0) await this.from.client.call('MIGRATE', '127.0.0.1', this.to.port, '', 0, 5_000, 'KEYS', ...keys)
  }

  async end(): Promise<void> {
    await this.some(100_000)
    for (const { client } of [this.to, this.from]) await client.call('CLUSTER', 'SETSLOT', this.slot, 'NODE', this.to.id)
  }
}

const ways: [name: string, open: (port: number) => Promise<SagaStore>][] = [
  ['own connections', async (port) => openStore({ url: `redis-cluster://127.0.0.1:${port}`, operationTimeoutMs: 15_000 })],
  [
    'ioredis',
    async (port) => {
      const client = new Cluster([{ host: '127.0.0.1', port }])
      ends.push(() => client.disconnect())
      return openStore({ client, operationTimeoutMs: 15_000 } as never)
    },
  ],
  [
    'node-redis',
    async (port) => {
      const client = await createCluster({ rootNodes: [{ socket: { host: '127.0.0.1', port } }] }).connect()
      ends.push(() => client.destroy())
      return openStore({ client, operationTimeoutMs: 15_000 } as never)
    },
  ],
]

describe.each(ways)('hash slots that move in the middle of a scan, on %s', (name, open) => {
  /** Payloads everywhere, and some in one slot of the server that is scanned last. */
  async function filled() {
    const cluster = await startRedisCluster({ nodes: 3 })
    ends.push(() => cluster.stop())
    const nodes = await nodesOf(cluster)
    const [first, second, last] = nodes as [Node, Node, Node]
    const store = await open(first.port)
    ends.push(() => store.close())
    const [tag, slot] = await tagOf(last)
    const ids = [...numbered(6_000), ...numbered(300, tag)]
    await fill(store, ids)
    const seconds = new Set(await slotsOf(second))
    /** Whether a payload is on the second server: then the first one has been scanned. */
    const isSecond = async (id: string) => seconds.has(Number(await first.client.call('CLUSTER', 'KEYSLOT', `saga:storage:${id}`)))
    return { store, ids, isSecond, move: new Move(slot, last, first) }
  }

  it('to a server that has been scanned: nothing is lost', async () => {
    const { store, ids, isSecond, move } = await filled()
    let hasMoved = false
    const found = await idsOf(store, async (id) => {
      if (hasMoved || !(await isSecond(id))) return
      hasMoved = true
      await move.begin()
      await move.end()
    })
    expect(hasMoved).toBe(true)
    expect(lost(ids, found)).toEqual([])
  })

  // fred, which carries the store's own connections to a Cluster, follows no ASK: nothing can be read then, by any operation.
  it.skipIf(name === 'own connections')('and that are on their way all the time: nothing is lost', async () => {
    const { store, ids, isSecond, move } = await filled()
    await move.begin()
    await move.some(100)
    let hasMoved = false
    const found = await idsOf(store, async (id) => {
      if (hasMoved || !(await isSecond(id))) return
      hasMoved = true
      await move.some(100)
    })
    expect(lost(ids, found)).toEqual([])
    await move.end()
    expect(lost(ids, await idsOf(store))).toEqual([])
  })
})
