import { startRedis } from '../services/servers.mjs'
import { sleep, writeThrough } from './writers.mjs'

/** A server that syncs each write: killed, frozen, out of memory, made a replica, its clients thrown out. */
export async function run(/** @type {{ seconds: number, report: (text: string) => void }} */ { seconds, report }) {
  const server = await startRedis({ appendonly: true })
  try {
    return await on(server, { seconds, report })
  } finally {
    await server[Symbol.asyncDispose]()
  }
}

/**
 * @param {import('../services/servers.mjs').RedisServer} server
 * @param {{ seconds: number, report: (text: string) => void }} options
 */
async function on(server, { seconds, report }) {
  const syncAlways = () => server.command('CONFIG', 'SET', 'appendfsync', 'always')
  await syncAlways()
  return await writeThrough({
    options: { url: server.url },
    seconds,
    report,
    // BACKEND: out of memory.
    expected: ['CONNECTION', 'TIMEOUT', 'CONCURRENCY_CONFLICT', 'ALREADY_EXISTS', 'NOT_FOUND', 'BACKEND'],
    disasters: [
      [
        'kill -9',
        async () => {
          await server.kill()
          await sleep(300)
          await server.start()
          await syncAlways()
        },
      ],
      [
        'memory is full',
        async () => {
          await server.command('CONFIG', 'SET', 'maxmemory', '1mb')
          await sleep(800)
          await server.command('CONFIG', 'SET', 'maxmemory', '0')
        },
      ],
      [
        'a replica, then master again',
        async () => {
          // Of nobody who answers: the data stays.
          await server.command('REPLICAOF', '127.0.0.1', '1')
          await sleep(1000)
          await server.command('REPLICAOF', 'NO', 'ONE')
        },
      ],
      [
        'frozen for 3 s',
        async () => {
          await server.pause()
          await sleep(3000)
          await server.resume()
        },
      ],
      [
        'every client is thrown out',
        async () => {
          await server.command('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes')
        },
      ],
    ],
  })
}
