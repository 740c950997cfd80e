import { describe, expect, it } from 'vitest'
import { replacesSilentListener } from '../../support/listeners'
import { eventually } from '../../support/promises'
import { missing, openTarget, type Target, targets } from '../../support/targets'

const byName = (wanted: string) => targets.filter(({ name }) => name === wanted) as [Target]
const [redis] = byName('redis')
const [cluster] = byName('redis cluster')

describe.skipIf(missing(redis))('a connection that listens and dies unnoticed', () => {
  it('is found and replaced; meanwhile events are found by polling, and health says so', async () => {
    await replacesSilentListener(redis, 6379, '\r\nBLOCK\r\n')
  }, 60_000)
})

for (const target of [redis, cluster]) {
  describe.skipIf(missing(target))(`another store on ${target.name}`, () => {
    it('is heard sooner than it would be found by polling', async () => {
      const options = target.options()
      await using far = await openTarget({ ...target, options: () => options })
      await using store = await openTarget({ ...target, options: () => options })
      await using relay = store.outbox.relay(() => undefined)
      await eventually('it listens', async () => (await store.health()).details.outboxListens === 1)
      const took: number[] = []
      for (let n = 1; n <= 5; n += 1) {
        // Long enough for the polls to have become rare.
        await new Promise((resume) => setTimeout(resume, 1_500))
        const began = performance.now()
        await far.outbox.insert({ eventType: 'A', payload: n })
        await eventually('it is heard', () => relay.stats.acked === n)
        took.push(performance.now() - began)
      }
      // Polling alone would take half a second on average.
      expect(took.sort((a, b) => a - b)[2]).toBeLessThan(300)
    }, 60_000)
  })
}
