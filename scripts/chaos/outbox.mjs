import { fork } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import sagastore from '../../index.js'

const WORKER = fileURLToPath(new URL('outbox-worker.mjs', import.meta.url))
const WORKERS = 4
/** In each process. */
const RELAYS = 2
/** Each inserter has keys of its own, and inserts one batch after the other: so the order of a key is known. */
const INSERTERS = 8
const KEYS = 64
const MAX_EVENTS = 20_000
/**
 * Leases are short, so that what a killed worker had is soon another one's, and long enough that a busy machine loses
 * none. DynamoDB Local does one thing at a time.
 */
const PACE = { eventsPerSecond: 400, leaseMs: 5_000 }
const SLOW_PACE = { eventsPerSecond: 40, leaseMs: 10_000 }
const MAX_BATCH = 20
/** Behind the last kill all must be published within this. */
const END_WITHIN_MS = 90_000
/** So many faults are shown in words. */
const SHOWN = 20

/**
 * @typedef {{ key: string | undefined, n: number, fate: 'stored' | 'rolled back' | 'unknown' }} Inserted
 *
 * Relays in processes of their own publish events, and are killed (-9) at random, while half of the events are inserted
 * in transactions, of which some roll back. In the end:
 *
 * 1. each event that was committed has been published, and none of those that were rolled back;
 * 2. of each key the first publications are in the order of insertion;
 * 3. an event that was published twice was published the first time by a process that was killed.
 *
 * @param {{ seconds: number, report: (text: string) => void, url?: string, events?: number, keys?: number }} options
 */
export async function run({ seconds, report, url, events, keys = KEYS }) {
  const directory = mkdtempSync(join(tmpdir(), 'sagastore-outbox-'))
  const options = {
    url: url ?? `sqlite://${join(directory, 'sagas.db')}`,
    namespace: 'chaos',
    outbox: { retryBackoffMs: 30, maxRetries: 1_000, maxDeliveries: 1_000 },
    ...(url?.startsWith('dynamodb') && { credentials: { accessKeyId: 'local', secretAccessKey: 'local' } }),
  }
  const store = sagastore.openStore(/** @type {any} */ (options))
  try {
    await store.initialize()
    const { eventsPerSecond, leaseMs } = url?.startsWith('dynamodb') ? SLOW_PACE : PACE
    const wanted = events ?? Math.min(MAX_EVENTS, Math.round(seconds * eventsPerSecond))
    const keysOfEach = Math.ceil(keys / INSERTERS)
    return await on(store, options, join(directory, 'published'), { seconds, report, wanted, keysOfEach, leaseMs })
  } finally {
    await store.close()
    rmSync(directory, { recursive: true, force: true })
  }
}

/**
 * @param {import('../../index.js').SagaStore} store
 * @param {object} options of the workers' stores
 * @param {string} published a file: a line for each publication
 * @param {{ seconds: number, report: (text: string) => void, wanted: number, keysOfEach: number, leaseMs: number }} how
 */
async function on(store, options, published, { seconds, report, wanted, keysOfEach, leaseMs }) {
  const name = `run-${randomBytes(6).toString('hex')}`
  writeFileSync(published, '')
  /** @type {string[]} */
  const errors = []
  /** @type {Set<string>} */
  const killed = new Set()
  let generation = 0
  const start = () => {
    const workerId = `worker-${generation++}`
    const child = fork(WORKER, [JSON.stringify({ options, name, published, workerId, leaseMs, relays: RELAYS })])
    child.on('message', (/** @type {any} */ told) => errors.push(told.error))
    return { child, workerId, ended: once(child, 'exit') }
  }
  const workers = Array.from({ length: WORKERS }, start)
  /** @type {Map<string, Inserted>} */
  const inserted = new Map()
  report(`${WORKERS * RELAYS} relays in ${WORKERS} processes, ${wanted} events, ${keysOfEach * INSERTERS} keys`)
  let isInserting = true
  const inserters = Array.from({ length: INSERTERS }, (_, n) => insert(store, inserted, { name, n, wanted, keysOfEach, seconds }))
  const inserting = Promise.all(inserters).finally(() => {
    isInserting = false
  })
  inserting.catch(() => undefined)
  try {
    const end = performance.now() + seconds * 1000
    while (performance.now() < end || isInserting) {
      await sleep(Math.min(1_500, 200 + seconds * 25) * (0.5 + Math.random()))
      const victim = Math.floor(Math.random() * WORKERS)
      const { child, workerId, ended } = workers[victim]
      child.kill('SIGKILL')
      await ended
      killed.add(workerId)
      workers[victim] = start()
    }
    await inserting
    report(`${inserted.size} events are inserted, ${killed.size} times kill -9`)
    const limit = performance.now() + END_WITHIN_MS
    while ((await unsent(store)) > 0 && performance.now() < limit) await sleep(100)
  } finally {
    for (const { child } of workers) if (child.connected) child.send('stop')
    await Promise.all(workers.map(({ ended }) => ended))
  }
  report('checks')
  const left = await unsent(store)
  const { dead } = await store.outbox.statistics()
  if (left > 0) errors.push(`${left} events are not sent`)
  if (dead > 0) errors.push(`${dead} events are dead letters`)
  return check(inserted, readFileSync(published, 'utf8').split('\n').filter(Boolean), killed, errors)
}

/** @param {import('../../index.js').SagaStore} store */
async function unsent(store) {
  const { ready, claimed, waiting } = await store.outbox.statistics()
  return ready + claimed + waiting
}

/**
 * @param {import('../../index.js').SagaStore} store
 * @param {Map<string, Inserted>} inserted
 * @param {{ name: string, n: number, wanted: number, keysOfEach: number, seconds: number }} how
 */
async function insert(store, inserted, { name, n: inserter, wanted, keysOfEach, seconds }) {
  const numbers = Array(keysOfEach).fill(0)
  const canRollBack = store.capabilities.transactions !== 'none'
  const share = Math.ceil(wanted / INSERTERS)
  const began = performance.now()
  /** @type {Set<number>} */
  const lost = new Set()
  for (let done = 0, batch = 0; done < share; batch++) {
    // A key whose last insertion may be there or not is left alone: its order is not known.
    const events = Array.from({ length: 1 + Math.floor(Math.random() * Math.min(MAX_BATCH, share - done)) }, (_, at) => {
      const which = Math.floor(Math.random() * keysOfEach * 1.25)
      const key = which < keysOfEach && !lost.has(which) ? `${name}-${inserter}-${which}` : undefined
      return { eventId: `${name}-${inserter}-${batch}-${at}`, which, key }
    })
    const given = events.map(({ eventId, which, key }) => {
      const n = key === undefined ? 0 : numbers[which]++
      return { eventId, eventType: 'Chaos', payload: { name, n }, ...(key !== undefined && { partitionKey: key }) }
    })
    /** @type {Inserted['fate']} */
    let fate = 'stored'
    const rollsBack = canRollBack && Math.random() < 0.15
    try {
      if (!canRollBack || (!rollsBack && Math.random() < 0.5)) await store.outbox.insert(given)
      else {
        await store.transaction(async (tx) => {
          await tx.outbox.insert(given)
          if (rollsBack) throw new RollBack()
        })
      }
    } catch (error) {
      fate = error instanceof RollBack ? 'rolled back' : 'unknown'
      if (fate === 'unknown') for (const { which } of events) lost.add(which)
    }
    given.forEach(({ eventId, payload, partitionKey }) => {
      inserted.set(eventId, { key: partitionKey, n: payload.n, fate })
    })
    done += events.length
    // Spread over the time of the kills.
    await sleep(Math.max(0, began + (seconds * 1000 * done) / share - performance.now()))
  }
}

class RollBack extends Error {}

/**
 * @param {Map<string, Inserted>} inserted
 * @param {string[]} lines of the publications
 * @param {Set<string>} killed
 * @param {string[]} errors
 */
function check(inserted, lines, killed, errors) {
  const faults = [...errors]
  /** @type {Map<string, string>} */
  const publishedBy = new Map()
  /** @type {Map<string, number>} */
  const lastOf = new Map()
  let doubles = 0
  for (const line of lines) {
    const [id, worker] = line.split(' ')
    const event = inserted.get(id)
    if (event === undefined) faults.push(`${id} was published, and nobody inserted it`)
    else if (event.fate === 'rolled back') faults.push(`${id} was published, and its transaction was rolled back`)
    const before = publishedBy.get(id)
    publishedBy.set(id, worker)
    if (before !== undefined) {
      doubles += 1
      if (!killed.has(before)) faults.push(`${id} was published again by ${worker}, and ${before} had not been killed`)
    } else if (event?.key !== undefined) {
      const last = lastOf.get(event.key) ?? -1
      if (event.n < last) faults.push(`${id}, number ${event.n} of ${event.key}, was published behind number ${last}`)
      lastOf.set(event.key, Math.max(last, event.n))
    }
  }
  const counts = { stored: 0, 'rolled back': 0, unknown: 0 }
  for (const [id, { fate }] of inserted) {
    counts[fate] += 1
    if (fate === 'stored' && !publishedBy.has(id)) faults.push(`${id} is lost: it was committed, and never published`)
  }
  if (counts.stored === 0) faults.push('nothing was inserted')
  const figures = [
    `${counts.stored} events committed, ${counts['rolled back']} rolled back, ${counts.unknown} unknown`,
    `${lines.length} publications, ${doubles} of them again, ${killed.size} kills`,
  ].join('; ')
  const holds = faults.length === 0
  return {
    holds,
    toString: () =>
      [
        figures,
        ...faults.slice(0, SHOWN).map((fault) => `FAULT ${fault}`),
        ...(faults.length > SHOWN ? [`and ${faults.length - SHOWN} more faults`] : []),
        holds ? 'holds: nothing lost, doubled or unsettled' : 'DOES NOT HOLD',
      ].join('\n'),
  }
}

/** @param {number} ms */
function sleep(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms))
}
