import { connect, createServer, type Socket } from 'node:net'
import { inspect } from 'node:util'
import { Redis } from 'ioredis'
import { describe, expect, it } from 'vitest'
import { openStore, type SagaStore } from '../../../index.js'
import { clockOffset, startRedis, startRedisCluster, startSentinel } from '../../../scripts/services/servers.mjs'
import { putsInFlight, recovers, survivesFreeze, survivesKill } from '../../support/faults'
import { runProgram } from '../../support/programs'
import { eventually, rejectionOf } from '../../support/promises'

describe('the format', () => {
  it('is {keyPrefix}:{id}, raw bytes, with PXAT', async () => {
    await using server = await startRedis()
    const client = new Redis(server.url)
    await using store = openStore({ url: server.url, keyPrefix: 'my-app:sagas' })
    const at = new Date(Date.now() + 600_000)
    await store.put('slip-1', Buffer.from([0, 255, 128]), at)
    await store.put('forever', Buffer.alloc(0))
    expect(await client.getBuffer('my-app:sagas:slip-1')).toEqual(Buffer.from([0, 255, 128]))
    expect(await client.pexpiretime('my-app:sagas:slip-1')).toBe(at.getTime())
    expect(await client.pexpiretime('my-app:sagas:forever')).toBe(-1)
    await client.set('my-app:sagas:theirs', 'written by another program')
    expect((await store.get('theirs')).toString()).toBe('written by another program')
    await client.lpush('my-app:sagas:list', 'x')
    expect(await rejectionOf(store.get('list'))).toMatchObject({ code: 'CORRUPT_DATA', id: 'list' })
    await using byDefault = openStore(server.url)
    await byDefault.put('x', Buffer.from('x'))
    expect(await client.exists('saga:storage:x')).toBe(1)
    client.disconnect()
  })

  it.each([
    ['+1h', -3_600_000],
    ['-1h', 3_600_000],
  ])('keeps and ends payloads on time when the clocks differ: ours is off by %s', async (offset, milliseconds) => {
    await using server = await startRedis()
    // Without care an hour behind the server means: SET answers OK and stores nothing.
    const program = `
      const store = sagastore.openStore({ url: args.url, lateRetentionMs: 3000 })
      await store.put('late', Buffer.from('to compensate'), new Date(Date.now() - 1000))
      await store.put('soon', Buffer.from('x'), new Date(Date.now() + 700))
      await store.put('in half an hour', Buffer.from('x'), new Date(Date.now() + 1_800_000))
      const all = ['late', 'soon', 'in half an hour']
      const first = [...(await store.getMany(all)).keys()]
      const touched = await store.touch('in half an hour', new Date(Date.now() + 1_700_000))
      await new Promise((resume) => setTimeout(resume, 1200))
      const second = [...(await store.getMany(all)).keys()]
      console.log(JSON.stringify({ first, touched, second, details: (await store.health()).details }))
      await store.close()`
    const { first, touched, second, details } = JSON.parse(
      await runProgram(program, { url: server.url }, { env: await clockOffset(offset) }),
    )
    expect({ first, touched, second }).toEqual({
      first: ['late', 'soon', 'in half an hour'],
      touched: true,
      second: ['late', 'in half an hour'],
    })
    expect(Math.abs(details.clockOffsetMs - milliseconds)).toBeLessThan(1000)
  })
})

describe('ways in', () => {
  it('a password, an ACL user, a database number', async () => {
    await using server = await startRedis({ password: 'p@ss:w/rd', aclUser: { name: 'saga-app', password: 'other secret' } })
    const { port } = server
    for (const url of [
      `redis://:${encodeURIComponent('p@ss:w/rd')}@127.0.0.1:${port}`,
      `redis://saga-app:${encodeURIComponent('other secret')}@127.0.0.1:${port}/3`,
    ]) {
      await using store = openStore(url)
      await store.initialize()
      await store.put('id', Buffer.from(url))
      expect((await store.get('id')).toString()).toBe(url)
    }
    await using three = openStore(`redis://saga-app:${encodeURIComponent('other secret')}@127.0.0.1:${port}/3`)
    await three.put('only in three', Buffer.from('x'))
    await using none = openStore(`redis://saga-app:${encodeURIComponent('other secret')}@127.0.0.1:${port}`)
    expect(await none.has('only in three')).toBe(false)
  })

  it('a wrong password is said at once, and not shown', async () => {
    await using server = await startRedis({ password: 'right' })
    for (const url of [
      `redis://:hunter2@127.0.0.1:${server.port}`,
      `redis://nobody:hunter2@127.0.0.1:${server.port}`,
      `redis://127.0.0.1:${server.port}`,
    ]) {
      await using store = openStore(url)
      const began = performance.now()
      const error = await rejectionOf(store.put('id', Buffer.from('x')))
      expect(error).toMatchObject({ code: 'CONNECTION', retryable: false })
      expect(inspect(error, { depth: 10 })).not.toContain('hunter2')
      expect(performance.now() - began).toBeLessThan(3000)
    }
  })

  it('TLS, with a certificate authority of one’s own', async () => {
    await using server = await startRedis({ tls: true, password: 'secret' })
    const url = `rediss://:secret@localhost:${server.port}`
    await using store = openStore({ url, tlsCaFile: server.caFile as string })
    await store.initialize()
    await store.put('id', Buffer.alloc(100_000, 1))
    expect((await store.get('id')).length).toBe(100_000)
    await using untrusting = openStore({ url, connectTimeoutMs: 2000 })
    expect(await rejectionOf(untrusting.get('id'))).toMatchObject({ code: 'CONNECTION' })
    await using plain = openStore({ url: `redis://:secret@localhost:${server.port}`, connectTimeoutMs: 1500 })
    expect((await rejectionOf(plain.get('id'))).code).toMatch(/CONNECTION|TIMEOUT/)
  })
})

describe('a bad day', () => {
  it('killed and started again with 64 puts in flight', async () => {
    await using server = await startRedis({ appendonly: true })
    await using store = openStore({ url: server.url, operationTimeoutMs: 5000, connectTimeoutMs: 2000 })
    await store.initialize()
    // appendfsync everysec: what the kernel had survives kill -9 of the server.
    await survivesKill(store, server)
  })

  it('frozen, then awake again', async () => {
    await using server = await startRedis()
    await using store = openStore({ url: server.url, operationTimeoutMs: 700, connectTimeoutMs: 700 })
    await survivesFreeze(store, server)
  })

  it('out of memory is an error, not a lost payload', async () => {
    await using server = await startRedis({ maxmemory: '8mb' })
    await using store = openStore({ url: server.url, retry: { attempts: 1 } })
    let refused: (Error & { code?: string }) | undefined
    const stored: string[] = []
    for (let n = 0; n < 100 && refused === undefined; n++) {
      await store.put(`id-${n}`, Buffer.alloc(200_000)).then(
        () => stored.push(`id-${n}`),
        (error) => {
          refused = error
        },
      )
    }
    expect(refused).toMatchObject({ code: 'BACKEND', retryable: true })
    expect(refused?.message).toMatch(/memory/i)
    expect((await store.getMany(stored)).size).toBe(stored.length)
  })

  it('a replica refuses writes with a clear error', async () => {
    await using master = await startRedis()
    await using replica = await startRedis({ replicaOf: master })
    await using store = openStore({ url: replica.url, retry: { attempts: 1 } })
    const error = await rejectionOf(store.put('id', Buffer.from('x')))
    expect(error.message).toMatch(/read.?only|replica/i)
    expect(error).toMatchObject({ retryable: true })
  })
})

describe('an address that leads elsewhere after a failover', () => {
  it('is looked up again when the server there has become read-only', async () => {
    await using old = await startRedis()
    await using next = await startRedis()
    let target = old.port
    // As a load balancer, or a name: what is connected stays so.
    const sockets = new Set<Socket>()
    const proxy = createServer((socket) => {
      const onward = connect(target, '127.0.0.1')
      for (const one of [socket, onward]) sockets.add(one.on('error', () => {}))
      socket.pipe(onward).pipe(socket)
    })
    await new Promise<void>((listening) => proxy.listen(0, '127.0.0.1', listening))
    const { port } = proxy.address() as { port: number }
    const saga = (sagaId: string) => ({
      metadata: { sagaId, version: 1, createdAt: new Date(), updatedAt: new Date(), isCompleted: false },
    })
    try {
      // A transaction is not tried again by itself; the next one goes through.
      for (const [write, isRepeated] of [
        [(store: SagaStore) => store.put('b', Buffer.from('b')), true],
        [(store: SagaStore) => store.states.insert('Order', 'c', saga('s')), true],
        [(store: SagaStore) => store.transaction(async (tx) => tx.put('b', Buffer.from('b'))), false],
      ] as const) {
        await using store = openStore(`redis://127.0.0.1:${port}`)
        target = old.port
        await store.put('a', Buffer.from('a'))
        // Of nobody who answers.
        await old.command('REPLICAOF', '127.0.0.1', '1')
        target = next.port
        if (!isRepeated) expect(await rejectionOf(write(store))).toMatchObject({ code: 'CONNECTION', retryable: true })
        await write(store)
        expect(await next.command('DBSIZE')).toBeGreaterThan(0)
        expect(await store.has('a')).toBe(false)
        await next.command('FLUSHALL')
        await old.command('REPLICAOF', 'NO', 'ONE')
      }
    } finally {
      for (const socket of sockets) socket.destroy()
      proxy.close()
    }
  })
})

describe('Sentinel', () => {
  it('is followed to the new master when the old one is killed with puts in flight', async () => {
    await using sentinel = await startSentinel({ password: 'secret' })
    await using store = openStore({ url: sentinel.url, operationTimeoutMs: 10_000, connectTimeoutMs: 5000 })
    await store.initialize()
    await putsInFlight(
      store,
      async () => {
        await sentinel.master.kill()
        await eventually(
          'a write goes through',
          () =>
            store.put('x', Buffer.from('x')).then(
              () => true,
              () => false,
            ),
          30_000,
        )
      },
      20_000,
    )
    await recovers(store, 20_000)
    expect(Number(await sentinel.replica.command('EXISTS', 'saga:storage:after'))).toBe(1)
  }, 90_000)
})

describe('Cluster', () => {
  it('survives the failover of a primary with puts in flight', async () => {
    await using cluster = await startRedisCluster({ nodes: 3, replicas: 1 })
    await using store = openStore({ url: cluster.url, operationTimeoutMs: 15_000, connectTimeoutMs: 5000 })
    await store.initialize()
    await putsInFlight(
      store,
      async () => {
        await cluster.nodes[0]?.kill()
        await eventually(
          'every slot takes writes',
          async () =>
            (await Promise.allSettled(Array.from({ length: 30 }, (_, n) => store.put(`slot-${n}`, Buffer.from('x'))))).every(
              (put) => put.status === 'fulfilled',
            ),
          30_000,
        )
      },
      25_000,
    )
    await recovers(store, 20_000)
  }, 120_000)
})
