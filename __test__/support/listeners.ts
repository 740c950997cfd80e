import { expect } from 'vitest'
import { openStore } from '../../index.js'
import { eventually } from './promises'
import { Silencer } from './silencer'
import { openTarget, type Target } from './targets'

/** A session that hears of others' events, and dies unnoticed, is found and replaced. */
export async function replacesSilentListener(target: Target, port: number, word: string): Promise<void> {
  const options = target.options()
  await using silencer = new Silencer(options.url, port, word)
  const url = await silencer.url()
  await using far = await openTarget({ ...target, options: () => options })
  await using store = openStore({ ...options, url })
  await using relay = store.outbox.relay(() => undefined)
  const status = async () => (await store.health()).status
  await far.outbox.insert({ eventType: 'A', payload: 1 })
  await eventually('it is heard', () => relay.stats.acked === 1)
  await new Promise((resume) => setTimeout(resume, 1_000))
  expect(await store.health()).toMatchObject({ status: 'healthy', details: { outboxListens: 1 } })
  silencer.isSilent = true
  await far.outbox.insert({ eventType: 'A', payload: 2 })
  await eventually('it is found by polling', () => relay.stats.acked === 2, 5_000)
  await eventually('health says so', async () => (await status()) === 'degraded', 15_000)
  expect((await store.health()).message).toContain('events of other processes are found by polling')
  silencer.isSilent = false
  await eventually('it listens again', async () => (await status()) === 'healthy', 15_000)
}
