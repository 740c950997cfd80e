import { randomBytes } from 'node:crypto'
import { readdirSync } from 'node:fs'
import { composeUp, hasDocker, randomProject } from './docker.mjs'
import { ServiceUnavailable } from './install.mjs'
import { freePorts } from './ports.mjs'

/**
 * @typedef {object} Service A server that all tests share. Each file in registry/ exports one as `service`.
 * @property {string} name
 * @property {string} variable environment variable that holds its URL
 * @property {(ledger: import('./ledger.mjs').Ledger) => Promise<string>} start starts a local server, returns its URL
 * @property {ComposeService} compose
 * @typedef {object} ComposeService How to have it from docker-compose.yml instead.
 * @property {string[]} services names in the file
 * @property {string[]} ports variables of the file to be set to free ports
 * @property {string[]} [secrets] variables of the file to be set to random passwords
 * @property {(ports: number[], secrets: string[]) => string} url
 */

/** @returns {Promise<Service[]>} in the order of their names */
export async function allServices() {
  const directory = new URL('registry/', import.meta.url)
  const files = readdirSync(directory).filter((name) => name.endsWith('.mjs'))
  const modules = await Promise.all(files.sort().map((name) => import(new URL(name, directory).href)))
  return modules.map((module) => module.service)
}

/**
 * @param {Service[]} services
 * @param {import('./ledger.mjs').Ledger} ledger
 * @returns {Promise<{ variables: Record<string, string>, unavailable: string[] }>}
 */
export async function startServices(services, ledger) {
  if (services.length === 0) return { variables: {}, unavailable: [] }
  if (hasDocker()) return { variables: await startInDocker(services, ledger), unavailable: [] }
  const results = await Promise.allSettled(services.map((service) => service.start(ledger)))
  /** @type {Record<string, string>} */
  const variables = {}
  /** @type {string[]} */
  const unavailable = []
  for (const [i, result] of results.entries()) {
    if (result.status === 'fulfilled') variables[services[i].variable] = result.value
    else if (result.reason instanceof ServiceUnavailable) unavailable.push(`no ${services[i].variable}: ${result.reason.message}`)
    else throw new Error(`${services[i].name} could not be started: ${result.reason.message}`, { cause: result.reason })
  }
  return { variables, unavailable }
}

/**
 * @param {Service[]} services
 * @param {import('./ledger.mjs').Ledger} ledger
 */
export async function startInDocker(services, ledger) {
  /** @type {Record<string, string>} */
  const variables = {}
  /** @type {Record<string, string>} */
  const environment = {}
  for (const { variable, compose } of services) {
    const ports = await freePorts(compose.ports.length)
    const secrets = (compose.secrets ?? []).map(() => randomBytes(12).toString('hex'))
    for (const [i, name] of compose.ports.entries()) environment[name] = String(ports[i])
    for (const [i, name] of (compose.secrets ?? []).entries()) environment[name] = secrets[i]
    variables[variable] = compose.url(ports, secrets)
  }
  const project = randomProject()
  ledger.addProject(project)
  await composeUp(
    project,
    services.flatMap(({ compose }) => compose.services),
    environment,
  )
  return variables
}
