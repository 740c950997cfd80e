import { describe, expect, it } from 'vitest'
import { openStore } from '../../index.js'
import { ownConnections } from '../support/executors'
import { missing, targets } from '../support/targets'
import { payloadBehavior } from './behavior'

for (const target of targets) {
  describe.skipIf(missing(target))(target.name, () => {
    payloadBehavior(ownConnections(target))

    it.skipIf(target.name === 'sqlite::memory:')('shares its data with another store of the same options', async () => {
      const options = target.options()
      await using one = openStore(options)
      await using two = openStore(options)
      await one.initialize()
      await one.put('shared', Buffer.from('data'))
      expect((await two.get('shared')).toString()).toBe('data')
    })
  })
}
