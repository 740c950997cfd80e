import { MongoClient } from 'mongodb'
import { expect, it } from 'vitest'
import { MongoSagaStore } from '../../../index.js'
import { startPeer } from '../../support/mongodb-peer'

/** A replica set of two, whose primary becomes the other one at the first write; that write is refused with `code`. */
async function failingOver(code: number, codeName: string) {
  let primary = 0
  const peers: Awaited<ReturnType<typeof startPeer>>[] = []
  const hosts = () => peers.map((peer) => `127.0.0.1:${peer.port()}`)
  const role = (n: number) => () => ({
    hosts: hosts(),
    primary: hosts()[primary],
    isWritablePrimary: primary === n,
    ismaster: primary === n,
    secondary: primary !== n,
  })
  const refuse = (name: string) => {
    if (name !== 'update') return undefined
    primary = 1
    return { ok: 0, code, codeName, errmsg: 'not primary' }
  }
  peers.push(await startPeer(refuse, role(0)))
  peers.push(await startPeer(undefined, role(1)))
  const [first, second] = peers as [(typeof peers)[number], (typeof peers)[number]]
  return { url: `mongodb://${hosts().join(',')}/sagas?replicaSet=rs0`, first, second }
}

const written = (peer: Awaited<ReturnType<typeof startPeer>>) => peer.commands.filter(({ update }) => update !== undefined).length

it.each([
  [10107, 'NotWritablePrimary'],
  [13435, 'NotPrimaryNoSecondaryOk'],
  [11602, 'InterruptedDueToReplStateChange'],
  [11600, 'InterruptedAtShutdown'],
  [13436, 'NotPrimaryOrSecondary'],
  [189, 'PrimarySteppedDown'],
  [91, 'ShutdownInProgress'],
])('a write that is refused with %i (%s) goes to the new primary', async (code, name) => {
  const own = await failingOver(code, name)
  await using store = new MongoSagaStore({ url: own.url, operationTimeoutMs: 20_000 })
  await store.put('id', Buffer.from('x'))
  expect([written(own.first), written(own.second)]).toEqual([1, 1])

  const theirs = await failingOver(code, name)
  const client = new MongoClient(theirs.url, { heartbeatFrequencyMS: 500, minHeartbeatFrequencyMS: 100 })
  await using onClient = new MongoSagaStore({ client, operationTimeoutMs: 20_000, retry: { attempts: 10, baseMs: 100, maxMs: 500 } })
  await onClient.put('id', Buffer.from('x'))
  expect(written(theirs.second)).toBe(1)
  await client.close()
  for (const { first, second } of [own, theirs]) for (const peer of [first, second]) await peer[Symbol.asyncDispose]()
})
