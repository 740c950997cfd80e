import { describe } from 'vitest'
import { ownTransactions } from '../support/executors'
import { missing, targets } from '../support/targets'
import { payloadBehavior } from './behavior'

const own = targets.filter(({ name }) =>
  ['memory', 'sqlite, durability normal', 'sqlite::memory:', 'postgres', 'redis', 'redis cluster', 'dynamodb'].includes(name),
)

for (const executor of own.map(ownTransactions)) {
  describe.skipIf(missing(executor))(executor.name, () => payloadBehavior(executor))
}
