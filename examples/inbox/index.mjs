// @ts-check
// A consumer takes goods out of stock for orders. Each message comes at least once: the broker (Redis Streams, started
// for it) has every one twice, and the consumer is killed (-9) in bad moments. Each is applied once.
// 1. The first consumer is killed in the middle of the work: nothing of it has happened, and it is done again.
// 2. The second one is killed when the work is committed, before it can tell the broker: it is not done again.
// 3. The third one does what is left.
//   node examples/inbox/index.mjs [URL]     a SQLite file by default, or postgres:
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { Redis } from 'ioredis'
import { openStore } from 'sagastore'
// An application has a broker. Here a script starts one, so that the example runs by itself.
import { startRedis } from '../../scripts/services/servers.mjs'

const [STREAM, GROUP] = ['orders', 'stock']

/** @param {string} text */
const say = (text) => process.stdout.write(`   [${process.env.CONSUMER}] ${text}\n`)

/** Waits to be killed, if this is the moment. @param {string} moment */
async function dies(moment) {
  if (process.env.DIES !== moment) return
  say(`dies ${moment} …`)
  await sleep(60_000)
}

/** Reads messages until there are no more. @param {string} url @param {string} table @param {string} brokerUrl */
async function consume(url, table, brokerUrl) {
  const store = openStore(url)
  const broker = new Redis(brokerUrl)
  const placeholder = store.backend === 'postgres' ? '$1' : '?'
  // First what an earlier process of this name was given and did not acknowledge ('0'), then what is new ('>').
  for (let from = '0'; ; ) {
    const read = await broker.xreadgroup('GROUP', GROUP, 'consumer', 'COUNT', 1, 'STREAMS', STREAM, from)
    const [, entries] = /** @type {[string, [string, string[]][]][]} */ (read ?? [])[0] ?? []
    const [entry] = entries ?? []
    if (entry === undefined && from === '>') break
    if (entry === undefined) {
      from = '>'
      continue
    }
    const [place, [, messageId, , quantity]] = /** @type {[string, [string, string, string, string]]} */ (entry)
    const { ran } = await store.inbox.run(GROUP, messageId, async (tx) => {
      await tx.query(`update ${table} set quantity = quantity - ${placeholder}`, [Number(quantity)])
      await dies(`in the work of ${messageId}`)
    })
    say(ran ? `${messageId}: took ${quantity} out of stock` : `${messageId}: a duplicate`)
    await dies(`before the acknowledgement of ${messageId}`)
    await broker.xack(STREAM, GROUP, place)
  }
  await store.close()
  broker.disconnect()
}

/** Runs a consumer until it ends, or is killed. @param {string} name @param {string[]} places @param {string} [moment] */
async function runConsumer(name, places, moment) {
  const env = { ...process.env, CONSUMER: name, DIES: moment }
  const child = spawn(process.execPath, [fileURLToPath(import.meta.url), '--consume', ...places], {
    env,
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  child.stdout.setEncoding('utf8').on('data', (text) => {
    process.stdout.write(text)
    if (text.includes('] dies ')) child.kill('SIGKILL')
  })
  const [code, signal] = await once(child, 'exit')
  if (signal !== null) console.log(`   it ended by ${signal}`)
  else if (code !== 0) throw new Error(`the consumer ended with ${code}`)
}

/** @param {string | undefined} given */
async function main(given) {
  const directory = mkdtempSync(join(tmpdir(), 'sagastore-inbox-'))
  const url = given ?? `sqlite://${join(directory, 'stock.db')}`
  const broker = await startRedis()
  const redis = new Redis(broker.url)
  const store = openStore(url)
  // Of its own: another run on the same database has another one.
  const run = Date.now()
  const table = `example_stock_${run}`
  const left = async () => {
    const [row] = /** @type {{ quantity: number }[]} */ (await store.transaction((tx) => tx.query(`select quantity from ${table}`)))
    return row?.quantity
  }
  try {
    await store.initialize()
    await store.transaction(async (tx) => {
      await tx.query(`create table ${table} (quantity int)`)
      await tx.query(`insert into ${table} values (100)`)
    })
    await redis.xgroup('CREATE', STREAM, GROUP, '0', 'MKSTREAM')
    const quantities = [1, 2, 4, 8]
    for (const [n, quantity] of [...quantities.entries(), ...quantities.entries()]) {
      await redis.xadd(STREAM, '*', 'id', `m-${run}-${n + 1}`, 'quantity', quantity)
    }
    console.log(`${2 * quantities.length} messages, each of ${quantities.length} twice; in stock: ${await left()}`)
    const places = [url, table, broker.url]

    console.log('1. The first consumer dies in the middle of the work')
    await runConsumer('first', places, `in the work of m-${run}-2`)
    console.log(`   in stock: ${await left()}`)
    console.log('2. The second one dies when the work is committed')
    await runConsumer('second', places, `before the acknowledgement of m-${run}-3`)
    console.log(`   in stock: ${await left()}`)
    console.log('3. The third one does what is left')
    await runConsumer('third', places)
    console.log(`In stock: ${await left()}, which is 100 less ${quantities.join(', ')}`)
    await store.transaction((tx) => tx.query(`drop table ${table}`))
    console.log('Done.')
  } finally {
    redis.disconnect()
    await store.close()
    await broker.remove()
    rmSync(directory, { recursive: true, force: true })
  }
}

const [mode, ...places] = process.argv.slice(2)
if (mode === '--consume') await consume(.../** @type {[string, string, string]} */ (places))
else await main(mode)
