import type { CorruptSaga, SagaState, Stored } from '../../index'
import { notFound } from '../failures'
import type { Column } from '../output'
import { LIMIT, paged } from '../pages'
import { shownDistance } from '../quantities'
import { type CommandSpec, EXIT, type Run, WrongUse } from '../spec'

type Saga = Stored<SagaState>

const NAME = { name: 'name', about: "the saga's name" } as const
const COMPLETED = [
  { name: 'completed', about: 'only those that have ended' },
  { name: 'active', about: 'only those that have not ended' },
] as const

const COLUMNS: readonly Column<Saga>[] = [
  { title: 'SAGA ID', of: ({ metadata }) => metadata.sagaId, shrinks: true },
  { title: 'VERSION', of: ({ metadata }) => metadata.version, right: true },
  { title: 'ENDED', of: ({ metadata }) => (metadata.isCompleted ? 'yes' : 'no') },
  { title: 'CHANGED', of: ({ metadata }) => metadata.updatedAt.toISOString() },
  { title: 'TIMEOUT', of: ({ metadata }) => metadata.timeoutExpiresAt?.toISOString() },
]

async function get({ open, out, given }: Run): Promise<void> {
  const [name, id] = [given.argument('name'), given.argument('id')]
  const { states } = open()
  const found = given.flag('correlation') ? await states.getByCorrelationId(name, id) : await states.getById(name, id)
  if (found === null) throw notFound(`no saga '${name}' has the ${given.flag('correlation') ? 'correlation' : 'saga'} id '${id}'`)
  await out.result(found, () => showSaga(found, out))
}

/** Metadata, then the state as JSON. */
export async function showSaga(saga: Saga, out: Run['out'], indent = ''): Promise<void> {
  const { metadata, ...state } = saga
  await out.facts(Object.entries(metadata), indent)
  for (const line of JSON.stringify(state, null, 2).split('\n')) await out.line(`${indent}${line}`)
}

/** Whether sagas that have ended are meant, or those that have not; undefined: both. */
function completedOf({ given }: Run): { completed?: boolean } {
  const [completed, active] = [given.flag('completed'), given.flag('active')]
  if (completed && active) throw new WrongUse('give --completed or --active, not both')
  return completed || active ? { completed } : {}
}

async function list(run: Run) {
  const { out, given } = run
  const filter = completedOf(run)
  const { states } = run.open()
  let unreadable = 0
  const onCorrupt = ({ sagaId, error }: CorruptSaga) => {
    unreadable += 1
    out.warn(`saga '${sagaId}' cannot be read: ${error.message}`)
  }
  await out.list(
    paged(run, (page) => states.findByName(given.argument('name'), { ...filter, ...page, onCorrupt })),
    COLUMNS,
  )
  return unreadable > 0 ? EXIT.differs : EXIT.done
}

async function count(run: Run): Promise<void> {
  const name = run.given.argument('name')
  const found = await run.open().states.countByName(name, completedOf(run))
  await run.out.result({ sagaName: name, count: found }, () => run.out.line(String(found)))
}

async function timedOut({ open, out, given }: Run) {
  const sagaName = given.text('name')
  let unreadable = 0
  const found = await open().states.findTimedOut({
    limit: Math.min(given.number('limit') ?? 1_000, 1_000),
    ...(sagaName !== undefined && { sagaName }),
    onCorrupt: ({ sagaName: name, sagaId, error }) => {
      unreadable += 1
      out.warn(`saga '${name}' '${sagaId}' cannot be read: ${error.message}`)
    },
  })
  const since = ({ state }: (typeof found)[number]) => state.metadata.timeoutExpiresAt
  await out.list(found, [
    { title: 'NAME', of: (saga) => saga.sagaName },
    { title: 'SAGA ID', of: ({ state }) => state.metadata.sagaId, shrinks: true },
    { title: 'VERSION', of: ({ state }) => state.metadata.version, right: true },
    { title: 'TIMED OUT', of: (saga) => since(saga)?.toISOString() },
    { title: '', of: (saga) => since(saga) && shownDistance(since(saga) as Date) },
  ])
  return unreadable > 0 ? EXIT.differs : EXIT.done
}

async function remove({ open, out, given, ask }: Run): Promise<void> {
  const [name, id] = [given.argument('name'), given.argument('id')]
  const { states } = open()
  if ((await states.getById(name, id)) === null) throw notFound(`no saga '${name}' has the saga id '${id}'`)
  await ask(`Delete the saga '${name}' '${id}'?`)
  await states.delete(name, id)
  await out.result({ sagaName: name, sagaId: id, deleted: true }, () => out.line(`deleted '${id}'`))
}

async function reindex({ open, out, given }: Run): Promise<void> {
  const sagaName = given.text('name')
  const result = await open().states.reindex(sagaName === undefined ? {} : { sagaName })
  await out.result(result, () => out.facts(Object.entries(result)))
}

export const states: readonly CommandSpec[] = [
  {
    name: 'states get',
    about: "print a saga's state",
    urls: 1,
    takes: [NAME, { name: 'id', about: 'its saga id' }],
    options: [{ name: 'correlation', about: 'the id is the correlation id, such as that of the order' }],
    json: 'value',
    examples: [
      { line: 'states get postgres://app@db/orders OrderSaga saga-1', does: 'by its saga id' },
      { line: 'states get --correlation OrderSaga order-4711 --json | jq .status', does: 'by its correlation id' },
    ],
    run: get,
  },
  {
    name: 'states list',
    about: 'list the sagas of a name',
    urls: 1,
    takes: [NAME],
    options: [...COMPLETED, LIMIT],
    json: 'lines',
    stops: true,
    examples: [{ line: 'states list sqlite:orders.db OrderSaga --active', does: 'those that have not ended' }],
    run: list,
  },
  {
    name: 'states count',
    about: 'count the sagas of a name',
    urls: 1,
    takes: [NAME],
    options: COMPLETED,
    json: 'value',
    examples: [{ line: 'states count sqlite:orders.db OrderSaga --active', does: 'how many have not ended' }],
    run: count,
  },
  {
    name: 'states timed-out',
    about: 'list sagas whose timeout has passed',
    more: 'The longest overdue come first, at most 1,000. They stay as they are: a worker takes them with `claimTimedOut`.',
    urls: 1,
    options: [{ name: 'name', value: 'name', about: 'only sagas of this name' }, LIMIT],
    json: 'lines',
    examples: [{ line: 'states timed-out postgres://app@db/orders --name OrderSaga', does: 'what should have gone on long ago' }],
    run: timedOut,
  },
  {
    name: 'states delete',
    about: "delete a saga's state",
    urls: 1,
    takes: [NAME, { name: 'id', about: 'its saga id' }],
    json: 'value',
    asks: true,
    examples: [{ line: 'states delete sqlite:orders.db OrderSaga saga-1 --yes', does: 'without a question' }],
    run: remove,
  },
  {
    name: 'states reindex',
    about: 'have sagas listed that other software has written (Redis)',
    more: 'It reads all keys in small steps. On other backends there is nothing to do.',
    urls: 1,
    options: [{ name: 'name', value: 'name', about: 'only sagas of this name' }],
    json: 'value',
    examples: [{ line: 'states reindex redis://cache:6379', does: 'once the last old worker has ended' }],
    run: reindex,
  },
]
