import { describe } from 'vitest'
import { clientExecutors, dynamoDBExecutors, mongoExecutors } from '../support/executors'
import { missing } from '../support/targets'
import { inboxBehavior } from './behavior'

// Clients of Redis run it in `backends/redis/clients.spec.ts`, all on one connection.
for (const executor of [...clientExecutors, ...mongoExecutors, ...dynamoDBExecutors]) {
  describe.skipIf(missing(executor))(executor.name, () => inboxBehavior(executor))
}
