import { errorOf, type SagaStoreError } from '../errors'
import { describeClientError } from './failure'

/** A word of a command, as the core hands it over: payloads may be any Uint8Array. */
export type Word = string | Uint8Array

/** A command: its name, its key if it has one, the rest. */
export type Command = [name: string, ...words: Word[]]

/** The key of a command: behind its name, or behind a script and the number of its keys. */
export function keyOf<T extends string | Uint8Array>(command: readonly T[]): T | undefined {
  return command[0] === 'EVAL' || command[0] === 'EVALSHA' ? command[3] : command[1]
}

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

/** In place of the reply to a command, what it failed of. */
export function failed(error: unknown): { error: object } {
  return { error: describeClientError(error) }
}

/** Calls all commands in one turn; the reply to each, or what it failed of. */
export async function settled<T>(commands: readonly T[], call: (command: T) => PromiseLike<unknown>): Promise<unknown[]> {
  const reply = async (command: T) => {
    try {
      return await call(command)
    } catch (error) {
      return failed(error)
    }
  }
  return await Promise.all(commands.map(reply))
}

/** Commands that are put into a `multi()` behind its `exec()` are sent by nobody. */
export function alreadyExecuted(library: string): SagaStoreError {
  return errorOf('CLOSED', `this multi() of ${library} has been executed already`, { backend: 'redis' })
}
