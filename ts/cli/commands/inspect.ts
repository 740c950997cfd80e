import type { OutboxEvent, SagaState, SagaStore, Stored } from '../../index'
import { notFound } from '../failures'
import type { Output } from '../output'
import { shownBytes, shownDistance } from '../quantities'
import { payloadRecord, scanOf } from '../records'
import type { CommandSpec, Run } from '../spec'
import { findExecution, type ShownExecution, showExecution } from './executions'
import { EVENTS, showEvent } from './outbox'
import { showSaga } from './states'

/** What was found, and by what. */
type Found =
  | { found: 'payload'; id: string; bytes: number; expiresAt?: Date; isExpired: boolean }
  | { found: 'saga'; by: 'saga id' | 'correlation id'; sagaName: string; correlationId?: string; state: Stored<SagaState> }
  | ({ found: 'execution' } & ShownExecution)
  | { found: 'event'; event: OutboxEvent }
  | { found: 'events of the saga'; events: OutboxEvent[]; more: boolean }
  | { found: 'message'; consumer: string; messageId: string; expiresAt: Date }

/** Events of a saga that are shown. */
const EVENTS_SHOWN = 20

async function* search(store: SagaStore, id: string, run: Run): AsyncGenerator<Found> {
  // Ids of one kind may be none of another one: a longer one, or one with a colon.
  const payload = await orNothing(() => payloadRecord(store, id))
  if (payload) {
    const { data, expiresAt } = payload
    const isExpired = expiresAt !== undefined && expiresAt.getTime() <= Date.now()
    yield { found: 'payload', id, bytes: data.length, ...(expiresAt && { expiresAt }), isExpired }
  }
  const execution = await orNothing(() => findExecution(store, id))
  if (execution) yield { found: 'execution', ...execution }
  const name = run.given.text('name') ?? execution?.execution.name
  const sagas = await byName(store, name, id)
  yield* sagas
  const event = await orNothing(() => store.outbox.get(id))
  if (event) yield { found: 'event', event }
  const page = await orNothing(() => store.outbox.bySaga(id, { limit: EVENTS_SHOWN }))
  if (page && page.events.length > 0) yield { found: 'events of the saga', events: page.events, more: page.cursor !== undefined }
  if (!run.given.flag('quick')) yield* bySearch(store, id, run, sagas.length > 0 || run.given.text('name') !== undefined)
}

async function byName(store: SagaStore, sagaName: string | undefined, id: string): Promise<Found[]> {
  if (sagaName === undefined) return []
  const found: Found[] = []
  const bySagaId = await orNothing(() => store.states.getById(sagaName, id))
  if (bySagaId) found.push({ found: 'saga', by: 'saga id', sagaName, state: bySagaId })
  const byCorrelation = await orNothing(() => store.states.getByCorrelationId(sagaName, id))
  if (byCorrelation && byCorrelation.metadata.sagaId !== bySagaId?.metadata.sagaId) {
    found.push({ found: 'saga', by: 'correlation id', sagaName, correlationId: id, state: byCorrelation })
  }
  return found
}

/** What no index leads to: sagas whose name is not known, and messages. */
async function* bySearch(store: SagaStore, id: string, { signal, out }: Run, hasSagas: boolean): AsyncGenerator<Found> {
  const slow = setTimeout(() => out.note('Reading all sagas and messages; --name or --quick is quicker.'), 2_000)
  try {
    if (!hasSagas) {
      for await (const record of scanOf(store, 'states', signal)) {
        const { sagaName, sagaId, correlationId } = record
        if (sagaId !== id && correlationId !== id) continue
        const state = await store.states.getById(sagaName, sagaId)
        if (state !== null) yield { found: 'saga', by: sagaId === id ? 'saga id' : 'correlation id', sagaName, correlationId, state }
      }
    }
    for await (const { consumer, messageId, expiresAt } of scanOf(store, 'inbox', signal)) {
      if (messageId === id) yield { found: 'message', consumer, messageId, expiresAt }
    }
  } finally {
    clearTimeout(slow)
  }
}

/** Nothing, where the kind can have no such id, or was never kept. */
async function orNothing<T>(look: () => Promise<T>): Promise<T | undefined> {
  try {
    return await look()
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : undefined
    if (code === 'INVALID_ARGUMENT' || code === 'UNSUPPORTED') return undefined
    throw error
  }
}

async function show(found: Found, out: Output): Promise<void> {
  const title = (text: string) => out.line(out.style('bold', text))
  switch (found.found) {
    case 'payload': {
      const { id, bytes, expiresAt, isExpired } = found
      await title(isExpired ? 'payload (expired: it is not returned any more)' : 'payload')
      const expiry = expiresAt && `${expiresAt.toISOString()} (${shownDistance(expiresAt)})`
      await out.facts([['id', id], ['stored', shownBytes(bytes)], ['expires', expiry ?? 'never']], '  ') // biome-ignore format: short
      return
    }
    case 'saga':
      await title(`saga '${found.sagaName}', found by its ${found.by}`)
      await out.facts([['correlationId', found.correlationId]], '  ')
      return await showSaga(found.state, out, '  ')
    case 'execution':
      await title(found.execution.parkedAt === null ? 'execution' : 'execution (parked: nobody works on it)')
      return await showExecution(found, out)
    case 'event':
      await title(found.event.status === 'dead_letter' ? 'event (dead letter: nobody publishes it)' : 'event')
      return await showEvent(found.event, out)
    case 'events of the saga':
      await title(`events of the saga${found.more ? ` (the first ${found.events.length})` : ''}`)
      await out.list(found.events, EVENTS)
      return
    case 'message':
      await title('message of the inbox: it was applied')
      await out.facts([['consumer', found.consumer], ['messageId', found.messageId], ['remembered until', found.expiresAt]], '  ') // biome-ignore format: short
  }
}

async function inspect(run: Run): Promise<void> {
  const { out, given } = run
  const id = given.argument('id')
  let count = 0
  for await (const found of search(run.open(), id, run)) {
    if (out.isJson) await out.json(found)
    else {
      if (count > 0) await out.line()
      await show(found, out)
    }
    count += 1
  }
  if (count === 0) throw notFound(`nothing has the id '${id}': no payload, saga, execution, event or message`)
}

export const inspecting: readonly CommandSpec[] = [
  {
    name: 'inspect',
    about: 'say all that is known of an id',
    more:
      'It looks for a payload, a saga (by saga id or correlation id), an execution with its steps, an event, the events of a saga, and a ' +
      'message of the inbox. Sagas whose name it does not know it finds by reading all of them.',
    urls: 1,
    takes: [{ name: 'id', about: 'any id' }],
    options: [
      { name: 'name', value: 'name', about: 'the name of the saga: then no reading of all is needed' },
      { name: 'quick', about: 'only what an index leads to: no reading of all sagas and messages' },
    ],
    json: 'lines',
    stops: true,
    examples: [
      { line: 'inspect postgres://app@db/orders order-4711', does: 'what became of an order' },
      { line: 'inspect --name OrderSaga order-4711 --json', does: 'for a program; the URL is in SAGASTORE_URL' },
    ],
    run: inspect,
  },
]
