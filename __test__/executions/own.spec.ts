import { describe } from 'vitest'
import { ownConnections } from '../support/executors'
import { missing, targets } from '../support/targets'
import { executionBehavior } from './behavior'

for (const target of targets) {
  describe.skipIf(missing(target))(target.name, () => executionBehavior(ownConnections(target)))
}
