import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { openStore, type SagaStore } from '../../index.js'
import { cannotClaim } from '../executions/backends'
import { startProgram } from '../support/programs'
import { eventually } from '../support/promises'
import { missing, targets, temporaryDirectory } from '../support/targets'

const SHARED = ['sqlite', 'postgres', 'redis', 'redis cluster', 'mongodb', 'dynamodb']
/** Those where an insertion wakes the relays of other processes. */
const RINGING = ['sqlite', 'postgres']
const EVENTS = 400
const KEYS = 8

/** Appends a line for each event, and ends with its input. */
const RELAY = `const store = sagastore.openStore(args.options)
  const fs = require('node:fs')
  const relay = store.outbox.relay(async (event) => {
    await new Promise((resume) => setTimeout(resume, Math.random() * 3))
    fs.appendFileSync(args.file, event.partitionKey + ' ' + event.payload + ' ' + process.pid + '\\n')
  }, { concurrency: 4, batchSize: 20, ...args.relay })
  console.log('ready')
  process.once('SIGTERM', async () => {
    await relay.stop()
    console.log(JSON.stringify(relay.stats))
    await store.close()
    process.exit(0)
  })
  setInterval(() => {}, 1000)`

async function isEmpty({ outbox }: SagaStore): Promise<boolean> {
  const { ready, claimed, waiting } = await outbox.statistics()
  return ready + claimed + waiting === 0
}

const keyed = (count: number) =>
  Array.from({ length: count }, (_, n) => ({ eventType: 'Numbered', payload: n, partitionKey: `key-${n % KEYS}` }))

for (const target of targets.filter(({ name }) => SHARED.includes(name))) {
  describe.skipIf(missing(target) || cannotClaim(target))(`${target.name}, relays in processes of their own`, () => {
    it('publish each event once, those of one key in order', async () => {
      const options = target.options()
      await using store = openStore(options)
      await store.initialize()
      const file = join(temporaryDirectory(), 'published')
      writeFileSync(file, '')
      const programs = [1, 2].map(() => startProgram(RELAY, { options, file }))
      await eventually('both are ready', () => programs.every(({ output }) => output().includes('ready')))
      for (let at = 0; at < EVENTS; at += 50) await store.outbox.insert(keyed(EVENTS).slice(at, at + 50))
      await eventually('all are published', () => isEmpty(store), 30_000)
      for (const { child } of programs) child.kill('SIGTERM')
      const ends = await Promise.all(programs.map(({ done }) => done))
      expect(ends.map(({ stderr }) => stderr)).toEqual(['', ''])
      const lines = readFileSync(file, 'utf8').trim().split('\n')
      expect(lines).toHaveLength(EVENTS)
      for (let key = 0; key < KEYS; key += 1) {
        const numbers = lines.filter((line) => line.startsWith(`key-${key} `)).map((line) => Number(line.split(' ')[1]))
        expect(numbers).toEqual(Array.from({ length: EVENTS / KEYS }, (_, n) => n * KEYS + key))
      }
    }, 60_000)

    it('leave to others what they had, once they are killed and their leases are over', async () => {
      const options = target.options()
      await using store = openStore(options)
      await store.initialize()
      const program = `const store = sagastore.openStore(args.options)
        store.outbox.relay(() => { console.log('has one'); return new Promise(() => {}) }, { concurrency: 3, batchSize: 10, leaseMs: 1500 })
        setInterval(() => {}, 1000)`
      const { child, done, output } = startProgram(program, { options })
      await store.outbox.insert(keyed(10).map(({ partitionKey: _, ...event }) => event))
      await eventually('it has them', () => output().includes('has one'))
      await eventually('it has all', async () => (await store.outbox.statistics()).claimed === 10)
      // Renewed meanwhile.
      await sleep(2_000)
      expect(await store.outbox.claim({ workerId: 'other' })).toEqual([])
      child.kill('SIGKILL')
      await done
      const killedAt = performance.now()
      expect(await store.outbox.claim({ workerId: 'other' })).toEqual([])
      const handled: [number, number][] = []
      await using relay = store.outbox.relay<number>(({ payload, deliveries }) => handled.push([payload, deliveries]))
      await eventually('they come again', () => relay.stats.acked === 10)
      expect(performance.now() - killedAt).toBeGreaterThan(400)
      // Leases that end one after the other may come in several claims.
      expect(handled.toSorted(([a], [b]) => a - b)).toEqual(Array.from({ length: 10 }, (_, n) => [n, 2]))
    }, 60_000)

    it.skipIf(!RINGING.includes(target.name))(
      'are woken by insertions of another one',
      async () => {
        const options = target.options()
        await using store = openStore(options)
        await store.initialize()
        const program = `const store = sagastore.openStore(args.options)
        store.outbox.relay(() => { console.log('at ' + Date.now()) }, { pollMs: 60_000 })
        console.log('ready')
        setInterval(() => {}, 1000)`
        const { child, done, output } = startProgram(program, { options })
        const times = () => [...output().matchAll(/at (\d+)/g)].map(([, time]) => Number(time))
        await eventually('it is ready', () => output().includes('ready'))
        const latencies: number[] = []
        for (let n = 0; n < 3; n += 1) {
          // By then its pauses are longer than a second.
          await sleep(1_900)
          if (n === 2) await store.transaction((tx) => tx.outbox.insert(keyed(1)))
          else await store.outbox.insert(keyed(1))
          const began = Date.now()
          await eventually('it is published', () => times().length === n + 1)
          latencies.push((times()[n] as number) - began)
        }
        child.kill('SIGKILL')
        await done
        for (const latency of latencies) expect(latency).toBeLessThan(1_000)
      },
      60_000,
    )
  })
}
