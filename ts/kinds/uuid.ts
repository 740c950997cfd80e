import { randomInt, randomUUID } from 'node:crypto'

let last = 0
let counter = 0

/**
 * A UUID of version 7 (RFC 9562): ids that are made one after the other sort in that order, in one process also those of
 * the same millisecond. Where a table is kept in the order of its ids, new ones then go to its end.
 */
export function uuidv7(): string {
  const now = Date.now()
  if (now > last) {
    last = now
    // Half of the numbers is left for what comes within the millisecond.
    counter = randomInt(0x800)
  } else if (++counter > 0xfff) {
    // Too many in one millisecond, or a clock that went back: time goes on without it.
    last += 1
    counter = 0
  }
  const time = last.toString(16).padStart(12, '0')
  // From the variant on, it is as one of version 4.
  return `${time.slice(0, 8)}-${time.slice(8)}-7${counter.toString(16).padStart(3, '0')}${randomUUID().slice(18)}`
}
