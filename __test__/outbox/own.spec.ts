import { describe } from 'vitest'
import { ownConnections } from '../support/executors'
import { missing, targets } from '../support/targets'
import { outboxBehavior } from './behavior'

for (const target of targets) {
  describe.skipIf(missing(target))(target.name, () => outboxBehavior(ownConnections(target)))
}
