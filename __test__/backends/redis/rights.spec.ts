import { Redis } from 'ioredis'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { openStore, RedisSagaStore, type SagaStore } from '../../../index.js'
import { type RedisServer, startRedis } from '../../../scripts/services/servers.mjs'
import { rejectionOf } from '../../support/promises'
import { temporaryPrefixes } from '../../support/targets'

let server: RedisServer
beforeAll(async () => {
  server = await startRedis()
})
afterAll(() => server.remove())

/** What `initialize` warns of, and what `health` says. */
async function told(open: (options: object) => SagaStore) {
  const warnings: string[] = []
  const quiet = () => {}
  const logger = { debug: quiet, info: quiet, error: quiet, warn: (message: string) => void warnings.push(message) }
  const store = open({ ...temporaryPrefixes(), logger })
  await store.initialize()
  return { store, warnings: warnings.join('; '), health: await store.health() }
}

const users: [rights: string[], missing: RegExp | undefined][] = [
  [['+@all'], undefined],
  [['+@all', '-@dangerous', '-@admin', '+info'], undefined],
  [['+@all', '-eval'], /may not run EVAL \(.*store\.states/],
  [['+@all', '-evalsha'], /may not run EVALSHA \(.*store\.states/],
  [['+@all', '-xadd', '-xreadgroup'], /may not run XADD, XREADGROUP \(.*store\.outbox/],
  [['+@all', '-set'], /may not run SET \(.*payloads/],
  [['+@all', '-multi'], /may not run MULTI \(.*store\.transaction/],
]

describe('a Redis user', () => {
  it.each(users)('with the rights %j is told what is missing', async (rights, missing) => {
    const name = `user${users.findIndex(([known]) => known === rights)}`
    await server.command('ACL', 'SETUSER', name, 'reset', 'on', '>secret', '~*', '&*', ...rights)
    const client = new Redis({ port: server.port, username: name, password: 'secret', lazyConnect: true })
    const ways: ((options: object) => SagaStore)[] = [
      (options) => openStore({ url: `redis://${name}:secret@127.0.0.1:${server.port}`, ...options } as never),
      (options) => new RedisSagaStore({ client, ...options } as never),
    ]
    for (const open of ways) {
      const { store, warnings, health } = await told(open)
      if (missing === undefined) {
        expect(warnings).toBe('')
        expect(health).toMatchObject({ status: 'healthy' })
        await store.states.insert('Order', 'o-1', { metadata: { sagaId: 's-1' } })
      } else {
        expect(warnings).toMatch(missing)
        expect(health).toMatchObject({ status: 'degraded', message: expect.stringMatching(missing) })
      }
      await store.close()
    }
    client.disconnect()
  })

  it('who may use the keys of payloads alone is told nothing: the others may belong to somebody else', async () => {
    await server.command('ACL', 'SETUSER', 'payloads', 'reset', 'on', '>secret', '~mine:*', '&*', '+@all')
    await using store = openStore({ url: `redis://payloads:secret@127.0.0.1:${server.port}`, keyPrefix: 'mine' })
    expect(await store.health()).toMatchObject({ status: 'healthy' })
    await store.put('a', Buffer.from('x'))
  })
})

describe('a server without EVAL', () => {
  it('is told of, and so is the error of what needs it', async () => {
    await using bare = await startRedis({ withoutCommands: ['EVAL', 'EVALSHA', 'XADD'] })
    const { store, warnings, health } = await told((options) => openStore({ url: bare.url, ...options } as never))
    expect(warnings).toMatch(/may not run EVAL, EVALSHA \(.*store\.states.*may not run XADD \(/)
    expect(health).toMatchObject({ status: 'degraded', message: expect.stringContaining('EVAL, EVALSHA') })
    await store.put('a', Buffer.from('x'))
    const error = await rejectionOf(store.states.insert('Order', 'o-1', { metadata: { sagaId: 's-1' } }))
    expect(error).toMatchObject({ code: 'BACKEND', retryable: false })
    await store.close()
  })
})
