import { execFile } from 'node:child_process'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { describe, expect, it } from 'vitest'
import { openStore, TimeoutError } from '../../index.js'
import { root } from '../support/programs'

/** As ioredis looks; `callBuffer` is all that a put without an expiry needs. */
const clientThat = (callBuffer: () => Promise<unknown>) =>
  ({ options: {}, status: 'ready', isCluster: false, callBuffer, sendCommand() {}, multi() {}, defineCommand() {} }) as never

describe('operationTimeoutMs on a client of the application', () => {
  it('counts for each operation from its own beginning', async () => {
    const store = openStore({ client: clientThat(() => new Promise(() => {})), operationTimeoutMs: 400 })
    const startedAt = performance.now()
    const ends: [string, number][] = []
    const put = async (id: string) => {
      await expect(store.put(id, Buffer.from('order'))).rejects.toThrow(TimeoutError)
      ends.push([id, performance.now() - startedAt])
    }
    const first = put('first')
    await sleep(200)
    const second = put('second')
    await first
    const third = put('third')
    await Promise.all([second, third])

    expect(ends.map(([id]) => id)).toEqual(['first', 'second', 'third'])
    const [first_, second_, third_] = ends.map(([, end]) => end) as [number, number, number]
    expect(first_).toBeGreaterThanOrEqual(399)
    expect(second_).toBeGreaterThanOrEqual(599)
    expect(third_).toBeGreaterThanOrEqual(799)
  })

  it('an answered operation does not keep the others from their end', async () => {
    const answers: (() => void)[] = []
    const store = openStore({
      client: clientThat(() => new Promise((resolve) => answers.push(() => resolve(Buffer.from('OK'))))),
      operationTimeoutMs: 300,
    })
    const answered = store.put('answered', Buffer.from('order'))
    const lost = store.put('lost', Buffer.from('order'))
    answers[0]?.()
    await answered
    await expect(lost).rejects.toThrow(TimeoutError)
  })

  it.each([
    ['ends when nothing waits any more', `Promise.resolve(Buffer.from('OK'))`, 'stored'],
    ['goes on while something waits', 'new Promise(() => {})', 'TIMEOUT'],
  ])('the process %s', async (_, answer, printed) => {
    const script = `
      const { openStore } = require(${JSON.stringify(root)})
      const client = { options: {}, status: 'ready', isCluster: false, callBuffer: () => ${answer} }
      for (const method of ['sendCommand', 'multi', 'defineCommand']) client[method] = () => {}
      const store = openStore({ client, operationTimeoutMs: ${printed === 'stored' ? 600_000 : 500} })
      store.put('order', Buffer.from('payload')).then(() => console.log('stored'), ({ code }) => console.log(code))`
    const { stdout } = await promisify(execFile)(process.execPath, ['-e', script], { timeout: 30_000 })
    expect(stdout.trim()).toBe(printed)
  })
})
