import { describe, expect, it } from 'vitest'
import { runProgram } from '../support/programs'
import { missing, type Target, targets } from '../support/targets'

/** What an application may have done to what every program has. Each runs in a process of its own. */
describe('altered built-ins', () => {
  it('leave errors what they are: Error.prototype is frozen', async () => {
    const program = `
      Object.freeze(Error.prototype)
      const store = sagastore.openStore('memory://')
      const errors = [await store.get('x').catch((error) => error), await store.put('', Buffer.from('x')).catch((error) => error)]
      console.log(JSON.stringify(errors.map((error) => [error.code, error.name, error instanceof sagastore.SagaStoreError])))`
    expect(JSON.parse(await runProgram(program, {}))).toEqual([
      ['NOT_FOUND', 'NotFoundError', true],
      ['INVALID_ARGUMENT', 'InvalidArgumentError', true],
    ])
  })

  for (const target of targets.filter(({ name }) => ['sqlite', 'memory', 'redis', 'postgres'].includes(name))) {
    it.skipIf(missing(target as Target))(`leave saga state what it is: a Date is a number in JSON (${target.name})`, async () => {
      const program = `
        const store = sagastore.openStore(args)
        await store.initialize()
        const begun = new Date(1_700_000_000_123)
        const toJSON = Date.prototype.toJSON
        Date.prototype.toJSON = function () { return this.getTime() }
        await store.states.insert('Order', 'c', { metadata: { sagaId: 's', version: 0, createdAt: begun, updatedAt: begun, isCompleted: false } })
        await store.states.modify('Order', 's', (state) => ({ ...state, n: 1 }))
        const altered = await store.states.getById('Order', 's')
        Date.prototype.toJSON = toJSON
        const state = await store.states.getById('Order', 's')
        console.log(JSON.stringify([altered.metadata.createdAt instanceof Date, state.n, state.metadata.createdAt]))
        await store.close()`
      expect(JSON.parse(await runProgram(program, target.options()))).toEqual([true, 1, '2023-11-14T22:13:20.123Z'])
    })
  }

  it('are not needed for long deadlines: more than a timer has', async () => {
    const program = `
      const store = sagastore.openStore({ url: 'memory://', operationTimeoutMs: 2 ** 31 })
      await store.transaction(async (tx) => {
        await new Promise((resume) => setTimeout(resume, 50))
        await tx.put('a', Buffer.from('x'))
      })
      console.log(String(await store.get('a')))`
    expect((await runProgram(program, {})).trim()).toBe('x')
  })
})
