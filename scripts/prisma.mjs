// Makes Prisma clients for tests and examples, without a network: `node scripts/prisma.mjs` makes those of
// the tests. They are kept in node_modules, one folder for each schema and version of Prisma.
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const require = createRequire(import.meta.url)

/**
 * The folder of a generated client, for `require`. Quick when it is there already.
 *
 * @param {string} models the schema without generator and datasource
 * @param {'postgresql' | 'sqlite'} provider
 */
export function generatePrismaClient(models, provider) {
  const manifest = require.resolve('prisma/package.json')
  const { version } = JSON.parse(readFileSync(manifest, 'utf8'))
  const schema = [
    'generator client {\n  provider = "prisma-client-js"\n  output   = "./client"\n}',
    `datasource db {\n  provider = "${provider}"\n}`,
    models,
  ].join('\n\n')
  const key = createHash('sha256').update(`${version}\n${schema}`).digest('hex').slice(0, 16)
  const folder = join(root, 'node_modules', '.sagastore', `prisma-${provider}-${key}`)
  if (existsSync(folder)) return folder

  mkdirSync(dirname(folder), { recursive: true })
  const work = mkdtempSync(`${folder}-`)
  try {
    const file = join(work, 'schema.prisma')
    writeFileSync(file, schema)
    const { status, stdout, stderr } = spawnSync(
      process.execPath,
      [join(dirname(manifest), 'build', 'index.js'), 'generate', '--schema', file, '--no-hints'],
      {
        cwd: work,
        encoding: 'utf8',
        env: {
          ...process.env,
          // The engine is not needed to generate; if it has a name, it is not downloaded.
          PRISMA_SCHEMA_ENGINE_BINARY: process.execPath,
          CHECKPOINT_DISABLE: '1',
          PRISMA_HIDE_UPDATE_MESSAGE: '1',
        },
      },
    )
    if (status !== 0) throw new Error(`prisma generate failed (exit code ${status})\n${stdout}${stderr}`)
    try {
      renameSync(join(work, 'client'), folder)
    } catch (error) {
      // Another process has made it meanwhile.
      if (!existsSync(folder)) throw error
    }
  } finally {
    rmSync(work, { recursive: true, force: true })
  }
  return folder
}

/** What the tests ask Prisma's own models for; the tables are made with SQL. */
export const TEST_MODELS = `model Order {
  id   String @id
  note String?
  @@map("orders")
}
`

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  for (const provider of /** @type {const} */ (['postgresql', 'sqlite'])) console.log(generatePrismaClient(TEST_MODELS, provider))
}
