// The commands of docs/runbook.md, as they stand there.
import { spawnSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { openStore, type SagaStore } from '../../index.js'
import { root } from '../support/programs'
import { missing, targets, temporaryDirectory } from '../support/targets'
import { cli, environment } from './command-line'

const page = readFileSync(join(root, 'docs', 'runbook.md'), 'utf8')

/** The three commands of a heading. */
function commandsOf(name: string): string[] {
  const block = new RegExp(`<!-- runbook: ${name} -->\n\`\`\`sh\n([^\`]*)\`\`\``).exec(page)?.[1] ?? ''
  return block.trim().split('\n')
}

const stores: SagaStore[] = []
afterAll(async () => {
  for (const store of stores) await store.close()
})

describe.each(targets.filter(({ name }) => name === 'sqlite' || name === 'postgres' || name === 'redis'))('on $name', (target) => {
  const skipped = missing(target)

  async function opened() {
    const { url, ...options } = target.options()
    const folder = temporaryDirectory()
    writeFileSync(join(folder, 'options.json'), JSON.stringify(options))
    const store = openStore({ url, ...options } as Parameters<typeof openStore>[0])
    stores.push(store)
    await store.initialize()
    const sagastore = `sagastore() { "${process.execPath}" "${cli}" "$@" --options-file options.json; }`
    return {
      store,
      folder,
      run(command: string) {
        const { status, stdout, stderr } = spawnSync('bash', ['-c', `${sagastore}; ${command}`], {
          cwd: folder,
          env: environment({ SAGASTORE_URL: url }),
          encoding: 'utf8',
        })
        return { status, stdout, stderr }
      },
    }
  }

  it.skipIf(skipped)('a missing payload', async () => {
    const [find, see, mend] = commandsOf('a missing payload') as [string, string, string]
    const { store, folder, run } = await opened()
    writeFileSync(join(folder, 'slip.json'), '{"orderId":4711}')
    await store.put('slip-4711-1759300000001', Buffer.from('a later one'))
    expect(run(find)).toMatchObject({ status: 1, stderr: expect.stringContaining("nothing has the id 'slip-4711-1759300000000'") })
    expect(run(see)).toMatchObject({ status: 0, stdout: expect.stringContaining('slip-4711-1759300000001') })
    expect(run(mend)).toMatchObject({ status: 0, stderr: '' })
    expect(String(await store.get('slip-4711-1759300000000'))).toBe('{"orderId":4711}')
    expect(run(find)).toMatchObject({ status: 0, stdout: expect.stringMatching(/^payload\n/) })
  })

  it.skipIf(skipped)('a stuck saga', async () => {
    const [find, mend, see] = commandsOf('a stuck saga') as [string, string, string]
    const { store, run } = await opened()
    await store.states.insert('OrderSaga', 'order-4711', { metadata: { sagaId: 'saga-1' }, total: 1 })
    const steps = [{ stepName: 'charge', status: 'failed' as const, error: new Error('card service is down') }]
    await store.executions.create('order-4711', 'OrderSaga', {}, { status: 'running', steps })
    for (let attempt = 0; attempt < 40 && (await store.executions.load('order-4711')).parkedAt === null; attempt += 1) {
      const [claimed] = await store.executions.claim({ workerId: 'w', maxRecoveryAttempts: 1 })
      await claimed?.release({ error: new Error('card service is down'), retryAt: new Date() })
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
    const found = run(find)
    expect(found).toMatchObject({ status: 0, stderr: '' })
    for (const text of ['parked', 'card service is down', "saga 'OrderSaga'"]) expect(found.stdout).toContain(text)
    expect(run(mend)).toMatchObject({ status: 0, stdout: '1 brought back\n' })
    expect(run(see)).toMatchObject({ status: 0, stdout: expect.not.stringContaining('parkedAt') })
    expect(await store.executions.claim({ workerId: 'w2' })).toHaveLength(1)
  })

  it.skipIf(skipped)('a dead letter', async () => {
    const [find, mend, see] = commandsOf('a dead letter') as [string, string, string]
    const { store, run } = await opened()
    await store.outbox.insert([
      { eventId: 'e-1', eventType: 'OrderPlaced', payload: 1, partitionKey: 'order-4711', sagaId: 'order-4711' },
      { eventId: 'e-2', eventType: 'OrderPaid', payload: 2, partitionKey: 'order-4711', sagaId: 'order-4711' },
    ])
    await store.outbox.updateStatus('e-1', 'dead_letter', 'the broker has refused it')
    expect(await store.outbox.claim({ workerId: 'w' })).toEqual([])
    const found = run(find)
    expect(found.status).toBe(0)
    expect(found.stdout).toContain('the broker has refused it')
    expect(run(mend)).toMatchObject({ status: 0, stdout: '1 event requeued\n' })
    expect(run(see)).toMatchObject({ status: 0, stdout: expect.stringMatching(/events of the saga[\s\S]*e-1[\s\S]*e-2/) })
    expect((await store.outbox.claim({ workerId: 'w' })).map(({ eventId }) => eventId)[0]).toBe('e-1')
  })
})
