import { describe } from 'vitest'
import { payloadBehavior } from './behavior/payloads'
import { clientExecutors } from './executors'
import { missing } from './targets'

for (const executor of clientExecutors.filter(({ variable }) => variable === 'POSTGRES_URL')) {
  describe.skipIf(missing(executor))(executor.name, () => payloadBehavior(executor))
}
