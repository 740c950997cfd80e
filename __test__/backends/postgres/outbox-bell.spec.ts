import { describe, it } from 'vitest'
import { replacesSilentListener } from '../../support/listeners'
import { missing, type Target, targets } from '../../support/targets'

const [target] = targets.filter(({ name }) => name === 'postgres') as [Target]

describe.skipIf(missing(target))('a session that listens and dies unnoticed', () => {
  it('is found and replaced; meanwhile events are found by polling, and health says so', async () => {
    await replacesSilentListener(target, 5432, 'LISTEN')
  }, 60_000)
})
