import { describe } from 'vitest'
import type { SagaOutbox } from '../../index.js'
import { cannotClaim } from '../executions/backends'
import type { Executor } from '../support/executors'
import { sharedStore } from '../support/stores'
import { claimBehavior, unclaimedBehavior } from './behavior-claims'
import { deadLetterBehavior } from './behavior-dead-letters'
import { eventBehavior } from './behavior-events'
import { keptBehavior } from './behavior-kept'
import { listBehavior } from './behavior-lists'
import { orderBehavior, skippingBehavior } from './behavior-order'
import { randomBehavior } from './behavior-random'
import { settlingBehavior } from './behavior-settling'
import { QUICK } from './fresh'

/** The rules of the outbox, the same on every backend. */
export function outboxBehavior(executor: Executor): void {
  /** Whose tests use types of events of their own. */
  const shared = (more: object, parts: ((outbox: () => SagaOutbox) => void)[]) => {
    let outbox: SagaOutbox
    sharedStore(executor, ({ outbox: its }) => (outbox = its), more)
    for (const part of parts) part(() => outbox)
  }
  const canClaim = !cannotClaim(executor)
  describe('outbox', () => {
    const lists = (use: () => SagaOutbox) => listBehavior(use, { canClaim })
    shared(QUICK, canClaim ? [eventBehavior, lists] : [eventBehavior, lists, unclaimedBehavior])
  })
  describe.runIf(canClaim)('outbox, claimed', () => {
    shared(QUICK, [claimBehavior, settlingBehavior, orderBehavior, deadLetterBehavior])
  })
  describe.runIf(canClaim)('outbox whose dead letters let others pass', () => {
    shared({ outbox: { ...QUICK.outbox, onDeadLetter: 'skip' } }, [skippingBehavior])
  })
  describe.runIf(canClaim)('outbox that keeps what was sent', () => keptBehavior(executor))
  describe.runIf(canClaim)('outbox in random hands', () => randomBehavior(executor))
}
