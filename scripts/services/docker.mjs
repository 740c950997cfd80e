import { spawn, spawnSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { fileURLToPath } from 'node:url'

const COMPOSE_FILE = fileURLToPath(new URL('../../docker-compose.yml', import.meta.url))

/** @type {boolean | undefined} */
let available

/**
 * Whether a Docker engine answers and its compose plugin is there. `SAGASTORE_SERVICES=local` says no
 * without asking.
 */
export function hasDocker() {
  available ??=
    process.env.SAGASTORE_SERVICES !== 'local' &&
    ['info', 'compose version'].every(
      (command) => spawnSync('docker', command.split(' '), { stdio: 'ignore', timeout: 10_000 }).status === 0,
    )
  return available
}

export function randomProject() {
  return `sagastore-${randomBytes(6).toString('hex')}`
}

/**
 * Starts services of docker-compose.yml and waits until their healthchecks pass.
 *
 * @param {string} project
 * @param {string[]} services
 * @param {Record<string, string>} variables what the file reads: ports, passwords
 */
export async function composeUp(project, services, variables) {
  const result = await compose(project, ['up', '--detach', '--wait', '--wait-timeout', '180', ...services], variables)
  if (result.code === 0) return
  const logs = await compose(project, ['logs', '--no-color', '--tail', '30'], variables)
  throw new Error(`docker compose could not start ${services.join(', ')}:\n${result.output}\n${logs.output}`)
}

/**
 * @param {string} project
 * @param {string[]} args
 * @param {Record<string, string>} [variables]
 * @returns {Promise<{ code: number | null, output: string }>}
 */
export function compose(project, args, variables = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn('docker', base(project, args), {
      env: { ...process.env, ...variables },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    let output = ''
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (chunk) => {
        output += chunk
      })
    }
    child.once('error', reject)
    child.once('close', (code) => resolve({ code, output }))
  })
}

/**
 * Synchronous: called while the process exits.
 *
 * @param {string} project
 */
export function composeDown(project) {
  spawnSync('docker', base(project, ['down', '--volumes', '--timeout', '0', '--remove-orphans']), { stdio: 'ignore' })
}

/**
 * @param {string} project
 * @param {string[]} args
 */
function base(project, args) {
  return ['compose', '--project-name', project, '--file', COMPOSE_FILE, '--profile', '*', ...args]
}
