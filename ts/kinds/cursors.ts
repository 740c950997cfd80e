import { invalidArgument } from '../errors'

/** Which list it is: what it lists, and what it is limited to. */
export type ListName = readonly (string | null)[]

/** Where the next page of a list begins, as the application gets it: of another list it is refused. */
export function cursorOf(list: ListName, position: string): string {
  return Buffer.from(JSON.stringify([...list, position])).toString('base64url')
}

/**
 * The position that a cursor of this list stands for.
 *
 * @throws InvalidArgumentError if it is none, or one of another list
 */
export function positionOf(cursor: string | undefined, list: ListName, operation: string, backend: string): string | undefined {
  if (cursor === undefined) return undefined
  let parts: unknown
  try {
    parts = typeof cursor === 'string' ? JSON.parse(Buffer.from(cursor, 'base64url').toString()) : undefined
  } catch {
    parts = undefined
  }
  if (Array.isArray(parts) && parts.length === list.length + 1) {
    const position: unknown = parts[list.length]
    if (typeof position === 'string' && list.every((part, at) => part === parts[at])) return position
  }
  const message = "option 'cursor' is none of this list: give that of the page before, and the same name and filter as there"
  throw invalidArgument(message, operation, backend)
}
