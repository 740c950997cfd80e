import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import type { SagaExecutions, SagaStore } from '../../index.js'
import type { Executor } from '../support/executors'
import { eventually, rejectionOf } from '../support/promises'
import { sharedStore } from '../support/stores'
import { cannotClaim } from './backends'
import { claimed, done, fresh, QUICK, startAndDie } from './fresh'

/** Attempts, backoff, and those that are set aside. */
export function recoveryBehavior(executor: Executor): void {
  const claiming = it.skipIf(cannotClaim(executor))
  let executions: SagaExecutions
  let store: SagaStore
  const use = (current: SagaStore) => {
    store = current
    executions = current.executions
  }
  const attemptsOf = async (id: string) => (await executions.load(id)).attempts
  /** Claims it as soon as it is due, and does nothing with it. */
  const claimAndDie = async (name: string, more: object = {}) => {
    let ids: string[] = []
    await eventually('it is due', async () => {
      ids = await claimed(executions, name, { workerId: 'dead', leaseMs: 50, ...more })
      return ids.length > 0
    })
    return ids
  }

  describe('attempts', () => {
    sharedStore(executor, use, QUICK)

    claiming.concurrent('are counted at each claim, and set back by a step that was done', async () => {
      const { id, name } = fresh()
      await startAndDie(executions, { id, name }, { leaseMs: 50 })
      expect(await attemptsOf(id)).toBe(0)
      await claimAndDie(name)
      await claimAndDie(name)
      expect(await attemptsOf(id)).toBe(2)
      let run = (await executions.claim({ workerId: 'a', names: [name], renew: false }))[0]
      await eventually('it is due', async () => {
        run ??= (await executions.claim({ workerId: 'a', names: [name], renew: false }))[0]
        return run !== undefined
      })
      expect(run?.attempt).toBe(3)
      await run?.checkpoint({ context: { n: 1 }, steps: [{ stepName: 'a', status: 'started' }] })
      await run?.logStep('a', 'act', 'failed')
      expect(await attemptsOf(id)).toBe(3)
      await run?.logStep('a', 'act', 'completed')
      expect(await attemptsOf(id)).toBe(0)
    })

    claiming.concurrent('are set back by a step that was undone', async () => {
      const { id, name } = fresh()
      await executions.create(id, name, {}, { status: 'compensating' })
      const [run] = await executions.claim({ workerId: 'a', names: [name], renew: false })
      expect(await attemptsOf(id)).toBe(1)
      await run?.checkpoint({ steps: [{ stepName: 'a', status: 'compensated' }] })
      expect(await attemptsOf(id)).toBe(0)
    })

    claiming.concurrent('are counted where an execution is handed back with an error, which waits for its backoff', async () => {
      const { id, name } = fresh()
      const run = await executions.start(id, name, {}, { workerId: 'a' })
      const before = Date.now()
      await run.release({ error: 'first' })
      const found = await executions.load(id)
      expect(found).toMatchObject({ attempts: 1, lastError: 'first', leased: false })
      expect((found.dueAt?.getTime() ?? 0) - before).toBeLessThan(5_000)
      await eventually('it is due', async () => (await claimed(executions, name)).length === 1)
      expect(await attemptsOf(id)).toBe(2)
    })

    claiming.concurrent('that kill their workers come to an end: it is parked, and others go on', async () => {
      const { id, name, other } = fresh()
      await startAndDie(executions, { id, name }, { leaseMs: 50 })
      for (let n = 1; n <= 3; n += 1) expect(await claimAndDie(name, { maxRecoveryAttempts: 3 })).toEqual([id])
      await eventually('it is parked', async () => {
        expect(await claimed(executions, name, { maxRecoveryAttempts: 3 })).toEqual([])
        return (await executions.load(id)).parkedAt !== null
      })
      expect(await executions.load(id)).toMatchObject({ status: 'running', attempts: 3, dueAt: null, leased: false })
      await executions.create(other, name, {}, { status: 'running' })
      expect(await claimed(executions, name, { maxRecoveryAttempts: 100 })).toEqual([other])
      expect((await executions.list({ name, parked: true })).items.map(({ sagaId }) => sagaId)).toEqual([id])
      expect(await executions.count({ name, parked: true })).toBe(1)
      expect(await executions.count({ name, parked: false })).toBe(1)
      expect((await executions.statistics()).parked).toBeGreaterThanOrEqual(1)
      expect(await store.health()).toMatchObject({ status: 'degraded', message: expect.stringMatching(/parked/) })
      expect((await store.statistics()).executions?.parked).toBeGreaterThanOrEqual(1)
    })
  })

  describe('parked executions', () => {
    sharedStore(executor, use, QUICK)

    /** An execution that has had so many attempts, and is due. */
    const tried = async (id: string, name: string, attempts: number) => {
      await executions.create(id, name, {}, { status: 'running', dueAt: new Date(Date.now() - 1_000) })
      await executions.setRecoveryAttempts(id, attempts)
      await sleep(2)
    }

    claiming('never keep others from being claimed', async () => {
      const { name } = fresh()
      for (const [n, attempts] of [0, 5, 4].entries()) await tried(`${name}-${n}`, name, attempts)
      expect((await claimed(executions, name, { limit: 2 })).sort()).toEqual([`${name}-0`, `${name}-2`])
      const { items } = await executions.list({ name, parked: true })
      expect(items).toMatchObject([{ sagaId: `${name}-1`, attempts: 5, dueAt: null }])
      expect(items[0]?.parkedAt).toBeInstanceOf(Date)
    })

    claiming('do not keep others from being claimed where there are many', async () => {
      const { name } = fresh()
      const ids = Array.from({ length: 30 }, (_, n) => `${name}-${String(n).padStart(2, '0')}`)
      for (const [n, id] of ids.entries()) {
        await executions.create(id, name, {}, { status: 'running', dueAt: new Date(Date.now() - 60_000 + n) })
      }
      await Promise.all(ids.slice(0, 28).map((id) => executions.setRecoveryAttempts(id, 7)))
      expect(await claimed(executions, name, { limit: 2 })).toEqual(ids.slice(28))
      expect(await executions.count({ name, parked: true })).toBe(28)
    })

    claiming('are listed in pages', async () => {
      const { name } = fresh()
      const ids = Array.from({ length: 7 }, (_, n) => `${name}-${n}`)
      for (const id of ids) await tried(id, name, 9)
      expect(await claimed(executions, name)).toEqual([])
      const found: string[] = []
      let cursor: string | undefined
      do {
        const page = await executions.parked({ limit: 3, ...(cursor !== undefined && { cursor }) })
        found.push(...page.items.map(({ sagaId }) => sagaId))
        cursor = page.cursor
      } while (cursor !== undefined)
      expect(found.filter((id) => id.startsWith(name)).sort()).toEqual(ids)
      expect((await rejectionOf(executions.parked({ name } as never))).code).toBe('INVALID_ARGUMENT')
    })

    claiming('are brought back, with all attempts or with those that they had', async () => {
      const { name } = fresh()
      const [anew, once, other] = [`${name}-1`, `${name}-2`, `${name}-3`]
      for (const id of [anew, once]) await tried(id, name, 5)
      expect(await claimed(executions, name)).toEqual([])
      await executions.create(other, name, {})
      expect(await executions.redrive([anew, other, `no-${name}`])).toBe(1)
      expect(await executions.redrive([once], { resetAttempts: false })).toBe(1)
      expect(await executions.redrive([once])).toBe(0)
      expect(await executions.load(anew)).toMatchObject({ parkedAt: null, attempts: 0 })
      expect(await executions.load(once)).toMatchObject({ parkedAt: null })
      expect((await executions.load(anew)).dueAt).not.toBeNull()
      expect(await claimed(executions, name, { maxRecoveryAttempts: 6, limit: 1, names: [`${name}x`] })).toEqual([])
      expect((await claimed(executions, name, { maxRecoveryAttempts: 6 })).sort()).toEqual([anew, once])
      expect(await executions.redrive([])).toBe(0)
      for (const wrong of [undefined, 'id', [5]]) {
        expect((await rejectionOf(executions.redrive(wrong as never))).code).toBe('INVALID_ARGUMENT')
      }
    })
  })

  describe('for engines without leases', () => {
    sharedStore(executor, use)

    it('findRecoverable looks for running and compensating ones with attempts left, the oldest change first', async () => {
      const { name } = fresh()
      const id = (n: number) => `${name}-${n}`
      const statuses = ['running', 'compensating', 'pending', 'completed', 'failed', 'running', 'running'] as const
      for (const [n, status] of statuses.entries()) {
        await executions.create(id(n), name, {}, { status })
        await sleep(3)
      }
      await executions.create(`${name}-x`, `${name}x`, {}, { status: 'running' })
      await executions.setRecoveryAttempts(id(5), 5)
      await sleep(3)
      await executions.checkpoint(id(0), { context: {} })
      expect(await executions.findRecoverable({ limit: 10, name })).toEqual([id(1), id(6), id(0)])
      expect(await executions.findRecoverable({ limit: 2, name })).toEqual([id(1), id(6)])
      expect(await executions.findRecoverable({ limit: 10, name, maxRecoveryAttempts: 6 })).toEqual([id(1), id(6), id(5), id(0)])
      expect(await executions.findRecoverable({ limit: 10, name, staleAfterMs: 60_000 })).toEqual([])
      expect(await executions.findRecoverable({ limit: 1_000 })).toContain(`${name}-x`)
      for (const options of [undefined, {}, { limit: 0 }, { limit: 1, staleAfterMs: -1 }, { limit: 1, older: 5 }]) {
        expect((await rejectionOf(executions.findRecoverable(options as never))).code).toBe('INVALID_ARGUMENT')
      }
    })

    it('attempts are counted and set by hand', async () => {
      const { id, name, other } = fresh()
      await executions.create(id, name, {}, { status: 'running' })
      await executions.incrementRecoveryAttempts(id)
      await executions.incrementRecoveryAttempts(id, 'compensating')
      expect(await executions.load(id)).toMatchObject({ attempts: 2, status: 'compensating' })
      await executions.setRecoveryAttempts(id, 7)
      expect(await attemptsOf(id)).toBe(7)
      await executions.setRecoveryAttempts(id, 0)
      expect(await attemptsOf(id)).toBe(0)
      await executions.incrementRecoveryAttempts(id)
      await executions.checkpoint(id, { steps: [done('a')] })
      expect(await attemptsOf(id)).toBe(0)
      expect((await rejectionOf(executions.incrementRecoveryAttempts(other))).code).toBe('NOT_FOUND')
      expect((await rejectionOf(executions.setRecoveryAttempts(other, 1))).code).toBe('NOT_FOUND')
      for (const wrong of [-1, 1.5, '1', undefined] as number[]) {
        expect((await rejectionOf(executions.setRecoveryAttempts(id, wrong))).code).toBe('INVALID_ARGUMENT')
      }
    })
  })
}
