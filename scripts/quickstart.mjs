// `npm run quickstart`: installs, builds, and runs two examples on an SQLite file.
import { join } from 'node:path'
import { build, installPackages, root, run } from './setup.mjs'

installPackages()
build()
run(process.execPath, [join(root, 'examples', 'quickstart', 'index.mjs')])
process.stdout.write('\nA saga whose worker is killed (examples/recovery)\n\n')
run(process.execPath, [join(root, 'examples', 'recovery', 'index.mjs')])
