import { describe, expect, it } from 'vitest'
import { stateBehavior } from './behavior/states'
import { ownConnections } from './executors'
import { rejectionOf } from './support'
import { missing, openTarget, targets } from './targets'

for (const target of targets) {
  describe.skipIf(missing(target))(target.name, () => stateBehavior(ownConnections(target)))
}

for (const target of targets.filter(({ name }) => ['redis', 'dynamodb'].includes(name))) {
  describe.skipIf(missing(target))(target.name, () => {
    it('refuses states in a transaction that is only sent at its end, and stores nothing of it', async () => {
      await using store = await openTarget(target)
      const refused = store.transaction(async (tx) => {
        await tx.put('slip-1', Buffer.from('slip'))
        await tx.states.insert('Order', 'order-1', { metadata: { sagaId: 's-1' } })
      })
      expect(await rejectionOf(refused)).toMatchObject({ code: 'UNSUPPORTED' })
      expect(await store.has('slip-1')).toBe(false)
    })
  })
}
