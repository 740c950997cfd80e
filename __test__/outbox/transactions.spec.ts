import { describe } from 'vitest'
import { ownTransactions } from '../support/executors'
import { missing, targets } from '../support/targets'
import { outboxBehavior } from './behavior'

const own = targets.filter(({ name }) => ['memory', 'sqlite, durability normal', 'postgres'].includes(name))

for (const executor of own.map(ownTransactions)) {
  describe.skipIf(missing(executor))(executor.name, () => outboxBehavior(executor))
}
