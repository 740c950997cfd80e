// `npm run quickstart`: installs, builds, and runs two examples on an SQLite file.
import { join } from 'node:path'
import { build, installPackages, root, run } from './setup.mjs'

installPackages()
build()
const example = join(root, 'scripts', 'examples.mjs')
run(process.execPath, [example, 'quickstart'])
process.stdout.write('\nA saga whose worker is killed (examples/recovery)\n\n')
run(process.execPath, [example, 'recovery'])
