import { defineConfig } from 'vitest/config'
import { BaseSequencer, type Reporter, type TestModule, type TestSpecification } from 'vitest/node'

/** Whole suites on many libraries take minutes, and their files are short: left to the size of files they would begin last. */
class SuitesFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const sorted = await super.sort(files)
    const place = ({ moduleId }: TestSpecification) => {
      const at = ['/clients.spec.ts', '/own.spec.ts', '/transactions.spec.ts'].findIndex((end) => moduleId.endsWith(end))
      return at === -1 ? Number.POSITIVE_INFINITY : at
    }
    return sorted.toSorted((a, b) => (place(a) === place(b) ? 0 : place(a) - place(b)))
  }
}

/** Names the tests that failed at first: on a busy machine a lease may end early, but none of them should be seen often. */
class TriedAgain implements Reporter {
  onTestRunEnd(modules: readonly TestModule[]): void {
    const names = modules.flatMap((module) => {
      const again = [...module.children.allTests()].filter((test) => test.diagnostic()?.flaky)
      return again.map((test) => `  ${module.relativeModuleId} > ${test.fullName}`)
    })
    if (names.length > 0) console.warn(`\n${names.length} passed only when tried again:\n${names.join('\n')}`)
  }
}

export default defineConfig({
  test: {
    include: ['__test__/**/*.spec.ts'],
    // A process a file: native state is not shared between them, and a crash names its file.
    pool: 'forks',
    // One more than the processors of a small machine: much of the time they wait for a server, or for a time to pass.
    maxWorkers: 3,
    testTimeout: 60_000,
    hookTimeout: 60_000,
    teardownTimeout: 20_000,
    sequence: { sequencer: SuitesFirst },
    // Where a machine that others use as well decides whether a change lands. At home each failure is one.
    retry: process.env.CI === undefined ? 0 : 1,
    reporters: ['default', new TriedAgain()],
  },
})
