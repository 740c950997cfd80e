import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { MemorySagaStore, openStore, type SagaStore, transfer, verify } from '../../index.js'
import { missing, type Target, targets } from '../support/targets'
import { fill, fillPayloads } from './stores'

/** One of each backend; what a Cluster does otherwise is in `backends/redis/moving.spec.ts`. */
const names = ['memory', 'sqlite', 'postgres', 'redis', 'mongodb', 'dynamodb']
const backends = names.map((wanted) => targets.find(({ name }) => name === wanted) as Target)

/** Filled once, and read by six moves. */
const sources = new Map<string, Promise<SagaStore>>()

/** Where all records come from: what FerretDB gives nobody, such as claims, is on each backend by this. */
const first = new MemorySagaStore('memory://')

async function opened(target: Target): Promise<SagaStore> {
  const store = openStore(target.options())
  await store.initialize()
  return store
}

async function filled(target: Target): Promise<SagaStore> {
  const store = await opened(target)
  await transfer(first, store)
  return store
}

function sourceOn(target: Target): Promise<SagaStore> {
  const source = sources.get(target.name) ?? filled(target)
  sources.set(target.name, source)
  return source
}

beforeAll(async () => {
  await fillPayloads(first, 900)
  await fill(first, 30)
})

afterAll(async () => {
  await first.close()
  for (const source of sources.values()) await (await source).close()
})

describe('a thousand records of all kinds', () => {
  for (const from of backends) {
    for (const to of backends) {
      it.skipIf(missing(from) || missing(to))(
        `go from ${from.name} to ${to.name} as they are`,
        async () => {
          const source = await sourceOn(from)
          const target = await opened(to)
          try {
            const { transferred, failed, skipped, expired, counts } = await transfer(source, target)
            expect({ failed, skipped, expired }).toEqual({ failed: 0, skipped: 0, expired: 0 })
            expect(transferred).toBeGreaterThanOrEqual(1_000)
            expect(Object.values(counts).filter((of) => of.transferred === 0)).toEqual([])
            const { same, missing, extra, different } = await verify(source, target)
            expect({ same, missing, extra, different }).toEqual({
              same: transferred,
              missing: 0,
              extra: 0,
              different: { bytes: 0, expiry: 0, version: 0 },
            })
          } finally {
            await target.close()
          }
        },
        120_000,
      )
    }
  }
})
