import { describe } from 'vitest'
import { stateBehavior } from './behavior/states'
import { ownTransactions } from './executors'
import { missing, targets } from './targets'

const own = targets.filter(({ name }) => ['memory', 'sqlite, durability normal', 'postgres'].includes(name))

for (const executor of own.map(ownTransactions)) {
  describe.skipIf(missing(executor))(executor.name, () => stateBehavior(executor))
}
