// A consumer takes goods out of stock for orders. Each message comes at least once: the broker (here Redis Streams) has
// every one twice, and the consumer is killed (-9) in bad moments. Each is applied once.
// 1. The first consumer is killed in the middle of the work: nothing of it has happened, and it is done again.
// 2. The second one is killed when the work is committed, before it can tell the broker: it is not done again.
// 3. The third one does what is left.
//   REDIS_URL=redis://... npm start [-- URL]     a SQLite file by default, or postgres:
import { type ChildProcessByStdio, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { Redis } from 'ioredis'
import { openStore } from 'sagastore'

const BROKER = process.env.REDIS_URL ?? 'redis://127.0.0.1:6379'
const GROUP = 'stock'

/** What Redis answers: of each stream its entries, and of each entry its fields. */
type Streams = [stream: string, entries: [place: string, fields: [string, string, string, string]][]][]

const say = (text: string) => process.stdout.write(`   [${process.env.CONSUMER}] ${text}\n`)

/** Waits to be killed, if this is the moment. */
async function dies(moment: string) {
  if (process.env.DIES !== moment) return
  say(`dies ${moment} …`)
  await sleep(60_000)
}

/** Reads messages until there are no more. */
async function consume(url: string, table: string, stream: string) {
  const store = openStore(url)
  const broker = new Redis(BROKER)
  const placeholder = store.backend === 'postgres' ? '$1' : '?'
  // First what an earlier process of this name was given and did not acknowledge ('0'), then what is new ('>').
  for (let from = '0'; ; ) {
    const read = (await broker.xreadgroup('GROUP', GROUP, 'consumer', 'COUNT', 1, 'STREAMS', stream, from)) as Streams | null
    const entry = read?.[0]?.[1][0]
    if (entry === undefined && from === '>') break
    if (entry === undefined) {
      from = '>'
      continue
    }
    const [place, [, messageId, , quantity]] = entry
    const { ran } = await store.inbox.run(GROUP, messageId, async (tx) => {
      await tx.query(`update ${table} set quantity = quantity - ${placeholder}`, [Number(quantity)])
      await dies(`in the work of ${messageId}`)
    })
    say(ran ? `${messageId}: took ${quantity} out of stock` : `${messageId}: a duplicate`)
    await dies(`before the acknowledgement of ${messageId}`)
    await broker.xack(stream, GROUP, place)
  }
  await store.close()
  broker.disconnect()
}

/** Runs a consumer until it ends, or is killed. */
async function runConsumer(name: string, places: string[], moment?: string) {
  const env = { ...process.env, CONSUMER: name, DIES: moment }
  const args = [...process.execArgv, fileURLToPath(import.meta.url), '--consume', ...places]
  const child: ChildProcessByStdio<null, Readable, null> = spawn(process.execPath, args, { env, stdio: ['ignore', 'pipe', 'inherit'] })
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    process.stdout.write(text)
    if (text.includes('] dies ')) child.kill('SIGKILL')
  })
  const [code, signal] = await once(child, 'exit')
  if (signal !== null) console.log(`   it ended by ${signal}`)
  else if (code !== 0) throw new Error(`the consumer ended with ${code}`)
}

async function main(given: string | undefined) {
  const directory = mkdtempSync(join(tmpdir(), 'sagastore-inbox-'))
  const url = given ?? `sqlite://${join(directory, 'stock.db')}`
  const redis = new Redis(BROKER)
  const store = openStore(url)
  // Of its own: another run on the same database has another one.
  const run = Date.now()
  const table = `example_stock_${run}`
  const stream = `example-${run}:orders`
  const left = async () => {
    const [row] = await store.transaction((tx) => tx.query(`select quantity from ${table}`))
    return row?.quantity
  }
  try {
    await store.initialize()
    await store.transaction(async (tx) => {
      await tx.query(`create table ${table} (quantity int)`)
      await tx.query(`insert into ${table} values (100)`)
    })
    await redis.xgroup('CREATE', stream, GROUP, '0', 'MKSTREAM')
    const quantities = [1, 2, 4, 8]
    for (const [n, quantity] of [...quantities.entries(), ...quantities.entries()]) {
      await redis.xadd(stream, '*', 'id', `m-${run}-${n + 1}`, 'quantity', quantity)
    }
    console.log(`${2 * quantities.length} messages, each of ${quantities.length} twice; in stock: ${await left()}`)
    const places = [url, table, stream]

    console.log('1. The first consumer dies in the middle of the work')
    await runConsumer('first', places, `in the work of m-${run}-2`)
    console.log(`   in stock: ${await left()}`)
    console.log('2. The second one dies when the work is committed')
    await runConsumer('second', places, `before the acknowledgement of m-${run}-3`)
    console.log(`   in stock: ${await left()}`)
    console.log('3. The third one does what is left')
    await runConsumer('third', places)
    console.log(`In stock: ${await left()}, which is 100 less ${quantities.join(', ')}`)
    console.log('Done.')
  } finally {
    await redis.del(stream)
    redis.disconnect()
    await store.transaction((tx) => tx.query(`drop table if exists ${table}`))
    await store.close()
    rmSync(directory, { recursive: true, force: true })
  }
}

const [mode, ...places] = process.argv.slice(2)
if (mode === '--consume') await consume(...(places as [string, string, string]))
else await main(mode)
