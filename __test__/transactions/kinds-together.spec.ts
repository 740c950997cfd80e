import { describe, expect, it } from 'vitest'
import { joined, storeOn } from '../support/executors'
import { rejectionOf } from '../support/promises'
import { postgresLibraries, sqliteLibraries } from '../support/sql-libraries'
import { missing } from '../support/targets'

const slip = Buffer.from('slip')
const order = (sagaId: string, rest: object = {}) => ({ metadata: { sagaId }, ...rest })

for (const library of [...postgresLibraries, ...sqliteLibraries]) {
  const variable = library.backend === 'postgres' ? 'POSTGRES_URL' : undefined
  const available = variable === undefined || process.env[variable] !== undefined

  describe.skipIf(missing({ name: library.name, available, ...(variable && { variable }) }))(`in a transaction of ${library.name}`, () => {
    it('payload and state are stored together, or neither', async () => {
      const open = await library.open()
      const store = storeOn(open, library)
      try {
        await store.initialize()
        await joined(library, open, async () => {
          await store.put('slip-1', slip)
          await store.states.insert('Order', 'o-1', order('s-1'))
        })
        expect(await store.has('slip-1')).toBe(true)
        expect(await store.states.getByCorrelationId('Order', 'o-1')).toMatchObject({ metadata: { version: 1 } })
        const rolledBack = joined(library, open, async () => {
          await store.put('slip-2', slip)
          await store.states.update('Order', order('s-1', { step: 2 }), 1)
          await store.states.insert('Order', 'o-2', order('s-2'))
          // A conflict is an answer: the transaction goes on.
          expect((await rejectionOf(store.states.insert('Order', 'o-1', order('s-3')))).code).toBe('ALREADY_EXISTS')
          expect(await store.states.countByName('Order')).toBe(2)
          throw new RangeError('no')
        })
        await expect(rolledBack).rejects.toThrow(RangeError)
        expect(await store.has('slip-2')).toBe(false)
        expect(await store.states.getById('Order', 's-1')).toMatchObject({ metadata: { version: 1 } })
        expect(await store.states.countByName('Order')).toBe(1)
      } finally {
        await store.close()
        await open.close()
      }
    })
  })
}
