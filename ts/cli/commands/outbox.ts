import type { DeadLetterFilter, OutboxEvent, OutboxStatus } from '../../index'
import type { Column, Output } from '../output'
import { LIMIT, paged } from '../pages'
import { counted, shownDistance } from '../quantities'
import { type CommandSpec, EXIT, type Run, WrongUse } from '../spec'

const STATUSES = ['pending', 'claimed', 'sent', 'dead_letter'] as const

/** An event of a list. */
export const EVENTS: readonly Column<OutboxEvent>[] = [
  { title: 'EVENT ID', of: ({ eventId }) => eventId, shrinks: true },
  { title: 'TYPE', of: ({ eventType }) => eventType },
  { title: 'STATUS', of: ({ status }) => status },
  { title: 'KEY', of: ({ partitionKey }) => partitionKey },
  { title: 'FAILED', of: ({ retryCount }) => retryCount, right: true },
  { title: 'GIVEN', of: ({ deliveries }) => deliveries, right: true },
  { title: 'STORED', of: ({ createdAt }) => createdAt.toISOString() },
  { title: 'ERROR', of: ({ lastError }) => lastError, shrinks: true },
]

export async function showEvent(event: OutboxEvent, out: Output): Promise<void> {
  const { payload, headers, ...others } = event
  await out.facts([...Object.entries(others), ['headers', headers], ['payload', payload]], '  ')
}

async function list(run: Run): Promise<void> {
  const status = run.given.text('status') as OutboxStatus | undefined
  const { outbox } = run.open()
  await run.out.list(
    paged(run, async (page) => {
      const { events, cursor } = await outbox.list({ ...page, ...(status !== undefined && { status }) })
      return { items: events, cursor }
    }),
    EVENTS,
  )
}

async function dead(run: Run): Promise<void> {
  const { outbox } = run.open()
  const count = await run.out.list(
    paged(run, async (page) => {
      const { events, cursor } = await outbox.deadLetters(page)
      return { items: events, cursor }
    }),
    EVENTS,
  )
  if (!run.out.isJson && count > 0) run.out.note('`sagastore outbox requeue` and `sagastore outbox discard` decide about them.')
}

function filterOf({ given }: Run): DeadLetterFilter {
  const filter: DeadLetterFilter = {}
  const names = { type: 'eventType', 'routing-key': 'routingKey', 'partition-key': 'partitionKey', saga: 'sagaId' } as const
  for (const [option, name] of Object.entries(names)) {
    const value = given.text(option)
    if (value !== undefined) filter[name] = value
  }
  const olderThanMs = given.number('older-than')
  if (olderThanMs !== undefined) filter.olderThanMs = olderThanMs
  return filter
}

async function requeue(run: Run) {
  const { given, out } = run
  const ids = given.arguments('id')
  const filter = filterOf(run)
  const ways = [ids.length > 0, given.flag('all'), Object.keys(filter).length > 0].filter(Boolean).length
  if (ways !== 1) throw new WrongUse('give ids, or --all, or which ones (--type, --partition-key and so on)')
  const requeued = await run.open().outbox.requeue(ids.length > 0 ? ids : filter)
  const missed = Math.max(0, ids.length - requeued)
  await out.result({ requeued, notDead: missed }, async () => {
    await out.line(`${counted(requeued, 'event')} requeued${missed > 0 ? `, ${missed} no dead letter, or not there` : ''}`)
  })
  return missed > 0 ? EXIT.differs : EXIT.done
}

async function discard({ open, out, given, ask }: Run) {
  const ids = given.arguments('id')
  const { outbox } = open()
  await ask(ids.length === 1 ? `Discard the dead letter '${ids[0]}'?` : `Discard ${ids.length} dead letters?`)
  const discarded = await outbox.discard(ids)
  const missed = Math.max(0, ids.length - discarded)
  await out.result({ discarded, notDead: missed }, async () => {
    await out.line(`${counted(discarded, 'event')} discarded${missed > 0 ? `, ${missed} no dead letter, or not there` : ''}`)
  })
  return missed > 0 ? EXIT.differs : EXIT.done
}

async function stuck(run: Run): Promise<void> {
  const { given, out } = run
  const olderThanMs = given.number('older-than') ?? 600_000
  const { outbox } = run.open()
  if (given.flag('release')) {
    const released = await outbox.releaseStuck({ olderThanMs })
    await out.result({ released }, () => out.line(`${counted(released, 'event')} released`))
    return
  }
  const found = await outbox.findStuck({ olderThanMs, limit: Math.min(given.number('limit') ?? 1_000, 1_000) })
  await out.list(found, [
    { title: 'EVENT ID', of: ({ eventId }) => eventId, shrinks: true },
    { title: 'TYPE', of: ({ eventType }) => eventType },
    { title: 'WORKER', of: ({ workerId }) => workerId },
    { title: 'CLAIMED', of: ({ claimedAt }) => claimedAt?.toISOString() },
    { title: '', of: ({ claimedAt }) => claimedAt && shownDistance(claimedAt) },
    { title: 'GIVEN', of: ({ deliveries }) => deliveries, right: true },
  ])
}

const IDS = { name: 'id', about: 'the ids of the events' } as const

export const outbox: readonly CommandSpec[] = [
  {
    name: 'outbox list',
    about: 'list events, the earliest first',
    urls: 1,
    options: [{ name: 'status', value: 'status', choices: STATUSES, about: `only those of a status: ${STATUSES.join(', ')}` }, LIMIT],
    json: 'lines',
    stops: true,
    examples: [{ line: 'outbox list postgres://app@db/orders --status pending --limit 20', does: 'what is published next' }],
    run: list,
  },
  {
    name: 'outbox dead',
    about: 'list dead letters',
    more: 'Events that have failed too often. Each one may hold up the others of its key.',
    urls: 1,
    options: [LIMIT],
    json: 'lines',
    stops: true,
    examples: [{ line: 'outbox dead sqlite:orders.db', does: 'which ones, and why' }],
    run: dead,
  },
  {
    name: 'outbox requeue',
    about: 'have dead letters published again',
    more: 'Ends with 3 if one of the ids was no dead letter.',
    urls: 1,
    takes: [{ ...IDS, optional: true, many: true }],
    options: [
      { name: 'all', about: 'all dead letters' },
      { name: 'type', value: 'type', about: 'those of an event type' },
      { name: 'routing-key', value: 'key', about: 'those of a routing key' },
      { name: 'partition-key', value: 'key', about: 'those of a partition key' },
      { name: 'saga', value: 'id', about: 'those of a saga' },
      { name: 'older-than', value: 'duration', kind: 'duration', about: 'those that were stored so long ago' },
    ],
    json: 'value',
    examples: [
      { line: 'outbox requeue sqlite:orders.db 0199f0c2-7d1b-7c3e-9a52-5b0e6a1f4c11', does: 'one of them' },
      { line: 'outbox requeue --partition-key order-4711', does: 'those of a key, in their order; the URL is in SAGASTORE_URL' },
    ],
    run: requeue,
  },
  {
    name: 'outbox discard',
    about: 'remove dead letters: they are never published',
    more: 'Ends with 3 if one of the ids was no dead letter.',
    urls: 1,
    takes: [{ ...IDS, many: true }],
    json: 'value',
    asks: true,
    examples: [{ line: 'outbox discard sqlite:orders.db 0199f0c2-7d1b-7c3e-9a52-5b0e6a1f4c11 --yes', does: 'without a question' }],
    run: discard,
  },
  {
    name: 'outbox stuck',
    about: 'list events that a worker has had for long',
    urls: 1,
    options: [
      { name: 'older-than', value: 'duration', kind: 'duration', about: 'for so long (default 10m)' },
      { name: 'release', about: 'hand them back: other workers can claim them' },
      LIMIT,
    ],
    json: 'lines',
    examples: [
      { line: 'outbox stuck sqlite:orders.db --older-than 1h', does: 'who has them' },
      { line: 'outbox stuck sqlite:orders.db --older-than 1h --release', does: 'once the worker is known to be dead' },
    ],
    run: stuck,
  },
]
