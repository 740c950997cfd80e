import type { HistoryPage, SagaLogEntry, SagaStep } from './execution-types'

/**
 * The steps of an execution, in the order in which they first appear in the log.
 *
 * @param read answers the page of the log behind an entry
 */
export async function foldedSteps(read: (after: number | undefined) => Promise<HistoryPage>): Promise<SagaStep[]> {
  const steps = new Map<string, SagaStep>()
  let after: number | undefined
  do {
    const { entries, cursor } = await read(after)
    for (const entry of entries) fold(steps, entry)
    after = cursor
  } while (after !== undefined)
  return [...steps.values()]
}

function fold(steps: Map<string, SagaStep>, entry: SagaLogEntry): void {
  const { stepName, branch, action, status } = entry
  const key = JSON.stringify([stepName, branch])
  let step = steps.get(key)
  if (step === undefined) {
    step = { stepName, status, attempts: 0, startedAt: null, endedAt: null, compensation: null }
    if (branch !== undefined) step.branch = branch
    steps.set(key, step)
  }
  if (action === 'compensate' || status === 'compensated') {
    step.compensation ??= { status, attempts: 0, startedAt: null, endedAt: null }
    advance(step.compensation, entry)
    const isUndone = status === 'compensated' || status === 'completed'
    if (isUndone) step.status = 'compensated'
    // Nothing was done, but there is something to be undone.
    else if (step.attempts === 0 && step.startedAt === null && step.endedAt === null) step.status = status
    return
  }
  advance(step, entry)
  if (status === 'completed') {
    if (entry.result === undefined) delete step.result
    else step.result = entry.result
  }
}

/** What is counted and timed of an act, and of its compensation. */
interface Course {
  status: SagaStep['status']
  error?: unknown
  attempts: number
  startedAt: Date | null
  endedAt: Date | null
}

function advance(course: Course, { status, error, attempt, at, executedAt }: SagaLogEntry): void {
  const when = executedAt ?? at
  const isUnderWay = course.status === 'started' && course.startedAt !== null
  course.status = status
  if (status === 'failed' && error !== undefined) course.error = error
  else delete course.error
  if (status === 'pending' || status === 'skipped') {
    if (status === 'skipped') course.endedAt = when
    return
  }
  // An end without a beginning is both.
  if (status === 'started' || !isUnderWay) course.attempts += 1
  if (attempt !== undefined) course.attempts = attempt
  if (status === 'started') {
    course.startedAt = when
    course.endedAt = null
    return
  }
  course.endedAt = when
}
