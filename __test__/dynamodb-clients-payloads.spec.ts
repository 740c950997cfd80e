import { describe } from 'vitest'
import { payloadBehavior } from './behavior/payloads'
import { dynamoDBExecutors } from './executors'
import { missing } from './targets'

for (const executor of dynamoDBExecutors) {
  describe.skipIf(missing(executor))(executor.name, () => payloadBehavior(executor))
}
