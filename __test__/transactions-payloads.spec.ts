import { describe } from 'vitest'
import { payloadBehavior } from './behavior/payloads'
import { ownTransactions } from './executors'
import { missing, targets } from './targets'

const own = targets.filter(({ name }) =>
  ['memory', 'sqlite, durability normal', 'sqlite::memory:', 'postgres', 'redis', 'redis cluster', 'dynamodb'].includes(name),
)

for (const executor of own.map(ownTransactions)) {
  describe.skipIf(missing(executor))(executor.name, () => payloadBehavior(executor))
}
