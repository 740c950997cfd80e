// Servers for tests that need one of their own: to kill, pause, restart or misconfigure it. Types are in
// servers.d.mts. Each runs on a free port of 127.0.0.1, and all end with the process that started them.

import { hasDocker } from './docker.mjs'
import {
  startDockerDynamoDB,
  startDockerMongo,
  startDockerPgBouncer,
  startDockerPostgres,
  startDockerRedis,
  unsupported,
} from './docker-servers.mjs'
import { findJava, startLocalDynamoDB } from './dynamodb.mjs'
import { canInstall, findFaketime, findOnPath, findOrInstall, findPostgres } from './install.mjs'
import { findGo, startLocalMongo } from './mongodb.mjs'
import { findPgBouncer, startLocalPgBouncer } from './pgbouncer.mjs'
import { startLocalPostgres } from './postgres.mjs'
import { findRedis, startLocalRedis } from './redis.mjs'
import { startLocalRedisCluster } from './redis-cluster.mjs'
import { startLocalSentinel } from './redis-sentinel.mjs'

export { makeCertificates } from './certificates.mjs'
export { LOCAL_CREDENTIALS } from './dynamodb.mjs'

/** @param {() => unknown} find */
function onlyInDocker(find) {
  return find() === undefined && !canInstall() && hasDocker()
}

/** @param {import('./servers.mjs').RedisOptions} [options] */
export async function startRedis(options = {}) {
  return onlyInDocker(findRedis) ? await startDockerRedis(options) : await startLocalRedis(options)
}

/** @param {import('./servers.mjs').RedisSentinelOptions} [options] */
export async function startSentinel(options = {}) {
  if (onlyInDocker(findRedis)) throw unsupported('Redis Sentinel', 'redis-server')
  return await startLocalSentinel(options)
}

/** @param {import('./servers.mjs').RedisClusterOptions} [options] */
export async function startRedisCluster(options = {}) {
  if (onlyInDocker(findRedis)) throw unsupported('an isolated Redis Cluster', 'redis-server')
  return await startLocalRedisCluster(options)
}

/** @param {import('./servers.mjs').PostgresOptions} [options] */
export async function startPostgres(options = {}) {
  return onlyInDocker(findPostgres) ? await startDockerPostgres(options) : await startLocalPostgres(options)
}

/** @param {import('./servers.mjs').PgBouncerOptions} options */
export async function startPgBouncer(options) {
  return onlyInDocker(findPgBouncer) ? await startDockerPgBouncer(options) : await startLocalPgBouncer(options)
}

/** @param {import('./servers.mjs').DynamoDBOptions} [options] */
export async function startDynamoDB(options = {}) {
  return onlyInDocker(findJava) ? await startDockerDynamoDB(options) : await startLocalDynamoDB(options)
}

/** @param {import('./servers.mjs').MongoOptions} [options] */
export async function startMongo(options = {}) {
  return onlyInDocker(findGo) ? await startDockerMongo(options) : await startLocalMongo(options)
}

/** @param {string} name of a program, which is that of its package, too */
export async function program(name) {
  return await findOrInstall({ find: () => findOnPath(name), package: name, brew: name })
}

/** @param {string} offset as libfaketime reads it */
export async function clockOffset(offset) {
  const library = await findOrInstall({ find: findFaketime, package: 'faketime', brew: 'libfaketime' })
  // Only the wall clock: timeouts and event loops go by the monotonic one.
  return { LD_PRELOAD: library, FAKETIME: offset, FAKETIME_DONT_FAKE_MONOTONIC: '1', DONT_FAKE_MONOTONIC: '1' }
}

/**
 * A wall clock that is set while a program runs: by writing an offset into `file`.
 *
 * @param {string} file
 */
export async function settableClock(file) {
  const { LD_PRELOAD, FAKETIME: _, ...environment } = await clockOffset('+0')
  // The one for programs with threads; read anew at each look.
  const library = LD_PRELOAD.replace(/libfaketime\.so/, 'libfaketimeMT.so')
  return { ...environment, LD_PRELOAD: library, FAKETIME_TIMESTAMP_FILE: file, FAKETIME_NO_CACHE: '1' }
}
