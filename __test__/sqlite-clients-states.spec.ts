import { describe } from 'vitest'
import { stateBehavior } from './behavior/states'
import { clientExecutors } from './executors'
import { missing } from './targets'

for (const executor of clientExecutors.filter(({ variable }) => variable === undefined)) {
  describe.skipIf(missing(executor))(executor.name, () => stateBehavior(executor))
}
