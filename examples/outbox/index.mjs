// @ts-check
// Orders and the events that tell of them, stored together; a relay in another process publishes the events to a broker,
// a Redis with Streams, which is started for it.
// 1. An order and its events in one transaction of better-sqlite3: all of it, or nothing.
// 2. The relay is killed (-9) in the middle. Another one goes on when the lease is over.
// 3. An event that the broker refuses becomes a dead letter. It holds up its customer's later events, and nobody else's.
// 4. The broker is mended, and the dead letter comes again.
//   node examples/outbox/index.mjs
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import Database from 'better-sqlite3'
import { Redis } from 'ioredis'
import { openStore, SqliteSagaStore } from 'sagastore'
// An application has a broker. Here a script starts one, so that the example runs by itself.
import { startRedis } from '../../scripts/services/servers.mjs'

/** A relay renews the leases of what it holds. When it has been silent for so long, others are given its events. */
const LEASE_MS = 1_500
const outbox = { maxRetries: 1, retryBackoffMs: 50 }

/** A relay process: publishes what comes, until it is told to stop. @param {string} path @param {string} brokerUrl */
async function relay(path, brokerUrl) {
  const { RELAY: name, DIES_AT: diesAt } = process.env
  const store = openStore({ url: `sqlite://${path}`, outbox })
  const broker = new Redis(brokerUrl)
  const say = (/** @type {string} */ text) => process.stdout.write(`   [${name}] ${text}\n`)
  const relay = store.outbox.relay(
    async ({ eventId, eventType, routingKey = 'orders', payload }) => {
      const { order } = /** @type {{ order: string }} */ (payload)
      if (order === diesAt) {
        say(`publishing ${eventType} ${order} …`)
        await sleep(60_000)
      }
      try {
        // It may come twice: by its id a consumer knows a repetition (examples/inbox).
        await broker.xadd(routingKey, '*', 'id', eventId, 'type', eventType, 'payload', JSON.stringify(payload))
        say(`published ${eventType} ${order}`)
      } catch (error) {
        say(`${eventType} ${order}: ${/** @type {Error} */ (error).message.split(' ')[0]}`)
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

/** Starts a relay; answers once it is ready. @param {string} name @param {string[]} places @param {string} [diesAt] */
async function startRelay(name, places, diesAt) {
  const env = { ...process.env, RELAY: name, DIES_AT: diesAt }
  const child = spawn(process.execPath, [fileURLToPath(import.meta.url), '--relay', ...places], { env, stdio: ['pipe', 'pipe', 'inherit'] })
  let said = ''
  child.stdout.setEncoding('utf8').on('data', (text) => {
    said += text
    process.stdout.write(text.replace('ready\n', ''))
  })
  const says = async (/** @type {string} */ part) => {
    while (!said.includes(part)) await sleep(10)
  }
  await says('ready\n')
  return { child, says, ended: once(child, 'exit') }
}

async function main() {
  const directory = mkdtempSync(join(tmpdir(), 'sagastore-outbox-'))
  const path = join(directory, 'orders.db')
  const database = new Database(path)
  const broker = await startRedis()
  const redis = new Redis(broker.url)
  const store = new SqliteSagaStore({ client: database, outbox })
  try {
    database.pragma('journal_mode = wal')
    database.exec('create table orders (id text primary key, customer text)')
    await store.initialize()

    /** @param {string} order @param {string} customer @param {{ mail?: boolean, fails?: boolean }} [more] */
    const placeOrder = async (order, customer, { mail = false, fails = false } = {}) => {
      /** @type {Promise<unknown>[]} */
      const inserted = []
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
    await placeOrder('4713', 'eve', { fails: true }).catch((error) => console.log(`   order 4713: ${error.message}, rolled back`))
    const orders = /** @type {{ id: string }[]} */ (database.prepare('select id from orders').all())
    console.log(`   orders: ${orders.map(({ id }) => id).join(', ')}; events that wait: ${await store.outbox.pendingCount()}`)

    console.log('2. The first relay is killed while it publishes')
    const first = await startRelay('first', [path, broker.url], '4712')
    await Promise.all([first.says('published OrderPlaced 4711'), first.says('publishing OrderPlaced 4712')])
    // What it has published it acknowledges in a moment.
    while ((await store.outbox.statistics()).claimed > 1) await sleep(10)
    first.child.kill('SIGKILL')
    console.log(`   it ended by ${(await first.ended)[1]}; the second relay goes on when the lease is over`)
    const second = await startRelay('second', [path, broker.url])
    await second.says('published OrderPlaced 4712')

    console.log('3. The broker refuses an event: what it was to go to is no stream')
    await redis.set('mail', 'something else')
    await placeOrder('4714', 'ann', { mail: true })
    await placeOrder('4715', 'bob')
    await second.says('published OrderPlaced 4715')
    while ((await store.outbox.statistics()).dead === 0) await sleep(10)
    const [dead] = (await store.outbox.deadLetters()).events
    console.log(`   dead letter: ${dead?.eventType}, after ${dead?.retryCount} failures; held up: ${await store.outbox.blockedKeys()}`)

    console.log('4. It is mended, and the dead letter comes again')
    await redis.del('mail')
    console.log(`   requeued: ${await store.outbox.requeue({ routingKey: 'mail' })}`)
    await second.says('published OrderPlaced 4714')
    second.child.stdin.end()
    await second.ended
    for (const stream of ['orders', 'mail']) {
      const entries = await redis.xrange(stream, '-', '+')
      console.log(`   ${stream}: ${entries.map(([, fields]) => `${fields[3]} ${JSON.parse(fields[5] ?? '').order}`).join(', ')}`)
    }
    const { ready, claimed, waiting, dead: left } = await store.outbox.statistics()
    console.log(`   left in the outbox: ${ready + claimed + waiting + left}`)
    console.log('Done.')
  } finally {
    redis.disconnect()
    await store.close()
    database.close()
    await broker.remove()
    rmSync(directory, { recursive: true, force: true })
  }
}

const [mode, ...places] = process.argv.slice(2)
if (mode === '--relay') await relay(/** @type {string} */ (places[0]), /** @type {string} */ (places[1]))
else await main()
