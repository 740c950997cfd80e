import { describe, expect, it } from 'vitest'
import { missing, openTarget, targets } from '../support/targets'
import { cannotClaim } from './backends'
import { claimed, fresh, QUICK } from './fresh'

for (const target of targets) {
  describe.skipIf(missing(target))(`${target.name}, what a store tells of executions`, () => {
    it('counts them by status in statistics()', async () => {
      await using store = await openTarget(target)
      const { name, id, other } = fresh()
      await store.executions.create(id, name, { total: 1 })
      await store.executions.start(other, name, {}, { workerId: 'w' })
      const { executions } = await store.statistics()
      expect(executions).toMatchObject({ total: 2, byStatus: { pending: 1, running: 1, failed: 0 }, leased: 1, parked: 0 })
    })

    it.skipIf(cannotClaim(target))('is degraded while there are parked ones, and says how many', async () => {
      await using store = await openTarget(target, QUICK)
      const { name, id } = fresh()
      expect(await store.health()).toMatchObject({ status: 'healthy', details: { executionsParked: 0 } })
      await store.executions.create(id, name, {}, { status: 'running' })
      expect(await claimed(store.executions, name, { maxRecoveryAttempts: 0 })).toEqual([])
      const health = await store.health()
      expect(health).toMatchObject({ status: 'degraded', details: { executionsParked: 1 } })
      expect(health.message).toContain('1 executions are parked')
      expect(await store.executions.redrive([id])).toBe(1)
      expect((await store.health()).status).toBe('healthy')
    })
  })
}
