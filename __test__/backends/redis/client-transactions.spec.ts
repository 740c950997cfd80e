import { randomBytes } from 'node:crypto'
import { Redis } from 'ioredis'
import { createClient } from 'redis'
import { afterEach, describe, expect, it } from 'vitest'
import { openStore, type SagaStore, withTransaction } from '../../../index.js'
import { rejectionOf } from '../../support/promises'
import { addressOf, type OpenRedisLibrary, redisLibraries } from '../../support/redis-libraries'
import { missing, randomName, type Target, targets } from '../../support/targets'

const targetOf = (variable: string) => targets.find((target) => target.variable === variable) as Target
const inAnHour = () => new Date(Date.now() + 3_600_000)

const opened: OpenRedisLibrary[] = []
const stores: SagaStore[] = []

afterEach(async () => {
  for (const store of stores.splice(0)) await store.close()
  for (const library of opened.splice(0)) await library.close()
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

for (const library of redisLibraries) {
  const isCluster = library.variable === 'REDIS_CLUSTER_URL'
  const isPrefixed = library.name.includes('prefix')

  describe.skipIf(missing(targetOf(library.variable)))(`withTransaction on multi() of ${library.name}`, () => {
    /** A client, its store, a store with a URL of its own for the same records, and the key of the application's. */
    async function begin() {
      const one = await library.open()
      opened.push(one)
      const keyPrefix = tagged()
      // The key that the application's own commands see has the client's prefix.
      const key = `${keyPrefix}:order`
      return {
        one,
        key,
        order: () => outside(`${isPrefixed ? 'theirs:' : ''}${key}`),
        store: open({ client: one.client, keyPrefix }),
        other: elsewhere(library.variable, keyPrefix),
      }
    }

    /** A key as another connection sees it. */
    async function outside(key: string): Promise<string | null> {
      const plain = await (
        redisLibraries.find(({ variable, name }) => variable === library.variable && !name.includes('prefix')) as typeof library
      ).open()
      opened.push(plain)
      return (await plain.command(key, 'GET', key)) as string | null
    }

    it.each(['a store on the client', 'a store with a URL'])('commits the payload of %s with the order, and not before', async (which) => {
      const { one, key, order, store, other } = await begin()
      const joining = which === 'a store with a URL' ? other : store
      await other.put('outdated', Buffer.from('x'))
      const { multi, set, exec } = one.multi()
      await withTransaction(multi, async () => {
        set(key, 'placed')
        await joining.put('slip', Buffer.from([0, 255, 1]), inAnHour())
        await joining.put('soon', randomBytes(100_000), new Date(Date.now() + 5000))
        await joining.put('forever', Buffer.alloc(0))
        expect(await joining.delete('outdated')).toBe(undefined)
        await joining.putMany([
          { id: 'many 1', data: Buffer.from('1') },
          { id: 'many 2', data: Buffer.from('2'), expiresAt: inAnHour() },
        ])
      })
      expect(await other.getMany(['slip', 'soon', 'forever', 'many 1'])).toEqual(new Map())
      expect([await other.has('outdated'), await order()]).toEqual([true, null])
      await exec()
      expect(await other.get('slip')).toEqual(Buffer.from([0, 255, 1]))
      expect([(await other.get('soon')).length, (await other.get('forever')).length]).toEqual([100_000, 0])
      expect((await other.getMany(['many 1', 'many 2'])).size).toBe(2)
      expect([await other.has('outdated'), await order()]).toEqual([false, 'placed'])
    })

    it('leaves neither the order nor the payload when it is dropped', async () => {
      const { one, key, order, store, other } = await begin()
      const { multi, set } = one.multi()
      const failed = withTransaction(multi, async () => {
        set(key, 'placed')
        await store.put('slip', Buffer.from('x'))
        throw new Error('out of stock')
      })
      await expect(failed).rejects.toThrow('out of stock')
      expect([await other.find('slip'), await order()]).toEqual([null, null])
    })

    it('refuses at the call what needs an answer, and queues nothing of it', async () => {
      const { one, store, other } = await begin()
      await other.put('a', Buffer.from('x'))
      const { multi, exec } = one.multi()
      await withTransaction(multi, async () => {
        const refused = [
          store.get('a'),
          store.find('a'),
          store.has('a'),
          store.touch('a', inAnHour()),
          store.getMany(['a', 'b']),
          store.initialize(),
          store.statistics(),
          store.states.getById('Order', 's-1'),
          store.states.insert('Order', 'o-1', { metadata: { sagaId: 's-1' } }),
          store.states.update('Order', { metadata: { sagaId: 's-1' } }, 1),
          store.states.delete('Order', 's-1'),
        ]
        for (const error of await Promise.all(refused.map(rejectionOf))) expect(error).toMatchObject({ code: 'UNSUPPORTED' })
        await store.put('b', Buffer.from('x'))
      })
      expect(await exec()).toHaveLength(1)
      expect((await other.getMany(['a', 'b'])).size).toBe(2)
    })

    it('queues while the call runs, and leaves the caller its buffer', async () => {
      const { one, store, other } = await begin()
      const { multi, exec } = one.multi()
      const [small, large] = [Buffer.alloc(10, 1), Buffer.alloc(100_000, 1)]
      const puts = withTransaction(multi, () => [store.put('small', small, inAnHour()), store.put('large', large, inAnHour())])
      const executed = exec()
      await Promise.all(puts)
      small.fill(2)
      large.fill(2)
      await executed
      expect(await other.get('small')).toEqual(Buffer.alloc(10, 1))
      expect((await other.get('large')).equals(Buffer.alloc(100_000, 1))).toBe(true)
    })

    it('refuses a put behind exec(), which nobody would send', async () => {
      const { one, store, other } = await begin()
      const { multi, exec } = one.multi()
      await withTransaction(multi, async () => {
        await store.put('in time', Buffer.from('x'))
        await exec()
        expect(await rejectionOf(store.put('late', Buffer.from('x')))).toMatchObject({ code: 'CLOSED' })
      })
      expect([await other.has('in time'), await other.has('late')]).toEqual([true, false])
    })

    it('a command that fails is the application’s to see, and the payload is there all the same', async () => {
      const { one, key, store, other } = await begin()
      const { multi, set, exec } = one.multi()
      set(key, 'text')
      await withTransaction(multi, () => store.put('slip', Buffer.from('x')))
      ;(multi as { incr(key: string): unknown }).incr(key)
      const outcome = await exec().then(
        (replies) => (replies as [Error | null][]).flatMap(([error]) => error ?? []),
        (error) => [error],
      )
      expect(outcome).toHaveLength(1)
      expect(outcome[0]).toBeInstanceOf(Error)
      expect(await other.has('slip')).toBe(true)
    })

    if (isCluster)
      it('refuses keys of other hash slots before anything is queued', async () => {
        const one = await library.open()
        opened.push(one)
        const store = open({ client: one.client, keyPrefix: 'test' })
        const other = elsewhere(library.variable, 'test')
        const tag = randomName()
        const { multi, exec } = one.multi()
        await withTransaction(multi, async () => {
          const error = await rejectionOf(
            store.putMany([
              { id: `{${tag}}:0`, data: Buffer.from('x') },
              { id: 'elsewhere', data: Buffer.from('x') },
            ]),
          )
          expect(error).toMatchObject({ code: 'INVALID_ARGUMENT', id: 'elsewhere' })
          expect(error.message).toMatch(/one hash slot.*hash tag.*'\{order-1\}'/)
          await store.put(`{${tag}}:1`, Buffer.from('x'))
          expect(await rejectionOf(store.put('elsewhere', Buffer.from('x')))).toMatchObject({ code: 'INVALID_ARGUMENT' })
          expect(await rejectionOf(store.delete('elsewhere'))).toMatchObject({ code: 'INVALID_ARGUMENT' })
          await store.put(`{${tag}}:2`, Buffer.from('x'))
        })
        expect(await exec()).toHaveLength(2)
        expect([...(await other.getMany([`{${tag}}:0`, `{${tag}}:1`, `{${tag}}:2`])).keys()]).toEqual([`{${tag}}:1`, `{${tag}}:2`])
        // What the application itself has queued counts where the library shows it; else the server refuses it.
        const second = one.multi()
        const own = `{${tag}}:mine`
        second.set(own, 'x')
        const put = withTransaction(second.multi, () => store.put('elsewhere', Buffer.from('x')))
        if (library.name.startsWith('ioredis')) {
          expect(await rejectionOf(put)).toMatchObject({ code: 'INVALID_ARGUMENT' })
          expect(await second.exec()).toHaveLength(1)
        } else {
          await put
          await expect(second.exec()).rejects.toThrow()
        }
        expect(await other.has('elsewhere')).toBe(false)
      })
  })

  describe.skipIf(missing(targetOf(library.variable)))(`store.transaction on ${library.name}`, () => {
    async function begin(more: object = {}) {
      const one = await library.open()
      opened.push(one)
      const keyPrefix = tagged()
      return { one, keyPrefix, store: open({ client: one.client, keyPrefix, ...more }), other: elsewhere(library.variable, keyPrefix) }
    }

    it('stores everything, or nothing', async () => {
      const { store, other } = await begin()
      await store.put('old', Buffer.from('x'))
      const result = await store.transaction(async (tx) => {
        await tx.put('a', Buffer.from('1'), inAnHour())
        await store.put('b', Buffer.from('2'))
        await tx.delete('old')
        expect(await rejectionOf(tx.get('a'))).toMatchObject({ code: 'UNSUPPORTED' })
        expect(await other.has('a')).toBe(false)
        return 'done'
      })
      expect(result).toBe('done')
      expect([...(await other.getMany(['a', 'b', 'old'])).keys()]).toEqual(['a', 'b'])
      const failed = store.transaction(async (tx) => {
        await tx.put('c', Buffer.from('3'))
        await tx.delete('a')
        throw new Error('no')
      })
      await expect(failed).rejects.toThrow('no')
      expect([...(await other.getMany(['a', 'c'])).keys()]).toEqual(['a'])
      expect(await store.transaction(() => 'nothing')).toBe('nothing')
    })

    if (!isCluster && !library.name.includes('pool'))
      it('is an error when EXEC answers null, and runs again where it may', async () => {
        for (const [attempts, runs] of [
          [1, 1],
          [3, 2],
        ] as const) {
          const { one, keyPrefix, store, other } = await begin({ retry: { attempts, baseMs: 1 } })
          await (one.client as { watch(key: string): Promise<unknown> }).watch('sagastore:watched')
          let ran = 0
          const transaction = store.transaction(async (tx) => {
            ran += 1
            await tx.put('a', Buffer.from('x'))
            const foreign = new Redis(addressOf(library.variable))
            await foreign.set(`${isPrefixed ? 'theirs:' : ''}sagastore:watched`, keyPrefix)
            foreign.disconnect()
          })
          if (attempts === 1) {
            const error = await rejectionOf(transaction)
            expect(error).toMatchObject({ code: 'BACKEND', retryable: true, operation: 'transaction' })
            expect(error.message).toMatch(/a watched key has changed/)
          } else await transaction
          expect([ran, await other.has('a')]).toEqual([runs, attempts > 1])
        }
      })

    it('is an error when a command fails in it, and says that others may have happened', async () => {
      const { one, keyPrefix, store, other } = await begin()
      const key = `${keyPrefix}:text`
      const client = one.client as { multi(): unknown }
      const multi = client.multi.bind(client)
      // An application whose client adds something to each transaction.
      client.multi = () => {
        const made = multi() as { set(key: string, value: string): unknown; incr(key: string): unknown }
        made.set(key, 'text')
        made.incr(key)
        return made
      }
      const error = await rejectionOf(store.transaction((tx) => tx.put('a', Buffer.from('x'))))
      expect(error).toMatchObject({ retryable: false, operation: 'transaction' })
      expect(error.message).toMatch(/a command of the transaction failed.*part of it may have happened/)
      expect((error.cause as Error).message).toMatch(/1 of the 3 commands.*not an integer/)
      expect(await other.has('a')).toBe(true)
    })

    it('is an error when a command is refused in it, and nothing has happened', async () => {
      const { one, keyPrefix, store, other } = await begin()
      const client = one.client as { multi(): unknown }
      const multi = client.multi.bind(client)
      client.multi = () => {
        const made = multi() as { call?(...words: string[]): unknown; addCommand(...args: unknown[]): unknown }
        if (made.call !== undefined) made.call('SET', `${keyPrefix}:a`)
        else made.addCommand(...(isCluster ? [`${keyPrefix}:a`, false] : []), ['SET', `${keyPrefix}:a`])
        return made
      }
      const error = await rejectionOf(store.transaction((tx) => tx.put('a', Buffer.from('x'))))
      expect(error).toMatchObject({ code: 'BACKEND', operation: 'transaction' })
      expect((error.cause as Error).message).toMatch(/wrong number of arguments/)
      expect(await other.has('a')).toBe(false)
    })

    if (isCluster)
      it('refuses keys of other hash slots', async () => {
        const { one, other } = await begin()
        const store = open({ client: one.client, keyPrefix: 'test' })
        const id = `{${randomName()}}`
        await store.transaction(async (tx) => {
          await tx.put(id, Buffer.from('x'))
          expect(await rejectionOf(tx.put('elsewhere', Buffer.from('x')))).toMatchObject({ code: 'INVALID_ARGUMENT', id: 'elsewhere' })
        })
        expect([await store.has(id), await store.has('elsewhere'), await other.has(id)]).toEqual([true, false, false])
      })
  })
}

describe('what is no transaction', () => {
  it('a client, a pipeline', async () => {
    const client = new Redis({ lazyConnect: true })
    const other = createClient()
    for (const one of [client, other]) {
      expect(() => withTransaction(one, () => undefined)).toThrow(/is a (?:io)?redis client, not a transaction/)
    }
    expect(() => withTransaction(client.pipeline(), () => undefined)).toThrow(/pipeline\(\) is no transaction: use multi\(\)/)
    client.disconnect()
  })
})
