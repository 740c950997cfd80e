import type { ExecutionStatus, ExecutionSummary, SagaExecution, SagaStep, SagaStore } from '../../index'
import { notFound } from '../failures'
import type { Column, Output } from '../output'
import { LIMIT, paged } from '../pages'
import { shownDistance } from '../quantities'
import { type CommandSpec, EXIT, type Run, WrongUse } from '../spec'

const STATUSES = ['pending', 'running', 'compensating', 'completed', 'compensated', 'failed'] as const

const COLUMNS: readonly Column<ExecutionSummary>[] = [
  { title: 'SAGA ID', of: ({ sagaId }) => sagaId, shrinks: true },
  { title: 'NAME', of: ({ name }) => name },
  { title: 'STATUS', of: ({ status, parkedAt }) => (parkedAt === null ? status : `${status}, parked`) },
  { title: 'ATTEMPTS', of: ({ attempts }) => attempts, right: true },
  { title: 'WORKER', of: ({ workerId }) => workerId },
  { title: 'CHANGED', of: ({ updatedAt }) => updatedAt.toISOString() },
  { title: 'ERROR', of: ({ lastError }) => lastError, shrinks: true },
]

async function list(run: Run): Promise<void> {
  const { given, out } = run
  const [name, status, tag] = [given.text('name'), given.text('status'), given.text('tag')]
  const filter = {
    ...(name !== undefined && { name }),
    ...(status !== undefined && { status: status as ExecutionStatus }),
    ...(tag !== undefined && { tag }),
    ...(given.flag('parked') && { parked: true }),
  }
  const { executions } = run.open()
  await out.list(
    paged(run, (page) => executions.list({ ...filter, ...page })),
    COLUMNS,
  )
}

async function parked(run: Run): Promise<void> {
  const { executions } = run.open()
  const count = await run.out.list(
    paged(run, (page) => executions.parked(page)),
    COLUMNS,
  )
  if (!run.out.isJson && count > 0) run.out.note('`sagastore executions redrive` brings them back.')
}

/** An execution, its steps, and its last error. */
export interface ShownExecution {
  execution: SagaExecution
  steps: SagaStep[]
}

export async function findExecution(store: SagaStore, id: string): Promise<ShownExecution | undefined> {
  const execution = await store.executions.find(id)
  return execution === null ? undefined : { execution, steps: await store.executions.steps(id) }
}

const STEPS: readonly Column<SagaStep>[] = [
  { title: 'STEP', of: ({ stepName, branch }) => (branch === undefined ? stepName : `${stepName} (${branch})`) },
  { title: 'STATUS', of: ({ status }) => status },
  { title: 'ATTEMPTS', of: ({ attempts }) => attempts, right: true },
  { title: 'STARTED', of: ({ startedAt }) => startedAt?.toISOString() },
  { title: 'ENDED', of: ({ endedAt }) => endedAt?.toISOString() },
  { title: 'UNDONE', of: ({ compensation }) => compensation?.status },
  { title: 'ERROR', of: ({ error, compensation }) => errorOf(error ?? compensation?.error), shrinks: true },
]

function errorOf(error: unknown): string | undefined {
  if (error === undefined) return undefined
  const { message } = (typeof error === 'object' && error !== null ? error : {}) as { message?: unknown }
  return typeof message === 'string' ? message : JSON.stringify(error)
}

export async function showExecution({ execution, steps }: ShownExecution, out: Output): Promise<void> {
  const { sagaId, context, parkedAt, dueAt, ...others } = execution
  const due = dueAt === null ? null : `${dueAt.toISOString()} (${shownDistance(dueAt)})`
  await out.facts([['sagaId', sagaId], ...Object.entries(others), ['dueAt', due], ['parkedAt', parkedAt]], '  ')
  if (context !== null) await out.line(`  ${out.style('dim', 'context')}  ${JSON.stringify(context)}`)
  if (steps.length > 0) await out.list(steps, STEPS)
}

async function show({ open, out, given }: Run): Promise<void> {
  const id = given.argument('id')
  const found = await findExecution(open(), id)
  if (found === undefined) throw notFound(`no execution has the saga id '${id}'`)
  await out.result(found, () => showExecution(found, out))
}

async function redrive(run: Run) {
  const { given, out, signal } = run
  const ids = given.arguments('id')
  if (given.flag('all') === ids.length > 0) throw new WrongUse('give ids, or --all')
  const options = { resetAttempts: !given.flag('keep-attempts') }
  const { executions } = run.open()
  let redriven = 0
  if (ids.length > 0) redriven = await executions.redrive(ids, options)
  // Those that were brought back are in the list no more.
  while (ids.length === 0 && !signal.aborted) {
    const { items } = await executions.parked({ limit: 100 })
    const count = items.length === 0 ? 0 : await executions.redrive(items.map(({ sagaId }) => sagaId), options) // biome-ignore format: one line
    if (count === 0) break
    redriven += count
  }
  const missed = Math.max(0, ids.length - redriven)
  await out.result({ redriven, notParked: missed }, async () => {
    await out.line(`${redriven} brought back${missed > 0 ? `, ${missed} not parked, or not there` : ''}`)
  })
  return missed > 0 ? EXIT.differs : EXIT.done
}

export const executions: readonly CommandSpec[] = [
  {
    name: 'executions list',
    about: 'list executions, the latest change first',
    urls: 1,
    options: [
      { name: 'name', value: 'name', about: 'only those of this name' },
      { name: 'status', value: 'status', choices: STATUSES, about: `only those of a status: ${STATUSES.join(', ')}` },
      { name: 'tag', value: 'tag', about: 'only those with this tag' },
      { name: 'parked', about: 'only those that are parked' },
      LIMIT,
    ],
    json: 'lines',
    stops: true,
    examples: [{ line: 'executions list postgres://app@db/orders --status failed --limit 20', does: 'the last failures' }],
    run: list,
  },
  {
    name: 'executions show',
    about: 'print an execution with its steps',
    urls: 1,
    takes: [{ name: 'id', about: 'its saga id' }],
    json: 'value',
    examples: [{ line: 'executions show sqlite:orders.db order-4711', does: 'where it stands, and why' }],
    run: show,
  },
  {
    name: 'executions parked',
    about: 'list executions that were set aside after too many attempts',
    urls: 1,
    options: [LIMIT],
    json: 'lines',
    stops: true,
    examples: [{ line: 'executions parked sqlite:orders.db', does: 'what nobody works on any more' }],
    run: parked,
  },
  {
    name: 'executions redrive',
    about: 'bring parked executions back: workers can claim them again',
    more: 'Ends with 3 if one of the ids was not parked.',
    urls: 1,
    takes: [{ name: 'id', about: 'their saga ids', optional: true, many: true }],
    options: [
      { name: 'all', about: 'all that are parked' },
      { name: 'keep-attempts', about: 'their attempts go on counting; without it they begin at 0' },
    ],
    json: 'value',
    stops: true,
    examples: [
      { line: 'executions redrive sqlite:orders.db order-4711', does: 'one of them' },
      { line: 'executions redrive --all', does: 'all of them; the URL is in SAGASTORE_URL' },
    ],
    run: redrive,
  },
]
