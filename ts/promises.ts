import { setImmediate } from 'node:timers'

/** The one that the process began with: what a test's fake timers put in its place may never come. */
export const realSetImmediate = setImmediate

/** Ready in the next turn of the event loop. */
export function turn(): Promise<void> {
  return new Promise((resolve) => realSetImmediate(resolve))
}

/** The longest time of a timer: what is longer would be over at once. */
export const LONGEST_TIMER_MS = 2_147_483_647

/** What `running` comes to, unless it takes longer. */
export async function within<T>(limitMs: number, running: Promise<T>, late: () => unknown): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const limit = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(late()), Math.min(limitMs, LONGEST_TIMER_MS))
  })
  try {
    return await Promise.race([running, limit])
  } finally {
    clearTimeout(timer)
  }
}

/** Waits for `running`, but no longer than this; it goes on by itself then. */
export async function atMost(limitMs: number, running: Promise<unknown>): Promise<void> {
  const late = new Error('late')
  await within(limitMs, running, () => late).catch((error) => {
    if (error !== late) throw error
  })
}

export function isPromiseLike(value: unknown): value is PromiseLike<unknown> {
  return typeof value === 'object' && value !== null && typeof (value as { then?: unknown }).then === 'function'
}
