import { describe } from 'vitest'
import { stateBehavior } from './behavior/states'
import { ownConnections } from './executors'
import { missing, targets } from './targets'

const KEPT = ['memory', 'sqlite', 'sqlite::memory:', 'postgres', 'mongodb', 'redis', 'redis cluster']

for (const target of targets.filter(({ name }) => KEPT.includes(name))) {
  describe.skipIf(missing(target))(target.name, () => stateBehavior(ownConnections(target)))
}
