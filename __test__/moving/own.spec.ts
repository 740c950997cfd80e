import { describe } from 'vitest'
import { ownConnections } from '../support/executors'
import { missing, targets } from '../support/targets'
import { movingBehavior } from './behavior'

for (const target of targets) {
  describe.skipIf(missing(target))(target.name, () => movingBehavior(ownConnections(target)))
}
