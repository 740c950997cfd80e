// The examples, each copied out of the tree: type-checked, run on the services, and looked at for what they leave behind.
import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { Redis } from 'ioredis'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { openStore } from '../../index.js'
import { cannotClaim } from '../executions/backends'
import { root } from '../support/programs'
import { missing, sql, temporaryDirectory } from '../support/targets'
import { ExampleProject, exampleNames, typeErrorsOf } from './example-projects'

const available = process.env.POSTGRES_URL !== undefined

const projects = new Map<string, ExampleProject>()

beforeAll(() => {
  const within = temporaryDirectory()
  for (const name of exampleNames) projects.set(name, new ExampleProject(name, within))
})

const project = (name: string) => projects.get(name) as ExampleProject

const run = (name: string, ...args: string[]) => project(name).run(...args)

describe('each example', () => {
  const readRoot = (file: string) => JSON.parse(readFileSync(join(root, file), 'utf8'))

  it('compiles under strict', () => {
    for (const project of projects.values()) expect(project.compilation().options.strict).toBe(true)
    expect(typeErrorsOf([...projects.values()])).toEqual([])
  })

  it.each(exampleNames)('%s has a package.json that names what it imports', (name) => {
    const { manifest } = project(name)
    const { version, devDependencies } = readRoot('package.json')
    const named = { ...manifest.dependencies, ...manifest.devDependencies }
    const imported = project(name).imports()
    expect(Object.keys(named)).toEqual(expect.arrayContaining(imported))
    // What is not imported makes it run, or has its types.
    const tools = ['tsx', 'typescript', 'prisma', '@prisma/client', 'rxjs']
    expect(Object.keys(named).filter((one) => !imported.includes(one) && !tools.includes(one) && !one.startsWith('@types/'))).toEqual([])
    // The same versions as here: these are tested.
    for (const [one, range] of Object.entries(named)) expect(range, one).toBe(one === 'sagastore' ? `^${version}` : devDependencies[one])
    expect(manifest).toMatchObject({ name: `sagastore-example-${name}`, private: true, type: 'module', license: 'MIT' })
  })

  it('has a line in the index', () => {
    const index = readFileSync(join(root, 'examples', 'README.md'), 'utf8')
    expect([...index.matchAll(/^\| \[[^\]]+\]\(([^/)]+)\/[^)]+\) \|/gm)].map(([, name]) => name).sort()).toEqual(exampleNames)
  })
})

describe('what they leave behind', () => {
  const names = async () => {
    const schemas = available ? await sql(`select nspname as name from pg_namespace where nspname like 'example%'`) : []
    const keys: string[] = []
    if (process.env.REDIS_URL !== undefined) {
      const redis = new Redis(process.env.REDIS_URL)
      for await (const page of redis.scanStream({ match: '*example*', count: 1000 })) keys.push(...page)
      redis.disconnect()
    }
    return [...schemas.map(({ name }) => name as string), ...keys].sort()
  }
  let files: Map<string, string[]>
  let before: string[]
  beforeAll(async () => {
    files = new Map(exampleNames.map((name) => [name, project(name).files()]))
    before = await names()
  })

  // Behind all tests of this file.
  afterAll(async () => {
    for (const name of exampleNames) expect(project(name).files(), name).toEqual(files.get(name))
    expect((await names()).filter((name) => !before.includes(name))).toEqual([])
  })

  runs()
})

function runs() {
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

  const engine = async (...url: string[]) => {
    const stdout = await run('engine', ...url)
    const claim = (step: number) => `   on the bus: slip-4711-…-${step}\n`
    const act = (text: string) => `   order 4711, 2000 items: ${text}\n`
    expect(stdout).toContain(`${claim(0)}${act('stock reserved')}${claim(1)}${act('card charged')}${claim(2)}`)
    expect(stdout).toContain('A claim id that nobody knows: true, NOT_FOUND\n')
  }

  it('engine', () => engine())

  it('express', async () => {
    expect(await run('express')).toMatch(
      /^PUT \/slips\/slip-4711-\d+: 204\nGET .*: 200\n {2}a routing slip\nGET .*: 404\n {2}\{"code":"NOT_FOUND"\}\nGET \/ready: 200\n {2}healthy\nGET \/metrics: 200\n {2}sagastore_operations_total\{operation="put"\} 1\n$/,
    )
  })

  it('nestjs', async () => {
    expect(await run('nestjs')).toBe('order 4711: a pen, a book\nafter the application has closed: the store is closed\n')
  })

  it('opentelemetry', async () => {
    expect(await run('opentelemetry')).toBe(
      '  sagastore put sagastore.memory 14\n  sagastore get sagastore.memory 14\n  sagastore get sagastore.memory  failed: NOT_FOUND\nplace order 4711\n',
    )
  })

  it('vitest', async () => {
    const manifest = createRequire(import.meta.url).resolve('vitest/package.json')
    const env = { PATH: process.env.PATH, HOME: process.env.HOME, NO_COLOR: '1' }
    const args = [join(dirname(manifest), 'vitest.mjs'), 'run', '--reporter', 'verbose']
    const { stdout } = await promisify(execFile)(process.execPath, args, { cwd: project('vitest').folder, env })
    expect(stdout).toMatch(/Tests +2 passed/)
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

      it('redis', async () => {
        expect(await run('redis')).toBe(
          'order 4712: the payment was refused, nothing was sent\norders: 4711\nslips: 4711 true, 4712 false\n',
        )
      })

      it('engine on REDIS_URL', () => engine(process.env.REDIS_URL as string))

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

  const mongodb = process.env.MONGODB_URL !== undefined
  it.skipIf(missing({ name: 'mongodb', available: mongodb, variable: 'MONGODB_URL' }))('mongodb', async () => {
    const isReplicaSet = /[?&]replicaSet=/.test(process.env.MONGODB_URL as string)
    expect(await run('mongodb')).toBe(
      isReplicaSet
        ? 'order 4712: the payment was refused, rolled back\norders: 4711\nslips: 4711 true, 4712 false\n'
        : 'no replica set, so no transactions; the slip is stored: true\n',
    )
  })

  const dynamodb = process.env.DYNAMODB_URL !== undefined
  it.skipIf(missing({ name: 'dynamodb', available: dynamodb, variable: 'DYNAMODB_URL' }))('dynamodb', async () => {
    expect(await run('dynamodb')).toBe('order 4711 again: TransactionCanceledException\norders: 4711\nslips: 4711 true\n')
  })
}
