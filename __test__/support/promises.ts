import { SagaStoreError } from '../../index.js'

/** Calls `check` until it answers true. Where it never does, the error has what `state` answers. */
export async function eventually(
  what: string,
  check: () => Promise<boolean> | boolean,
  withinMs = 10_000,
  state?: () => unknown,
): Promise<void> {
  const deadline = performance.now() + withinMs
  while (!(await check())) {
    if (performance.now() > deadline) {
      const told = state === undefined ? '' : `; ${JSON.stringify(await state())}`
      throw new Error(`within ${withinMs} ms it never came true: ${what}${told}`)
    }
    await new Promise((resume) => setTimeout(resume, 50))
  }
}

/** The error that `call` is rejected with. */
export function rejectionOf(call: Promise<unknown>): Promise<SagaStoreError> {
  return call.then(
    () => {
      throw new Error('it succeeded')
    },
    (error) => {
      if (!(error instanceof SagaStoreError)) throw error
      return error
    },
  )
}
