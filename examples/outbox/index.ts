// Orders and the events that tell of them, stored together; a relay in another process publishes the events to a broker:
// here Redis with Streams.
// 1. An order and its events in one transaction of better-sqlite3: all of it, or nothing.
// 2. The relay is killed (-9) in the middle. Another one goes on when the lease is over.
// 3. An event that the broker refuses becomes a dead letter. It holds up its customer's later events, and nobody else's.
// 4. The broker is mended, and the dead letter comes again.
//   REDIS_URL=redis://... npm start
import { type ChildProcessByStdio, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Readable, Writable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import Database from 'better-sqlite3'
import { Redis } from 'ioredis'
import { openStore, SqliteSagaStore } from 'sagastore'

/** A relay renews the leases of what it holds. When it has been silent for so long, others are given its events. */
const LEASE_MS = 1_500
const outbox = { maxRetries: 1, retryBackoffMs: 50 }
const BROKER = process.env.REDIS_URL ?? 'redis://127.0.0.1:6379'

interface Placed {
  order: string
  customer: string
}

/** A relay process: publishes what comes, until it is told to stop. The streams of this run have names of its own. */
async function relay(path: string, prefix: string) {
  const { RELAY: name, DIES_AT: diesAt } = process.env
  const store = openStore({ url: `sqlite://${path}`, outbox })
  const broker = new Redis(BROKER)
  const say = (text: string) => process.stdout.write(`   [${name}] ${text}\n`)
  const relay = store.outbox.relay<Placed>(
    async ({ eventId, eventType, routingKey = 'orders', payload }) => {
      const { order } = payload
      if (order === diesAt) {
        say(`publishing ${eventType} ${order} …`)
        await sleep(60_000)
      }
      try {
        // It may come twice: by its id a consumer knows a repetition (examples/inbox).
        await broker.xadd(prefix + routingKey, '*', 'id', eventId, 'type', eventType, 'payload', JSON.stringify(payload))
        say(`published ${eventType} ${order}`)
      } catch (error) {
        say(`${eventType} ${order}: ${(error as Error).message.split(' ')[0]}`)
        throw error
      }
    },
    { leaseMs: LEASE_MS, concurrency: 4 },
  )
  process.stdout.write('ready\n')
  // It ends, too, when the process that has started it does.
  await once(process.stdin.resume(), 'end')
  await relay.stop()
  await store.close()
  broker.disconnect()
}

/** Starts a relay; answers once it is ready. */
async function startRelay(name: string, places: string[], diesAt?: string) {
  const env = { ...process.env, RELAY: name, DIES_AT: diesAt }
  const args = [...process.execArgv, fileURLToPath(import.meta.url), '--relay', ...places]
  const child: ChildProcessByStdio<Writable, Readable, null> = spawn(process.execPath, args, { env, stdio: ['pipe', 'pipe', 'inherit'] })
  let said = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    said += text
    process.stdout.write(text.replace('ready\n', ''))
  })
  const says = async (part: string) => {
    while (!said.includes(part)) await sleep(10)
  }
  await says('ready\n')
  return { child, says, ended: once(child, 'exit') }
}

async function main() {
  const directory = mkdtempSync(join(tmpdir(), 'sagastore-outbox-'))
  const path = join(directory, 'orders.db')
  const database = new Database(path)
  const redis = new Redis(BROKER)
  const prefix = `example-${Date.now()}:`
  const store = new SqliteSagaStore({ client: database, outbox })
  try {
    database.pragma('journal_mode = wal')
    database.exec('create table orders (id text primary key, customer text)')
    await store.initialize()

    const placeOrder = async (order: string, customer: string, { mail = false, fails = false } = {}) => {
      const inserted: Promise<unknown>[] = []
      const event = { payload: { order, customer }, partitionKey: customer }
      database.transaction(() => {
        database.prepare('insert into orders values (?, ?)').run(order, customer)
        if (mail) inserted.push(store.outbox.insert({ ...event, eventType: 'MailWanted', routingKey: 'mail' }))
        inserted.push(store.outbox.insert({ ...event, eventType: 'OrderPlaced' }))
        if (fails) throw new Error('the payment was refused')
      })()
      await Promise.all(inserted)
    }

    console.log('1. Each order is stored with its events')
    await placeOrder('4711', 'ann')
    await placeOrder('4712', 'bob')
    await placeOrder('4713', 'eve', { fails: true }).catch((error: Error) => console.log(`   order 4713: ${error.message}, rolled back`))
    const orders = database.prepare<[], { id: string }>('select id from orders').all()
    console.log(`   orders: ${orders.map(({ id }) => id).join(', ')}; events that wait: ${await store.outbox.pendingCount()}`)

    console.log('2. The first relay is killed while it publishes')
    const first = await startRelay('first', [path, prefix], '4712')
    await Promise.all([first.says('published OrderPlaced 4711'), first.says('publishing OrderPlaced 4712')])
    // What it has published it acknowledges in a moment.
    while ((await store.outbox.statistics()).claimed > 1) await sleep(10)
    first.child.kill('SIGKILL')
    console.log(`   it ended by ${(await first.ended)[1]}; the second relay goes on when the lease is over`)
    const second = await startRelay('second', [path, prefix])
    await second.says('published OrderPlaced 4712')

    console.log('3. The broker refuses an event: what it was to go to is no stream')
    await redis.set(`${prefix}mail`, 'something else')
    await placeOrder('4714', 'ann', { mail: true })
    await placeOrder('4715', 'bob')
    await second.says('published OrderPlaced 4715')
    while ((await store.outbox.statistics()).dead === 0) await sleep(10)
    const [dead] = (await store.outbox.deadLetters()).events
    console.log(`   dead letter: ${dead?.eventType}, after ${dead?.retryCount} failures; held up: ${await store.outbox.blockedKeys()}`)

    console.log('4. It is mended, and the dead letter comes again')
    await redis.del(`${prefix}mail`)
    console.log(`   requeued: ${await store.outbox.requeue({ routingKey: 'mail' })}`)
    await second.says('published OrderPlaced 4714')
    second.child.stdin.end()
    await second.ended
    for (const stream of ['orders', 'mail']) {
      const entries = await redis.xrange(prefix + stream, '-', '+')
      console.log(`   ${stream}: ${entries.map(([, fields]) => `${fields[3]} ${JSON.parse(fields[5] ?? '').order}`).join(', ')}`)
    }
    const { ready, claimed, waiting, dead: left } = await store.outbox.statistics()
    console.log(`   left in the outbox: ${ready + claimed + waiting + left}`)
    console.log('Done.')
  } finally {
    await redis.del(`${prefix}orders`, `${prefix}mail`)
    redis.disconnect()
    await store.close()
    database.close()
    rmSync(directory, { recursive: true, force: true })
  }
}

const [mode, ...places] = process.argv.slice(2)
if (mode === '--relay') await relay(places[0] as string, places[1] as string)
else await main()
