import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, describe, expect, it } from 'vitest'
import type { SagaStore } from '../../index.js'
import { missing, openTarget, targets } from '../support/targets'
import { done, fresh } from './fresh'

const opened: SagaStore[] = []

afterEach(async () => {
  for (const store of opened.splice(0)) await store.close()
})

for (const target of targets.filter(({ name }) => ['memory', 'sqlite', 'postgres', 'redis', 'mongodb'].includes(name))) {
  describe.skipIf(missing(target))(`${target.name}, cleanup of more than a batch`, () => {
    it('counts what it has removed, keeps its progress, and touches nothing else', async () => {
      const store = await openTarget(target)
      opened.push(store)
      const { name } = fresh()
      const make = async (many: number, status: 'completed' | 'running') => {
        for (let at = 0; at < many; at += 250) {
          const batch = Array.from({ length: 250 }, (_, n) => `${name}-${status}-${at + n}`)
          await Promise.all(batch.map((id) => store.executions.create(id, name, { n: 1 }, { status, steps: [done('a')] })))
        }
      }
      await make(2_500, 'completed')
      await make(250, 'running')
      await sleep(20)
      expect(await store.executions.cleanup({ olderThanMs: 0, limit: 1_200 })).toBe(1_200)
      expect(await store.executions.count({ name, status: 'completed' })).toBe(1_300)
      expect(await store.executions.cleanup({ olderThanMs: 0 })).toBe(1_300)
      expect(await store.executions.count({ name })).toBe(250)
      expect(await store.executions.statistics()).toMatchObject({ total: 250, byStatus: { completed: 0, running: 250 } })
    }, 60_000)
  })
}
