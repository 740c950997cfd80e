// How far the store is from what is possible: `node bench/floor/run.mjs redis`, with the server's URL in the
// environment. It is compared with a client in C (redis-benchmark, pgbench), a plain file, and copying memory.

import { execFileSync } from 'node:child_process'
import { closeSync, mkdirSync, mkdtempSync, openSync, readSync, rmSync, writeFileSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { markdownTable } from 'markdown-table'
import pg from 'pg'
import { loadBackend, requiredVariable } from '../backends/index.mjs'
import { claimIds, ringSize } from '../payloads.mjs'
import { runTrial } from '../process.mjs'
import { sizeText } from '../report.mjs'

/**
 * @typedef {{ operation: 'put' | 'get', size: number, concurrency: number }} Cell
 * @typedef {{ name: string, opsOf: (cell: Cell) => Promise<number> | number, close?: () => Promise<void> }} Floor
 */

const RESULTS = fileURLToPath(new URL('../results/', import.meta.url))

/** @type {Cell[]} */
const CELLS = [
  { size: 1024, concurrency: 32 },
  { size: 1024, concurrency: 256 },
  { size: 256 * 1024, concurrency: 32 },
  { size: 256 * 1024, concurrency: 256 },
].flatMap((cell) => /** @type {const} */ (['put', 'get']).map((operation) => ({ operation, ...cell })))

const { values, positionals } = parseArgs({ allowPositionals: true, options: { quick: { type: 'boolean', default: false } } })
const quick = values.quick
const seconds = quick ? 0.05 : 1

/** @type {Record<string, () => Promise<Floor>>} */
const FLOORS = {
  async memory() {
    const ring = Buffer.alloc(64 * 1024 * 1024, 1)
    return {
      name: 'copying memory',
      opsOf({ size }) {
        const target = Buffer.alloc(size)
        const until = performance.now() + seconds * 1000
        let count = 0
        for (; performance.now() < until; count++) ring.copy(target, 0, (count * size) % ring.length)
        return count / seconds
      },
    }
  },

  async sqlite() {
    mkdirSync(RESULTS, { recursive: true })
    const directory = mkdtempSync(join(RESULTS, 'floor-'))
    const file = openSync(join(directory, 'file'), 'w+')
    return {
      name: 'a plain file, without waiting for the disk',
      opsOf({ operation, size }) {
        const data = Buffer.alloc(size, 1)
        const slots = Math.ceil((64 * 1024 * 1024) / size)
        for (let slot = 0; slot < slots; slot++) writeSync(file, data, 0, size, slot * size)
        const until = performance.now() + seconds * 1000
        let count = 0
        for (; performance.now() < until; count++) (operation === 'put' ? writeSync : readSync)(file, data, 0, size, (count % slots) * size)
        return count / seconds
      },
      async close() {
        closeSync(file)
        rmSync(directory, { recursive: true, force: true })
      },
    }
  },

  async redis() {
    const { hostname, port } = new URL(requiredVariable('REDIS_URL'))
    return {
      name: 'redis-benchmark, one connection with pipelining',
      opsOf({ operation, size, concurrency }) {
        const count = String(Math.max(10 * concurrency, Math.ceil((quick ? 2e7 : 2e8) / (size + 1000))))
        const args = ['-h', hostname, '-p', port, '-t', 'set,get', '-d', String(size), '-n', count, '-r', '1000', '-c', '1']
        const csv = execFileSync('redis-benchmark', [...args, '-P', String(concurrency), '--csv'], { encoding: 'utf8' })
        const figures = operation === 'put' ? /^"SET","([\d.]+)"/m : /^"GET","([\d.]+)"/m
        return Number(figures.exec(csv)?.[1])
      },
    }
  },

  async postgres() {
    const url = requiredVariable('POSTGRES_URL')
    const client = new pg.Client(url)
    await client.connect()
    await client.query('create schema if not exists sagastore_floor')
    const directory = mkdtempSync(join(tmpdir(), 'sagastore-floor-'))
    return {
      name: 'pgbench, 10 connections, prepared',
      async opsOf({ operation, size }) {
        const table = `sagastore_floor.t${size}`
        const keys = Math.ceil((quick ? 1e6 : 1e7) / size)
        // Random bytes, because PostgreSQL would compress others.
        const random = `(select string_agg(decode(md5(random()::text), 'hex'), null) from generate_series(1, ${size / 16}))`
        await client.query(`create table if not exists ${table} (id text primary key, data bytea not null, expires_at timestamptz)`)
        await client.query(`insert into ${table} select 'slip-' || n, ${random} from generate_series(1, ${keys}) n on conflict do nothing`)
        const put = `insert into ${table} (id, data, expires_at) select 'slip-' || :id, data, now() from ${table} where id = 'slip-1'
          on conflict (id) do update set data = excluded.data, expires_at = excluded.expires_at;`
        const get = `select data from ${table} where id = 'slip-' || :id;`
        const script = join(directory, `${operation}-${size}.sql`)
        writeFileSync(script, `\\set id random(2, ${keys})\n${(operation === 'put' ? put : get).replaceAll(/\s+/g, ' ')}\n`)
        const args = ['-n', '-M', 'prepared', '-c', '10', '-j', '1', '-T', quick ? '1' : '3', '-f', script, url]
        const text = execFileSync('pgbench', args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] })
        return Number(/^tps = ([\d.]+)/m.exec(text)?.[1])
      },
      async close() {
        rmSync(directory, { recursive: true, force: true })
        await client.query('drop schema sagastore_floor cascade')
        await client.end()
      },
    }
  },
}

/** @param {string} name */
async function compare(name) {
  const backend = await loadBackend(name)
  const candidate = backend.candidates.find(({ module }) => module === 'sagastore')
  if (candidate === undefined || FLOORS[name] === undefined) throw new Error(`one of ${Object.keys(FLOORS).join(', ')}, please`)
  const arena = await backend.enter()
  const floor = await FLOORS[name]()
  const rows = []
  try {
    for (const cell of CELLS) {
      const { operation, size, concurrency } = cell
      const ids = ringSize(size, concurrency, { quick, scans: false })
      const task = { backend: name, module: candidate.module, seedFirst: !backend.keepsData, size, ids }
      const place = (/** @type {boolean} */ seeding) => arena.place(candidate, { seeding })
      await arena.clear(candidate, claimIds(ids))
      const seed = { concurrency: 1, warmup: 0, seconds: 10, minimum: 1 }
      if (backend.keepsData) await runTrial({ ...task, kind: 'seed', place: place(true), pace: seed }, `${name}, seeding`)
      const pace = { concurrency, warmup: quick ? 0 : 0.3, seconds, minimum: concurrency, delay: true }
      const trial = await runTrial({ ...task, kind: operation, place: place(false), pace }, `${name}, ${operation}`)
      await arena.clear(candidate, claimIds(ids))
      const ops = await floor.opsOf(cell)
      if (!(ops > 0)) throw new Error(`${floor.name} said nothing`)
      rows.push({
        ...cell,
        ops,
        throughput: trial.throughput,
        loop: trial.loop,
        elsewhere: Math.max(0, trial.cpu - trial.loop),
        delay: trial.delay,
      })
    }
    return { name, floor: floor.name, rows }
  } finally {
    await floor.close?.()
    await arena.close()
  }
}

const { name, floor, rows } = await compare(positionals[0])
const whole = (/** @type {number} */ number) => Math.round(number).toLocaleString('en')
const header = [name, 'in flight', `${floor}, ops/s`, 'sagastore', 'of it', 'loop us/op', "other threads' us/op", 'loop delay p99 ms']
const lines = rows.map(({ operation, size, concurrency, ops, throughput, loop, elsewhere, delay }) => [
  ...[`${operation} ${sizeText(size)}`, String(concurrency), whole(ops), whole(throughput)],
  ...[`${Math.round((throughput / ops) * 100)} %`, loop.toFixed(1), elsewhere.toFixed(1), delay?.toFixed(1) ?? '-'],
])
process.stdout.write(`${markdownTable([header, ...lines], { align: header.map((_, index) => (index === 0 ? 'l' : 'r')) })}\n\n`)
