import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, it, type TestContext } from 'vitest'
import type { SagaInbox, SagaStore, SagaTransaction } from '../../index.js'
import type { Executor } from '../support/executors'
import { eventually, rejectionOf } from '../support/promises'
import { sharedStore } from '../support/stores'
import { randomName } from '../support/targets'

/** A consumer and a message that no other test has. */
function fresh(): { consumer: string; other: string; message: string } {
  const name = randomName('Mailer')
  return { consumer: name, other: `${name}-2`, message: `${name}-message` }
}

/** The rules of the inbox, the same on every backend. */
export function inboxBehavior(executor: Executor): void {
  describe('inbox', () => {
    let store: SagaStore
    let inbox: SagaInbox
    sharedStore(executor, (opened) => {
      store = opened
      inbox = opened.inbox
    })

    describe('a message', () => {
      it('is new once for each consumer', async () => {
        const { consumer, other, message } = fresh()
        expect(await inbox.has(consumer, message)).toBe(false)
        expect(await inbox.accept(consumer, message)).toBe(true)
        expect(await inbox.has(consumer, message)).toBe(true)
        expect(await inbox.has(other, message)).toBe(false)
        expect(await inbox.accept(other, message)).toBe(true)
        expect(await inbox.accept(consumer, message)).toBe(false)
        expect(await inbox.accept(other, message, { ttlMs: 1_000 })).toBe(false)
      })

      it('is new for one of several who accept it at once', async () => {
        const { consumer, message } = fresh()
        const racers = await Promise.all(Array.from({ length: 10 }, () => inbox.accept(consumer, message)))
        expect(racers.filter((isNew) => isNew)).toHaveLength(1)
      })

      it('is new again when it was forgotten', async () => {
        const { consumer, message } = fresh()
        expect(await inbox.forget(consumer, message)).toBe(false)
        await inbox.accept(consumer, message)
        expect(await inbox.forget(consumer, message)).toBe(true)
        expect(await inbox.forget(consumer, message)).toBe(false)
        expect(await inbox.has(consumer, message)).toBe(false)
        expect(await inbox.accept(consumer, message)).toBe(true)
      })

      it('is told apart from others, whatever the names are', async () => {
        const { consumer, message } = fresh()
        const pairs = [
          [`${consumer}:a`, message],
          [consumer, `a:${message}`],
          [`${consumer}a`, message],
          [consumer, `a${message}`],
          [consumer, `${message} `],
          [consumer, message.toUpperCase()],
          [consumer, `{${message}}`],
          [`ä€😀 ${consumer}`, `ä€😀'"\\%_$ ${message}`],
          [`${consumer}${'x'.repeat(255 - consumer.length)}`, `${message}${'y'.repeat(512 - message.length)}`],
        ] as const
        for (const [name, id] of pairs) expect(await inbox.accept(name, id)).toBe(true)
        for (const [name, id] of pairs) expect(await inbox.accept(name, id)).toBe(false)
        expect(await inbox.forget(consumer, `a:${message}`)).toBe(true)
        for (const [name, id] of pairs.slice(2)) expect(await inbox.has(name, id)).toBe(true)
      })

      it('is refused if it is none', async () => {
        const { consumer, message } = fresh()
        for (const call of [
          () => inbox.accept('', message),
          () => inbox.accept(consumer, ''),
          () => inbox.accept('x'.repeat(256), message),
          () => inbox.accept(consumer, 'x'.repeat(513)),
          () => inbox.accept(`${consumer}\0`, message),
          () => inbox.accept(consumer, '\ud800'),
          () => inbox.accept(5 as never, message),
          () => inbox.accept(consumer, undefined as never),
          () => inbox.accept(consumer, message, { ttlMs: 0 }),
          () => inbox.accept(consumer, message, { ttlMs: 1.5 }),
          () => inbox.accept(consumer, message, { ttlMs: null as never }),
          () => inbox.accept(consumer, message, { ttl: 5 } as never),
          () => inbox.accept(consumer, message, 5 as never),
          () => inbox.has(consumer, ''),
          () => inbox.forget('', message),
          () => inbox.run(consumer, message, undefined as never),
          () => inbox.run(consumer, message, () => 1, { ttlMs: -1 }),
          () => inbox.run(consumer, '', () => 1),
        ]) {
          const error = await rejectionOf(call())
          // Without transactions that is what `run` says first.
          if (!String(call).includes('run(') || error.code !== 'UNSUPPORTED') expect(error.code, String(call)).toBe('INVALID_ARGUMENT')
        }
        expect(await inbox.has(consumer, message)).toBe(false)
      })
    })

    describe('work on a message', () => {
      /** Servers without transactions, and clients that cannot open one, have none to test. */
      const needTransactions = async (context: TestContext) => {
        const { consumer, message } = fresh()
        const tried = await inbox.run(consumer, message, () => 1).catch((error) => error)
        if (tried?.code === 'UNSUPPORTED') context.skip()
        expect(tried).toEqual({ ran: true, result: 1 })
      }

      it('is done once, with what it stores', async (context) => {
        await needTransactions(context)
        const { consumer, other, message } = fresh()
        const id = `${message}-effect`
        let runs = 0
        const work = async (tx: SagaTransaction) => {
          runs += 1
          await tx.put(id, Buffer.from('done'))
          return { runs }
        }
        expect(await inbox.run(consumer, message, work)).toEqual({ ran: true, result: { runs: 1 } })
        expect(await inbox.run(consumer, message, work)).toEqual({ ran: false })
        expect([runs, (await store.get(id)).toString()]).toEqual([1, 'done'])
        expect(await inbox.accept(consumer, message)).toBe(false)
        expect(await inbox.run(other, message, () => undefined)).toEqual({ ran: true, result: undefined })
      })

      it('that throws is not remembered, and leaves nothing behind', async (context) => {
        await needTransactions(context)
        const { consumer, message } = fresh()
        const id = `${message}-effect`
        const failed = inbox.run(consumer, message, async (tx) => {
          await tx.put(id, Buffer.from('half'))
          throw new RangeError('no')
        })
        await expect(failed).rejects.toThrow(RangeError)
        expect([await store.has(id), await inbox.has(consumer, message)]).toEqual([false, false])
        expect(await inbox.run(consumer, message, () => 'again')).toEqual({ ran: true, result: 'again' })
      })

      it('is done once, if the message is delivered several times at once', async (context) => {
        await needTransactions(context)
        const { consumer, message } = fresh()
        const work = async (tx: SagaTransaction) => {
          await tx.put(`${message}-effect`, Buffer.from('done'))
          return 'done'
        }
        const results = await Promise.all(Array.from({ length: 4 }, () => inbox.run(consumer, message, work)))
        expect(results.filter(({ ran }) => ran)).toEqual([{ ran: true, result: 'done' }])
        expect(results.filter(({ ran }) => !ran)).toEqual([{ ran: false }, { ran: false }, { ran: false }])
      })
    })

    // These wait for a time to pass: they do it together.
    describe('when time passes', () => {
      it.concurrent('a message is remembered for its time, and is new afterwards', async () => {
        const { consumer, message } = fresh()
        const began = performance.now()
        expect(await inbox.accept(consumer, message, { ttlMs: 700 })).toBe(true)
        const early = [await inbox.has(consumer, message), await inbox.accept(consumer, message, { ttlMs: 3_600_000 })]
        if (performance.now() - began < 650) expect(early).toEqual([true, false])
        await sleep(1_000)
        expect(await inbox.has(consumer, message)).toBe(false)
        expect(await inbox.forget(consumer, message)).toBe(false)
        expect(await inbox.accept(consumer, message)).toBe(true)
        expect(await inbox.accept(consumer, message)).toBe(false)
      })

      it.concurrent('what is over is removed by cleanup, and nothing else is', async () => {
        const { consumer, message } = fresh()
        await Promise.all([1, 2, 3].map((n) => inbox.accept(consumer, `${message}-${n}`, { ttlMs: 50 })))
        await inbox.accept(consumer, message)
        await eventually('they are over', async () => !(await inbox.has(consumer, `${message}-3`)))
        const removed = await inbox.cleanup()
        // Servers that remove them by themselves may have been quicker.
        if (store.capabilities.expiry !== 'server') expect(removed).toBeGreaterThanOrEqual(3)
        expect(await inbox.has(consumer, message)).toBe(true)
        await store.purgeExpired()
        expect(await inbox.accept(consumer, message)).toBe(false)
      })
    })
  })
}
