import type { BackendName, Health, SagaStore } from '../../index'
import { messageOf } from '../failures'
import { counted, shownDuration } from '../quantities'
import type { Findings } from './findings'

/** When something counts as late, stuck, or held back. */
export interface Limits {
  stuckMs: number
  lateMs: number
  vacuumMs: number
}

/** The oldest servers that have what the store needs. */
const OLDEST: Partial<Record<BackendName, readonly [number, number]>> = { postgres: [12, 0], redis: [6, 2], mongodb: [4, 2] }

/** Clocks that differ by less make no trouble. */
const CLOCK_MS = 1_000

/** What `health()` tells. Answers whether the store can be read. */
export function judgeHealth(health: Health, findings: Findings): boolean {
  const { status, message = '', details, serverVersion, backend } = health
  if (status === 'unhealthy') {
    // A WAL needs files beside the database: without them it cannot even be read.
    findings.add(/read-only/.test(message) ? 'read-only' : 'unreachable', message)
    return false
  }
  if (status === 'degraded') judgeMessage(message, findings)
  if (typeof details.clockOffsetMs === 'number') judgeClock(details.clockOffsetMs, findings)
  judgeVersion(backend, serverVersion, findings)
  if (backend === 'mongodb' && details.expiry === 'cleanup') {
    findings.add('ttl-off', 'the server does not remove expired payloads by itself')
  }
  const policy = details.maxmemoryPolicy
  if (typeof policy === 'string' && policy !== 'noeviction' && details.maxmemory !== 0) {
    findings.add('eviction', `maxmemory-policy is ${policy}: when its memory is full, Redis throws payloads away`)
  }
  return true
}

/** The parts of a message of `health()`: those about records are counted elsewhere. */
function judgeMessage(message: string, findings: Findings): void {
  for (const part of message.split('; ')) {
    if (/^\d+ (executions are parked|keys wait behind)/.test(part)) continue
    // The catalog tells more of it.
    if (part.startsWith('this role lacks the rights')) continue
    if (/lacks the (actions|permission)|user may not run/.test(part)) findings.add('missing-rights', part)
    else if (/read-only/.test(part)) findings.add('read-only', part)
    else if (/no index|lacks the index/.test(part)) findings.add('missing-index', part)
    else if (/does not exist|no such table|call initialize/.test(part) && !/TTL/i.test(part)) findings.add('missing-table', part)
    else if (/TTL/i.test(part)) findings.add('ttl-off', part)
    else findings.add('not-healthy', part)
  }
}

export function judgeClock(aheadMs: number, findings: Findings): void {
  if (Math.abs(aheadMs) < CLOCK_MS) return
  const where = aheadMs > 0 ? 'ahead of' : 'behind'
  findings.add('clock-offset', `the server's clock is ${shownDuration(Math.abs(aheadMs))} ${where} this machine's`)
}

export function judgeVersion(backend: BackendName, version: string | undefined, findings: Findings): void {
  const oldest = OLDEST[backend]
  const [, major, minor = '0'] = /^(\d+)(?:\.(\d+))?/.exec(version ?? '') ?? []
  if (oldest === undefined || major === undefined) return
  const isOld = Number(major) < oldest[0] || (Number(major) === oldest[0] && Number(minor) < oldest[1])
  if (isOld) findings.add('old-server', `the server has version ${version}; ${oldest.join('.')} is the oldest that works`)
}

/** Reads a little of each kind: what is missing or forbidden is told by the error. */
export async function readKinds(store: SagaStore, limits: Limits, findings: Findings): Promise<void> {
  const id = 'sagastore-doctor'
  const isSql = store.backend === 'postgres' || store.backend === 'sqlite'
  const trying = (kind: string, read: () => Promise<unknown>) => tryingTo(kind, findings, read, isSql)
  await trying('payloads', () => store.has(id))
  await trying('sagas', () => store.states.countByName('SagastoreDoctor'))
  await trying('executions', () => judgeExecutions(store, limits, findings))
  await trying('events', () => judgeOutbox(store, limits, findings))
  await trying('messages', () => store.inbox.has(id, id))
}

async function judgeExecutions(store: SagaStore, { lateMs }: Limits, findings: Findings): Promise<void> {
  const { parked, oldestDueAt } = await store.executions.statistics()
  if (parked > 0) findings.add('parked-executions', `${counted(parked, 'execution is', 'executions are')} parked: nobody works on them`)
  const late = oldestDueAt === null ? 0 : Date.now() - oldestDueAt.getTime()
  if (late >= lateMs) findings.add('late-executions', `an execution has been due for ${shownDuration(late)}, and nobody has claimed it`)
}

async function judgeOutbox(store: SagaStore, { lateMs, stuckMs }: Limits, findings: Findings): Promise<void> {
  const { dead, oldestReadyMs, blockedKeys } = await store.outbox.statistics()
  if (dead > 0) findings.add('dead-letters', `${counted(dead, 'event is a dead letter', 'events are dead letters')}`)
  if (blockedKeys > 0) findings.add('blocked-keys', `${counted(blockedKeys, 'key waits', 'keys wait')} behind dead letters`)
  // What waits behind a dead letter is no relay's fault.
  if (oldestReadyMs !== null && oldestReadyMs >= lateMs && blockedKeys === 0) {
    findings.add('late-events', `an event has been ready for ${shownDuration(oldestReadyMs)}, and nobody has published it`)
  }
  const stuck = await store.outbox.findStuck({ olderThanMs: stuckMs, limit: 1_000 })
  const [first] = stuck
  if (first !== undefined) {
    findings.add(
      'stuck-events',
      `${counted(stuck.length, 'event has', 'events have')} been with workers for more than ${shownDuration(stuckMs)}, such as '${first.eventId}' with '${first.workerId}'`,
    )
  }
}

async function tryingTo(kind: string, findings: Findings, read: () => Promise<unknown>, hasCatalog = false): Promise<void> {
  try {
    await read()
  } catch (error) {
    const message = `${kind}: ${messageOf(error)}`
    // The catalog has told more of it, and what could not be read for that reason is no finding of its own.
    const isKnown = findings.found.some(({ code }) => code.startsWith('missing-'))
    if (isKnown && hasCatalog) return
    if (/permission denied|NOPERM|not authorized|Unauthorized|AccessDenied|may not/i.test(message)) findings.add('missing-rights', message)
    else if (/no such column|column .* does not exist|lacks (the column|[a-z_]+)/i.test(message)) findings.add('missing-column', message)
    else if (/does not exist|no such table|initialize\(\)/i.test(message)) findings.add('missing-table', message)
    else if (/old/i.test(message) && /UNSUPPORTED/.test(message)) findings.add('old-server', message)
    else findings.add('not-healthy', message)
  }
}

/** Stores a payload and removes it again. */
export async function writeOne(store: SagaStore, findings: Findings): Promise<void> {
  const id = `sagastore-doctor-${process.pid}-${Date.now()}`
  await tryingTo('writing', findings, async () => {
    await store.put(id, Buffer.from('written by sagastore doctor'), new Date(Date.now() + 60_000))
    await store.delete(id)
  })
}
