import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['__test__/*.spec.ts'],
    // A process a file: native state is not shared between them, and a crash names its file.
    pool: 'forks',
    maxWorkers: 2,
    testTimeout: 60_000,
    hookTimeout: 60_000,
    teardownTimeout: 20_000,
    reporters: ['default'],
  },
})
