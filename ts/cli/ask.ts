import { createInterface } from 'node:readline/promises'
import { shownText } from './output'
import { Told, WrongUse } from './spec'

/** Goes on after a yes. Where nobody can be asked, `--yes` is wanted. */
export async function ask(question: string, isAgreed: boolean, signal: AbortSignal): Promise<void> {
  if (isAgreed) return
  if (!process.stdin.isTTY || !process.stderr.isTTY) {
    throw new WrongUse(`${shownText(question)} There is no terminal to ask on: --yes says yes`)
  }
  const terminal = createInterface({ input: process.stdin, output: process.stderr })
  try {
    // Ctrl-C at the question is taken by the terminal's reader.
    terminal.on('SIGINT', () => {
      process.stderr.write('\n')
      process.kill(process.pid, 'SIGINT')
    })
    const answer = await terminal.question(`${shownText(question)} [y/N] `, { signal })
    if (!/^y(es)?$/i.test(answer.trim())) throw new Told('nothing was changed')
  } finally {
    terminal.close()
  }
}
