import pg from 'pg'
import { describe, expect, it } from 'vitest'
import { eventually } from '../../support/promises'
import { missing, openTarget, type Target, targets } from '../../support/targets'

const [target] = targets.filter(({ name }) => name === 'postgres') as [Target]

describe.skipIf(missing(target))('the table of events that are not sent', () => {
  it('is vacuumed by the store after so many acknowledgements', async () => {
    const options = target.options() as { url: string; schema: string }
    await using store = await openTarget({ ...target, options: () => options })
    const client = new pg.Client(options.url)
    await client.connect()
    const vacuums = async () => {
      const { rows } = await client.query('select vacuum_count::int as n from pg_stat_user_tables where schemaname = $1 and relname = $2', [
        options.schema,
        'saga_outbox',
      ])
      return (rows[0] as { n: number } | undefined)?.n ?? 0
    }
    expect(await vacuums()).toBe(0)
    for (let n = 0; n < 50; n += 1) {
      await store.outbox.insert(Array.from({ length: 1_000 }, () => ({ eventType: 'A', payload: n })))
      const claims = await store.outbox.claim({ workerId: 'w', batchSize: 1_000 })
      expect(claims.length).toBe(1_000)
      await store.outbox.ack(claims)
    }
    await eventually('it is vacuumed', async () => (await vacuums()) > 0, 20_000)
    await client.end()
  }, 120_000)

  it('has its old transactions told of', async () => {
    await using store = await openTarget(target)
    const client = new pg.Client((target.options() as { url: string }).url)
    await client.connect()
    await client.query('begin isolation level repeatable read')
    await client.query('select 1')
    await new Promise((resume) => setTimeout(resume, 300))
    const { oldestTransactionMs } = (await store.health()).details as { oldestTransactionMs: number }
    expect(oldestTransactionMs).toBeGreaterThanOrEqual(300)
    await client.end()
  }, 30_000)
})
