import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, describe, expect, it } from 'vitest'
import type { SagaStore } from '../../index.js'
import { Renewals } from '../../ts/run/renewals'
import { runProgram, startProgram } from '../support/programs'
import { eventually } from '../support/promises'
import { missing, openTarget, type Target, targets } from '../support/targets'
import { cannotClaim } from './backends'
import { claimed, done, fresh, QUICK } from './fresh'

const opened: SagaStore[] = []

afterEach(async () => {
  for (const store of opened.splice(0)) await store.close()
})

async function open(target: Target): Promise<SagaStore> {
  const store = await openTarget(target, QUICK)
  opened.push(store)
  return store
}

const block = (ms: number) => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms)

for (const target of targets) {
  describe.skipIf(missing(target))(`${target.name}, leases that are renewed`, () => {
    const claiming = it.skipIf(cannotClaim(target))

    claiming('are not lost by an event loop that is blocked', async () => {
      const store = await open(target)
      const { id, name } = fresh()
      const run = await store.executions.start(id, name, {}, { workerId: 'a', leaseMs: 1_200 })
      block(2_000)
      expect(await claimed(store.executions, name)).toEqual([])
      await run.checkpoint({ steps: [done('a')] })
      expect(run.signal.aborted).toBe(false)
      await run.complete()
    })

    claiming('are those of the run that has the execution now, whatever became of an earlier one', async () => {
      const store = await open(target)
      const { id, name } = fresh()
      const first = await store.executions.start(id, name, {}, { workerId: 'a', leaseMs: 1_200 })
      await store.executions.updateStatus(id, 'failed', { force: true })
      await store.executions.updateStatus(id, 'running', { force: true })
      const [second] = await store.executions.claim({ workerId: 'a', leaseMs: 1_200, names: [name] })
      await eventually('the first is told', () => first.signal.aborted)
      await sleep(1_400)
      expect(second?.signal.aborted).toBe(false)
      expect(await claimed(store.executions, name)).toEqual([])
      await second?.complete()
    })

    claiming('end with the store: the run is told, and another one goes on', async () => {
      const options = target.options()
      const { id, name } = fresh()
      const store = await openTarget({ ...target, options: () => options }, QUICK)
      opened.push(await openTarget({ ...target, options: () => options }, QUICK))
      const run = await store.executions.start(id, name, {}, { workerId: 'a', leaseMs: 500 })
      await store.close()
      await eventually('the run is told', () => run.signal.aborted)
      expect(run.signal.reason).toMatchObject({ code: 'LEASE_LOST', message: expect.stringContaining('the store is closed') })
      await sleep(700)
      const [other] = opened as [SagaStore]
      // Each `sqlite::memory:` is a database of its own.
      if (options.url !== 'sqlite::memory:') expect(await claimed(other.executions, name)).toEqual([id])
    })
  })
}

describe('a process', () => {
  it('is not kept alive by its leases', async () => {
    const { id, name } = fresh()
    const program = `const store = sagastore.openStore('memory://')
      const run = await store.executions.start(args.id, args.name, {}, { workerId: 'a', leaseMs: 60_000 })
      console.log(run.status)`
    const before = performance.now()
    expect(await runProgram(program, { id, name })).toBe('running\n')
    expect(performance.now() - before).toBeLessThan(10_000)
  })

  it('does not renew the lease of a run that it has forgotten', async () => {
    const { id, name } = fresh()
    const program = `require('node:v8').setFlagsFromString('--expose-gc')
      const gc = require('node:vm').runInNewContext('gc')
      const store = sagastore.openStore({ url: 'memory://', recoveryBackoffMs: 10 })
      const claim = async () => (await store.executions.claim({ workerId: 'b', names: [args.name], renew: false })).length
      await (async () => { await store.executions.start(args.id, args.name, {}, { workerId: 'a', leaseMs: 1_000 }) })()
      await new Promise((resume) => setTimeout(resume, 1_500))
      const held = await claim()
      for (let n = 0; n < 100; n += 1) {
        gc()
        await new Promise((resume) => setTimeout(resume, 50))
        if (await claim()) { console.log(held, 'free'); break }
      }`
    expect(await runProgram(program, { id, name })).toBe('0 free\n')
  })

  const [sqlite] = targets.filter(({ name }) => name === 'sqlite') as [Target]

  it('that is killed leaves its executions to others, once its leases are over', async () => {
    const options = sqlite.options()
    const store = await openTarget({ ...sqlite, options: () => options }, QUICK)
    opened.push(store)
    const { name } = fresh()
    const program = `const store = sagastore.openStore(args.options)
      for (let n = 0; n < 20; n += 1) await store.executions.start(args.name + '-' + n, args.name, {}, { workerId: 'dead', leaseMs: 1500 })
      console.log('ready')
      setInterval(() => {}, 1000)`
    const { child, done: ended, output } = startProgram(program, { options, name })
    await eventually('it has them', () => output().includes('ready'))
    await sleep(1_800)
    expect(await claimed(store.executions, name)).toEqual([])
    child.kill('SIGKILL')
    await ended
    expect(await claimed(store.executions, name)).toEqual([])
    await eventually('they are free', async () => (await claimed(store.executions, name)).length > 0)
    await sleep(100)
    await claimed(store.executions, name)
    expect(await store.executions.count({ name })).toBe(20)
    expect((await store.executions.statistics()).leased).toBe(20)
  })
})

describe('Renewals, on a client of the application', () => {
  const lease = (sagaId: string, token = 't', leaseMs = 300) => ({ sagaId, token, leaseMs })

  it('asks for all leases together, again and again, until they are let go of', async () => {
    const asked: string[][] = []
    const renewals = new Renewals(async (runs) => {
      asked.push(runs.map(([id]) => id))
      return []
    })
    const kept = [renewals.keep(lease('a')), renewals.keep(lease('b'))]
    await sleep(380)
    expect(asked.length).toBeGreaterThanOrEqual(2)
    for (const ids of asked) expect(ids).toEqual(['a', 'b'])
    for (const id of ['a', 'b']) renewals.unkeep(lease(id))
    expect(await Promise.all(kept)).toEqual([null, null])
    const before = asked.length
    await sleep(200)
    expect(asked).toHaveLength(before)
  })

  it('tells which lease is lost, also where two are of one saga', async () => {
    const renewals = new Renewals(async (runs) => {
      expect(new Set(runs.map(([id]) => id)).size).toBe(runs.length)
      return runs.filter(([, token]) => token === 'old').map(([id]) => id)
    })
    const lost = renewals.keep(lease('a', 'old'))
    let isOver = false
    const kept = renewals.keep(lease('a', 'new')).finally(() => {
      isOver = true
    })
    expect(await lost).toMatch(/another worker/)
    await sleep(400)
    expect(isOver).toBe(false)
    renewals.stop()
    expect(await kept).toContain('the store is closed')
    expect(await renewals.keep(lease('b'))).toContain('the store is closed')
  })

  it('takes a failure for unknown, until the lease is over', async () => {
    let failures = 0
    let isBroken = true
    const renewals = new Renewals(async () => {
      if (isBroken) {
        failures += 1
        throw new Error('no server')
      }
      return []
    })
    const kept = renewals.keep(lease('kept'))
    await sleep(200)
    isBroken = false
    await sleep(300)
    renewals.unkeep(lease('kept'))
    expect(await kept).toBeNull()
    expect(failures).toBeGreaterThan(0)
    isBroken = true
    const began = performance.now()
    expect(await renewals.keep(lease('lost'))).toMatch(/could not be renewed/)
    expect(performance.now() - began).toBeGreaterThanOrEqual(295)
  })

  it('waits for no answer longer than the lease', async () => {
    const renewals = new Renewals(() => new Promise(() => undefined))
    expect(await renewals.keep(lease('a'))).toMatch(/could not be renewed/)
  })
})
