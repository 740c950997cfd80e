import { wantsInit, withoutCalls } from '../advice'

/** What `doctor` looks for, and how it is mended. */
export const CODES = {
  unreachable: 'Check the URL, the network and the login: `sagastore health` tells the same.',
  'not-healthy': 'See what `sagastore health` says.',
  'missing-table': 'Run `sagastore init`, or the statements of `sagastore schema`.',
  'missing-column': 'Run `sagastore init`, or the statements of `sagastore schema`.',
  'missing-index': 'Run `sagastore init`, or the statements of `sagastore schema`.',
  'missing-rights': 'Grant the role what is missing: see "Rights" in docs/operating.md.',
  'read-only': 'Connect to the primary, or give the file and its directory to the user that runs the application.',
  'old-server': 'Update the server: see "needs" in docs/backends.md.',
  'ttl-off': 'Run `sagastore init` to switch it on; where the server has none, run `sagastore cleanup` every few minutes.',
  eviction: 'Set `maxmemory-policy noeviction`: anything else may throw payloads away.',
  'clock-offset': 'Have this machine and the server keep their time by NTP: timeouts, leases and expiries depend on it.',
  'blocked-keys': 'See `sagastore outbox dead`, then `outbox requeue` or `outbox discard`: the events behind them go on.',
  'dead-letters': 'See `sagastore outbox dead`, then `outbox requeue` or `outbox discard`.',
  'stuck-events': 'See `sagastore outbox stuck`; once the worker is known to be dead: `outbox stuck --release`.',
  'late-events': 'See whether a relay runs: nobody has published what is ready.',
  'parked-executions': 'See `sagastore executions parked` and `executions show`, then `executions redrive`.',
  'late-executions': 'See whether a worker runs: nobody has claimed what is due.',
  'vacuum-held-back':
    'End the transaction (`select pg_terminate_backend(pid)`), or drop the replication slot: dead rows cannot be removed.',
  'vacuum-off': 'Switch autovacuum on again: tables and indexes grow without end.',
  'large-wal': 'Find the process that keeps a read transaction open on the file: the WAL cannot be written back.',
  damaged: 'Restore the file from a backup, or save what can be read: `sqlite3 old.db .recover | sqlite3 new.db`.',
} as const

/** What of it is for SQL alone. */
const SCHEMA = ', or the statements of `sagastore schema`'

export type Code = keyof typeof CODES

/** Something that bites later. */
export interface Finding {
  code: Code
  message: string
  mend: string
}

/** What was found, and what could not be looked at. */
export class Findings {
  readonly found: Finding[] = []
  readonly unchecked: string[] = []
  readonly #init: string
  readonly #hasSchema: boolean

  /** `init`: the command line that makes the tables. `hasSchema`: whether they can be made by statements as well. */
  constructor(init: string, hasSchema: boolean) {
    this.#init = init
    this.#hasSchema = hasSchema
  }

  add(code: Code, told: string): void {
    const message = withoutCalls(told)
    if (this.found.some((before) => before.code === code && before.message === message)) return
    const general = this.#hasSchema ? CODES[code] : CODES[code].replace(SCHEMA, '')
    const mend = general.replace(/sagastore (init|schema)/g, (_, name) => this.#init.replace(' init', ` ${name}`))
    this.found.push({ code, message, mend })
  }

  /** A check that the server refuses is not a finding. */
  async check(what: string, look: () => Promise<void>): Promise<void> {
    try {
      await look()
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error)
      // A finding says it; what else cannot be looked at for that reason is not told one by one.
      const reason = wantsInit(message) ? `tables and indexes: ${withoutCalls(message)}` : `${what}: ${message}`
      if (!this.unchecked.includes(reason)) this.unchecked.push(reason)
    }
  }
}
