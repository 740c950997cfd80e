// The second process of the quickstart. It knows only the URL and the claim id.
import { createHash } from 'node:crypto'
import { openStore } from 'sagastore'

const [url, claimId] = process.argv.slice(2) as [string, string]
const store = openStore(url)
const began = performance.now()
const slip = await store.get(claimId)
const took = (performance.now() - began).toFixed(2)
const { itinerary, items } = JSON.parse(slip.toString())
const sha = createHash('sha256').update(slip).digest('hex').slice(0, 16)
console.log(`   process ${process.pid} opened the file and read ${(slip.length / 1024).toFixed(1)} KiB in ${took} ms, sha256 ${sha}…`)
console.log(`   it has ${items.length} lines; next step: ${itinerary[0]}`)
await store.close()
