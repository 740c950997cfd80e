import { describe } from 'vitest'
import { stateBehavior } from './behavior/states'
import { dynamoDBExecutors } from './executors'
import { missing } from './targets'

for (const executor of dynamoDBExecutors) {
  describe.skipIf(missing(executor))(executor.name, () => stateBehavior(executor))
}
