import { describe, expect, it } from 'vitest'
import { cannotClaim } from '../executions/backends'
import { missing, openTarget, targets } from '../support/targets'
import { fresh } from './fresh'

for (const target of targets) {
  const isMissing = missing(target) || cannotClaim(target)
  describe.skipIf(isMissing)(`${target.name}, what a store tells of its outbox`, () => {
    it('counts events in statistics(), and is degraded while a dead letter holds up its key', async () => {
      await using store = await openTarget(target)
      const { event, id, key } = fresh()
      expect(await store.health()).toMatchObject({ status: 'healthy', details: { outboxBlockedKeys: 0 } })
      await store.outbox.insert([event(1, { partitionKey: key }), event(2, { partitionKey: key }), event(3)])
      await store.outbox.updateStatus(id(1), 'dead_letter')
      const health = await store.health()
      expect(health).toMatchObject({ status: 'degraded', details: { outboxBlockedKeys: 1 } })
      expect(health.message).toContain('1 keys wait behind dead letters')
      const { outbox } = await store.statistics()
      expect(outbox).toMatchObject({ ready: 2, claimed: 0, waiting: 0, dead: 1, sent: 0, blockedKeys: 1 })
      await store.outbox.requeue([id(1)])
      expect((await store.health()).status).toBe('healthy')
    })
  })
}
