import { shownText } from './output'
import { EXIT, type Exit, Told } from './spec'

/** Whether an error is one of the store's. Told by its fields: the package may not be loaded. */
function codeOf(error: unknown): string | undefined {
  if (!(error instanceof Error) || !('code' in error) || !('retryable' in error)) return undefined
  return String(error.code)
}

const EXITS: Record<string, Exit> = {
  INVALID_ARGUMENT: EXIT.wrongUse,
  CONNECTION: EXIT.unreachable,
  TIMEOUT: EXIT.unreachable,
}

/** How the process ends for this error. */
export function exitOf(error: unknown): Exit {
  if (error instanceof Told) return error.exit
  return EXITS[codeOf(error) ?? ''] ?? EXIT.failed
}

/** What is told of an error: its message and those of its causes, without a stack. One that nobody expects has its stack. */
export function messageOf(error: unknown): string {
  if (!(error instanceof Error)) return shownText(String(error))
  const isKnown = error instanceof Told || codeOf(error) !== undefined || 'syscall' in error || error.message.startsWith('sagastore: ')
  if (!isKnown) return error.stack ?? error.message
  const messages: string[] = []
  for (let at: unknown = error; at instanceof Error && messages.length < 6; at = at.cause) {
    const message = at.message.split('\n').map(shownText).join('\n')
    if (!messages.some((before) => before.includes(message))) messages.push(message)
  }
  const code = codeOf(error)
  return `${messages.join(': ')}${code === undefined ? '' : ` (${code})`}`
}

/** There is nothing of this id. */
export function notFound(what: string): Told {
  return new Told(`not found: ${what}`)
}
