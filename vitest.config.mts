import { defineConfig } from 'vitest/config'

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
    reporters: ['default'],
  },
})
