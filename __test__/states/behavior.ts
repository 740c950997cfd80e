import type { Executor } from '../support/executors'
import { listBehavior } from './behavior-lists'
import { recordBehavior } from './behavior-records'
import { timeBehavior } from './behavior-time'
import { updateBehavior } from './behavior-updates'

/** The rules of saga state, the same on every backend. */
export function stateBehavior(executor: Executor): void {
  recordBehavior(executor)
  updateBehavior(executor)
  listBehavior(executor)
  timeBehavior(executor)
}
