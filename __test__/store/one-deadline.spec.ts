import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { type AnyStoreOptions, openStore, PostgresSagaStore } from '../../index.js'
import { startPostgres } from '../../scripts/services/servers.mjs'
import { CallTime } from '../../ts/kinds/call-time'
import type { Runner } from '../../ts/kinds/runner'
import { eventually, rejectionOf } from '../support/promises'
import { missing, targets, temporarySchema } from '../support/targets'

const slip = Buffer.from('a routing slip')

afterEach(() => void vi.useRealTimers())

describe('the time of a call', () => {
  const runner = { backend: 'memory', operationTimeoutMs: 1_000 } as Runner
  /** Its errors are those of the sources, not of the package. */
  const thrown = (running: Promise<unknown>) =>
    running.then(
      () => 'it succeeded',
      (error) => error,
    )

  it('is that of all its parts together', async () => {
    vi.useFakeTimers()
    const time = new CallTime(runner, 'states.modify')
    const part = async (ms: number) => {
      const running = time.of(() => new Promise<string>((resolve) => setTimeout(() => resolve('done'), ms)))
      running.catch(() => undefined)
      await vi.advanceTimersByTimeAsync(ms)
      return running
    }
    expect(await part(400)).toBe('done')
    expect(await part(500)).toBe('done')
    expect(await thrown(part(200))).toMatchObject({ code: 'TIMEOUT', operation: 'states.modify', backend: 'memory', retryable: true })
    // What comes behind its end is not begun.
    const begun = vi.fn()
    expect(await thrown(time.of(begun))).toMatchObject({ code: 'TIMEOUT' })
    expect(begun).not.toHaveBeenCalled()
  })

  it('passes on what a part comes to', async () => {
    const time = new CallTime(runner, 'states.modify')
    await expect(
      time.of(() => {
        throw new RangeError('no')
      }),
    ).rejects.toThrow(RangeError)
    expect(await time.of(() => 'at once')).toBe('at once')
  })
})

describe('a write that waits for another one of its id on a client', () => {
  it('has the time of its own call, not that from the end of the other one', async () => {
    const pool = new pg.Pool({ connectionString: 'postgres://nobody@127.0.0.1:1/none' })
    pool.query = (() => new Promise(() => {})) as never
    const store = new PostgresSagaStore({ client: pool, operationTimeoutMs: 2_000 })
    vi.useFakeTimers()
    const codes: string[] = []
    for (const id of ['a', 'a', 'a']) {
      store.put(id, slip).catch(({ code }) => codes.push(code))
      await vi.advanceTimersByTimeAsync(100)
    }
    await vi.advanceTimersByTimeAsync(2_000)
    // What is over makes way for the event loop before it rejects; a timer that is left does not go off any more.
    vi.useRealTimers()
    await eventually('all three are over', () => codes.length === 3)
    expect(codes).toEqual(['TIMEOUT', 'TIMEOUT', 'TIMEOUT'])
    await store.close()
  })
})

for (const target of targets) {
  describe.skipIf(missing(target))(`states.modify on ${target.name}`, () => {
    it('counts the time of its function, and writes nothing behind its end', async () => {
      await using store = openStore({ ...target.options(), operationTimeoutMs: 2_000 } as AnyStoreOptions)
      await store.initialize()
      await store.states.insert('Order', 'o-1', { metadata: { sagaId: 's-1' } })
      let ended = () => {}
      const over = new Promise<void>((resolve) => {
        ended = resolve
      })
      const modified = store.states.modify('Order', 's-1', async (state) => {
        await sleep(3_000)
        ended()
        return state
      })
      expect(await rejectionOf(modified)).toMatchObject({ code: 'TIMEOUT', operation: 'states.modify' })
      await over
      await sleep(100)
      expect(await store.states.getById('Order', 's-1')).toMatchObject({ metadata: { version: 1 } })
    })
  })
}

/** Where a transaction waits until another one is over. */
const waiting = targets.filter(({ name }) => name === 'sqlite' || name === 'postgres')

for (const target of waiting) {
  describe.skipIf(missing(target))(`a transaction behind another one on ${target.name}`, () => {
    it('has the time of its call, which its wait is a part of', async () => {
      const options = { ...target.options(), ...(target.name === 'postgres' && { poolSize: 1 }) }
      await using first = openStore(options as AnyStoreOptions)
      await using second = openStore({ ...options, operationTimeoutMs: 3_000 } as AnyStoreOptions)
      await first.initialize()
      await second.initialize()
      let began = () => {}
      const begun = new Promise<void>((resolve) => {
        began = resolve
      })
      const before = first.transaction(async (tx) => {
        await tx.put('a', slip)
        began()
        await sleep(2_000)
      })
      await begun
      const behind = second.transaction(async (tx) => {
        await tx.put('b', slip)
        await sleep(2_000)
      })
      expect(await rejectionOf(behind)).toMatchObject({ code: 'TIMEOUT', operation: 'transaction' })
      await before
      expect([...(await first.getMany(['a', 'b'])).keys()]).toEqual(['a'])
    })
  })
}

const postgres = targets.find(({ name }) => name === 'postgres') as (typeof targets)[number]

describe.skipIf(missing(postgres))('a PostgreSQL server that is frozen', () => {
  /** Whether it ends before twice the limit. */
  async function inTime<T>(running: Promise<T>): Promise<T | 'twice the time'> {
    const late = new AbortController()
    try {
      return await Promise.race([running, sleep(3_400, 'twice the time' as const, { signal: late.signal })])
    } finally {
      late.abort()
    }
  }

  it('before a commit, and at close, takes one operationTimeoutMs', async () => {
    await using server = await startPostgres()
    const options = { url: server.url, schema: temporarySchema(), operationTimeoutMs: 2_000 }
    const pool = new pg.Pool({ connectionString: server.url })
    pool.on('error', () => {})
    const own = openStore(options)
    await own.initialize()
    for (const store of [own, new PostgresSagaStore({ client: pool, schema: options.schema, operationTimeoutMs: 2_000 })]) {
      const transaction = store.transaction(async (tx) => {
        await tx.put('a', slip)
        await sleep(1_700)
        await server.pause()
      })
      const answered = await inTime(transaction.catch(({ code, message }) => ({ code, message })))
      expect(answered).toMatchObject({ code: 'TIMEOUT', message: expect.stringContaining('no answer to the commit') })
      await server.resume()
    }
    await Promise.all(Array.from({ length: 4 }, (_, n) => own.get('a').catch(() => n)))
    await server.pause()
    const lost = own.put('b', slip).catch(({ code }) => code)
    expect(await inTime(own.close())).toBe(undefined)
    expect(await lost).toMatch(/TIMEOUT|CONNECTION/)
    await server.resume()
    await pool.end()
  })
})
