import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { describe, expect, it } from 'vitest'
import { LOCAL_CREDENTIALS } from '../scripts/services/servers.mjs'
import { missing } from './targets'

const root = join(import.meta.dirname, '..')
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

  const orderSaga = async (...url: string[]) => {
    const stdout = await run('order-saga', ...url)
    expect(stdout).toContain('it ended by SIGKILL; ["reserve-stock","charge-card","book-carrier"] are done')
    expect(stdout).toContain('version 6, completed: true')
    expect(stdout).toContain('compensated: true, completed: true\nDone.\n')
  }

  it('order-saga', () => orderSaga())

  for (const variable of ['REDIS_URL', 'MONGODB_URL', 'DYNAMODB_URL']) {
    const url = process.env[variable]
    const skipped = missing({ name: 'order-saga', available: url !== undefined, variable })
    it.skipIf(skipped)(`order-saga on ${variable}`, () => orderSaga(url as string), 30_000)
  }

  describe.skipIf(missing({ name: 'examples on PostgreSQL', available, variable: 'POSTGRES_URL' }))('on PostgreSQL', () => {
    it.each(['pg', 'drizzle', 'prisma'])('%s', async (name) => {
      const stdout = await run(name)
      expect(stdout).toContain('order 4712: the payment was refused, rolled back')
      expect(stdout).toContain('orders: 4711\nslips: 4711 true, 4712 false\n')
    })
  })
})
