import { setImmediate } from 'node:timers'

/** The one that the process began with: what a test's fake timers put in its place may never come. */
export const realSetImmediate = setImmediate

/** Ready in the next turn of the event loop. */
export function turn(): Promise<void> {
  return new Promise((resolve) => realSetImmediate(resolve))
}
