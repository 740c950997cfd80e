import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { describe, expect, it } from 'vitest'
import { missing } from './targets'

const root = join(import.meta.dirname, '..')
const available = process.env.POSTGRES_URL !== undefined

async function run(name: string): Promise<string> {
  const { stdout } = await promisify(execFile)(process.execPath, [join(root, 'examples', name, 'index.mjs')], { cwd: root })
  return stdout
}

describe('examples', () => {
  it('better-sqlite3', async () => {
    expect(await run('better-sqlite3')).toBe('orders: 4711\nslips: 4711 true, 4712 false\n')
  })

  it('order-saga', async () => {
    const stdout = await run('order-saga')
    expect(stdout).toContain('it ended by SIGKILL; ["reserve-stock","charge-card","book-carrier"] are done')
    expect(stdout).toContain('version 6, completed: true')
    expect(stdout).toContain('compensated: true, completed: true\nDone.\n')
  })

  describe.skipIf(missing({ name: 'examples on PostgreSQL', available, variable: 'POSTGRES_URL' }))('on PostgreSQL', () => {
    it.each(['pg', 'drizzle', 'prisma'])('%s', async (name) => {
      const stdout = await run(name)
      expect(stdout).toContain('order 4712: the payment was refused, rolled back')
      expect(stdout).toContain('orders: 4711\nslips: 4711 true, 4712 false\n')
    })
  })
})
