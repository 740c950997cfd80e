// Makes the package's face from ts/: index.js (CommonJS, its names visible to `import`) and index.d.ts; the command line,
// cli.js, with the libraries that it needs in it; and from its table of commands docs/sagastore.1 and the table in docs/cli.md.
import { execFileSync } from 'node:child_process'
import { chmodSync, existsSync, readFileSync, writeFileSync } from 'node:fs'
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
  // Tried, and mostly not there: the addon of each platform is a package of its own.
  external: ['sagastore-*'],
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

const { metafile } = await build({
  absWorkingDir: root,
  entryPoints: ['ts/cli/bin.ts'],
  outfile: 'cli.js',
  bundle: true,
  platform: 'node',
  format: 'cjs',
  target: 'node20',
  // Whole: './index.js' would be that of every library as well.
  external: [join(root, 'index.js')],
  metafile: true,
  banner: { js: '#!/usr/bin/env node\n// Generated from ts/cli/ by `npm run build:ts`. Do not edit.' },
})
const cli = join(root, 'cli.js')
writeFileSync(cli, `${readFileSync(cli, 'utf8')}${licencesOf(metafile)}`)
chmodSync(cli, 0o755)

const run = (...args) => execFileSync(process.execPath, [cli, ...args], { encoding: 'utf8' })
writeFileSync(join(root, 'docs/sagastore.1'), run('man'))
const page = join(root, 'docs/cli.md')
const [begin, end] = ['<!-- commands: made by `npm run build:ts` -->\n', '\n<!-- end of commands -->']
const [before, rest] = readFileSync(page, 'utf8').split(begin)
const after = rest?.split(end)[1]
if (after === undefined) throw new Error(`docs/cli.md has no place for the table of commands: ${begin.trim()} … ${end.trim()}`)
writeFileSync(page, `${before}${begin}\n${run('man', '--table')}${end}${after}`)

/** The licences of the libraries that are in a bundle, as a comment: they ask for it. */
function licencesOf({ inputs }) {
  const folders = new Set(Object.keys(inputs).flatMap((file) => /^(?:.*\/)?node_modules\/(?:@[^/]+\/)?[^/]+/.exec(file)?.[0] ?? []))
  const texts = [...folders].sort().map((folder) => {
    const { name, version, license } = JSON.parse(readFileSync(join(root, folder, 'package.json'), 'utf8'))
    if (!['MIT', 'ISC', 'BSD-2-Clause', 'BSD-3-Clause', 'Apache-2.0'].includes(license)) throw new Error(`${name}: ${license}`)
    const file = ['LICENSE', 'LICENSE.md', 'license', 'LICENSE-MIT.txt', 'LICENSE.txt'].find((one) => existsSync(join(root, folder, one)))
    if (file === undefined) throw new Error(`${name} has no licence file`)
    const text = readFileSync(join(root, folder, file), 'utf8')
      .replaceAll('*/', '* /')
      .replaceAll('\r', '')
      .trim()
    return `${name} ${version} (${license})\n\n${text}`
  })
  return `\n/*\nThis file contains:\n\n${texts.join('\n\n---\n\n')}\n*/\n`
}
