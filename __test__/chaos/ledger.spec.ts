import { describe, expect, it } from 'vitest'
import { Ledger, payloadOf } from '../../scripts/chaos/ledger.mjs'
import { runChaos } from './run'

const nothing = { payloads: async () => new Map<string, Buffer>(), sagas: async () => new Map() }

/** A ledger with one payload stored, one saga inserted, and one update of it. */
function written(): Ledger {
  const ledger = new Ledger({ expected: ['CONNECTION'] })
  ledger.resolve(ledger.begin({ kind: 'put', key: 'p', value: 'a:20' }))
  ledger.resolve(ledger.begin({ kind: 'insert', key: 's' }))
  ledger.resolve(ledger.begin({ kind: 'update', key: 's', value: 'one' }))
  return ledger
}

const stored = (value: string) => async () => new Map([['p', payloadOf(value)]])
const saga =
  (version: number, ...tokens: string[]) =>
  async () =>
    new Map([['s', { tokens, version }]])

describe('the ledger of npm run chaos', () => {
  it('holds when what was acknowledged is there, and not before that was looked at', async () => {
    const ledger = written()
    expect(ledger.holds).toBe(false)
    await ledger.check({ payloads: stored('a:20'), sagas: saga(2, 'one') })
    expect(`${ledger}`).toContain('holds: nothing lost, doubled or unsettled')
    expect(ledger.holds).toBe(true)
  })

  it('does not hold when nothing was acknowledged', async () => {
    const ledger = new Ledger({ expected: ['CONNECTION'] })
    ledger.reject(ledger.begin({ kind: 'put', key: 'p', value: 'a:20' }), 'CONNECTION')
    await ledger.check(nothing)
    expect(ledger.holds).toBe(false)
  })

  it('sees what is lost', async () => {
    const ledger = written()
    await ledger.check(nothing)
    expect([ledger.counts('put').lost, ledger.counts('insert').lost, ledger.counts('update').lost]).toEqual([1, 1, 1])
    expect(ledger.holds).toBe(false)
    const cut = written()
    await cut.check({ payloads: stored('a:19'), sagas: saga(1) })
    expect([cut.counts('put').lost, cut.counts('insert').lost, cut.counts('update').lost]).toEqual([1, 0, 1])
  })

  it('sees what is doubled, and a version that was counted twice', async () => {
    const ledger = written()
    await ledger.check({ payloads: stored('a:20'), sagas: saga(3, 'one', 'one') })
    expect(ledger.counts('update').doubled).toBe(1)
    const counted = written()
    await counted.check({ payloads: stored('a:20'), sagas: saga(3, 'one') })
    expect(`${counted}`).toContain("saga 's' has version 3 after 1 updates")
    expect(counted.holds).toBe(false)
  })

  it('sees a deletion that did not last', async () => {
    const ledger = written()
    ledger.resolve(ledger.begin({ kind: 'delete', key: 'p' }))
    ledger.resolve(ledger.begin({ kind: 'remove', key: 's' }))
    await ledger.check({ payloads: stored('a:20'), sagas: saga(2, 'one') })
    expect([ledger.counts('delete').lost, ledger.counts('remove').lost]).toEqual([1, 1])
  })

  it('lets a refused write be there or not', async () => {
    for (const value of ['a:20', 'b:20']) {
      const ledger = written()
      ledger.reject(ledger.begin({ kind: 'put', key: 'p', value: 'b:20' }), 'CONNECTION')
      ledger.reject(ledger.begin({ kind: 'update', key: 's', value: 'two' }), 'CONNECTION')
      await ledger.check({ payloads: stored(value), sagas: value === 'a:20' ? saga(2, 'one') : saga(3, 'one', 'two') })
      expect(ledger.holds, `${ledger}`).toBe(true)
    }
  })

  it('sees what has not settled, and codes that nobody expects', async () => {
    const ledger = written()
    ledger.begin({ kind: 'put', key: 'q', value: 'a:20' })
    ledger.reject(ledger.begin({ kind: 'put', key: 'r', value: 'a:20' }), 'CORRUPT_DATA', 'why')
    await ledger.check({ payloads: stored('a:20'), sagas: saga(2, 'one') })
    expect(ledger.counts('put').unsettled).toBe(1)
    expect(`${ledger}`).toContain("put 'r' was rejected with CORRUPT_DATA: why")
  })
})

it.each([
  [[], 'name a scenario'],
  [['mysql'], 'name a scenario: sqlite, postgres, redis, cluster'],
  [['redis', '--seconds', 'ten'], '--seconds is a number'],
  [['redis', '--second', '10'], "'--second'"],
  [['redis', 'sqlite'], 'one scenario at a time'],
])('npm run chaos -- %j is wrong use', async (args, message) => {
  const { code, output } = await runChaos(...args)
  expect(code).toBe(2)
  expect(output).toContain(message)
  expect(output).toContain('npm run chaos --')
})
