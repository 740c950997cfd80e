// A worker thread that stores and reads what the main thread left in the same store, then ends.
import assert from 'node:assert'
import { isMainThread, Worker } from 'node:worker_threads'
import { openStore } from 'sagastore'

const store = openStore('memory://shared')
if (isMainThread) {
  await store.put('from main', Buffer.from('a'))
  const worker = new Worker(new URL(import.meta.url))
  const [code] = await new Promise((resolve, reject) => worker.once('error', reject).once('exit', (...args) => resolve(args)))
  assert.strictEqual(code, 0)
  assert.strictEqual(String(await store.get('from worker')), 'b')
  console.log('stored')
} else {
  assert.strictEqual(String(await store.get('from main')), 'a')
  await store.put('from worker', Buffer.from('b'))
}
