import { describe } from 'vitest'
import { stateBehavior } from './behavior/states'
import { ownConnections } from './executors'
import { missing, targets } from './targets'

for (const target of targets) {
  describe.skipIf(missing(target))(target.name, () => stateBehavior(ownConnections(target)))
}
