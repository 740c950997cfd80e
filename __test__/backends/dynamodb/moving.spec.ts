import { describe, expect, it } from 'vitest'
import { startProxy } from '../../support/dynamodb-proxy'
import { dynamo, open, withDynamoDB } from '../../support/dynamodb-server'

withDynamoDB()

const payloads = (count: number) =>
  Array.from({ length: count }, (_, n) => ({ kind: 'payloads' as const, id: `p-${n}`, data: Buffer.from(`data ${n}`) }))

/** A server that leaves out so many items of each batch; `undefined`: of no batch any more. */
function leavingOut(next: () => number | undefined) {
  return startProxy(dynamo.server.endpoint, {
    request(operation, body) {
      if (operation !== 'BatchWriteItem') return undefined
      const requests = body.RequestItems as unknown as Record<string, unknown[]>
      const left: Record<string, unknown[]> = {}
      for (const [table, writes] of Object.entries(requests)) {
        const kept = writes.length - (next() ?? 0)
        left[table] = writes.slice(kept)
        requests[table] = writes.slice(0, kept)
      }
      ;(body as Record<string, unknown>).left = left
      return undefined
    },
    response(operation, answer, body) {
      if (operation !== 'BatchWriteItem') return
      const left = Object.entries((body as unknown as { left: Record<string, unknown[]> }).left)
      ;(answer as { UnprocessedItems?: object }).UnprocessedItems = Object.fromEntries(left.filter(([, writes]) => writes.length > 0))
    },
  })
}

describe('an import of 25 payloads that are left out', () => {
  it('first 10, then 9 of these: all arrive, and all are counted', async () => {
    const rounds = [10, 9]
    await using proxy = await leavingOut(() => rounds.shift())
    const { store } = open({ url: proxy.url, retry: { attempts: 1 } })
    await store.initialize()
    expect(await store.importRecords(payloads(25), { onConflict: 'overwrite' })).toMatchObject({ transferred: 25, failed: 0 })
    expect(proxy.seen.filter((operation) => operation === 'BatchWriteItem').length).toBe(3)
    const found = await store.getMany(payloads(25).map(({ id }) => id))
    for (const { id, data } of payloads(25)) expect(found.get(id)).toEqual(data)
    await store.close()
  })
})
