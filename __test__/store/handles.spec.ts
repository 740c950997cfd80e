// What tools that look for open handles (jest, with --detectOpenHandles) see of the addon: nothing after the last `close`.
import { describe, expect, it } from 'vitest'
import { entry, runProgram } from '../support/programs'
import { missing, targets } from '../support/targets'

/** `seen()`: how many handles of the addon there are. Node.js says that one is gone a turn of the event loop later. */
const WATCH = `
  const alive = new Set()
  require('node:async_hooks').createHook({
    init: (id, type) => { if (type === 'sagastore') alive.add(id) },
    destroy: (id) => alive.delete(id),
  }).enable()
  const turn = () => new Promise((resume) => setTimeout(resume, 5))
  const seen = async () => { for (let turns = 0; turns < 20; turns++) await turn(); return alive.size }
  const gone = async () => { for (let turns = 0; turns < 2_000 && alive.size > 0; turns++) await turn(); return alive.size }
  const tell = (counts) => console.log(JSON.stringify(counts));
`

/** What the program has counted. */
async function counts(program: string, args: unknown = {}): Promise<unknown> {
  return JSON.parse(await runProgram(`${WATCH}${program}`, args, { env: { AWS_ACCESS_KEY_ID: 'local', AWS_SECRET_ACCESS_KEY: 'local' } }))
}

describe.each(targets)('$name', (target) => {
  it.skipIf(missing(target))('leaves no handle after the last close, and has one again afterwards', async () => {
    const program = `
      const open = () => sagastore.openStore(args)
      const [one, other] = [open(), open()]
      for (const store of [one, other]) await store.initialize()
      const counted = [await seen()]
      await one.close()
      counted.push(await seen())
      // All that is under way at the close is answered.
      const under = Array.from({ length: 64 }, (_, n) => other.put('handles-' + n, Buffer.alloc(n % 2 === 0 ? 10 : 40_000)))
      const [, ...settled] = await Promise.allSettled([other.close(), ...under])
      counted.push(settled.filter(({ status, reason }) => status === 'fulfilled' || reason.code === 'CLOSED').length)
      counted.push(await gone())
      // Answers of a store that is closed.
      const late = await Promise.allSettled([other.get('handles-1'), other.purgeExpired(), other.states.getById('A', 'b')])
      counted.push(late.filter(({ reason }) => reason?.code === 'CLOSED').length, await gone())
      const again = open()
      await again.initialize()
      await again.put('handles-0', Buffer.from('again'))
      counted.push((await again.get('handles-0')).length, await seen())
      await again.close()
      counted.push(await gone())
      tell(counted)`
    expect(await counts(program, target.options())).toEqual([1, 1, 64, 0, 3, 0, 5, 1, 0])
  })
})

it('what renews leases in the background is over with the store', async () => {
  const program = `
    const store = sagastore.openStore('sqlite::memory:')
    await store.initialize()
    const run = await store.executions.start('saga-1', 'OrderSaga', {}, { workerId: 'w' })
    const relay = store.outbox.relay(async () => undefined)
    await store.outbox.insert({ eventType: 'A', payload: 1 })
    const counted = [await seen()]
    await relay.stop()
    await store.close()
    counted.push(await gone(), run.signal.aborted)
    tell(counted)`
  expect(await counts(program)).toEqual([1, 0, true])
})

it('each thread has its own', async () => {
  const program = `
    const { Worker } = require('node:worker_threads')
    const store = sagastore.openStore('memory://handles')
    const worker = () => new Promise((resolve, reject) => {
      const code = args.watch + \`(async () => {
        const { openStore } = require(args.entry)
        const counted = []
        for (let round = 0; round < 3; round++) {
          const store = openStore('memory://handles')
          await Promise.all(Array.from({ length: 100 }, (_, n) => store.put('k' + n, Buffer.alloc(20_000))))
          counted.push(await seen())
          await store.close()
          counted.push(await gone())
        }
        // It ends with a store that nobody has closed.
        openStore('memory://handles').put('last', Buffer.alloc(1))
        require('node:worker_threads').parentPort.postMessage(counted)
      })()\`
      const thread = new Worker('const args = require("node:worker_threads").workerData;' + code, { eval: true, workerData: args })
      let counted
      thread.on('message', (message) => { counted = message }).on('error', reject).on('exit', () => resolve(counted))
    })
    const threads = await Promise.all([worker(), worker()])
    await store.put('a', Buffer.alloc(1))
    const here = [await seen()]
    await store.close()
    tell([...threads, [...here, await gone()]])`
  const each = [1, 0, 1, 0, 1, 0]
  expect(await counts(program, { entry, watch: WATCH })).toEqual([each, each, [1, 0]])
})

it('a store that nobody can reach any more has none, closed or not', async () => {
  const program = `
    const { setFlagsFromString } = require('node:v8')
    setFlagsFromString('--expose-gc')
    const gc = require('node:vm').runInNewContext('gc')
    await (async () => { await sagastore.openStore('memory://').put('a', Buffer.alloc(10)) })()
    const counted = [alive.size]
    for (let turns = 0; turns < 100 && alive.size > 0; turns++) { gc(); await turn() }
    tell([...counted, alive.size])`
  expect(await counts(program)).toEqual([1, 0])
})
