import { advised } from '../advice'
import { shownBytes, shownDuration } from '../quantities'
import { type CommandSpec, EXIT, type Run } from '../spec'
import { library } from '../stores'

type Facts = (readonly [string, unknown])[]

async function init({ open, out }: Run): Promise<void> {
  const warnings: string[] = []
  const store = open((text) => warnings.push(text))
  await store.initialize()
  await out.result({ backend: store.backend, warnings }, async () => {
    for (const warning of warnings) out.warn(warning)
    await out.line(`${store.backend}: what the store needs is there`)
  })
}

async function schema({ open, out }: Run): Promise<void> {
  const store = open()
  const sql = store.schemaSql()
  await out.result({ backend: store.backend, sql }, () => out.write(sql))
}

async function health({ open, out, initCommand }: Run) {
  const found = await open().health()
  if (found.message !== undefined) found.message = advised(found.message, initCommand('source'))
  await out.result(found, async () => {
    const color = ({ healthy: 'green', degraded: 'yellow', unhealthy: 'red' } as const)[found.status]
    const facts: Facts = [
      ['backend', found.backend],
      ['latency', `${found.latencyMs.toFixed(1)} ms`],
      ['version', found.serverVersion],
      ['because', found.message],
      ...Object.entries(found.details),
    ]
    await out.line(out.style(color, found.status))
    await out.facts(facts, '  ')
  })
  if (found.status === 'healthy') return EXIT.done
  if (found.status === 'degraded') return EXIT.differs
  return ['CONNECTION', 'TIMEOUT'].includes(String(found.details.code)) ? EXIT.unreachable : EXIT.failed
}

async function stats({ open, out }: Run): Promise<void> {
  const found = await open().statistics()
  // Latencies of this process say nothing of the application's.
  const { backend, payloads, executions, outbox } = found
  await out.result({ backend, payloads, executions, outbox }, async () => {
    const age = (ms: number | null) => (ms === null ? null : shownDuration(ms))
    await out.line(out.style('bold', 'payloads'))
    const { count, bytes, expired } = payloads
    await out.facts([['stored', count], ['bytes', shownBytes(bytes)], ['expired, not removed', expired]], '  ') // biome-ignore format: short
    if (executions !== null) {
      const { total, byStatus, parked, leased, oldestDueAt } = executions
      await out.line(out.style('bold', 'executions'))
      await out.facts([['stored', total], ...Object.entries(byStatus), ['parked', parked], ['leased', leased], ['due since', oldestDueAt]], '  ') // biome-ignore format: short
    }
    if (outbox !== null) {
      const { oldestReadyMs, blockedKeys, dead, ...others } = outbox
      await out.line(out.style('bold', 'outbox'))
      await out.facts([...Object.entries(others), ['dead letters', dead], ['blocked keys', blockedKeys], ['oldest ready', age(oldestReadyMs)]], '  ') // biome-ignore format: short
    }
  })
}

async function cleanup({ open, out, given }: Run): Promise<void> {
  const store = open()
  const limit = given.number('limit')
  let removed = 0
  const days = given.number('ended-before')
  if (days !== undefined) removed += await store.executions.cleanup({ olderThanMs: days })
  removed += await store.purgeExpired(limit === undefined ? {} : { limit })
  await out.result({ removed }, () => out.line(`removed ${removed.toLocaleString('en-US')}`))
}

export const setup: readonly CommandSpec[] = [
  {
    name: 'init',
    about: 'create tables, indexes and whatever else the store needs',
    more: 'Safe to run again, and from several machines at once. What the server does not allow is a warning that names it.',
    urls: 1,
    json: 'value',
    examples: [
      { line: 'init sqlite:orders.db', does: 'create the file and its tables' },
      { line: 'init --namespace orders --url-file /run/secrets/database-url', does: 'with names of its own; the URL is in a file' },
    ],
    run: init,
  },
  {
    name: 'schema',
    about: 'print the SQL that makes the tables (PostgreSQL, SQLite)',
    more: 'For people who run their own migrations. Nothing is connected.',
    urls: 1,
    json: 'value',
    examples: [{ line: 'schema postgres://db/orders --option schema=sagas > V7__sagastore.sql', does: 'a migration' }],
    run: schema,
  },
  {
    name: 'health',
    about: 'ask whether the store can be used',
    more: 'Ends with 0 if it is healthy, with 3 if it is degraded, with 4 if it cannot be reached. `doctor` looks closer.',
    urls: 1,
    json: 'value',
    examples: [{ line: 'health redis://cache:6379 --quiet', does: 'a probe for an orchestrator' }],
    run: health,
  },
  {
    name: 'stats',
    about: 'count what is stored',
    more: 'It reads the whole table (DynamoDB charges for that), on Redis all keys of the database.',
    urls: 1,
    json: 'value',
    examples: [{ line: 'stats postgres://app@db/orders --json | jq .outbox.dead', does: 'how many dead letters there are' }],
    run: stats,
  },
  {
    name: 'cleanup',
    about: 'remove what has expired',
    more: 'Payloads, sagas, executions, events and messages whose time is over. On Redis and MongoDB the server removes most of it by itself.',
    urls: 1,
    options: [
      { name: 'limit', value: 'count', kind: 'whole', about: 'remove at most so many' },
      { name: 'ended-before', value: 'duration', kind: 'duration', about: 'also executions that ended so long ago, such as 30d' },
    ],
    json: 'value',
    examples: [{ line: 'cleanup sqlite:orders.db', does: 'from cron, every few minutes' }],
    run: cleanup,
  },
]

/** Whether an error is one of the package. */
export function isStoreError(error: unknown): error is InstanceType<ReturnType<typeof library>['SagaStoreError']> {
  return error instanceof library().SagaStoreError
}
