import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { openStore, SagaStoreError } from '../../index.js'
import { startPostgres, startRedis } from '../../scripts/services/servers.mjs'
import { eventually, rejectionOf } from '../support/promises'
import { missing } from '../support/targets'
import { claimed, fresh, logOf, QUICK } from './fresh'

/** Servers of a test's own, and how each dies without a word and comes back. */
const SERVERS = [
  {
    name: 'postgres',
    variable: 'POSTGRES_URL',
    async start() {
      const server = await startPostgres()
      return Object.assign(server, { crash: () => server.restart('immediate') })
    },
  },
  {
    name: 'redis',
    variable: 'REDIS_URL',
    async start() {
      // What the kernel had survives the end of the server.
      const server = await startRedis({ appendonly: true })
      const crash = async () => {
        await server.kill()
        await sleep(800)
        await server.start()
      }
      return Object.assign(server, { crash })
    },
  },
]
const SAGAS = 20

for (const { name: backend, variable, start } of SERVERS) {
  describe.skipIf(missing({ name: `${backend}, bad days of executions`, available: process.env[variable] !== undefined, variable }))(
    `${backend}, on a bad day`,
    () => {
      it('frozen: the run is told that its lease is over, nothing hangs, and another worker goes on', async () => {
        await using server = await start()
        await using store = openStore({ url: server.url, operationTimeoutMs: 700, connectTimeoutMs: 700, ...QUICK })
        await store.initialize()
        const { executions } = store
        const { name, id } = fresh()
        const run = await executions.start(id, name, {}, { workerId: 'a', leaseMs: 1_200 })
        await server.pause()
        const began = performance.now()
        const refused = await rejectionOf(run.checkpoint({ steps: [{ stepName: 'charge', status: 'completed' }] }))
        expect(refused).toMatchObject({ code: expect.stringMatching(/TIMEOUT|CONNECTION/) })
        expect(run.signal.aborted).toBe(false)
        await eventually('the run is told', () => run.signal.aborted, 3_000)
        expect(performance.now() - began).toBeLessThan(2_500)
        expect(run.signal.reason).toMatchObject({ code: 'LEASE_LOST', id })
        await server.resume()
        await eventually('another worker has it', async () => (await claimed(executions, name).catch(() => [])).length === 1)
        expect((await rejectionOf(run.checkpoint({ status: 'compensating' }))).code).toBe('LEASE_LOST')
        // What was refused for want of an answer is there as a whole, or not at all.
        expect((await logOf(executions, id)).length).toBeLessThanOrEqual(1)
      }, 60_000)

      it('killed (-9) and started again: what was acknowledged is there, once, and nobody waits for ever', async () => {
        await using server = await start()
        await using store = openStore({ url: server.url, operationTimeoutMs: 5_000, connectTimeoutMs: 2_000 })
        await store.initialize()
        const { executions } = store
        const { name } = fresh()
        const ids = Array.from({ length: SAGAS }, (_, n) => `${name}-${n}`)
        await Promise.all(ids.map((id) => executions.create(id, name, {})))
        const acknowledged = new Map(ids.map((id) => [id, [] as { seq: number; stepName: string }[]]))
        let isRunning = true
        const writers = ids.map(async (id) => {
          for (let n = 0; isRunning; n++) {
            try {
              const { firstSeq } = await executions.checkpoint(id, { steps: [{ stepName: `step-${n}`, status: 'completed' }] })
              acknowledged.get(id)?.push({ seq: firstSeq as number, stepName: `step-${n}` })
              await new Promise(setImmediate)
            } catch (error) {
              expect(error).toBeInstanceOf(SagaStoreError)
              expect(['CONNECTION', 'TIMEOUT']).toContain((error as SagaStoreError).code)
              await sleep(20)
            }
          }
        })
        await sleep(200)
        await server.crash()
        await eventually('the store works again', () =>
          executions.logStep(ids[0] as string, 'after', 'act', 'started').then(
            () => true,
            () => false,
          ),
        )
        await sleep(200)
        isRunning = false
        await Promise.all(writers)
        for (const [id, entries] of acknowledged) {
          const log = await logOf(executions, id)
          expect(entries.length).toBeGreaterThan(0)
          for (const { seq, stepName } of entries) expect(log[seq - 1]).toMatchObject({ seq, stepName })
          const names = log.map(({ stepName }) => stepName)
          expect(new Set(names).size).toBe(names.length)
          expect(await executions.load(id)).toMatchObject({ entries: log.length })
        }
      }, 90_000)
    },
  )
}
