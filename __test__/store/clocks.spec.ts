import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { openStore } from '../../index.js'
import { settableClock } from '../../scripts/services/servers.mjs'
import { runProgram } from '../support/programs'
import { missing, type Target, targets, temporaryDirectory } from '../support/targets'

// A machine's clock is set while the store is open. Expiries go by the server's clock, which stays right.
const PROGRAM = `
  const { writeFileSync } = require('node:fs')
  const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms))
  const set = (offset) => writeFileSync(args.clock, offset)
  const inMs = (ms) => new Date(Date.now() + ms)
  const data = Buffer.from('x')
  const right = Date.now()
  await store.initialize()
  await store.put('before', data, inMs(60_000))
  set('-3600')
  const back = Math.round((Date.now() - right) / 600_000)
  // Nothing is soon about it: no other look finds out that it was dropped.
  await store.put('back', data, inMs(1_200_000))
  await store.putMany([{ id: 'back, too', data, expiresAt: inMs(1_200_000) }])
  await store.put('touched', data)
  const touched = await store.touch('touched', inMs(1_200_000))
  if (args.transactions) await store.transaction((tx) => tx.put('back in a transaction', data, inMs(1_200_000)))
  const seen = await store.has('back')
  set('+3600')
  const forward = Math.round((Date.now() - right) / 600_000)
  await store.put('forward', data, inMs(2_000))
  const young = await store.has('forward')
  await sleep(3_000)
  const old = await store.has('forward')
  console.log(JSON.stringify({ back, touched, seen, forward, young, old }))
  await store.close()
  await end?.()
  process.exit(0)`

const own = 'const store = sagastore.openStore(args.options); let end;'
const onClient = (client: string) =>
  `${client}; const { url, ...rest } = args.options; const store = sagastore.openStore({ client, ...rest });`
const ioredis = onClient(
  `const { Redis } = require('ioredis'); const client = new Redis(args.options.url); const end = () => client.disconnect()`,
)
const mongodb = onClient(
  `const { MongoClient } = require('mongodb'); const mongo = new MongoClient(args.options.url)
    const client = mongo.db(/[^/]\\/([^/?]+)/.exec(args.options.url)?.[1] ?? 'sagas'); const end = () => mongo.close()`,
)

const find = (name: string) => targets.find((target) => target.name === name) as Target

describe.skipIf(process.platform !== 'linux')('the clock is set by an hour while the store is open', () => {
  for (const [name, target, begin] of [
    ...['redis', 'redis cluster', 'mongodb', 'dynamodb'].map((name) => [name, find(name), own] as const),
    ['ioredis', find('redis'), ioredis] as const,
    ['the mongodb client', find('mongodb'), mongodb] as const,
  ]) {
    // Each waits three seconds: they do it together.
    it.skipIf(missing(target))(name, { concurrent: true }, async () => {
      const clock = join(temporaryDirectory(), 'clock')
      writeFileSync(clock, '+0')
      const options = target.options()
      const transactions = target.name === 'redis' || target.name === 'dynamodb'
      const printed = await runProgram(begin + PROGRAM, { clock, options, transactions }, { env: await settableClock(clock) })
      expect(JSON.parse(printed)).toEqual({ back: -6, touched: true, seen: true, forward: 6, young: true, old: false })
      // As a process sees it whose clock is right.
      await using outside = openStore(options)
      const ids = ['before', 'back', 'back, too', 'touched', ...(transactions ? ['back in a transaction'] : [])]
      expect([...(await outside.getMany([...ids, 'forward'])).keys()]).toEqual(ids)
    })
  }
})
