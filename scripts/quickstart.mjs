// `npm run quickstart`: installs, builds, and runs the quickstart example.
import { join } from 'node:path'
import { build, installPackages, root, run } from './setup.mjs'

installPackages()
build()
run(process.execPath, [join(root, 'examples', 'quickstart', 'index.mjs')])
