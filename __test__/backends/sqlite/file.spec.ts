import { copyFileSync, existsSync, renameSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import BetterSqlite3 from 'better-sqlite3'
import { describe, expect, it } from 'vitest'
import { openStore, type SagaStore } from '../../../index.js'
import { rejectionOf } from '../../support/promises'
import { temporaryDirectory } from '../../support/targets'

const MOVED = { code: 'CONNECTION', retryable: false, backend: 'sqlite', message: expect.stringContaining('initialize()') }

async function openAt(file: string, id = 'first'): Promise<SagaStore> {
  const store = openStore(`sqlite://${file}`)
  await store.initialize()
  await store.put(id, Buffer.from(id))
  expect(String(await store.get(id))).toBe(id)
  return store
}

function remove(file: string): void {
  for (const suffix of ['', '-wal', '-shm']) rmSync(`${file}${suffix}`, { force: true })
}

/** Nothing is answered from a file that is not there any more. */
async function expectMoved(store: SagaStore): Promise<void> {
  const state = { metadata: { sagaId: 's' } }
  expect(await rejectionOf(store.put('lost', Buffer.from('x')))).toMatchObject(MOVED)
  expect(await rejectionOf(store.putMany([{ id: 'lost', data: Buffer.from('x') }]))).toMatchObject(MOVED)
  expect(await rejectionOf(store.states.insert('Order', 'c', state))).toMatchObject(MOVED)
  expect(await rejectionOf(store.transaction((tx) => tx.put('lost', Buffer.from('x'))))).toMatchObject(MOVED)
  // Reads look a few milliseconds later at most.
  await sleep(20)
  expect(await rejectionOf(store.get('first'))).toMatchObject(MOVED)
  expect(await rejectionOf(store.states.getById('Order', 's'))).toMatchObject(MOVED)
  expect(await store.health()).toMatchObject({ status: 'unhealthy', details: { code: 'CONNECTION' } })
}

// Windows does not let go of a file that is open.
describe.skipIf(process.platform === 'win32')('an SQLite file that is open', () => {
  it('and removed: operations reject, and initialize() makes a new one, for all stores of the URL', async () => {
    const file = join(temporaryDirectory(), 'sagas.db')
    await using store = await openAt(file)
    await using other = await openAt(file)
    remove(file)
    await expectMoved(store)
    await expectMoved(other)
    expect(existsSync(file)).toBe(false)
    await other.initialize()
    await store.put('second', Buffer.from('x'))
    expect(await other.has('second')).toBe(true)
    expect([await store.find('first'), await store.has('lost')]).toEqual([null, false])
    expect(await store.health()).toMatchObject({ status: 'healthy' })
    const db = new BetterSqlite3(file, { readonly: true })
    expect(db.prepare('select id from saga_store').pluck().all()).toEqual(['second'])
    db.close()
  })

  it('and replaced: operations reject, and initialize() opens what is there now', async () => {
    const directory = temporaryDirectory()
    const [file, next] = [join(directory, 'sagas.db'), join(directory, 'next.db')]
    await using store = await openAt(file)
    await (await openAt(next, 'of the next one')).close()
    renameSync(next, file)
    await expectMoved(store)
    await store.initialize()
    await store.put('second', Buffer.from('x'))
    expect([...(await store.getMany(['first', 'lost', 'of the next one', 'second'])).keys()]).toEqual(['of the next one', 'second'])
    expect(await store.health()).toMatchObject({ status: 'healthy' })
    await store.close()
    const db = new BetterSqlite3(file, { readonly: true })
    expect(db.prepare('select id from saga_store order by id').pluck().all()).toEqual(['of the next one', 'second'])
    expect(db.pragma('integrity_check', { simple: true })).toBe('ok')
    db.close()
  })

  it('and a copy of it put in its place: the copy is another file', async () => {
    const directory = temporaryDirectory()
    const [file, copy] = [join(directory, 'sagas.db'), join(directory, 'copy.db')]
    await using store = await openAt(file)
    await (await openAt(copy)).close()
    rmSync(file)
    copyFileSync(copy, file)
    expect(await rejectionOf(store.put('lost', Buffer.from('x')))).toMatchObject(MOVED)
  })

  it('and moved away and back: as if nothing had been', async () => {
    const file = join(temporaryDirectory(), 'sagas.db')
    await using store = await openAt(file)
    renameSync(file, `${file}.away`)
    expect(await rejectionOf(store.put('second', Buffer.from('x')))).toMatchObject(MOVED)
    renameSync(`${file}.away`, file)
    await store.put('third', Buffer.from('x'))
    expect(await store.has('third')).toBe(true)
  })

  it('and without its WAL: writes reject, and initialize() keeps what was answered before', async () => {
    const file = join(temporaryDirectory(), 'sagas.db')
    await using store = await openAt(file)
    rmSync(`${file}-wal`)
    expect(await rejectionOf(store.put('lost', Buffer.from('x')))).toMatchObject(MOVED)
    await store.initialize()
    await store.put('second', Buffer.from('x'))
    expect([...(await store.getMany(['first', 'second'])).keys()]).toEqual(['first', 'second'])
  })

  it('and removed within a transaction: it does not commit', async () => {
    const file = join(temporaryDirectory(), 'sagas.db')
    await using store = await openAt(file)
    const run = store.transaction(async (tx) => {
      await tx.put('second', Buffer.from('x'))
      remove(file)
    })
    expect(await rejectionOf(run)).toMatchObject(MOVED)
    await store.initialize()
    expect(await store.has('second')).toBe(false)
  })
})
