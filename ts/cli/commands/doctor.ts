import { CODES, type Code, Findings } from '../doctor/findings'
import { judgeHealth, readKinds, writeOne } from '../doctor/general'
import { lookAtPostgres } from '../doctor/postgres'
import { lookAtSqlite } from '../doctor/sqlite'
import { counted } from '../quantities'
import { type CommandSpec, EXIT, type Run } from '../spec'
import { openStore } from '../stores'

async function doctor({ open, out, given, initCommand }: Run) {
  const limits = {
    stuckMs: given.number('stuck-after') ?? 600_000,
    lateMs: given.number('late-after') ?? 600_000,
    vacuumMs: given.number('vacuum-after') ?? 600_000,
  }
  const store = open(() => undefined)
  const health = await store.health()
  const findings = new Findings(initCommand('source'), ['postgres', 'sqlite'].includes(store.backend))
  if (judgeHealth(health, findings)) {
    // Once a table is missing, the catalog tells more than an operation does.
    if (store.backend === 'postgres') await lookAtPostgres(store, limits, findings)
    if (store.backend === 'sqlite') {
      await using reference = openStore(given, 'source', () => undefined, 'sqlite::memory:')
      await lookAtSqlite(store, reference, health, findings)
    }
    await readKinds(store, limits, findings)
    if (given.flag('write')) await writeOne(store, findings)
  }
  const ignored = new Set(given.texts('ignore'))
  const found = findings.found.filter(({ code }) => !ignored.has(code))
  const unreachable = found.some(({ code }) => code === 'unreachable')
  const result = { backend: store.backend, ok: found.length === 0, findings: found, unchecked: findings.unchecked }
  await out.result(result, async () => {
    // What several findings need is said once, below them.
    for (const mend of new Set(found.map((finding) => finding.mend))) {
      for (const { code, message } of found.filter((finding) => finding.mend === mend)) {
        await out.line(`${out.style(code === 'unreachable' ? 'red' : 'yellow', code)}: ${message}`)
      }
      await out.line(`  ${mend}`)
    }
    for (const what of findings.unchecked) await out.line(`${out.style('dim', 'not checked')}: ${what}`)
    const count = found.length === 0 ? out.style('green', 'nothing found') : counted(found.length, 'finding')
    await out.line(`${store.backend}: ${count}`)
  })
  if (unreachable) return EXIT.unreachable
  return found.length === 0 ? EXIT.done : EXIT.differs
}

export const doctors: readonly CommandSpec[] = [
  {
    name: 'doctor',
    about: 'find what bites later, each finding with its mend',
    more:
      'Missing tables, columns and indexes, missing rights, an old server, TTL that is off, eviction, a clock that is off, blocked keys, ' +
      'dead letters, stuck and late events, parked and late executions, a vacuum that is held back. It changes nothing. Ends with 3 if it ' +
      'finds something, so it can guard a deployment.',
    urls: 1,
    options: [
      { name: 'ignore', value: 'code', many: true, choices: Object.keys(CODES) as Code[], about: 'findings of this code do not count' },
      { name: 'stuck-after', value: 'duration', kind: 'duration', about: 'when an event of a worker is stuck (default 10m)' },
      { name: 'late-after', value: 'duration', kind: 'duration', about: 'when what is due is late (default 10m)' },
      { name: 'vacuum-after', value: 'duration', kind: 'duration', about: 'when an open transaction holds the vacuum back (default 10m)' },
      { name: 'write', about: 'also store a payload and delete it again, to see whether that is allowed' },
    ],
    json: 'value',
    examples: [
      { line: 'doctor postgres://app@db/orders', does: 'look at everything' },
      {
        line: 'doctor --ignore dead-letters --ignore blocked-keys --quiet || exit 1',
        does: 'a gate in a deployment; the URL is in SAGASTORE_URL',
      },
    ],
    run: doctor,
  },
]
