import { errorOf } from '../errors'
import { within } from '../promises'
import type { Runner } from './runner'

/** The time of a call that asks several things one after the other: all of them together have `operationTimeoutMs`. */
export class CallTime {
  readonly #runner: Runner
  readonly #operation: string
  readonly #until: number

  constructor(runner: Runner, operation: string) {
    this.#runner = runner
    this.#operation = operation
    this.#until = performance.now() + runner.operationTimeoutMs
  }

  /** What the next of them comes to, unless the time is over: then it is not begun any more, or no longer waited for. */
  async of<T>(begin: () => T | Promise<T>): Promise<T> {
    const left = this.#until - performance.now()
    if (left <= 0) throw this.#late()
    return await within(left, Promise.resolve(begin()), () => this.#late())
  }

  #late(): Error {
    const { backend, operationTimeoutMs } = this.#runner
    const message = `not done within operationTimeoutMs (${operationTimeoutMs} ms)`
    return errorOf('TIMEOUT', message, { backend, operation: this.#operation, retryable: true })
  }
}
