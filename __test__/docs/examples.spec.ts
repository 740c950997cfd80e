import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { describe, expect, it } from 'vitest'
import { openStore } from '../../index.js'
import { LOCAL_CREDENTIALS } from '../../scripts/services/servers.mjs'
import { cannotClaim } from '../executions/backends'
import { root } from '../support/programs'
import { missing, temporaryDirectory } from '../support/targets'

const available = process.env.POSTGRES_URL !== undefined

async function run(name: string, ...args: string[]): Promise<string> {
  const { accessKeyId, secretAccessKey } = LOCAL_CREDENTIALS
  const env = { AWS_ACCESS_KEY_ID: accessKeyId, AWS_SECRET_ACCESS_KEY: secretAccessKey, ...process.env }
  const program = join(root, 'examples', name, 'index.mjs')
  const { stdout } = await promisify(execFile)(process.execPath, [program, ...args], { cwd: root, env })
  return stdout
}

describe('examples', () => {
  it('better-sqlite3', async () => {
    expect(await run('better-sqlite3')).toBe('orders: 4711\nslips: 4711 true, 4712 false\n')
  })

  it('quickstart tells its story to the end', async () => {
    const stdout = await run('quickstart')
    expect(stdout).toContain('byte for byte')
    expect(stdout).toContain('next step: refund-card')
    expect(stdout).toContain('get: NOT_FOUND')
    expect(stdout).toContain('cleanup removed 200')
    expect(stdout).toContain('Done.')
  })

  const orderSaga = async (...url: string[]) => {
    const stdout = await run('order-saga', ...url)
    expect(stdout).toContain('it ended by SIGKILL; ["reserve-stock","charge-card","book-carrier"] are done')
    expect(stdout).toContain('version 6, completed: true')
    expect(stdout).toContain('compensated: true, completed: true\nDone.\n')
  }

  it('order-saga', () => orderSaga())

  it('order-saga, two workers with the same order: each step is done once, and undone once', async () => {
    const url = `sqlite://${join(temporaryDirectory(), 'orders.db')}`
    const two = async (...args: string[]) => (await Promise.all([1, 2].map(() => run('order-saga', ...args)))).join('')
    const times = (said: string, step: string) => said.split(`: ${step}\n`).length - 1
    const charged = await two('--work', url, '1', '0')
    for (const step of ['reserve-stock', 'charge-card', 'book-carrier', 'send-confirmation']) expect(times(charged, step)).toBe(1)
    await using store = openStore(url)
    const [timeoutExpiresAt, worker] = [new Date(), { id: 'dead', until: 0 }]
    const ids = Array.from({ length: 20 }, (_, n) => `late-${n}`)
    const late = (order: string) => ({ metadata: { sagaId: order, timeoutExpiresAt }, order, done: ['charge-card'], worker })
    for (const order of ids) await store.states.insert('OrderSaga', order, late(order))
    const undone = await two('--compensate', url, String(Date.now() + 1))
    expect(times(undone, 'undo charge-card')).toBe(ids.length)
    for (const order of ids) expect(undone.split(`order ${order}: `)).toHaveLength(2)
    expect(await store.states.countByName('OrderSaga', { completed: false })).toBe(0)
  }, 30_000)

  for (const variable of ['REDIS_URL', 'MONGODB_URL', 'DYNAMODB_URL']) {
    const url = process.env[variable]
    const skipped = missing({ name: 'order-saga', available: url !== undefined, variable })
    it.skipIf(skipped)(`order-saga on ${variable}`, () => orderSaga(url as string), 30_000)
  }

  const recovery = async (...url: string[]) => {
    const stdout = await run('recovery', ...url)
    expect(stdout).toContain('[first] charging under the key charge-card')
    expect(stdout).toContain('it ended by SIGKILL\n   the saga is running, and still leased to first\n')
    expect(stdout).toContain('[second] takes the saga over, 2 steps are done\n   [second] charging under the key charge-card')
    expect(stdout).toContain('print-label failed: the address does not exist\n   [second] cancel truck 7\n   [second] refund p-1\n')
    expect(stdout).toContain('3. The saga is compensated: the address does not exist\n')
    expect(stdout).toMatch(/ 6 +\d+ ms {2}charge-card +act +started\n +7 +\d+ ms {2}charge-card +act +completed\n/)
    expect(stdout).toMatch(/ 15 +\d+ ms {2}check-customer +compensate +compensated\nDone\.\n$/)
  }

  it('recovery', () => recovery(), 30_000)

  for (const variable of ['POSTGRES_URL', 'REDIS_URL', 'MONGODB_URL', 'DYNAMODB_URL']) {
    const url = process.env[variable]
    const about = { name: 'recovery', variable }
    const skipped = missing({ ...about, available: url !== undefined }) || cannotClaim(about)
    it.skipIf(skipped)(`recovery on ${variable}`, () => recovery(url as string), 30_000)
  }

  describe.skipIf(missing({ name: 'examples with a broker', available: process.env.REDIS_URL !== undefined, variable: 'REDIS_URL' }))(
    'with a broker',
    () => {
      it('outbox', async () => {
        const stdout = await run('outbox')
        expect(stdout).toContain('order 4713: the payment was refused, rolled back\n   orders: 4711, 4712; events that wait: 2\n')
        expect(stdout).toMatch(
          /\[first\] publishing OrderPlaced 4712 …\n(?: {3}\[first\] published OrderPlaced 4711\n)? {3}it ended by SIGKILL/,
        )
        expect(stdout).toContain('[second] published OrderPlaced 4712\n')
        expect(stdout).toContain('[second] MailWanted 4714: WRONGTYPE\n')
        expect(stdout).toContain('dead letter: MailWanted, after 2 failures; held up: ann\n')
        expect(stdout).toContain('   requeued: 1\n   [second] published MailWanted 4714\n   [second] published OrderPlaced 4714\n')
        expect(stdout).toMatch(
          / orders: OrderPlaced 4711, OrderPlaced 4712, OrderPlaced 4715, OrderPlaced 4714\n {3}mail: MailWanted 4714\n/,
        )
        expect(stdout).toMatch(/left in the outbox: 0\nDone\.\n$/)
      }, 30_000)

      const inbox = async (...url: string[]) => {
        const stdout = await run('inbox', ...url)
        expect(stdout).toMatch(/dies in the work of m-\d+-2 …\n {3}it ended by SIGKILL\n {3}in stock: 99\n/)
        expect(stdout).toMatch(/\[second\] m-\d+-2: took 2 out of stock\n/)
        expect(stdout).toMatch(/dies before the acknowledgement of m-\d+-3 …\n {3}it ended by SIGKILL\n {3}in stock: 93\n/)
        expect(stdout).toMatch(/\[third\] m-\d+-3: a duplicate\n/)
        expect(stdout.match(/: a duplicate\n/g)).toHaveLength(5)
        expect(stdout).toMatch(/In stock: 85, which is 100 less 1, 2, 4, 8\nDone\.\n$/)
      }

      it('inbox', () => inbox(), 30_000)

      it.skipIf(!available)('inbox on POSTGRES_URL', () => inbox(process.env.POSTGRES_URL as string), 30_000)
    },
  )

  describe.skipIf(missing({ name: 'examples on PostgreSQL', available, variable: 'POSTGRES_URL' }))('on PostgreSQL', () => {
    it.each(['pg', 'drizzle', 'prisma'])('%s', async (name) => {
      const stdout = await run(name)
      expect(stdout).toContain('order 4712: the payment was refused, rolled back')
      expect(stdout).toContain('orders: 4711\nslips: 4711 true, 4712 false\n')
    })
  })
})
