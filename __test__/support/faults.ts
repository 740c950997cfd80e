import { randomBytes } from 'node:crypto'
import { expect } from 'vitest'
import { type SagaStore, SagaStoreError } from '../../index.js'
import { runProgram } from './programs'
import { eventually } from './promises'

/** Errors that a put may end with when its server breaks. */
const EXPECTED = ['CONNECTION', 'TIMEOUT']

/**
 * Keeps 64 puts in flight while `breakIt` runs; every promise must settle in time, and what
 * resolved is returned (with its data), for the caller to look for afterwards.
 */
export async function putsInFlight(store: SagaStore, breakIt: () => Promise<void>, settleWithinMs: number): Promise<Map<string, Buffer>> {
  const stored = new Map<string, Buffer>()
  const codes = new Map<string, number>()
  let isRunning = true
  let next = 0
  let longest = 0
  const slots = Array.from({ length: 64 }, async (_, slot) => {
    while (isRunning) {
      const id = `put-${next++}`
      const data = randomBytes(slot % 8 === 0 ? 50_000 : 500)
      const began = performance.now()
      try {
        await store.put(id, data)
        stored.set(id, data)
        // The loop must not starve the test itself.
        await new Promise(setImmediate)
      } catch (error) {
        expect(error).toBeInstanceOf(SagaStoreError)
        const { code } = error as SagaStoreError
        codes.set(code, (codes.get(code) ?? 0) + 1)
        await new Promise((resume) => setTimeout(resume, 20))
      }
      longest = Math.max(longest, performance.now() - began)
    }
  })
  await new Promise((resume) => setTimeout(resume, 100))
  await breakIt()
  isRunning = false
  await Promise.all(slots)
  expect([...codes.keys()].filter((code) => !EXPECTED.includes(code))).toEqual([])
  expect(longest).toBeLessThan(settleWithinMs)
  return stored
}

/** The same store, without being opened again, works soon. */
export async function recovers(store: SagaStore, withinMs = 8000): Promise<void> {
  await eventually(
    'the store works again',
    () =>
      store.put('after', Buffer.from('after')).then(
        () => true,
        () => false,
      ),
    withinMs,
  )
  expect((await store.get('after')).toString()).toBe('after')
  // Not by luck of one connection: a burst must go through as well.
  await Promise.all(Array.from({ length: 200 }, (_, n) => store.put(`burst-${n}`, Buffer.alloc(100))))
  expect((await store.health()).status).toBe('healthy')
}

/** A server that does not answer is an error in time, and once it answers the same store works. */
export async function survivesFreeze(store: SagaStore, server: { pause(): Promise<void>; resume(): Promise<void> }): Promise<void> {
  await store.put('before', Buffer.from('before'))
  await server.pause()
  const began = performance.now()
  const results = await Promise.allSettled([store.put('a', Buffer.from('a')), store.get('before'), store.has('before')])
  expect(results.map((result) => result.status)).toEqual(['rejected', 'rejected', 'rejected'])
  for (const result of results) expect((result as PromiseRejectedResult).reason.code).toMatch(/TIMEOUT|CONNECTION/)
  expect(performance.now() - began).toBeLessThan(1500)
  expect(await store.health()).toMatchObject({ status: 'unhealthy' })
  await server.resume()
  await recovers(store)
  expect((await store.get('before')).toString()).toBe('before')
}

/** Killed (-9) and started again with 64 puts in flight: the same store goes on, and has what had resolved. */
export async function survivesKill(store: SagaStore, server: { kill(): Promise<void>; start(): Promise<void> }): Promise<void> {
  const stored = await putsInFlight(
    store,
    async () => {
      await server.kill()
      await new Promise((resume) => setTimeout(resume, 1000))
      await server.start()
      await new Promise((resume) => setTimeout(resume, 300))
    },
    7000,
  )
  await recovers(store)
  expect(stored.size).toBeGreaterThan(0)
  const found = await store.getMany([...stored.keys()])
  for (const [id, data] of stored) expect(found.get(id)?.equals(data), id).toBe(true)
}

/** Eight processes initialize the same new store at once, and each stores a payload in it. */
export async function initializesFromEightProcesses(options: object): Promise<void> {
  const program = `
    const store = sagastore.openStore(args)
    await store.initialize()
    await store.put('p' + process.pid, Buffer.from('x'))
    console.log((await store.get('p' + process.pid)).toString())
    await store.close()`
  const outputs = await Promise.all(Array.from({ length: 8 }, () => runProgram(program, options)))
  expect(outputs).toEqual(Array(8).fill('x\n'))
}
