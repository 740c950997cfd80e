// Named imports from the CommonJS entry, and a file that outlives its store.
import assert from 'node:assert'
import { randomBytes } from 'node:crypto'
import { openStore, RedisSagaStore, SagaStoreError } from 'sagastore'

const slip = randomBytes(300_000)
const first = openStore('sqlite:sagas.db')
await first.initialize()
await first.put('slip', slip, new Date(Date.now() + 60_000))
await first.close()
const second = openStore('sqlite:sagas.db')
assert.deepStrictEqual(await second.get('slip'), slip)
await second.close()

assert.throws(() => new RedisSagaStore({ url: 'redis://localhost', keyPrefx: 'a' }), SagaStoreError)
console.log('stored')
