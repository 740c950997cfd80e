import { describe, expect, it } from 'vitest'
import { type RejectedRecord, type SagaStore, TransferError, type TransferProgress, transfer, verify } from '../../index.js'
import { BACKENDS, everything, fill, fillPayloads, howMany, storeOn } from './stores'

const PAIRS = BACKENDS.flatMap((from) => BACKENDS.map((to) => [from, to] as const))

async function failureOf(moving: PromiseLike<unknown>): Promise<TransferError> {
  const error = await Promise.resolve(moving).then(
    () => undefined,
    (reason) => reason,
  )
  expect(error).toBeInstanceOf(TransferError)
  expect(error.code).toBe('TRANSFER')
  return error
}

const sum = (counts: TransferError['counts'], name: 'transferred' | 'failed' | 'skipped' | 'expired') =>
  Object.values(counts).reduce((total, one) => total + one[name], 0)

describe.each(PAIRS)('a transfer from %s to %s', (from, to) => {
  it('moves everything as it is', async () => {
    const [source, target] = [await storeOn(from), await storeOn(to)]
    await fill(source)
    const seen: TransferProgress[] = []
    const moving = transfer(source, target, { batchSize: 7 })
    for await (const progress of moving) seen.push(progress)
    const result = await moving
    expect(await everything(target)).toEqual(await everything(source))
    expect(result).toMatchObject({ failed: 0, skipped: 0, expired: 0, transferred: 21 + 20 * 4, dryRun: false })
    expect(result.counts.payloads).toMatchObject({ transferred: 21 })
    expect(new Set(seen.map(({ kind }) => kind))).toEqual(new Set(['payloads', 'states', 'executions', 'outbox', 'inbox']))
    for (const { percentComplete, total, transferred } of seen) {
      expect(percentComplete >= 0 && percentComplete <= 100 && transferred <= total).toBe(true)
    }
    expect(seen.at(-1)).toMatchObject({ kind: 'inbox', percentComplete: 100, total: 20, approximate: false, etaMs: 0 })
    expect(await verify(source, target)).toMatchObject({ equal: true, same: 101 })
  })

  it('leaves leases and tokens as they were: a worker goes on in the target', async () => {
    const [source, target] = [await storeOn(from), await storeOn(to)]
    await source.outbox.insert([1, 2, 3].map((number) => ({ eventId: `e${number}`, eventType: 't', payload: { number } })))
    const claimed = await source.outbox.claim({ workerId: 'w', batchSize: 2, leaseMs: 60_000 })
    await transfer(source, target, { kinds: ['outbox'] })
    expect(await target.outbox.ack(claimed)).toEqual({ acked: 2, lost: [] })
    expect((await target.outbox.claim({ workerId: 'v' })).map(({ eventId }) => eventId)).toEqual(['e3'])
  })

  it('keeps each expiry to the millisecond, or counts it as expired', async () => {
    const [source, target] = [await storeOn(from, { lateRetentionMs: 300 }), await storeOn(to)]
    const soon = new Date(Date.now() + 20_000)
    const late = new Date('9999-12-31T23:59:59.999Z')
    await source.put('never', Buffer.from('a'))
    await source.put('soon', Buffer.from('b'), soon)
    await source.put('late', Buffer.from('c'), late)
    await source.put('past', Buffer.from('d'), new Date(Date.now() - 1_000))
    await new Promise((resolve) => setTimeout(resolve, 400))
    const result = await transfer(source, target, { kinds: ['payloads'] })
    expect(result.transferred + result.expired).toBeGreaterThanOrEqual(3)
    expect(result).toMatchObject({ transferred: 3, failed: 0, skipped: 0 })
    const moved = new Map((await everything(target)).map((record) => [record.id, record.expiresAt]))
    expect(moved).toEqual(
      new Map<unknown, unknown>([
        ['never', undefined],
        ['soon', soon],
        ['late', late],
      ]),
    )
  })

  it.each(['fail', 'skip', 'retry'] as const)('that loses its source midway rejects, with a checkpoint (%s)', async (onError) => {
    const [source, target] = [await storeOn(from), await storeOn(to)]
    await fillPayloads(source, 1_000)
    const moving = transfer(source, target, { batchSize: 50, concurrency: 3, onError })
    const looking = (async () => {
      for await (const { transferred } of moving) if (transferred >= 250) await source.close()
    })()
    const error = await failureOf(moving)
    await expect(looking).rejects.toBe(error)
    expect((error.cause as { code: string }).code).toBe('CLOSED')
    const { counts } = JSON.parse(error.checkpoint as string)
    expect(counts.payloads.transferred).toBeGreaterThanOrEqual(250)
    expect(counts.payloads.transferred).toBeLessThan(1_000)
    expect(await howMany(target)).toBeGreaterThanOrEqual(counts.payloads.transferred)
  })

  it('that is stopped goes on at its checkpoint', async () => {
    const [source, target] = [await storeOn(from), await storeOn(to)]
    await fill(source, 60)
    let checkpoint: string | undefined
    let rounds = 0
    for (; rounds < 100; rounds += 1) {
      const stopping = new AbortController()
      const moving = transfer(source, target, {
        batchSize: 10,
        signal: stopping.signal,
        ...(checkpoint !== undefined && { resumeFrom: checkpoint }),
      })
      let pages = 0
      const looking = (async () => {
        for await (const _ of moving) if (++pages === 3) stopping.abort()
      })().catch(() => undefined)
      const ended = await Promise.resolve(moving).then(
        (result) => ({ result }),
        (error) => ({ error }),
      )
      await looking
      if ('result' in ended) {
        const { transferred, skipped, failed, expired } = ended.result
        expect({ failed, expired, all: transferred + skipped }).toEqual({ failed: 0, expired: 0, all: 61 + 60 * 4 })
        break
      }
      expect(ended.error).toBeInstanceOf(TransferError)
      expect(ended.error.message).toContain('stopped')
      checkpoint = ended.error.checkpoint
    }
    expect(rounds).toBeGreaterThan(3)
    expect(await everything(target)).toEqual(await everything(source))
    expect(await verify(source, target)).toMatchObject({ equal: true })
  })

  it('leaves, replaces or refuses what the target has', async () => {
    const [source, target] = [await storeOn(from), await storeOn(to)]
    for (const store of [source, target]) {
      await store.put('a', Buffer.from(store === source ? 'new' : 'old'), new Date(Date.now() + (store === source ? 90_000 : 60_000)))
      await store.states.insert('Order', 'c', { metadata: { sagaId: 's' }, of: store === source ? 'source' : 'target' })
    }
    await source.states.modify('Order', 's', (state) => state)
    await source.put('b', Buffer.from('b'))
    const what = async () => [
      (await target.get('a')).toString(),
      ((await target.states.getById('Order', 's')) as { of?: string } | null)?.of,
      await target.has('b'),
    ]
    expect(await transfer(source, target)).toMatchObject({ transferred: 1, skipped: 2 })
    expect(await what()).toEqual(['old', 'target', true])
    const rejected: RejectedRecord[] = []
    const error = await failureOf(
      transfer(source, target, { onConflict: 'fail', onError: 'skip', onRejected: (one) => void rejected.push(one) }),
    )
    expect(rejected.map(({ kind, id, name, code }) => [kind, id, name, code]).sort()).toEqual([
      ['payloads', 'a', undefined, 'ALREADY_EXISTS'],
      ['payloads', 'b', undefined, 'ALREADY_EXISTS'],
      ['states', 's', 'Order', 'ALREADY_EXISTS'],
    ])
    expect(error.rejected).toEqual(rejected)
    expect(sum(error.counts, 'failed')).toBe(3)
    expect(await transfer(source, target, { onConflict: 'newer' })).toMatchObject({ transferred: 2, skipped: 1 })
    expect(await what()).toEqual(['new', 'source', true])
    expect(await transfer(source, target, { onConflict: 'newer' })).toMatchObject({ transferred: 0, skipped: 3 })
    expect(await transfer(target, source, { onConflict: 'overwrite' })).toMatchObject({ transferred: 3 })
  })

  it('names everything that is too large for the target, and moves all else', async () => {
    const [source, target] = [await storeOn(from), await storeOn(to, { maxPayloadBytes: 1_000 })]
    const limits = [999, 1_000, 1_001]
    const entries = Array.from({ length: 999 }, (_, index) => ({
      id: `p${index}`,
      data: Buffer.alloc(limits[index % 3] as number, index % 256),
    }))
    await source.putMany(entries)
    const tooLarge = entries.filter(({ data }) => data.byteLength > 1_000).map(({ id }) => id)
    const rejected: RejectedRecord[] = []
    const told = { onRejected: (one: RejectedRecord) => void rejected.push(one) }
    const dry = await failureOf(transfer(source, target, { dryRun: true, ...told }))
    expect(rejected.map(({ id }) => id).sort()).toEqual(tooLarge.toSorted())
    expect(dry.counts.payloads).toMatchObject({ transferred: 666, failed: 333 })
    expect(await howMany(target)).toBe(0)
    rejected.length = 0
    const error = await failureOf(transfer(source, target, { onError: 'skip', ...told }))
    expect(rejected.map(({ id }) => id).sort()).toEqual(tooLarge.toSorted())
    expect(new Set(rejected.map(({ code }) => code))).toEqual(new Set(['PAYLOAD_TOO_LARGE']))
    expect(error.rejected.length).toBe(100)
    expect(error.counts.payloads).toMatchObject({ transferred: 666, failed: 333, skipped: 0, expired: 0 })
    for (const { id, data } of entries) if (data.byteLength <= 1_000) expect((await target.get(id)).equals(data)).toBe(true)
    const first = await failureOf(transfer(source, target, { onError: 'fail' }))
    expect(first.message).toContain('could not be moved')
    expect(JSON.parse(first.checkpoint as string).at).toMatchObject({ kind: 'payloads' })
  })

  it('verifies at its end, if it is asked to', async () => {
    const [source, target] = [await storeOn(from), await storeOn(to)]
    await source.put('a', Buffer.from('one'))
    await target.put('other', Buffer.from('x'))
    expect((await transfer(source, target, { verify: true })).verification).toMatchObject({ same: 1, extra: 1, missing: 0 })
    await target.put('a', Buffer.from('two'))
    const error = await failureOf(transfer(source, target, { verify: true }))
    expect(error.verification).toMatchObject({ different: { bytes: 1, expiry: 0, version: 0 } })
    expect(error.message).toContain('missing or different')
  })
})

it('a checkpoint of another move is refused', async () => {
  const [source, target, other] = [await storeOn('memory'), await storeOn('memory'), await storeOn('memory')]
  await fillPayloads(source, 10)
  const { checkpoint } = await transfer(source, target)
  const elsewhere = transfer(source, other, { resumeFrom: checkpoint })
  expect(await elsewhere.validate()).toMatchObject({ compatible: false, issues: [{ level: 'error', code: 'TRANSFER' }] })
  const error = await failureOf(elsewhere)
  expect(error.message).toContain('another move')
  expect(error.message).toContain('its target is')
  await failureOf(transfer(target, source, { resumeFrom: checkpoint }))
  await failureOf(transfer(source, target, { resumeFrom: checkpoint, kinds: ['payloads'] }))
  expect(await howMany(other)).toBe(0)
  for (const resumeFrom of [
    '',
    '{}',
    'null',
    '[]',
    `${checkpoint}x`,
    checkpoint.replace('"payloads"', '"nothing"').replace('"at":null', '"at":7'),
  ]) {
    expect(() => transfer(source, target, { resumeFrom }), resumeFrom).toThrowError(/checkpoint/)
  }
  // One of a move that has ended has nothing left to do.
  expect(await transfer(source, target, { resumeFrom: checkpoint })).toMatchObject({ transferred: 10, skipped: 0 })
})

it('names are part of what a checkpoint belongs to, passwords are not', async () => {
  const { openStore } = await import('../../index.js')
  const url = 'postgres://user:secret@127.0.0.1:1/db'
  const stores = ['one', 'two'].map((schema) => openStore({ url, schema }))
  const source = await storeOn('memory')
  await source.put('a', Buffer.from('a'))
  const error = await failureOf(transfer(source, stores[0] as SagaStore))
  expect(error.checkpoint).toContain('schema=one')
  expect(error.checkpoint).not.toContain('secret')
  const other = await failureOf(transfer(source, stores[1] as SagaStore, { resumeFrom: error.checkpoint as string }))
  expect(other.message).toContain('another move')
  const again = openStore({ url: url.replace('secret', 'changed'), schema: 'one' })
  expect((await failureOf(transfer(source, again, { resumeFrom: error.checkpoint as string }))).message).not.toContain('another move')
  for (const store of [...stores, again]) await store.close()
})

it('what is wrong is refused at the call', async () => {
  const [source, target] = [await storeOn('memory'), await storeOn('memory')]
  const wrong: [object, RegExp][] = [
    [{ kind: ['payloads'] }, /unknown option 'kind'/],
    [{ kinds: ['payload'] }, /must name some of/],
    [{ kinds: [] }, /must name some of/],
    [{ batchSize: 0 }, /batchSize/],
    [{ batchSize: 1_001 }, /batchSize/],
    [{ concurrency: 1.5 }, /concurrency/],
    [{ onError: 'ignore' }, /'fail', 'skip', 'retry'/],
    [{ onConflict: 'skip' }, /'skip-existing'/],
    [{ onRejected: true }, /must be a function/],
    [{ verify: 1 }, /true or false/],
    [{ recordsPerSecond: 0 }, /above 0/],
    [{ bytesPerSecond: Number.NaN }, /above 0/],
    [{ signal: {} }, /AbortSignal/],
  ]
  for (const [options, message] of wrong) expect(() => transfer(source, target, options as never), String(message)).toThrowError(message)
  expect(() => transfer(source, {} as never)).toThrowError(/the target must be a store/)
  expect(() => transfer(source, source)).toThrowError(/the same store/)
})

it('is no faster than it may be', async () => {
  const [source, target] = [await storeOn('memory'), await storeOn('memory')]
  await fillPayloads(source, 300, 1_000)
  const began = performance.now()
  await transfer(source, target, { recordsPerSecond: 200 })
  expect(performance.now() - began).toBeGreaterThan(450)
  const again = performance.now()
  await transfer(source, await storeOn('memory'), { bytesPerSecond: 300_000 })
  expect(performance.now() - again).toBeGreaterThan(450)
})

it('tells beforehand what is in the way', async () => {
  const [source, target] = [await storeOn('memory'), await storeOn('memory', { maxPayloadBytes: 10 })]
  await source.put('a', Buffer.from('a'))
  await target.put('b', Buffer.from('b'))
  const { compatible, issues } = await transfer(source, target).validate()
  expect(compatible).toBe(true)
  expect(issues.map(({ level, code }) => [level, code])).toEqual([
    ['warning', 'ALREADY_EXISTS'],
    ['warning', 'PAYLOAD_TOO_LARGE'],
  ])
  expect(await target.has('a')).toBe(false)
})
