import { describe } from 'vitest'
import { payloadBehavior } from './behavior/payloads'
import { missing, targets } from './targets'

for (const target of targets) {
  describe.skipIf(missing(target))(target.name, () => payloadBehavior(target))
}
