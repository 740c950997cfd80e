import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { openStore } from '../../index.js'
import { startProgram } from '../support/programs'
import { eventually } from '../support/promises'
import { missing, targets } from '../support/targets'
import { cannotClaim } from './backends'
import { claimed, fresh, QUICK } from './fresh'

const SHARED = ['sqlite', 'postgres', 'redis', 'redis cluster', 'mongodb', 'dynamodb']
const PROCESSES = 4
const SAGAS = 300

for (const target of targets.filter(({ name }) => SHARED.includes(name))) {
  describe.skipIf(missing(target) || cannotClaim(target))(`${target.name}, executions from several processes`, () => {
    it('are each given to one of eight workers in four processes', async () => {
      const options = { ...target.options(), ...QUICK }
      await using store = openStore(options)
      await store.initialize()
      const { name } = fresh()
      const ids = Array.from({ length: SAGAS }, (_, n) => `${name}-${n}`)
      await Promise.all(ids.map((id) => store.executions.create(id, name, {}, { status: 'running' })))
      const program = `const store = sagastore.openStore(args.options)
        const mine = []
        await Promise.all(['a', 'b'].map(async (worker) => {
          for (let idle = 0; idle < 3; ) {
            const runs = await store.executions.claim({ workerId: worker + process.pid, leaseMs: 60_000, limit: 7, names: [args.name], renew: false })
            if (runs.length === 0) idle += 1
            mine.push(...runs.map(({ sagaId }) => sagaId))
          }
        }))
        console.log(JSON.stringify(mine))
        await store.close()`
      const programs = Array.from({ length: PROCESSES }, () => startProgram(program, { options, name }))
      const ends = await Promise.all(programs.map(({ done }) => done))
      expect(ends.map(({ stderr }) => stderr)).toEqual(Array(PROCESSES).fill(''))
      const given = ends.flatMap(({ stdout }) => JSON.parse(stdout) as string[])
      expect(given.length).toBe(SAGAS)
      expect(new Set(given)).toEqual(new Set(ids))
    }, 60_000)

    it('stay with a process whose event loop is blocked for twice the lease, and are taken over once it is killed', async () => {
      const options = { ...target.options(), ...QUICK }
      await using store = openStore(options)
      await store.initialize()
      const { name, id } = fresh()
      const leaseMs = 900
      const program = `const store = sagastore.openStore(args.options)
        const run = await store.executions.start(args.id, args.name, {}, { workerId: 'blocked', leaseMs: ${leaseMs} })
        require('node:fs').writeSync(1, 'blocked\\n')
        const end = Date.now() + ${2 * leaseMs}
        while (Date.now() < end);
        await run.checkpoint({ steps: [{ stepName: 'long', status: 'completed' }] })
        if (run.signal.aborted) throw new Error('the lease is lost')
        require('node:fs').writeSync(1, 'written\\n')
        setInterval(() => {}, 1000)`
      const { child, done } = startProgram(program, { options, id, name })
      let told = ''
      child.stdout.on('data', (text) => {
        told += text
      })
      await eventually('the process has its run', async () => told.includes('blocked'))
      const end = performance.now() + 2 * leaseMs
      while (performance.now() < end) {
        expect(await claimed(store.executions, name)).toEqual([])
        await sleep(100)
      }
      await eventually('the process has written', async () => told.includes('written'))
      child.kill('SIGKILL')
      await done
      const taken = await until(() => claimed(store.executions, name), leaseMs + 3_000)
      expect(taken).toEqual([id])
      expect((await store.executions.history(id)).entries.map(({ stepName }) => stepName)).toEqual(['long'])
    }, 30_000)
  })
}

/** What is given, as soon as anything is. */
async function until(ask: () => Promise<string[]>, withinMs: number): Promise<string[]> {
  for (const end = performance.now() + withinMs; performance.now() < end; await sleep(50)) {
    const found = await ask()
    if (found.length > 0) return found
  }
  return []
}
