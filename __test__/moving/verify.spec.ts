import { describe, expect, it } from 'vitest'
import { transfer, verify } from '../../index.js'
import { BACKENDS, fill, fillPayloads, storeOn } from './stores'

describe.each(BACKENDS)('verify on %s', (backend) => {
  it('finds an empty target, a changed byte, a lost expiry, and what is extra', async () => {
    const [source, target] = [await storeOn(backend), await storeOn(backend)]
    await fillPayloads(source, 700)
    const empty = await verify(source, target, { kinds: ['payloads'] })
    expect(empty).toMatchObject({ equal: false, same: 0, missing: 700, extra: 0 })
    expect(empty.ids).toContainEqual({ kind: 'payloads', id: 'p-000000', what: 'missing' })
    await transfer(source, target)
    expect(await verify(source, target)).toMatchObject({ equal: true, same: 700, ids: [] })
    const changed = await source.get('p-000001')
    changed[0] = (changed[0] as number) ^ 1
    await target.put('p-000001', changed)
    await target.put('p-000003', await source.get('p-000003'))
    await target.put('extra', Buffer.from('x'))
    await target.delete('p-000005')
    const found = await verify(source, target)
    expect(found).toMatchObject({ equal: false, same: 697, missing: 1, extra: 1, different: { bytes: 1, expiry: 1, version: 0 } })
    expect(found.ids.map(({ id, what }) => [id, what]).sort()).toEqual([
      ['extra', 'extra'],
      ['p-000001', 'bytes'],
      ['p-000003', 'expiry'],
      ['p-000005', 'missing'],
    ])
  })

  it('finds changes of every kind', async () => {
    const [source, target] = [await storeOn(backend), await storeOn(backend)]
    await fill(source)
    await transfer(source, target)
    await target.states.modify('Order', 'saga-1', (state) => state)
    await target.executions.logStep('run-19', 'more', 'act', 'started')
    await target.outbox.updateStatus('event-0010', 'dead_letter', 'why')
    await target.inbox.forget('consumer', 'message-3')
    await target.inbox.accept('other', 'message-3')
    const found = await verify(source, target)
    expect(found.ids.map(({ kind, id, name, what }) => [kind, id, name, what])).toEqual([
      // Its version and its dates are in the state, too.
      ['states', 'saga-1', 'Order', 'bytes'],
      ['executions', 'run-19', undefined, 'bytes'],
      ['outbox', 'event-0010', undefined, 'version'],
      ['inbox', 'message-3', 'consumer', 'missing'],
      ['inbox', 'message-3', 'other', 'extra'],
    ])
    expect(found.same).toBe(21 + 80 - 4)
  })

  it('compares a part of the records, the same on both sides', async () => {
    const [source, target] = [await storeOn(backend), await storeOn(backend)]
    await fillPayloads(source, 1_000)
    await transfer(source, target)
    const found = await verify(source, target, { sample: 0.1 })
    expect(found).toMatchObject({ equal: true, missing: 0, extra: 0 })
    expect(found.same).toBeGreaterThan(50)
    expect(found.same).toBeLessThan(160)
    for (const sample of [0, 1.1, '1']) await expect(verify(source, target, { sample: sample as number })).rejects.toThrowError(/sample/)
  })

  it('leaves out what has expired', async () => {
    const [source, target] = [await storeOn(backend), await storeOn(backend)]
    await source.put('a', Buffer.from('a'), new Date(Date.now() + 400))
    await target.put('b', Buffer.from('b'), new Date(Date.now() + 400))
    await new Promise((resolve) => setTimeout(resolve, 450))
    expect(await verify(source, target)).toMatchObject({ equal: true, same: 0 })
  })
})
