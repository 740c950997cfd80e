import { describe, expect, it } from 'vitest'
import type { PayloadTooLargeError, TransferError } from '../../index.js'
import { MemorySagaStore, openStore, transfer } from '../../index.js'
import { rejectionOf } from '../support/promises'
import { missing, type Target, targets } from '../support/targets'

const limited = targets.filter(({ name }) => name === 'mongodb' || name === 'dynamodb') as Target[]

for (const target of limited) {
  describe.skipIf(missing(target))(`payloads at the limit of ${target.name}`, () => {
    it('arrive with the same bytes, or are refused alone; a dry run names them', async () => {
      await using store = openStore(target.options())
      await store.initialize()
      const tooLarge = (await rejectionOf(store.put('exact', Buffer.alloc(17_000_000)))) as PayloadTooLargeError
      expect(tooLarge.code).toBe('PAYLOAD_TOO_LARGE')
      await using source = new MemorySagaStore('memory://')
      const payload = (bytes: number) => Buffer.alloc(bytes, 'bytes that are told apart ')
      // Ids are as long, because they are a part of the record.
      await source.put('exact', payload(tooLarge.limit))
      await source.put('above', payload(tooLarge.limit + 1))
      await source.put('below', payload(tooLarge.limit - 1))
      const named: string[] = []
      const onRejected = ({ id, code }: { id: string; code: string }) => void named.push(`${id} ${code}`)
      const dry = (await rejectionOf(transfer(source, store, { dryRun: true, onRejected }).then())) as TransferError
      expect([dry.code, named]).toEqual(['TRANSFER', ['above PAYLOAD_TOO_LARGE']])
      expect(await store.has('exact')).toBe(false)
      named.length = 0
      const error = (await rejectionOf(transfer(source, store, { onError: 'skip', onRejected }).then())) as TransferError
      expect([error.code, named]).toEqual(['TRANSFER', ['above PAYLOAD_TOO_LARGE']])
      expect(error.counts.payloads).toMatchObject({ transferred: 2, failed: 1 })
      for (const id of ['exact', 'below']) expect((await store.get(id)).equals(await source.get(id))).toBe(true)
    }, 120_000)
  })
}
