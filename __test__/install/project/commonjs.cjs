// `require`, and a process that ends although a store is still open.
const assert = require('node:assert')
const { openStore, NotFoundError } = require('sagastore')

async function main() {
  const store = openStore('memory://')
  await store.put('slip', Buffer.from([0, 1, 255]), new Date(Date.now() + 60_000))
  assert.deepStrictEqual(await store.get('slip'), Buffer.from([0, 1, 255]))
  await assert.rejects(store.get('other'), NotFoundError)
  console.log('stored')
}

main()
