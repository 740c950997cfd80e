import { version } from '../../package.json'
import { main } from './main'

main(process.argv.slice(2), version).then(
  (exit) => {
    // Not `process.exit`: what is still on its way to a pipe would be cut off.
    process.exitCode = exit
  },
  (error: unknown) => {
    console.error(error)
    process.exitCode = 1
  },
)
