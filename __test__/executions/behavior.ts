import type { Executor } from '../support/executors'
import { checkpointBehavior } from './behavior-checkpoints'
import { cleanupBehavior } from './behavior-cleanup'
import { guardBehavior } from './behavior-guards'
import { historyBehavior } from './behavior-history'
import { leaseBehavior } from './behavior-leases'
import { listBehavior } from './behavior-lists'
import { recordBehavior } from './behavior-records'
import { recoveryBehavior } from './behavior-recovery'

/** The rules of executions, the same on every backend. */
export function executionBehavior(executor: Executor): void {
  recordBehavior(executor)
  checkpointBehavior(executor)
  guardBehavior(executor)
  historyBehavior(executor)
  listBehavior(executor)
  leaseBehavior(executor)
  recoveryBehavior(executor)
  cleanupBehavior(executor)
}
