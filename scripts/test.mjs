// `npm test`: installs, builds, starts the services, runs the Rust and TypeScript tests, stops
// the services. Arguments go to vitest: `npm test -- payloads -t redis`.
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { build, installPackages, root, run } from './setup.mjs'

const args = process.argv.slice(2)
if (args[0] === '--with-services') {
  run('cargo', ['test', '--no-default-features', '--features', 'all-backends'])
  run('npx', ['vitest', 'run', ...args.slice(1)])
} else {
  installPackages()
  build()
  const services = [join('scripts', 'services', 'index.mjs'), 'run', '--', process.execPath, process.argv[1], '--with-services', ...args]
  const result = spawnSync(process.execPath, services, { cwd: root, stdio: 'inherit' })
  process.exit(result.status ?? 1)
}
