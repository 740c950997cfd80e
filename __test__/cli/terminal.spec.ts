// On a pseudo-terminal: questions, colours, narrow windows.
import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import { openStore } from '../../index.js'
import { temporaryDirectory } from '../support/targets'
import { onTerminal } from './command-line'

const url = `sqlite://${join(temporaryDirectory(), 'sagas.db')}`

function hasPython(): boolean {
  try {
    execFileSync('python3', ['-c', 'import pty, os; os.waitstatus_to_exitcode'], { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
}

describe.skipIf(!hasPython())('on a terminal', () => {
  beforeAll(async () => {
    await using store = openStore(url)
    await store.initialize()
    await store.put('slip-1', Buffer.from('one'))
    await store.put(`slip-${'long'.repeat(40)}`, Buffer.from('two'))
    await store.put('binary', Buffer.from([0, 1, 2]))
  })

  it('delete asks: no changes nothing, yes does it', async () => {
    const question = "Delete the payload 'slip-1'? [y/N]"
    const no = await onTerminal(['delete', url, 'slip-1'], { answers: [{ after: question, type: 'n\r' }] })
    expect(no.code).toBe(1)
    expect(no.stdout).toContain('nothing was changed')
    const enter = await onTerminal(['delete', url, 'slip-1'], { answers: [{ after: question, type: '\r' }] })
    expect(enter.code).toBe(1)
    await using store = openStore(url)
    expect(await store.has('slip-1')).toBe(true)
    const yes = await onTerminal(['delete', url, 'slip-1'], { answers: [{ after: question, type: 'y\r' }] })
    expect(yes.code).toBe(0)
    expect(await store.has('slip-1')).toBe(false)
  })

  it('Ctrl-C at the question changes nothing and ends with 130', async () => {
    const { code } = await onTerminal(['delete', url, 'binary'], { answers: [{ after: '[y/N]', type: '\u0003' }] })
    expect(code).toBe(130)
    await using store = openStore(url)
    expect(await store.has('binary')).toBe(true)
  })

  it('put reads until Ctrl-D', async () => {
    const { code, stdout } = await onTerminal(['put', url, 'typed'], { answers: [{ after: 'Ctrl-D ends.', type: 'hello\r\u0004' }] })
    expect(code, stdout).toBe(0)
    await using store = openStore(url)
    expect(String(await store.get('typed'))).toBe('hello\n')
  })

  it('get does not send bytes that are no text', async () => {
    const { code, stdout } = await onTerminal(['get', url, 'binary'])
    expect(code).toBe(2)
    expect(stdout).toContain('write it to a file with --out')
  })

  it('a table fits a narrow window, and has no colours with NO_COLOR, --no-color or a dumb terminal', async () => {
    const { code, stdout } = await onTerminal(['list', url], { columns: 60 })
    expect(code).toBe(0)
    expect(stdout).toContain('\u001b[1m')
    // biome-ignore lint/suspicious/noControlCharactersInRegex: colours are control characters
    const plain = stdout.replace(/\u001b\[\d+m/g, '')
    for (const line of plain.split('\r\n')) expect(line.length).toBeLessThanOrEqual(60)
    expect(plain).toContain('…')
    const dull: Record<string, string>[] = [{ NO_COLOR: '1' }, { TERM: 'dumb' }]
    for (const env of dull) {
      expect((await onTerminal(['list', url], { env })).stdout).not.toContain('\u001b')
    }
    expect((await onTerminal(['list', url, '--no-color'])).stdout).not.toContain('\u001b')
  })
})
