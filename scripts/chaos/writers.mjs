import { fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import sagastore from '../../index.js'
import { Ledger } from './ledger.mjs'

export const WRITER = fileURLToPath(new URL('writer.mjs', import.meta.url))
const OPERATION_TIMEOUT_MS = 2000
/** Also for a machine that is busy with servers starting. An update may read, write and find a conflict four times. */
export const SETTLE_WITHIN_MS = OPERATION_TIMEOUT_MS * 8 + 5000
const SAGA = 'Chaos'

/**
 * @typedef {object} Scenario
 * @property {Record<string, unknown>} options of `openStore`, for every writer and for the check
 * @property {number} seconds
 * @property {(text: string) => void} report
 * @property {string[]} expected the codes that a write may be rejected with
 * @property {Array<[what: string, breakIt: () => Promise<void>]>} disasters each leaves the server working; in turn
 * @property {number} [processes] default 3
 * @property {number} [slots] of each process; default 6
 * @property {number} [calmMs] between two disasters; default 1500
 * @property {number} [pauseMs] between two writes of a slot
 */

/**
 * Writers write, disasters come in turn, and then everything is looked at. The server must work at the end.
 *
 * @param {Scenario} scenario
 */
export async function writeThrough({ options, seconds, report, expected, disasters, processes = 3, slots = 6, calmMs = 1500, pauseMs }) {
  const ledger = new Ledger({ expected })
  const settings = { operationTimeoutMs: OPERATION_TIMEOUT_MS, connectTimeoutMs: 1000, ...options }
  const first = sagastore.openStore(settings)
  await first.initialize()
  await first.close()
  const end = performance.now() + seconds * 1000
  const writers = Array.from({ length: processes }, (_, n) => {
    const task = { name: `w${n}`, options: settings, slots, settleWithinMs: SETTLE_WITHIN_MS, pauseMs }
    const child = fork(WRITER, [JSON.stringify(task)], { serialization: 'json' })
    child.on('message', (message) => ledger.record(n, /** @type {import('./ledger.mjs').Message} */ (message)))
    return child
  })
  try {
    const ends = writers.map((writer) => once(writer, 'exit'))
    report(`${processes} processes write`)
    for (let n = 0; n === 0 || performance.now() < end; n++) {
      await sleep(calmMs)
      const [what, breakIt] = /** @type {Scenario['disasters'][number]} */ (disasters[n % disasters.length])
      report(what)
      await breakIt()
    }
    await sleep(Math.max(calmMs, end - performance.now()))
    report('the writers end')
    for (const writer of writers) if (writer.connected) writer.send('stop')
    const patience = AbortSignal.timeout(SETTLE_WITHIN_MS + 10_000)
    const all = Promise.all(ends)
    all.catch(() => {})
    await Promise.race([all, once(patience, 'abort')])
    for (const [n, writer] of writers.entries()) {
      if (writer.exitCode !== 0) ledger.fault(`writer ${n} ended with ${writer.signalCode ?? writer.exitCode ?? 'nothing: it still runs'}`)
    }
  } finally {
    for (const writer of writers) writer.kill('SIGKILL')
  }
  report('everything is looked at')
  const store = sagastore.openStore({ ...settings, operationTimeoutMs: 30_000 })
  await checkWith(ledger, store)
  await store.close()
  return ledger
}

/**
 * @param {Ledger} ledger
 * @param {import('../../index.js').SagaStore} store
 * @param {(ids: string[]) => Promise<Map<string, Buffer>>} [payloads] where not all of them are the store's
 */
export async function checkWith(ledger, store, payloads = (ids) => store.getMany(ids)) {
  await ledger.check({
    payloads,
    sagas: async (ids) => {
      const states = await Promise.all(ids.map((id) => store.states.getById(SAGA, id)))
      return new Map(
        states.flatMap((state) =>
          state === null ? [] : [[state.metadata.sagaId, { tokens: state.tokens, version: state.metadata.version }]],
        ),
      )
    },
  })
}

/** @param {number} ms */
export function sleep(ms) {
  return new Promise((resume) => setTimeout(resume, ms))
}
