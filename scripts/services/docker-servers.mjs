import { randomBytes } from 'node:crypto'
import { compose, composeUp, randomProject } from './docker.mjs'
import { dynamoDBUrl, LOCAL_CREDENTIALS } from './dynamodb.mjs'
import { ServiceUnavailable } from './install.mjs'
import { ledgerOfThisProcess } from './ledger.mjs'
import { freePort } from './ports.mjs'
import { redisUrl } from './redis.mjs'
import { redisCommand } from './resp.mjs'

/**
 * Isolated servers where only a Docker engine is at hand: what one service of docker-compose.yml can be
 * told by a port and a password, and nothing beyond.
 *
 * @param {string} what
 * @param {string} packageName
 */
export function unsupported(what, packageName) {
  return new ServiceUnavailable(`${what} is not supported with Docker only: install ${packageName} on this machine`)
}

/** @param {import('./servers.mjs').RedisOptions} options */
export async function startDockerRedis({ password, port, ...others }) {
  refuse(others, 'redis-server')
  const server = await start('redis', port, 'REDIS_PORT', password === undefined ? {} : { REDIS_PASSWORD: password })
  return {
    ...server,
    url: redisUrl('redis', { password }, [server]),
    caFile: undefined,
    stop: () => server.stop('SIGTERM'),
    command: (/** @type {(string | number)[]} */ ...command) => redisCommand({ port: server.port, password }, command),
  }
}

/** @param {import('./servers.mjs').PostgresOptions} options */
export async function startDockerPostgres({ password = randomBytes(12).toString('hex'), ...others }) {
  refuse(others, 'postgresql')
  const server = await start('postgres', undefined, 'POSTGRES_PORT', { POSTGRES_PASSWORD: password })
  const signals = /** @type {const} */ ({ smart: 'SIGTERM', fast: 'SIGINT', immediate: 'SIGQUIT' })
  const stop = (/** @type {keyof typeof signals} */ mode = 'fast') => server.stop(signals[mode])
  return {
    ...server,
    url: `postgres://sagastore:${encodeURIComponent(password)}@${server.host}:${server.port}/postgres`,
    user: 'sagastore',
    password,
    database: 'postgres',
    stop,
    restart: async (/** @type {keyof typeof signals} */ mode = 'fast') => {
      await stop(mode)
      await server.start()
    },
  }
}

/** @param {import('./servers.mjs').PgBouncerOptions} options */
export async function startDockerPgBouncer({ server: behind, poolMode = 'transaction', poolSize = 4, ...others }) {
  refuse(others, 'pgbouncer')
  const to = new URL(behind)
  const server = await start('pgbouncer', undefined, 'PGBOUNCER_PORT', {
    PGBOUNCER_SERVER_PORT: to.port,
    PGBOUNCER_USER: decodeURIComponent(to.username),
    PGBOUNCER_PASSWORD: decodeURIComponent(to.password),
    PGBOUNCER_DATABASE: to.pathname.slice(1),
    PGBOUNCER_POOL_MODE: poolMode,
    PGBOUNCER_POOL_SIZE: String(poolSize),
  })
  const url = new URL(behind)
  url.host = `${server.host}:${server.port}`
  return { ...server, url: url.href, stop: () => server.stop('SIGTERM') }
}

/** @param {import('./servers.mjs').DynamoDBOptions} options */
export async function startDockerDynamoDB({ port, ...others }) {
  refuse(others, 'openjdk-17-jre-headless')
  const server = await start('dynamodb', port, 'DYNAMODB_PORT', {})
  return {
    ...server,
    url: dynamoDBUrl(server.port),
    endpoint: `http://${server.host}:${server.port}`,
    credentials: LOCAL_CREDENTIALS,
    stop: () => server.stop('SIGTERM'),
  }
}

/** @param {import('./servers.mjs').MongoOptions} options */
export async function startDockerMongo({ port, ...others }) {
  refuse(others, 'golang-go')
  const server = await start('mongo', port, 'MONGO_PORT', {})
  return { ...server, url: `mongodb://${server.host}:${server.port}/?replicaSet=rs0`, stop: () => server.stop('SIGTERM') }
}

/**
 * @param {string} service
 * @param {number | undefined} wantedPort
 * @param {string} portVariable
 * @param {Record<string, string>} secrets
 */
async function start(service, wantedPort, portVariable, secrets) {
  const project = randomProject()
  const port = wantedPort ?? (await freePort())
  const variables = { [portVariable]: String(port), ...secrets }
  const run = async (/** @type {string[]} */ ...args) => {
    const { code, output } = await compose(project, args, variables)
    if (code !== 0) throw new Error(`docker compose ${args.join(' ')} failed:\n${output}`)
    return output
  }
  const remove = async () => {
    await run('down', '--volumes', '--timeout', '0')
  }
  const stop = async (/** @type {NodeJS.Signals} */ signal) => {
    await run('kill', '--signal', signal, service)
    await run('wait', service).catch(() => {})
  }
  ledgerOfThisProcess().addProject(project)
  await composeUp(project, [service], variables)
  return {
    host: '127.0.0.1',
    port,
    pid: undefined,
    start: () => composeUp(project, [service], variables),
    kill: (/** @type {NodeJS.Signals} */ signal = 'SIGKILL') => stop(signal),
    pause: async () => {
      await run('pause', service)
    },
    resume: async () => {
      await run('unpause', service)
    },
    stop,
    remove,
    log: () => run('logs', '--no-color', '--no-log-prefix', service),
    [Symbol.asyncDispose]: remove,
  }
}

/**
 * @param {Record<string, unknown>} options
 * @param {string} packageName
 */
function refuse(options, packageName) {
  const names = Object.keys(options).filter((name) => options[name] !== undefined && options[name] !== false)
  if (names.length > 0) throw unsupported(`option ${names.join(', ')}`, packageName)
}
