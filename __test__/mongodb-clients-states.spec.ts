import { describe } from 'vitest'
import { stateBehavior } from './behavior/states'
import { mongoExecutors } from './executors'
import { missing } from './targets'

for (const executor of mongoExecutors) {
  describe.skipIf(missing(executor))(executor.name, () => stateBehavior(executor))
}
