// Each finding of `doctor`, brought about.
import { chmodSync, readFileSync, truncateSync, writeFileSync } from 'node:fs'
import { createServer, type Socket } from 'node:net'
import { dirname, join } from 'node:path'
import { DeleteTableCommand, UpdateTimeToLiveCommand } from '@aws-sdk/client-dynamodb'
import Database from 'better-sqlite3'
import pg from 'pg'
import { afterEach, describe, expect, it } from 'vitest'
import { type AnyStoreOptions, openStore, type SagaStore } from '../../index.js'
import { startPostgres } from '../../scripts/services/servers.mjs'
import { CODES, Findings } from '../../ts/cli/doctor/findings'
import { judgeVersion } from '../../ts/cli/doctor/general'
import { wantedOf } from '../../ts/cli/doctor/postgres'
import { dynamoDB, missing, randomName, sql, targets, temporaryDirectory, temporarySchema, withMongo } from '../support/targets'
import { json, sagastore } from './command-line'

interface Told {
  backend: string
  ok: boolean
  findings: { code: string; message: string; mend: string }[]
  unchecked: string[]
}

async function doctor(
  args: readonly string[],
  env: Record<string, string> = {},
  uid?: number,
): Promise<{ code: number | null; codes: string[]; told: Told }> {
  const { code, values, stderr } = await json(['doctor', ...args], { env, uid })
  expect(stderr).toBe('')
  const [told] = values as [Told]
  for (const finding of told.findings) expect(finding.mend.length).toBeGreaterThan(10)
  return { code, codes: told.findings.map((finding) => finding.code), told }
}

/** A store whose options are in a file, and what leads the command line to it. */
function opened(options: AnyStoreOptions & { url: string }): { store: SagaStore; how: string[] } {
  const { url, ...rest } = options
  const folder = temporaryDirectory()
  writeFileSync(join(folder, 'options.json'), JSON.stringify(rest))
  writeFileSync(join(folder, 'url'), url)
  const store = openStore(options)
  stores.push(store)
  return { store, how: ['--url-file', join(folder, 'url'), '--options-file', join(folder, 'options.json')] }
}

const stores: SagaStore[] = []

afterEach(async () => {
  for (const store of stores.splice(0)) await store.close()
})

const NAMES = ['sqlite', 'postgres', 'redis', 'redis cluster', 'mongodb', 'dynamodb']

describe.each(targets.filter(({ name }) => NAMES.includes(name)))('$name', (target) => {
  const skipped = missing(target)
  // FerretDB removes nothing by itself.
  const lasting = target.name === 'mongodb' ? ['--ignore', 'ttl-off'] : []

  it.skipIf(skipped)('finds nothing in a store that is as it should be', async () => {
    const { store, how } = opened(target.options())
    await store.initialize()
    expect(await doctor([...how, ...lasting])).toMatchObject({ code: 0, told: { ok: true, findings: [], unchecked: [] } })
    expect(await doctor([...how, ...lasting, '--write'])).toMatchObject({ code: 0 })
    const { stdout } = await sagastore(['doctor', ...how, ...lasting])
    expect(stdout).toBe(`${store.backend}: nothing found\n`)
  })

  it.skipIf(skipped)('finds dead letters, blocked keys, parked and late executions', async () => {
    const { store, how } = opened(target.options())
    await store.initialize()
    await store.outbox.insert([
      { eventId: 'dead', eventType: 'T', payload: 1, partitionKey: 'k' },
      { eventId: 'behind', eventType: 'T', payload: 2, partitionKey: 'k' },
    ])
    await store.outbox.updateStatus('dead', 'dead_letter', 'refused')
    await store.executions.create('late', 'OrderSaga', {}, { status: 'running', dueAt: new Date(Date.now() - 3_600_000) })
    const wanted = ['blocked-keys', 'dead-letters', 'late-executions']
    await expect.poll(async () => (await doctor([...how, ...lasting])).codes.sort(), { timeout: 20_000 }).toEqual(wanted)
    const { code, stdout } = await sagastore(['doctor', ...how, ...lasting])
    expect(code).toBe(3)
    expect(stdout).toContain('sagastore outbox dead')
    expect(await doctor([...how, ...lasting, ...wanted.flatMap((one) => ['--ignore', one])])).toMatchObject({ code: 0, codes: [] })
  })

  it.skipIf(skipped)('finds events that are stuck, or that nobody publishes', async (context) => {
    const { store, how } = opened(target.options())
    await store.initialize()
    await store.outbox.insert({ eventId: 'ready', eventType: 'T', payload: 1 })
    await expect.poll(async () => (await doctor([...how, ...lasting, '--late-after', '1ms'])).codes).toEqual(['late-events'])
    try {
      await expect.poll(() => store.outbox.claim({ workerId: 'gone' })).toHaveLength(1)
    } catch (error) {
      if (store.backend !== 'mongodb') throw error
      return context.skip('this server cannot claim')
    }
    await expect.poll(async () => (await doctor([...how, ...lasting, '--stuck-after', '1ms'])).codes).toEqual(['stuck-events'])
  })

  it.skipIf(skipped)('finds parked executions', async (context) => {
    const { store, how } = opened(target.options())
    await store.initialize()
    await store.executions.create('order-1', 'OrderSaga', {}, { status: 'running' })
    try {
      for (let attempt = 0; attempt < 40 && (await store.executions.load('order-1')).parkedAt === null; attempt += 1) {
        const [run] = await store.executions.claim({ workerId: 'w', maxRecoveryAttempts: 1 })
        await run?.release({ error: 'it failed', retryAt: new Date() })
        await new Promise((resolve) => setTimeout(resolve, 50))
      }
    } catch (error) {
      if (store.backend !== 'mongodb') throw error
      return context.skip('this server cannot claim')
    }
    await expect.poll(async () => (await doctor([...how, ...lasting])).codes).toEqual(['parked-executions'])
  })

  it.skipIf(skipped || target.name.startsWith('redis'))('finds that there are no tables', async () => {
    const { how } = opened(target.options())
    const { code, codes, told } = await doctor([...how, ...lasting])
    expect(code).toBe(3)
    expect(new Set(codes)).toEqual(new Set(['missing-table']))
    const { findings, unchecked } = told
    const init = `\`npx sagastore init ${how.join(' ')}\``
    expect(JSON.stringify({ findings, unchecked })).not.toContain('call initialize')
    expect(unchecked.length).toBeLessThanOrEqual(1)
    const isSql = ['sqlite', 'postgres'].includes(target.name)
    const statements = `, or the statements of ${init.replace(' init ', ' schema ')}`
    for (const { mend } of findings) expect(mend).toBe(`Run ${init}${isSql ? statements : ''}.`)
    const { stdout } = await sagastore(['doctor', ...how, ...lasting])
    expect(stdout.split(init)).toHaveLength(2)
  })
})

describe('SQLite', () => {
  async function file() {
    const path = join(temporaryDirectory(), 'sagas.db')
    const { store, how } = opened({ url: `sqlite://${path}` })
    await store.initialize()
    return { path, store, how }
  }

  function change(path: string, ...statements: string[]): void {
    const db = new Database(path)
    for (const statement of statements) db.exec(statement)
    db.close()
  }

  it('finds a missing table, column and index', async () => {
    const { path, store, how } = await file()
    await store.close()
    change(
      path,
      'drop table saga_inbox',
      'alter table saga_executions rename column worker_id to somebody',
      'drop index saga_store_expires_at_idx',
    )
    const { code, codes, told } = await doctor(how)
    expect(code).toBe(3)
    expect(codes).toEqual(expect.arrayContaining(['missing-table', 'missing-column', 'missing-index']))
    expect(JSON.stringify(told.findings)).toMatch(/saga_executions lacks worker_id/)
  })

  it('finds a file that is damaged', async () => {
    const { path, store, how } = await file()
    await store.putMany(Array.from({ length: 500 }, (_, n) => ({ id: `${n}`, data: Buffer.alloc(1_000) })))
    await store.close()
    const bytes = readFileSync(path)
    bytes.fill(0x5a, bytes.length - 100_000, bytes.length - 50_000)
    writeFileSync(path, bytes)
    const { code, codes, told } = await doctor(how)
    expect(code).toBe(3)
    expect([...codes, ...told.unchecked].join()).toMatch(/damaged/)
    truncateSync(path, 100)
    expect((await doctor(how)).code).not.toBe(0)
  })

  it.each([
    ['file', 0o777],
    ['directory', 0o555],
  ])('finds a %s that is read-only', async (_, mode) => {
    const { path, store } = await file()
    await store.close()
    chmodSync(path, 0o444)
    chmodSync(dirname(path), mode)
    // Root may write to all files.
    const nobody = process.getuid?.() === 0 ? 65_534 : undefined
    expect(await doctor([`sqlite://${path}`], {}, nobody)).toMatchObject({ code: 3, codes: ['read-only'] })
    chmodSync(dirname(path), 0o755)
  })

  it('finds a WAL that cannot be written back', async () => {
    const { path, store, how } = await file()
    await store.close()
    const [reader, writer] = [new Database(path), new Database(path)]
    reader.exec('begin; select count(*) from saga_store')
    writer.exec('create table other (bytes)')
    const insert = writer.prepare('insert into other values (zeroblob(16777216))')
    for (let n = 0; n < 18; n += 1) insert.run()
    const { codes, told } = await doctor(how)
    expect(codes).toEqual(['large-wal'])
    expect(told.findings[0]?.message).toMatch(/^the WAL has (28|29|30)\d\.?\d* MiB$/)
    for (const one of [reader, writer]) one.close()
    expect(await doctor(how)).toMatchObject({ code: 0, codes: [] })
  })
})

const postgres = { name: 'PostgreSQL', available: process.env.POSTGRES_URL !== undefined, variable: 'POSTGRES_URL' }

describe.skipIf(missing(postgres))('PostgreSQL', () => {
  const url = process.env.POSTGRES_URL as string

  async function made() {
    const schema = temporarySchema()
    const { store, how } = opened({ url, schema })
    await store.initialize()
    return { schema, store, how }
  }

  it('knows what schemaSql() makes', async () => {
    const { store, schema } = await made()
    const { tables, indexes } = wantedOf(store.schemaSql())
    const columns = await sql(
      'select table_name, count(*)::int as count from information_schema.columns where table_schema = $1 group by 1 order by 1',
      [schema],
    )
    const wanted = tables.map(({ table, columns: names }) => ({
      table_name: table.split('.')[1]?.replaceAll('"', ''),
      count: names.length,
    }))
    expect(wanted.sort((a, b) => ((a.table_name as string) < (b.table_name as string) ? -1 : 1))).toEqual(columns)
    expect(indexes.length).toBeGreaterThan(8)
  })

  it('finds a missing table, column and index, and an index that is not valid', async () => {
    const { schema, how } = await made()
    await sql(`drop table "${schema}".saga_inbox`)
    await sql(`alter table "${schema}".saga_executions rename column worker_id to somebody`)
    await sql(`drop index "${schema}".saga_store_expires_at_idx`)
    const { code, codes, told } = await doctor(how)
    expect(code).toBe(3)
    expect([...codes].sort()).toEqual(['missing-column', 'missing-index', 'missing-table'])
    expect(JSON.stringify(told)).toContain('lacks worker_id')
    // Another one on the same column does as well.
    await sql(`create index somebodys on "${schema}".saga_store (expires_at)`)
    expect((await doctor(how)).codes).not.toContain('missing-index')
    await sql(`update pg_index set indisvalid = false where indexrelid = '"${schema}".somebodys'::regclass`)
    expect((await doctor(how)).codes).toContain('missing-index')
  })

  it('finds missing rights, and a role that may read only', async () => {
    const { schema, how } = await made()
    const role = randomName('sagastore_doctor')
    await sql(`create role "${role}" login password 'x'`)
    try {
      await sql(`grant usage on schema "${schema}" to "${role}"`)
      await sql(`grant select on all tables in schema "${schema}" to "${role}"`)
      const theirs = new URL(url)
      theirs.username = role
      theirs.password = 'x'
      const { codes, told } = await doctor([theirs.href, '--option', `schema=${schema}`])
      expect(new Set(codes)).toEqual(new Set(['missing-rights']))
      expect(told.findings[0]?.message).toContain('may not insert, update, delete')
      expect((await doctor([theirs.href, '--option', `schema=${schema}`, '--write'])).codes).toContain('missing-rights')
      await sql(`alter role "${role}" set default_transaction_read_only = on`)
      expect((await doctor([theirs.href, '--option', `schema=${schema}`])).codes).toContain('read-only')
    } finally {
      await sql(`drop owned by "${role}"`)
      await sql(`drop role "${role}"`)
      expect(how.length).toBe(4)
    }
  })

  it('finds a transaction that holds the vacuum back, and autovacuum that is off', async () => {
    const { schema, how } = await made()
    const client = new pg.Client({ connectionString: url, application_name: 'report-of-the-year' })
    await client.connect()
    try {
      await client.query('begin isolation level repeatable read')
      await client.query('select 1')
      await expect.poll(async () => (await doctor([...how, '--vacuum-after', '100ms'])).codes).toContain('vacuum-held-back')
      const { told } = await doctor([...how, '--vacuum-after', '100ms'])
      expect(JSON.stringify(told.findings)).toContain('report-of-the-year')
      expect((await doctor([...how, '--vacuum-after', '1h'])).codes).toEqual([])
    } finally {
      await client.end()
    }
    await sql(`alter table "${schema}".saga_outbox set (autovacuum_enabled = false)`)
    expect((await doctor(how)).codes).toEqual(['vacuum-off'])
  })

  it('finds what keeps old rows in another way, and autovacuum that is off everywhere', async () => {
    await using server = await startPostgres({
      settings: { wal_level: 'logical', max_prepared_transactions: '2', autovacuum: 'off' },
    })
    const client = new pg.Client(server.url)
    await client.connect()
    const { store, how } = opened({ url: server.url })
    await store.initialize()
    await client.query("select pg_create_logical_replication_slot('nobodys', 'pgoutput')")
    await client.query('begin')
    await client.query('create table other (id int)')
    await client.query("prepare transaction 'forgotten'")
    const { codes, told } = await doctor([...how, '--vacuum-after', '1ms'])
    expect(new Set(codes)).toEqual(new Set(['vacuum-held-back', 'vacuum-off']))
    const messages = told.findings.map(({ message }) => message).join('\n')
    expect(messages).toContain('prepared transaction forgotten')
    expect(messages).toContain('the replication slot nobodys is used by nobody')
    expect(messages).toContain('autovacuum is off on the whole server')
    await client.end()
  })

  it('finds a clock that is off', async () => {
    const { how } = await made()
    const folder = temporaryDirectory()
    writeFileSync(join(folder, 'clock.cjs'), 'const now = Date.now; Date.now = () => now() - 90_000')
    const { codes, told } = await doctor(how, { NODE_OPTIONS: `--require ${join(folder, 'clock.cjs')}` })
    expect(codes).toContain('clock-offset')
    expect(JSON.stringify(told.findings)).toMatch(/1 m (29|30) s ahead of this machine's/)
  })
})

describe('Redis', () => {
  /** A server that tells of itself what it is told to, and knows nothing else. */
  async function played(how: { version?: string; memory?: string; aheadMs?: number }): Promise<{ url: string; end(): void }> {
    const sockets = new Set<Socket>()
    const bulk = (text: string) => `$${Buffer.byteLength(text)}\r\n${text}\r\n`
    const answer = (words: string[]) => {
      const command = words.join(' ').toUpperCase()
      if (command === 'PING') return '+PONG\r\n'
      if (command === 'INFO SERVER') return bulk(`redis_version:${how.version ?? '7.2.0'}\r\n`)
      if (command === 'INFO MEMORY') return bulk(how.memory ?? 'maxmemory:0\r\nmaxmemory_policy:noeviction\r\n')
      if (command === 'TIME') {
        const now = Date.now() + (how.aheadMs ?? 0)
        return `*2\r\n${bulk(`${Math.floor(now / 1_000)}`)}${bulk(`${(now % 1_000) * 1_000}`)}`
      }
      return command.startsWith('CLIENT SETNAME') ? '+OK\r\n' : '-NOPERM this user has no permissions to run the command\r\n'
    }
    const server = createServer((socket) => {
      sockets.add(socket)
      let text = ''
      socket.on('error', () => undefined)
      socket.on('data', (part) => {
        text += part
        for (;;) {
          const [head, count] = /^\*(\d+)\r\n/.exec(text) ?? []
          if (head === undefined) return
          const words: string[] = []
          let at = head.length
          while (words.length < Number(count)) {
            const [size, length] = /^\$(\d+)\r\n/.exec(text.slice(at)) ?? []
            if (size === undefined || text.length < at + size.length + Number(length) + 2) return
            words.push(text.slice(at + size.length, at + size.length + Number(length)))
            at += size.length + Number(length) + 2
          }
          text = text.slice(at)
          socket.write(answer(words))
        }
      })
    })
    await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening))
    const { port } = server.address() as { port: number }
    return {
      url: `redis://127.0.0.1:${port}`,
      end() {
        for (const socket of sockets) socket.destroy()
        server.close()
      },
    }
  }

  it.each<[string, Parameters<typeof played>[0], string, RegExp]>([
    ['eviction', { memory: 'maxmemory:1000\r\nmaxmemory_policy:allkeys-lru\r\n' }, 'eviction', /maxmemory-policy is allkeys-lru/],
    ['an old server', { version: '5.0.7' }, 'old-server', /5\.0\.7/],
    ['a clock that is ahead', { aheadMs: 42_500 }, 'clock-offset', /42 s ahead of/],
    ['a clock that is behind', { aheadMs: -42_500 }, 'clock-offset', /42 s behind/],
    ['missing rights', {}, 'missing-rights', /NOPERM|no permissions/],
  ])('finds %s', async (_, how, code, message) => {
    const server = await played(how)
    try {
      const { told } = await doctor([server.url])
      expect(told.findings).toContainEqual(expect.objectContaining({ code, message: expect.stringMatching(message) }))
    } finally {
      server.end()
    }
  })

  it('finds no eviction where the memory has no limit', async () => {
    const server = await played({ memory: 'maxmemory:0\r\nmaxmemory_policy:allkeys-lru\r\n' })
    try {
      expect((await doctor([server.url])).codes).not.toContain('eviction')
    } finally {
      server.end()
    }
  })
})

const mongodb = { name: 'MongoDB', available: process.env.MONGODB_URL !== undefined, variable: 'MONGODB_URL' }

describe.skipIf(missing(mongodb))('MongoDB', () => {
  const target = targets.find(({ name }) => name === 'mongodb') as (typeof targets)[number]

  it('finds a missing index, and that the server removes nothing', async () => {
    const options = target.options() as AnyStoreOptions & { url: string; collectionName: string }
    const { store, how } = opened(options)
    await store.initialize()
    const { codes } = await doctor(how)
    expect(codes).toEqual(store.capabilities.expiry === 'server' ? [] : ['ttl-off'])
    await withMongo(options.url, (database) => database.collection(options.collectionName).dropIndexes())
    expect((await doctor(how)).codes).toContain('missing-index')
  })

  it.each(['statesCollectionName', 'executionsCollectionName', 'logCollectionName', 'outboxCollectionName'] as const)(
    'finds the missing indexes of %s',
    async (name) => {
      const options = target.options() as AnyStoreOptions & { url: string; [name]: string }
      const { store, how } = opened(options)
      await store.initialize()
      await withMongo(options.url, (database) => database.collection(options[name] as string).dropIndexes())
      const { codes, told } = await doctor([...how, '--ignore', 'ttl-off'])
      expect(codes).toEqual(['missing-index'])
      expect(told.findings[0]?.message).toContain(`collection ${options[name]} lacks the indexes`)
      await store.initialize()
      expect(await doctor([...how, '--ignore', 'ttl-off'])).toMatchObject({ code: 0, codes: [] })
    },
  )
})

const dynamodb = { name: 'DynamoDB', available: process.env.DYNAMODB_URL !== undefined, variable: 'DYNAMODB_URL' }

describe.skipIf(missing(dynamodb))('DynamoDB', () => {
  const target = targets.find(({ name }) => name === 'dynamodb') as (typeof targets)[number]

  it('finds TTL that is off, and a missing table', async () => {
    const options = target.options() as AnyStoreOptions & { url: string; tableName: string; inboxTableName: string }
    const { store, how } = opened(options)
    await store.initialize()
    const client = dynamoDB()
    const off = { TableName: options.tableName, TimeToLiveSpecification: { AttributeName: 'expiresAt', Enabled: false } }
    await client.send(new UpdateTimeToLiveCommand(off))
    expect((await doctor(how)).codes).toContain('ttl-off')
    await client.send(new DeleteTableCommand({ TableName: options.inboxTableName }))
    await expect.poll(async () => (await doctor(how)).codes).toContain('missing-table')
    client.destroy()
  })
})

it.each([
  ['postgres', '11.22', true],
  ['postgres', '12.0', false],
  ['postgres', '17.2 (Debian 17.2-1)', false],
  ['redis', '6.0.16', true],
  ['redis', '6.2.0', false],
  ['mongodb', '4.0.28', true],
  ['mongodb', '8.0.4', false],
  ['sqlite', '3.1.0', false],
] as const)('a %s server of version %s: old is %s', (backend, version, isOld) => {
  const findings = new Findings('npx sagastore init', true)
  judgeVersion(backend, version, findings)
  expect(findings.found.map(({ code }) => code)).toEqual(isOld ? ['old-server'] : [])
})

it('each finding has a mend', () => {
  for (const mend of Object.values(CODES)) expect(mend).toMatch(/\.$|`\.$/)
})
