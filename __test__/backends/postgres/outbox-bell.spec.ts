import pg from 'pg'
import { describe, expect, it } from 'vitest'
import { openStore, withTransaction } from '../../../index.js'
import { replacesSilentListener } from '../../support/listeners'
import { eventually } from '../../support/promises'
import { missing, type Target, targets } from '../../support/targets'

const [target] = targets.filter(({ name }) => name === 'postgres') as [Target]
const EVENTS = ['A', 'B'].map((eventType) => ({ eventType, payload: null }))

/** What is told of the events of a table, until `end` is told. */
async function hear(url: string, channel: string) {
  const client = new pg.Client(url)
  await client.connect()
  const heard: string[] = []
  client.on('notification', ({ payload = '' }) => heard.push(payload))
  await client.query(`listen "${channel}"`)
  return {
    client,
    heard,
    async end() {
      await client.query(`notify "${channel}", 'end'`)
      await eventually('the end is heard', () => heard.includes('end'))
      await client.end()
      return heard.filter((payload) => payload !== 'end')
    },
  }
}

describe.skipIf(missing(target))('a session that listens and dies unnoticed', () => {
  it('is found and replaced; meanwhile events are found by polling, and health says so', async () => {
    await replacesSilentListener(target, 5432, 'LISTEN')
  }, 60_000)
})

describe.skipIf(missing(target))('others are told of events', () => {
  for (const notify of ['commit', 'transaction'] as const) {
    it(`${notify}: once for each commit`, async () => {
      const outboxTableName = `told_${notify}_${Math.random().toString(36).slice(2, 10)}`
      const options = { ...target.options(), outboxTableName, outbox: { notify } }
      const store = openStore(options)
      await store.initialize()
      const ears = await hear(options.url, `sagastore:${outboxTableName}`)
      const commits = [
        () => store.outbox.insert(EVENTS),
        () => store.outbox.insert({ eventId: 'c', eventType: 'C', payload: null }),
        () =>
          store.transaction(async (tx) => {
            await tx.outbox.insert(EVENTS)
            await tx.put('saga', Buffer.from('slip'))
            await tx.outbox.insert(EVENTS)
          }),
      ]
      for (const [n, commit] of commits.entries()) {
        await commit()
        await eventually('it is told', () => ears.heard.length > n)
      }
      // What stores nothing tells nothing in the transaction.
      await expect(store.outbox.insert({ eventId: 'c', eventType: 'C', payload: null })).rejects.toThrow()
      await expect(
        store.transaction(async (tx) => {
          await tx.outbox.insert(EVENTS)
          throw new RangeError('no')
        }),
      ).rejects.toThrow(RangeError)
      await store.close()
      expect(await ears.end()).toHaveLength(commits.length)
    })
  }

  it('a client of the application tells where it is asked to, in its transaction', async () => {
    const outboxTableName = `told_client_${Math.random().toString(36).slice(2, 10)}`
    const options = { ...target.options(), outboxTableName, outbox: { notify: 'transaction' as const } }
    const store = openStore(options)
    await store.initialize()
    const ears = await hear(options.url, `sagastore:${outboxTableName}`)
    const client = new pg.Client(options.url)
    await client.connect()
    await client.query('begin')
    await withTransaction(client, async () => {
      await store.outbox.insert(EVENTS)
      await store.outbox.insert(EVENTS)
    })
    await client.query('commit')
    await client.end()
    await eventually('it is told', () => ears.heard.length > 0)
    await store.close()
    expect(await ears.end()).toHaveLength(1)
  })
})
