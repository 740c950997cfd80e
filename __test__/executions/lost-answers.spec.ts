import { describe, expect, it } from 'vitest'
import { openStore } from '../../index.js'
import { rejectionOf } from '../support/promises'
import { missing, targets } from '../support/targets'
import { TcpProxy } from '../support/tcp-proxy'
import { done, fresh, shortLog } from './fresh'

const WITH_SERVER = ['postgres', 'redis', 'mongodb', 'dynamodb']
/** Pieces of answers that come through before the cut: a change may take more than one. */
const PIECES = [0, 1, 2]

/** A proxy before the server of a URL, and the URL to it. */
async function before(url: string): Promise<{ proxy: TcpProxy; url: string }> {
  const outer = new URL(url)
  const endpoint = outer.searchParams.get('endpoint')
  const server = endpoint === null ? outer : new URL(endpoint)
  const proxy = await TcpProxy.to(server.hostname, Number(server.port))
  server.port = String(proxy.port)
  if (endpoint !== null) outer.searchParams.set('endpoint', server.href)
  return { proxy, url: outer.href }
}

for (const target of targets.filter(({ name }) => WITH_SERVER.includes(name))) {
  describe.skipIf(missing(target))(`${target.name}, whose answer is lost behind the commit`, () => {
    it.each(PIECES)('a checkpoint is the same success, and stored once (cut after %i)', async (pieces) => {
      const options = target.options()
      const { proxy, url } = await before(options.url)
      await using _proxy = proxy
      await using store = openStore({ ...options, url })
      await store.initialize()
      const { executions } = store
      const { name, id } = fresh()
      await executions.create(id, name, {})
      for (let version = 1; version <= 3; version++) {
        await executions.checkpoint(id, { expectedVersion: version, steps: [done(`warm-${version}`)] })
      }
      proxy.cutAfter(pieces)
      const checkpoint = await executions.checkpoint(id, { expectedVersion: 4, steps: [done('charge')], status: 'running' })
      expect(checkpoint).toEqual({ version: 5, firstSeq: 4 })
      const error = await rejectionOf(executions.checkpoint(id, { expectedVersion: 4, steps: [done('other')] }))
      expect(error).toMatchObject({ code: 'CONCURRENCY_CONFLICT', actualVersion: 5 })
      if (pieces === 0) expect(proxy.cuts).toBe(1)
      const log = await shortLog(executions, id)
      expect(log.slice(3)).toEqual(['4 charge act completed'])
    })

    it.each(PIECES)('a creation, a start and an entry of the log are as well (cut after %i)', async (pieces) => {
      const options = target.options()
      const { proxy, url } = await before(options.url)
      await using _proxy = proxy
      await using store = openStore({ ...options, url })
      await store.initialize()
      const { executions } = store
      const { name, id, other } = fresh()
      await executions.create(`${id}-warm`, name, {}, { steps: [done('warm')] })
      proxy.cutAfter(pieces)
      expect(await executions.create(id, name, {}, { steps: [done('charge')] })).toBe(1)
      proxy.cutAfter(pieces)
      expect(await executions.logStep(id, 'ship', 'act', 'started')).toBe(2)
      proxy.cutAfter(pieces)
      const run = await executions.start(other, name, {}, { workerId: 'w', renew: false })
      expect(await run.checkpoint({ steps: [done('pay')] })).toEqual({ version: 2, firstSeq: 1 })
      expect(await shortLog(executions, id)).toEqual(['1 charge act completed', '2 ship act started'])
      expect((await rejectionOf(executions.create(id, name))).code).toBe('ALREADY_EXISTS')
    })
  })
}
