import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { promisify } from 'node:util'
import { Redis } from 'ioredis'
import { describe, expect, it } from 'vitest'
import { openStore, type SagaStore, SqliteSagaStore } from '../../index.js'
import { root } from '../support/programs'
import { rejectionOf } from '../support/promises'
import { missing, randomName, targets, temporaryDirectory } from '../support/targets'

const slip = Buffer.from('{"step":"charge","orderId":"o-17","amount":1299},'.repeat(2_000))

for (const target of targets.filter(({ name }) => name !== 'sqlite::memory:')) {
  describe.skipIf(missing(target))(`compression: ${target.name}`, () => {
    it('can be switched on and off, and read by stores without it', async () => {
      const options = target.options()
      await using plain = openStore(options)
      await using zstd = openStore({ ...options, compression: 'zstd' } as never)
      await using best = openStore({ ...options, compression: { algorithm: 'zstd', level: 19 } } as never)
      await plain.initialize()
      const stores = { plain, zstd, best }
      for (const [name, store] of Object.entries(stores)) await store.put(name, slip, new Date(Date.now() + 60_000))
      for (const reader of Object.values(stores)) {
        for (const name of Object.keys(stores)) expect((await reader.get(name)).equals(slip), name).toBe(true)
      }
      const { payloads } = await plain.statistics()
      expect(payloads?.bytes ?? slip.length).toBeLessThan(slip.length * 1.2)
      expect(await zstd.touch('zstd', new Date(Date.now() + 120_000))).toBe(true)
      expect((await plain.get('zstd')).equals(slip)).toBe(true)
    })

    it('refuses a bomb without decompressing it', async () => {
      const options = target.options()
      await using store = openStore({ ...options, compression: 'zstd' } as never)
      await using careful = openStore({ ...options, maxDecompressedBytes: 1_000_000 } as never)
      await store.initialize()
      await store.put('bomb', Buffer.alloc(50_000_000))
      const error = { code: 'PAYLOAD_TOO_LARGE', size: 50_000_000, limit: 1_000_000, id: 'bomb', retryable: false }
      expect(await rejectionOf(careful.get('bomb'))).toMatchObject(error)
      expect(await rejectionOf(careful.getMany(['bomb']))).toMatchObject({ code: 'PAYLOAD_TOO_LARGE' })
      expect(await careful.has('bomb')).toBe(true)
      expect((await store.get('bomb')).length).toBe(50_000_000)
    })

    it('stores what the backend could not hold as it is', async () => {
      await using store = openStore({ ...target.options(), compression: 'zstd' } as never)
      await store.initialize()
      const size = Math.min(store.capabilities.maxPayloadBytes * 2, 33_000_000)
      const data = Buffer.alloc(size, slip)
      await store.put('large', data)
      expect((await store.get('large')).equals(data)).toBe(true)
    })

    it('leaves the event loop alone', async () => {
      await using store = openStore({ ...target.options(), compression: { algorithm: 'zstd', level: 19 } } as never)
      await store.initialize()
      // Some hundred milliseconds of work at this level.
      const data = Buffer.from(randomBytes(400_000).toString('base64').repeat(3))
      let turns = 0
      let busy = true
      const turn = () => {
        turns += 1
        if (busy) setTimeout(turn, 1)
      }
      turn()
      await store.put('large', data)
      busy = false
      expect(turns).toBeGreaterThan(10)
      expect((await store.get('large')).equals(data)).toBe(true)
    })
  })
}

describe('compressed payloads that were damaged', () => {
  async function expectDamage(store: SagaStore, damage: (id: string, change: (stored: Buffer) => Buffer) => Promise<void>) {
    const changes: [string, (stored: Buffer) => Buffer][] = [
      ['a byte', (stored) => Buffer.from(stored.map((byte, at) => (at === stored.length - 6 ? byte ^ 0x55 : byte)))],
      ['the end', (stored) => stored.subarray(0, -3)],
      ['the algorithm', (stored) => Buffer.from(stored.map((byte, at) => (at === 7 ? 99 : byte)))],
    ]
    for (const [id, change] of changes) {
      await store.put(id, slip)
      await damage(id, change)
      const error = { code: 'CORRUPT_DATA', id, retryable: false }
      expect(await rejectionOf(store.get(id)), id).toMatchObject({ ...error, operation: 'get' })
      expect(await rejectionOf(store.find(id)), id).toMatchObject(error)
      expect(await rejectionOf(store.getMany([id])), id).toMatchObject(error)
      expect(await store.has(id)).toBe(true)
      await store.put(id, slip)
      expect((await store.get(id)).equals(slip)).toBe(true)
    }
  }

  it('are CORRUPT_DATA on SQLite, and in its transactions', async () => {
    await using store = new SqliteSagaStore({ url: `sqlite:${temporaryDirectory()}/sagas.db`, compression: 'zstd' })
    await store.initialize()
    await expectDamage(store, (id, change) =>
      store.transaction(async (tx) => {
        const [row] = await tx.query<{ data: Buffer }>('select data from saga_store where id = ?', [id])
        await tx.query('update saga_store set data = ? where id = ?', [change(Buffer.from(row?.data ?? [])), id])
        expect(await rejectionOf(tx.get(id))).toMatchObject({ code: 'CORRUPT_DATA', id })
      }),
    )
  })

  it.skipIf(missing({ name: 'redis', available: process.env.REDIS_URL !== undefined, variable: 'REDIS_URL' }))(
    'are CORRUPT_DATA on Redis, on a client too',
    async () => {
      const url = process.env.REDIS_URL as string
      const client = new Redis(url)
      const keyPrefix = `test:${randomName()}`
      await using own = openStore({ url, keyPrefix, compression: 'zstd' })
      await using borrowed = openStore({ client, keyPrefix, compression: 'zstd' })
      for (const store of [own, borrowed]) {
        await expectDamage(store, async (id, change) => {
          const [key] = await client.keys(`${keyPrefix}*${id}`)
          await client.set(key as string, change((await client.getBuffer(key as string)) as Buffer))
        })
      }
      await client.quit()
    },
  )
})

describe('the end of a process or a worker while a payload is compressed', () => {
  const put = `
    const { openStore } = require(${JSON.stringify(root)})
    const store = openStore({ url: 'memory://', compression: { algorithm: 'zstd', level: 19 } })
    const data = Buffer.from(require('node:crypto').randomBytes(1_000_000).toString('base64'))
    for (let number = 0; number < 4; number += 1) store.put('order-' + number, Buffer.from(data))`

  it('waits for what reads its memory', async () => {
    await promisify(execFile)(process.execPath, ['-e', `${put}; setTimeout(() => process.exit(0), 50)`], { timeout: 60_000 })
    const worker = `${put}; require('node:worker_threads').parentPort.postMessage('begun')`
    const script = `
      const worker = new (require('node:worker_threads').Worker)(${JSON.stringify(worker)}, { eval: true })
      worker.once('message', () => setTimeout(() => worker.terminate().then(() => console.log('ended')), 50))`
    const { stdout } = await promisify(execFile)(process.execPath, ['-e', script], { timeout: 60_000 })
    expect(stdout).toBe('ended\n')
  })
})

describe('the option compression', () => {
  it.each([
    ['gzip', "'none', 'zstd' or an object"],
    [{ algorithm: 'gzip' }, "'none' or 'zstd'"],
    [{ algorithm: 'zstd', level: 20 }, 'from 1 to 19'],
    [{ algoritm: 'zstd' }, "did you mean 'algorithm'"],
    [true, "option 'compression' must be 'none', 'zstd' or an object"],
  ])('%j is refused', (compression, part) => {
    const open = () => openStore({ url: 'memory://', compression } as never)
    expect(open).toThrow(expect.objectContaining({ code: 'INVALID_ARGUMENT', message: expect.stringContaining(part) }))
  })
})
