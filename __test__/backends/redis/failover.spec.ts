import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { openStore } from '../../../index.js'
import { type RedisServer, startSentinel } from '../../../scripts/services/servers.mjs'
import { done } from '../../executions/fresh'
import { eventually } from '../../support/promises'

const RETRY = { attempts: 20, maxMs: 500 }

/** Until the replica has all that the master has been told so far. */
async function isReplicated(master: RedisServer, replica: RedisServer): Promise<void> {
  const offset = async (server: RedisServer, name: string) =>
    Number(new RegExp(`${name}:(\\d+)`).exec(String(await server.command('INFO', 'replication')))?.[1])
  const wanted = await offset(master, 'master_repl_offset')
  await eventually('the replica has it', async () => (await offset(replica, 'slave_repl_offset')) >= wanted)
}

describe('a failover by Sentinel', () => {
  it('in the middle of claims loses no event that was replicated, and relays go on', async () => {
    await using sentinel = await startSentinel()
    const { master, replica } = sentinel
    await using store = openStore({ url: sentinel.url, retry: RETRY, outbox: { retryBackoffMs: 20 } })
    await store.initialize()
    const published = new Map<number, number>()
    const order = new Map<string, number[]>()
    const handler = async ({ payload, partitionKey = '' }: { payload: number; partitionKey?: string }) => {
      await sleep(5)
      const seen = order.get(partitionKey) ?? []
      // The first publication of each counts: behind a failover some are published again.
      if (!published.has(payload)) order.set(partitionKey, [...seen, payload])
      published.set(payload, (published.get(payload) ?? 0) + 1)
    }
    const keyed = (from: number, count: number) =>
      Array.from({ length: count }, (_, n) => ({ eventType: 'E', payload: from + n, partitionKey: `k${(from + n) % 7}` }))
    for (let at = 0; at < 300; at += 100) await store.outbox.insert(keyed(at, 100))
    await isReplicated(master, replica)
    const relays = [1, 2, 3].map((n) =>
      store.outbox.relay(handler, { workerId: `w${n}`, concurrency: 4, batchSize: 20, leaseMs: 3_000, pollMs: 200 }),
    )
    await eventually('they publish', () => published.size > 60)
    await master.kill()
    await eventually(
      'the rest is published, and acknowledged',
      async () => {
        if (published.size < 300) return false
        const { ready, claimed, waiting } = await store.outbox.statistics()
        return ready + claimed + waiting === 0
      },
      60_000,
      () => relays.map(({ stats }) => stats),
    )
    // They are the same relays, on the server that was a replica.
    await store.outbox.insert(keyed(300, 20))
    await eventually('what comes now is published as well', () => published.size === 320, 30_000)
    await Promise.all(relays.map((relay) => relay.stop()))
    for (const [key, numbers] of order) expect(numbers, key).toEqual(numbers.toSorted((a, b) => a - b))
    expect((await store.outbox.statistics()).dead).toBe(0)
  }, 120_000)

  it('leaves each execution to one worker, with every checkpoint that was replicated', async () => {
    await using sentinel = await startSentinel()
    const { master, replica } = sentinel
    await using store = openStore({ url: sentinel.url, retry: RETRY, recoveryBackoffMs: 1 })
    await store.initialize()
    const { executions } = store
    const ids = Array.from({ length: 20 }, (_, n) => `saga-${n}`)
    const runs = await Promise.all(ids.map((id) => executions.start(id, 'F', {}, { workerId: 'dead', leaseMs: 2_000, renew: false })))
    await Promise.all(runs.map((run) => run.checkpoint({ steps: [done('a')] })))
    await isReplicated(master, replica)
    await master.kill()
    await eventually(
      'a server answers',
      () =>
        executions.count({ name: 'F' }).then(
          () => true,
          () => false,
        ),
      60_000,
    )
    const given: string[] = []
    await eventually(
      'others take all of them over',
      async () => {
        const claims = await Promise.all(['x', 'y', 'z'].map((workerId) => executions.claim({ workerId, limit: 7, leaseMs: 60_000 })))
        given.push(...claims.flat().map(({ sagaId }) => sagaId))
        return given.length >= ids.length
      },
      60_000,
    )
    expect(given.toSorted()).toEqual(ids.toSorted())
    for (const id of ids) expect((await executions.history(id)).entries.map(({ stepName }) => stepName)).toEqual(['a'])
    // Who had them before the failover may not write any more.
    await expect(runs[0]?.checkpoint({ steps: [done('b')] })).rejects.toMatchObject({ code: 'LEASE_LOST' })
  }, 120_000)
})
