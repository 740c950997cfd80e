import { ClosedError } from '../errors'
import { describeClientError } from './failure'

/** A word of a command, as the core hands it over: payloads may be any Uint8Array. */
export type Word = string | Uint8Array

/** A command: its name, its key if it has one, the rest. */
export type Command = [name: string, ...words: Word[]]

/** The libraries take Buffers, and make text of other bytes. */
export function words(command: Command): (string | Buffer)[] {
  return command.map((word) =>
    typeof word === 'string' || Buffer.isBuffer(word) ? word : Buffer.from(word.buffer, word.byteOffset, word.byteLength),
  )
}

/** The same, with bytes of its own: a queued command is sent when the caller may have changed its Buffer. */
export function keptWords(command: Command): (string | Buffer)[] {
  return command.map((word) => (typeof word === 'string' ? word : Buffer.from(word)))
}

/** The reply to each command, or what it failed of. */
export function settled(replies: readonly PromiseLike<unknown>[]): Promise<unknown[]> {
  return Promise.all(replies.map((reply) => reply.then(undefined, (error: unknown) => ({ error: describeClientError(error) }))))
}

/** What EXEC answers where it fails of single commands. Redis has run the others. */
export function checkReplies(errors: readonly unknown[], count: number): void {
  if (errors.length === 0) return
  const { code, message } = describeClientError(errors[0])
  if (errors.length === count) throw errors[0]
  const text = `${errors.length} of the ${count} commands in the transaction failed, the first with: ${message}`
  throw Object.assign(new Error(text), { name: 'ExecError', ...(code && { code }) })
}

/** Commands that are put into a `multi()` behind its `exec()` are sent by nobody. */
export function alreadyExecuted(library: string): ClosedError {
  const message = `this multi() of ${library} has been executed already`
  return new ClosedError({ code: 'CLOSED', message, backend: 'redis', retryable: false, causes: [], details: {} })
}
