// Makes the package's face from ts/: index.js (CommonJS, its names visible to `import`) and index.d.ts.
import { execFileSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const require = createRequire(import.meta.url)

await build({
  absWorkingDir: root,
  entryPoints: ['ts/index.ts'],
  outfile: 'index.js',
  bundle: true,
  platform: 'node',
  format: 'cjs',
  target: 'node20',
  external: ['./native.js'],
  banner: { js: '// Generated from ts/ by `npm run build:ts`. Do not edit.' },
})

const generator = require.resolve('dts-bundle-generator/dist/bin/dts-bundle-generator.js')
execFileSync(
  process.execPath,
  [
    generator,
    '--silent',
    '--no-banner',
    '--export-referenced-types=false',
    '--project',
    'tsconfig.json',
    '--out-file',
    'index.d.ts',
    'ts/index.ts',
  ],
  { cwd: root, stdio: 'inherit' },
)
const types = join(root, 'index.d.ts')
writeFileSync(types, `// Generated from ts/ by \`npm run build:ts\`. Do not edit.\n${readFileSync(types, 'utf8')}`)
