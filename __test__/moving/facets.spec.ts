import { describe, expect, it } from 'vitest'
import { type ExportedRecord, type RejectedRecord, TransferError } from '../../index.js'
import { BACKENDS, everything, fill, storeOn } from './stores'

describe.each(BACKENDS)('whole records on %s', (backend) => {
  it('are exported, imported and counted', async () => {
    const [source, target, parts] = [await storeOn(backend), await storeOn(backend), await storeOn(backend)]
    await fill(source)
    expect(await target.importRecords(source.exportAll())).toMatchObject({ transferred: 101, failed: 0, skipped: 0, expired: 0 })
    expect(await everything(target)).toEqual(await everything(source))
    expect(await target.importRecords(source.exportAll())).toMatchObject({ transferred: 0, skipped: 101 })
    const counts = await target.count()
    expect(
      Object.entries(counts).map(([kind, { count, approximate }]) => [kind, approximate ? (kind === 'payloads' ? 21 : 20) : count]),
    ).toEqual([
      ['payloads', 21],
      ['states', 20],
      ['executions', 20],
      ['outbox', 20],
      ['inbox', 20],
    ])
    expect(await target.count({ kinds: ['inbox'] })).toMatchObject({ inbox: { approximate: expect.any(Boolean) } })
    await parts.states.importRecords(source.states.exportAll())
    await parts.executions.importRecords(source.executions.exportAll())
    await parts.outbox.importRecords(source.outbox.exportAll())
    await parts.inbox.importRecords(source.inbox.exportAll())
    const kinds = ['states', 'executions', 'outbox', 'inbox'] as const
    expect(await everything(parts)).toEqual(await everything(source, [...kinds]))
    for (const kind of kinds) expect(await parts[kind].count()).toEqual(counts[kind]?.approximate ? expect.any(Number) : 20)
    expect(await parts.executions.count({ name: 'order', tag: 't1' })).toBe(7)
  })

  it('are refused one by one, and told', async () => {
    const store = await storeOn(backend, { maxPayloadBytes: 100 })
    const record = (id: string, bytes: number): ExportedRecord => ({ kind: 'payloads', id, data: Buffer.alloc(bytes) })
    const rejected: RejectedRecord[] = []
    const records = [record('a', 1), record('b', 101), record('c', 100), record('', 1)]
    const error = await store.importRecords(records, { onRejected: (one) => void rejected.push(one) }).catch((reason) => reason)
    expect(error).toBeInstanceOf(TransferError)
    expect(rejected.map(({ id, code }) => [id, code])).toEqual([
      ['b', 'PAYLOAD_TOO_LARGE'],
      ['', 'INVALID_ARGUMENT'],
    ])
    expect(error.counts.payloads).toMatchObject({ transferred: 2, failed: 2 })
    expect([await store.has('a'), await store.has('c')]).toEqual([true, true])
    await expect(store.importRecords([{ id: 'x' } as never])).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' })
    await expect(store.states.importRecords([record('a', 1)] as never)).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' })
    await expect(store.importRecords(7 as never)).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' })
    await expect(store.importRecords([], { onConflict: 'no' as never })).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' })
    // Nothing is thrown at the call.
    await expect(store.exportAll({ kinds: ['none'] as never }).next()).rejects.toThrowError(/must name some of/)
    await expect(store.states.exportAll({ kinds: ['states'] } as never).next()).rejects.toThrowError(/unknown option 'kinds'/)
  })

  it('take no part in transactions', async () => {
    const store = await storeOn(backend)
    await store.transaction(async (tx) => {
      await expect(tx.states.count()).rejects.toMatchObject({ code: 'UNSUPPORTED' })
      await expect(store.count()).rejects.toMatchObject({ code: 'UNSUPPORTED' })
    })
  })
})
