// A service with Express: it stores slips, tells its health, and gives metrics to Prometheus. On SIGTERM it answers what is
// under way, then closes its store.
//   npm start -- --port 3000 [--store URL]     memory by default, or sqlite:, postgres:, redis:, mongodb:, dynamodb:
//   npm start                                  asks itself a few things on a free port, and ends
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { parseArgs } from 'node:util'
import { openStore } from 'sagastore'
import { createApp } from './app.js'

const { values } = parseArgs({ options: { port: { type: 'string' }, store: { type: 'string', default: 'memory://' } } })
const store = openStore(values.store)
await store.initialize()
const server = createApp(store).listen(Number(values.port ?? 0), '127.0.0.1')
await once(server, 'listening')
const address = `http://127.0.0.1:${(server.address() as AddressInfo).port}`

async function stop() {
  server.close()
  await once(server, 'close')
  await store.close() // answers what is under way, then lets go of the connections
}

if (values.port === undefined) await demonstrate()
else {
  console.log(`listening on ${address}`)
  process.once('SIGTERM', stop).once('SIGINT', stop)
}

async function demonstrate() {
  const ask = async (path: string, init?: RequestInit) => {
    const response = await fetch(`${address}${path}`, { ...init, headers: { connection: 'close' } })
    const text = await response.text()
    console.log(`${init?.method ?? 'GET'} ${path}: ${response.status}`)
    return text
  }
  const id = `slip-4711-${Date.now()}`
  await ask(`/slips/${id}`, { method: 'PUT', body: 'a routing slip' })
  console.log(`  ${await ask(`/slips/${id}`)}`)
  console.log(`  ${await ask('/slips/slip-4712-gone')}`)
  console.log(`  ${JSON.parse(await ask('/ready')).status}`)
  const metrics = await ask('/metrics')
  console.log(`  ${metrics.split('\n').find((line) => line.startsWith('sagastore_operations_total{operation="put"}'))}`)
  await store.delete(id)
  await stop()
}
