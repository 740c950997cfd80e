import type { Run } from './spec'

/** Items of a list that is answered in pages, at most `--limit` of them; ends after Ctrl-C. */
export async function* paged<Item>(
  { given, signal }: Run,
  page: (options: { limit: number; cursor?: string }) => Promise<{ items: readonly Item[]; cursor?: string | undefined }>,
): AsyncGenerator<Item> {
  let left = given.number('limit') ?? Number.POSITIVE_INFINITY
  let cursor: string | undefined
  do {
    const { items, cursor: next } = await page({ limit: Math.min(left, 500), ...(cursor !== undefined && { cursor }) })
    yield* items
    left -= items.length
    cursor = next
  } while (cursor !== undefined && left > 0 && !signal.aborted)
}

/** The option of every list. */
export const LIMIT = { name: 'limit', value: 'count', kind: 'whole', about: 'at most so many' } as const
