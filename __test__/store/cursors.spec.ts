import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { MemorySagaStore } from '../../index.js'
import { rejectionOf } from '../support/promises'

type Page = { cursor?: string }
type List = (cursor?: string) => Promise<Page>

const store = new MemorySagaStore()
const { states, executions, outbox } = store
const past = new Date(Date.now() - 60_000)

/** A cursor, if there is one: no option is given as undefined. */
const at = (cursor: string | undefined) => (cursor === undefined ? {} : { cursor })

/** All lists, and some of them with other filters: each has more than one page. */
const LISTS: Record<string, List> = {
  list: (cursor) => store.list({ limit: 1, ...at(cursor) }),
  'list of a prefix': (cursor) => store.list({ limit: 1, prefix: 'p', ...at(cursor) }),
  'states.findByName': (cursor) => states.findByName('A', { limit: 1, ...at(cursor) }),
  'states.findByName of another name': (cursor) => states.findByName('B', { limit: 1, ...at(cursor) }),
  'states.names': (cursor) => states.names({ limit: 1, ...at(cursor) }),
  'states.findStale': (cursor) => states.findStale({ unchangedForMs: 1_000, limit: 1, ...at(cursor) }),
  'states.findStale of a name': (cursor) => states.findStale({ unchangedForMs: 1_000, sagaName: 'A', limit: 1, ...at(cursor) }),
  'executions.list': (cursor) => executions.list({ limit: 1, ...at(cursor) }),
  'executions.list by creation': (cursor) => executions.list({ limit: 1, order: 'created', ...at(cursor) }),
  'executions.list of a name': (cursor) => executions.list({ limit: 1, name: 'A', ...at(cursor) }),
  'executions.list of a status': (cursor) => executions.list({ limit: 1, status: 'pending', ...at(cursor) }),
  'outbox.list': (cursor) => outbox.list({ limit: 1, ...at(cursor) }),
  'outbox.list of a status': (cursor) => outbox.list({ limit: 1, status: 'pending', ...at(cursor) }),
  'outbox.bySaga': (cursor) => outbox.bySaga('s-1', { limit: 1, ...at(cursor) }),
}

describe('cursors', () => {
  const cursors = new Map<string, string>()

  beforeAll(async () => {
    await store.putMany(['p-1', 'p-2'].map((id) => ({ id, data: Buffer.from(id) })))
    for (const name of ['A', 'B']) {
      for (const n of [1, 2]) {
        const metadata = { sagaId: `${name}-${n}`, createdAt: past, updatedAt: past }
        await states.insert(name, `${name}-o-${n}`, { metadata })
        await executions.create(`${name}-${n}`, name)
      }
    }
    await outbox.insert([1, 2].map((n) => ({ eventType: 'E', payload: { n }, sagaId: 's-1' })))
    for (const [name, list] of Object.entries(LISTS)) cursors.set(name, (await list()).cursor as string)
  })
  afterAll(() => store.close())

  it.each(Object.keys(LISTS))('of %s are taken there, and nowhere else', async (name) => {
    const cursor = cursors.get(name)
    expect(cursor).toBeTypeOf('string')
    for (const [other, list] of Object.entries(LISTS)) {
      if (other === name) await list(cursor)
      else {
        const refused = await rejectionOf(list(cursor))
        expect(refused, other).toMatchObject({ code: 'INVALID_ARGUMENT', message: expect.stringContaining("'cursor'") })
      }
    }
  })
})
