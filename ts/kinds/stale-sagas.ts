import { pageLimitOf } from '../arguments'
import type { BackendName } from '../backend'
import { type CorruptSaga, invalidArgument } from '../errors'
import { OPERATIONS } from '../operations'
import { cursorOf, type ListName, positionOf } from './cursors'
import type { Runner } from './runner'
import { type Listed, lastOf, type StateJson, sizeOf } from './state-json'
import type { StaleOptions, StalePage } from './state-types'

const OPERATION = 'states.findStale'
/** Names that are asked for at once. */
const NAMES = 100

/** Where a page begins. */
export interface StalePlace {
  /** Sagas that were changed last then, or before: in milliseconds. */
  since: number
  /** The name that the page before ended in, and the saga id that it ended with. */
  name?: string
  after?: string
}

const listOf = ({ sagaName }: StaleOptions): ListName => ['states', 'stale', sagaName ?? null]

/**
 * Where the page begins that these options ask for.
 *
 * @throws InvalidArgumentError
 */
export function stalePlace(options: StaleOptions, backend: BackendName): StalePlace {
  const { unchangedForMs, cursor } = options
  if (!Number.isSafeInteger(unchangedForMs) || unchangedForMs < 0) {
    throw invalidArgument('unchangedForMs must be a whole number from 0 on', OPERATION, backend)
  }
  // There may be no name that the native side is asked for.
  pageLimitOf(options, OPERATION, backend)
  const position = positionOf(cursor, listOf(options), OPERATION, backend)
  if (position === undefined) return { since: Date.now() - unchangedForMs }
  const [since, name, after] = JSON.parse(position) as [number, string, string]
  return { since, name, after }
}

/** A page, and what of it cannot be read. */
export async function stalePage<T extends object>(
  runner: Runner,
  json: StateJson,
  options: StaleOptions,
  from: StalePlace,
): Promise<{ page: StalePage<T>; corrupt: CorruptSaga[] }> {
  const { limit = 100, sagaName } = options
  const page: StalePage<T> = { items: [] }
  const corrupt: CorruptSaga[] = []
  let left = limit
  for await (const name of namesFrom(runner, sagaName, from.name)) {
    const after = name === from.name ? from.after : undefined
    const listed = await runner.run<Listed>(OPERATIONS[OPERATION], [name, new Date(from.since), after, left])
    const read = json.listed<T>(listed, OPERATION)
    page.items.push(...read.sagas)
    corrupt.push(...read.corrupt)
    left -= sizeOf(listed)
    if (left <= 0) {
      page.cursor = cursorOf(listOf(options), JSON.stringify([from.since, name, lastOf(listed)]))
      break
    }
  }
  return { page, corrupt }
}

/** The names whose sagas are looked at, from one on. */
async function* namesFrom(runner: Runner, only: string | undefined, first: string | undefined): AsyncGenerator<string> {
  const known = only ?? first
  if (known !== undefined) yield known
  if (only !== undefined) return
  for (let after = first; ; ) {
    const names = await runner.run<string[]>(OPERATIONS['states.names'], [after, NAMES])
    yield* names
    if (names.length < NAMES) return
    after = names.at(-1)
  }
}
