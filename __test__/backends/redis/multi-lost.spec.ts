import { createServer, connect as dial, type Socket } from 'node:net'
import { afterEach, describe, expect, it } from 'vitest'
import { openStore, withTransaction } from '../../../index.js'
import { addressOf, redisLibraries } from '../../support/redis-libraries'
import { missing, randomName, type Target, targets } from '../../support/targets'

// A MULTI that was begun on a connection that has broken: what follows on the next one must not run without it.

const redis = targets.find(({ variable }) => variable === 'REDIS_URL') as Target

const closers: (() => unknown)[] = []
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close()
})

/** Where the command that begins at `offset` ends; a client sends arrays of bulk strings. */
function endOfCommand(bytes: Buffer, offset: number): number {
  const lineEnd = (from: number) => bytes.indexOf('\r\n', from) + 2
  let at = lineEnd(offset)
  for (let words = Number(bytes.toString('latin1', offset + 1, at - 2)); words > 0; words -= 1) {
    const next = lineEnd(at)
    at = next + Number(bytes.toString('latin1', at + 1, next - 2)) + 2
  }
  return at
}

/** A way to the server that lets the next MULTI and `behind` commands through, waits for an answer, and breaks. Later ones work. */
async function breaking(behind: number) {
  const { host, port } = addressOf('REDIS_URL')
  const sockets = new Set<Socket>()
  let broken = 0
  let isArmed = false
  const server = createServer((client) => {
    const upstream = dial(port, host)
    let isCut = false
    for (const socket of [client, upstream]) {
      sockets.add(socket)
      socket.on('error', () => undefined)
      socket.on('close', () => {
        client.destroy()
        upstream.destroy()
      })
    }
    client.on('data', (bytes) => {
      const begin = isArmed ? bytes.toString('latin1').search(/\*1\r\n\$5\r\nmulti\r\n/i) : -1
      if (isCut) return
      if (begin < 0) return void upstream.write(bytes)
      isArmed = false
      isCut = true
      let end = endOfCommand(bytes, begin)
      for (let more = behind; more > 0; more -= 1) end = endOfCommand(bytes, end)
      upstream.write(bytes.subarray(0, end))
      setTimeout(() => {
        broken += 1
        client.destroy()
      }, 50)
    })
    upstream.on('data', (bytes) => client.write(bytes))
  })
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening))
  closers.push(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  const { port: own } = server.address() as { port: number }
  return {
    url: `redis://127.0.0.1:${own}`,
    arm: () => {
      isArmed = true
    },
    broken: () => broken,
  }
}

for (const library of redisLibraries.filter(({ name }) => ['ioredis', 'node-redis', 'node-redis pool'].includes(name))) {
  describe.skipIf(missing(redis))(`a MULTI whose connection breaks: ${library.name}`, () => {
    for (const behind of [0, 1]) {
      it(`stores nothing when ${behind === 0 ? 'MULTI' : 'the first command in it'} is the last that has arrived`, async () => {
        const proxy = await breaking(behind)
        const one = await library.open(proxy.url)
        const client = one.client as { on?(event: string, listener: () => void): void }
        client.on?.('error', () => undefined)
        closers.push(() => one.close())
        const keyPrefix = `test:${randomName()}`
        const store = openStore({ client: one.client, keyPrefix } as never)
        const other = openStore({ url: process.env.REDIS_URL, keyPrefix } as never)
        closers.push(
          () => store.close(),
          () => other.close(),
        )
        await store.put('kept', Buffer.from('kept'))

        const { multi, exec } = one.multi()
        await withTransaction(multi, () => store.putMany(['a', 'b', 'c'].map((id) => ({ id, data: Buffer.from(id) }))))
        proxy.arm()
        const answer = await exec().then(
          (replies) => replies,
          (error) => error,
        )
        expect(answer).toBeInstanceOf(Error)
        expect(proxy.broken()).toBe(1)
        // The client has connected again, and whatever it sends again has arrived.
        await one.command(keyPrefix, 'PING')
        expect((await other.getMany(['a', 'b', 'c'])).size).toBe(0)

        proxy.arm()
        const transaction = store.transaction(async (tx) => {
          await tx.put('a', Buffer.from('a'))
          await tx.delete('kept')
        })
        expect(await transaction.catch((error) => error)).toMatchObject({ code: 'CONNECTION' })
        expect(proxy.broken()).toBe(2)
        await one.command(keyPrefix, 'PING')
        expect([...(await other.getMany(['a', 'kept'])).keys()]).toEqual(['kept'])
      })
    }
  })
}
