import { describe } from 'vitest'
import { ownConnections } from '../support/executors'
import { missing, prefixesInOneSlot, type Target, targets } from '../support/targets'
import { inboxBehavior } from './behavior'

function inOneSlot(target: Target): Target {
  const options = () => ({ ...target.options(), ...prefixesInOneSlot() })
  return target.name === 'redis cluster' ? { ...target, options } : target
}

for (const target of targets) {
  describe.skipIf(missing(target))(target.name, () => inboxBehavior(ownConnections(inOneSlot(target))))
}
