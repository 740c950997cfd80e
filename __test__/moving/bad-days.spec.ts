// Moves whose servers die, and records that are not as they should be.
import { join } from 'node:path'
import Database from 'better-sqlite3'
import { describe, expect, it } from 'vitest'
import { type RejectedRecord, transfer, verify } from '../../index.js'
import { startPostgres, startSentinel } from '../../scripts/services/servers.mjs'
import { TheirTable, theirSaga } from '../support/store-postgres'
import { missing, temporaryDirectory, temporarySchema } from '../support/targets'
import { everything, fill, fillPayloads, howMany, storeAt, storeOn } from './stores'

const postgres = { name: 'PostgreSQL', available: process.env.POSTGRES_URL !== undefined, variable: 'POSTGRES_URL' }
const redis = { name: 'Redis', available: process.env.REDIS_URL !== undefined, variable: 'REDIS_URL' }

describe.skipIf(missing(postgres))('a server that is killed and comes back', () => {
  it.each(['source', 'target'] as const)('is waited for by a move that tries again: the %s', async (dying) => {
    await using server = await startPostgres()
    const [theirs, other] = [await storeAt({ url: server.url, operationTimeoutMs: 2_000 }), await storeOn('sqlite')]
    const [source, target] = dying === 'source' ? [theirs, other] : [other, theirs]
    await fillPayloads(source, 5_000)
    const moving = transfer(source, target, { batchSize: 50, onError: 'retry', recordsPerSecond: 4_000, kinds: ['payloads'] })
    let restarted: Promise<void> | undefined
    const restart = async () => {
      await server.kill()
      await new Promise((resume) => setTimeout(resume, 1_500))
      await server.start()
    }
    for await (const { transferred } of moving) {
      if (transferred >= 1_000) restarted ??= restart()
    }
    await restarted
    expect(restarted).toBeDefined()
    const { transferred, skipped, failed } = await moving
    // A batch whose acknowledgement was lost is met in the target.
    expect({ moved: transferred + skipped, failed }).toEqual({ moved: 5_000, failed: 0 })
    expect(await verify(source, target, { kinds: ['payloads'] })).toMatchObject({ equal: true, same: 5_000 })
  })
})

describe.skipIf(missing(redis))('Redis behind Sentinel', () => {
  it('is moved from and into', async () => {
    await using sentinel = await startSentinel()
    const [theirs, before, after] = [await storeAt({ url: sentinel.url }), await storeOn('memory'), await storeOn('memory')]
    await fill(before)
    await transfer(before, theirs)
    await transfer(theirs, after)
    expect(await verify(before, after)).toMatchObject({ equal: true, same: 101 })
    expect(await everything(after)).toEqual(await everything(before))
  })
})

describe.skipIf(missing(postgres))('a table of @saga-bus/store-postgres', () => {
  it('takes sagas, and gives them', async () => {
    const url = process.env.POSTGRES_URL as string
    const schema = temporarySchema()
    const table = new TheirTable(url, schema)
    try {
      await table.create()
      await table.insert('Order', 'order-theirs', theirSaga('theirs', {}, { total: 5 }))
      const [store, source, back] = [await storeAt({ url, schema }), await storeOn('memory'), await storeOn('memory')]
      await fill(source)
      const { counts } = await transfer(source, store, { kinds: ['states'] })
      expect(counts.states).toMatchObject({ transferred: 20, failed: 0 })
      // Their own statements read what was moved.
      expect(await table.getById('Order', 'saga-4')).toMatchObject({
        metadata: { sagaId: 'saga-4', version: 2, isCompleted: true },
        total: -4,
      })
      expect(await table.findByName('Order')).toHaveLength(21)
      await transfer(store, back, { kinds: ['states'] })
      expect(await verify(source, back, { kinds: ['states'] })).toMatchObject({ same: 20, missing: 0, extra: 1 })
      expect(await back.states.getById('Order', 'theirs')).toMatchObject({ total: 5, metadata: { version: 1 } })
    } finally {
      await table.close()
    }
  })
})

describe('records that are damaged', () => {
  async function damaged() {
    const url = `sqlite://${join(temporaryDirectory(), 'sagas.db')}`
    const source = await storeAt({ url, compression: 'zstd' })
    await fill(source)
    await source.put('large', Buffer.alloc(50_000, 'a'))
    await source.close()
    const db = new Database(url.slice('sqlite://'.length))
    db.exec(`update saga_instances set state = 'no JSON' where id = 'saga-3'`)
    db.close()
    return await storeAt({ url })
  }

  it('fail a move, or are left out by name; the others are moved', async () => {
    const source = await damaged()
    const target = await storeOn('memory')
    await expect(transfer(source, target, { kinds: ['states'] })).rejects.toMatchObject({ code: 'TRANSFER' })
    const rejected: RejectedRecord[] = []
    const onRejected = (one: RejectedRecord) => void rejected.push(one)
    const moving = transfer(source, await storeOn('memory'), { kinds: ['states'], onError: 'skip', onRejected })
    await expect(moving).rejects.toMatchObject({ code: 'TRANSFER', counts: { states: { transferred: 19, failed: 1 } } })
    expect(rejected).toMatchObject([{ kind: 'states', id: 'saga-3', name: 'Order', code: 'CORRUPT_DATA' }])
    expect(await howMany(target, 'states')).toBe(19)
    const found = await verify(source, target, { kinds: ['states'] })
    expect(found).toMatchObject({ equal: false, same: 19, missing: 1 })
  })
})
