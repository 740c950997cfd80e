// An order saga keeps its large routing slip in a SQLite file. The slip is stored and read back by a second process.
// Then a saga times out and still compensates, and expired payloads are cleaned up.
//   npm start
import { execFileSync } from 'node:child_process'
import { createHash, randomUUID } from 'node:crypto'
import { mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { NotFoundError, openStore } from 'sagastore'

const directory = mkdtempSync(join(tmpdir(), 'sagastore-quickstart-'))
const url = `sqlite://${join(directory, 'orders.db')}`

const kib = (bytes: number) => `${(bytes / 1024).toFixed(1)} KiB`
const sha = (data: Buffer) => createHash('sha256').update(data).digest('hex').slice(0, 16)
const say = (line: string) => console.log(line)
let step = 0
const chapter = (title: string) => say(`\n${++step}. ${title}`)

async function timed<T>(work: () => Promise<T>): Promise<[T, string]> {
  const began = performance.now()
  const result = await work()
  return [result, `${(performance.now() - began).toFixed(2)} ms`]
}

/** What a saga engine hands over: the steps still to do, and everything they need. */
function routingSlip(orderId: string) {
  const items = Array.from({ length: 1900 }, (_, index) => ({
    sku: `SKU-${index}`,
    quantity: (index % 5) + 1,
    price: index * 1.1,
    note: randomUUID(),
    warehouse: `rack ${index % 40}, shelf ${index % 7}, ${randomUUID()}`,
  }))
  const itinerary = ['reserve-stock', 'charge-card', 'book-carrier', 'send-confirmation']
  return Buffer.from(JSON.stringify({ orderId, itinerary, compensations: ['release-stock', 'refund-card'], items }))
}

try {
  say(`sagastore quickstart: payloads of an order saga in ${url}`)
  const store = openStore(url)
  const [, opened] = await timed(() => store.initialize())
  say(`   the file and its table are there (${opened})`)

  chapter('An order of 1,900 lines: its routing slip is too large for a message')
  const slip = routingSlip('order-4711')
  const claimId = `slip-order-4711-${Date.now()}`
  const [, stored] = await timed(() => store.put(claimId, slip, new Date(Date.now() + 3_600_000)))
  say(`   stored ${kib(slip.length)} under ${claimId} in ${stored}, sha256 ${sha(slip)}…`)
  say('   the event on the broker carries only the claim id')

  chapter('Another process, after a restart, follows the claim id')
  const reader = fileURLToPath(new URL('reader.ts', import.meta.url))
  process.stdout.write(execFileSync(process.execPath, [...process.execArgv, reader, url, claimId], { encoding: 'utf8' }))
  const [mine, loaded] = await timed(() => store.get(claimId))
  say(`   this process reads the same ${kib(mine.length)} in ${loaded}: ${mine.equals(slip) ? 'byte for byte' : 'DIFFERENT'}`)

  chapter('A saga that has timed out must still compensate')
  const lateId = `slip-order-4712-${Date.now()}`
  await store.put(lateId, Buffer.from(JSON.stringify({ compensations: ['refund-card'] })), new Date(Date.now() - 60_000))
  const late = JSON.parse((await store.get(lateId)).toString())
  say(`   its expiry passed a minute ago, and it is kept (lateRetentionMs); next step: ${late.compensations[0]}`)

  chapter('What has expired is gone, and cleanup() gives the space back')
  const small = slip.subarray(0, 4096)
  const expiresAt = new Date(Date.now() + 300)
  const entries = Array.from({ length: 200 }, (_, index) => ({ id: `slip-short-${index}`, data: small, expiresAt }))
  const [, many] = await timed(() => store.putMany(entries))
  say(`   stored 200 payloads of 4.0 KiB that live for 300 ms, in ${many}`)
  await sleep(400)
  await store.get('slip-short-0').catch((error) => {
    if (!(error instanceof NotFoundError)) throw error
    say(`   get: ${error.code} (${error.message})`)
  })
  const [removed, purged] = await timed(() => store.purgeExpired())
  say(`   cleanup removed ${removed} of them in ${purged}`)

  chapter('What the store says of itself')
  const { payloads, operations } = await store.statistics()
  const onDisk = readdirSync(directory).reduce((sum, name) => sum + statSync(join(directory, name)).size, 0)
  say(`   ${payloads.count} payloads, ${kib(payloads.bytes)}; on disk, the write-ahead log included: ${kib(onDisk)}`)
  for (const [name, { count, p50Ms, p99Ms }] of Object.entries(operations)) {
    say(`   ${name.padEnd(8)} ${String(count).padStart(4)} operations, median ${p50Ms.toFixed(2)} ms, p99 ${p99Ms.toFixed(2)} ms`)
  }
  const health = await store.health()
  say(`   ${health.status}: SQLite ${health.serverVersion}`)
  await store.close()
  say('\nDone. The same program runs on PostgreSQL or Redis: only the URL changes.')
} finally {
  rmSync(directory, { recursive: true, force: true })
}
