import { describe } from 'vitest'
import { clientExecutors, dynamoDBExecutors, mongoExecutors } from '../support/executors'
import { missing } from '../support/targets'
import { movingBehavior } from './behavior'

// Whole records are no part of a transaction. Clients of Redis have their own in `backends/redis/moving.spec.ts`.
const outside = [...clientExecutors, ...mongoExecutors, ...dynamoDBExecutors].filter(({ name }) => !name.includes('transaction'))
for (const executor of outside) {
  describe.skipIf(missing(executor))(executor.name, () => movingBehavior(executor))
}
