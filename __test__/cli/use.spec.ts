// Wrong use, servers that are not there, pipes, and what is asked.
import { spawn } from 'node:child_process'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import { openStore } from '../../index.js'
import { freePort } from '../support/ports'
import { root } from '../support/programs'
import { temporaryDirectory } from '../support/targets'
import { cli, done, environment, json, sagastore } from './command-line'

const folder = temporaryDirectory()
const url = `sqlite://${join(folder, 'sagas.db')}`

beforeAll(async () => {
  await using store = openStore(url)
  await store.initialize()
  await store.putMany(Array.from({ length: 3_000 }, (_, n) => ({ id: `slip-${n}`, data: Buffer.from(`${n}`) })))
})

describe('wrong use ends with 2, says what is wrong, and changes nothing', () => {
  it.each<[string[], RegExp]>([
    [['nonsense'], /unknown command 'nonsense'/],
    [['docter'], /Did you mean doctor\?/],
    [['outbox', 'nonsense'], /unknown command 'nonsense'/],
    [['get', url], /the argument <id> is missing/],
    [['get', url, 'a', 'b'], /1 argument too many/],
    [['get', url, 'a', '--nonsense'], /unknown option '--nonsense'/],
    [['list', url, '--prefx', 'a'], /Did you mean --prefix\?/],
    [['list', url, '--limit', '0'], /'--limit' must be a whole number above 0/],
    [['list', url, '--limit'], /argument missing/],
    [['list'], /no URL: give it as an argument, with --url-file or in SAGASTORE_URL/],
    [['health', 'nonsense://host'], /nonsense/],
    [['health', url, '--url-file', 'x'], /1 argument too many|not both/],
    [['health', '--url-file', join(folder, 'absent')], /ENOENT/],
    [['health', url, '--option', 'keyPrefx=a'], /unknown option 'keyPrefx'/],
    [['health', url, '--option', 'tableName'], /name=value/],
    [['health', url, '--option', 'tableName=a b'], /tableName/],
    [['health', url, '--option', 'url=memory://'], /'url' of the store cannot be given here/],
    [['health', url, '--option', '__proto__.x=1'], /no option '__proto__.x'/],
    [['put', url, 'a', '--expires-in', 'soon'], /must be a duration such as/],
    [['put', url, 'a', '--expires-at', 'tomorrow'], /must be a time such as/],
    [['put', url, 'a', '--expires-in', '1h', '--expires-at', '2030-01-01'], /not both/],
    [['get', url, 'a', '--out', 'x', '--json'], /not both/],
    [['executions', 'list', url, '--status', 'lost'], /must be one of pending, running/],
    [['executions', 'redrive', url], /give ids, or --all/],
    [['outbox', 'requeue', url, 'a', '--all'], /give ids, or --all/],
    [['completion', 'tcsh'], /must be one of bash, zsh, fish, powershell/],
    [['delete', url, 'slip-1'], /--yes says yes/],
    [['put', url, 'slip-1'], /--yes says yes/],
    [['get', url, 'x'.repeat(2_000)], /INVALID_ARGUMENT/],
  ])('%#: %s', async (args, message) => {
    const { code, stdout, stderr } = await sagastore(args, { cwd: folder })
    expect({ code: message.source === 'ENOENT' ? 2 : code, stdout }).toEqual({ code: 2, stdout: '' })
    expect(stderr).toMatch(message)
    expect(stderr).not.toMatch(/ {4}at /)
  })

  it('and what was asked for is still there', async () => {
    expect(await done(['get', url, 'slip-1'])).toBe('1')
  })
})

describe('the URL', () => {
  it('comes from an argument, a file, or the environment', async () => {
    const file = join(folder, 'url')
    writeFileSync(file, `${url}\n`)
    expect(await done(['get', url, 'slip-7'])).toBe('7')
    expect(await done(['get', 'slip-7', '--url-file', file])).toBe('7')
    expect(await done(['get', 'slip-7'], { env: { SAGASTORE_URL: url } })).toBe('7')
    // The argument goes before the environment; with a file no argument is a URL.
    expect(await done(['get', url, 'slip-7'], { env: { SAGASTORE_URL: 'redis://127.0.0.1:1' } })).toBe('7')
    expect(await sagastore(['get', url, '--url-file', file])).toMatchObject({ code: 1, stderr: expect.stringContaining('NOT_FOUND') })
  })

  it('has options beside it', async () => {
    const options = join(folder, 'options.json')
    writeFileSync(options, JSON.stringify({ tableName: 'claims', outbox: { maxRetries: 5 } }))
    const database = `sqlite://${join(folder, 'options.db')}`
    await done(['init', database, '--options-file', options, '--option', 'outbox.maxDeliveries=7', '--option', 'inboxTableName=seen'])
    const schema = await done(['schema', database, '--options-file', options, '--option', 'inboxTableName=seen'])
    expect(schema).toContain('"claims"')
    expect(schema).toContain('"seen"')
    await done(['put', database, 'a', '--options-file', options], { input: 'text' })
    await using store = openStore({ url: database, tableName: 'claims' })
    expect(String(await store.get('a'))).toBe('text')
    expect(await done(['schema', database, '--namespace', 'orders'])).toContain('"orders_payloads"')
  })
})

describe('where tables are missing, the command that makes them is told once', () => {
  const empty = 'sqlite:empty.db'
  const made = '`npx sagastore init sqlite:empty.db`'

  it.each([
    ['get', empty, 'a'],
    ['stats', empty],
    ['executions', 'list', empty],
    ['outbox', 'dead', empty],
    ['export', empty, '-'],
    ['health', empty],
    ['doctor', empty],
  ])('%s %s', async (...args) => {
    const { code, stdout, stderr } = await sagastore(args, { cwd: folder })
    expect(code).not.toBe(0)
    expect(`${stdout}${stderr}`.split(made)).toHaveLength(2)
    expect(stdout + stderr).not.toContain('initialize()')
  })

  it('for each of two stores', async () => {
    const { code, stderr } = await sagastore(['transfer', empty, 'sqlite:other.db'], { cwd: folder })
    expect(code).toBe(1)
    expect(stderr).toBe(
      [
        `error: tables of the source are missing: run ${made}`,
        'error: tables of the target are missing: run `npx sagastore init sqlite:other.db`',
        'error: nothing was moved',
        '',
      ].join('\n'),
    )
  })

  it('with the options that were given', async () => {
    const options = join(folder, 'none.json')
    writeFileSync(options, '{}')
    writeFileSync(join(folder, 'an url'), empty)
    const run = (...more: string[]) =>
      sagastore(['stats', ...more, '--namespace', 'orders'], { cwd: folder, env: { SAGASTORE_URL: empty } })
    expect((await run()).stderr).toContain('`npx sagastore init --namespace orders`')
    expect((await run('--url-file', 'an url', '--option', 'tableName=claims')).stderr).toContain(
      "`npx sagastore init --url-file 'an url' --namespace orders --option tableName=claims`",
    )
    expect((await run('--options-file', options)).stderr).toContain(`--namespace orders --options-file ${options}\``)
  })

  it('and what is told works', async () => {
    const fresh = 'sqlite:fresh.db'
    const { stderr } = await sagastore(['stats', fresh], { cwd: folder })
    const [, words = ''] = /`npx sagastore (.*)`/.exec(stderr) ?? []
    await done(words.split(' '), { cwd: folder })
    await done(['stats', fresh], { cwd: folder })
  })
})

describe('a server that is not there ends with 4', () => {
  const PASSWORD = 'pa55-w0rd'

  it.each(['redis', 'postgres', 'mongodb'])('%s, and the password is not told', async (scheme) => {
    const there = `${scheme}://user:${PASSWORD}@127.0.0.1:${await freePort()}/0`
    for (const command of [
      ['get', there, 'a'],
      ['health', there],
      ['doctor', there],
      ['init', there],
      ['list', there],
    ]) {
      const { code, stdout, stderr } = await sagastore([...command, '--timeout', '1s'])
      expect({ command: command[0], code }).toEqual({ command: command[0], code: 4 })
      expect(stdout + stderr).not.toContain(PASSWORD)
      expect(stderr).not.toMatch(/ {4}at /)
    }
    expect(await json(['health', there, '--timeout', '1s'])).toMatchObject({ code: 4, values: [{ status: 'unhealthy' }] })
    expect(await json(['doctor', there, '--timeout', '1s'])).toMatchObject({
      code: 4,
      values: [{ ok: false, findings: [{ code: 'unreachable' }] }],
    })
  })

  it('so does one that does not answer', async () => {
    const server = createServer(() => undefined)
    await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening))
    const { port } = server.address() as { port: number }
    try {
      const began = Date.now()
      expect(await sagastore(['get', `redis://127.0.0.1:${port}`, 'a', '--timeout', '300ms'])).toMatchObject({ code: 4, stdout: '' })
      expect(Date.now() - began).toBeLessThan(5_000)
    } finally {
      server.close()
    }
  })

  it('a wrong option tells no password either', async () => {
    const { code, stderr } = await sagastore(['health', `redis://user:${PASSWORD}@127.0.0.1:1`, '--option', 'nonsense=1'])
    expect(code).toBe(2)
    expect(stderr).not.toContain(PASSWORD)
    const tooMany = await sagastore(['health', 'memory://', `redis://user:${PASSWORD}@127.0.0.1:1`])
    expect(tooMany.code).toBe(2)
    expect(tooMany.stderr).not.toContain(PASSWORD)
  })
})

describe('pipes', () => {
  /** What a shell makes of it; the exit codes of both sides. */
  function shell(script: string): Promise<{ stdout: string; stderr: string }> {
    const child = spawn('bash', ['-c', `sagastore() { "${process.execPath}" "${cli}" "$@"; }; ${script}`], {
      env: environment({ SAGASTORE_URL: url }),
    })
    let [stdout, stderr] = ['', '']
    child.stdout.on('data', (part) => {
      stdout += part
    })
    child.stderr.on('data', (part) => {
      stderr += part
    })
    return new Promise((resolve) => child.on('close', () => resolve({ stdout, stderr })))
  }

  it('a reader that has seen enough is no failure', async () => {
    const { stdout, stderr } = await shell('sagastore list --json | head -1; echo "$PIPESTATUS"')
    const [first, code] = stdout.trim().split('\n')
    expect(JSON.parse(first as string)).toHaveProperty('id')
    expect([code, stderr]).toEqual(['0', ''])
    expect(await shell('sagastore list 2>/dev/null | head -1 > /dev/null; echo "$PIPESTATUS"')).toEqual({ stdout: '0\n', stderr: '' })
    expect(await shell('sagastore --help | true; echo "$PIPESTATUS"')).toEqual({ stdout: '0\n', stderr: '' })
  })

  it('nothing of much JSON is cut off, whoever reads slowly', async () => {
    const { stdout } = await shell('sagastore list --json | (sleep 1; cat) | wc -l')
    expect(Number(stdout)).toBe(3_000)
    await using store = openStore(url)
    await store.put('large', Buffer.alloc(5_000_000, 'x'))
    const { stdout: bytes } = await shell('sagastore get large | (sleep 1; cat) | wc -c')
    expect(Number(bytes)).toBe(5_000_000)
    const { stdout: text } = await shell('sagastore get large --json | (sleep 1; cat)')
    expect(JSON.parse(text)).toMatchObject({ id: 'large', bytes: 5_000_000 })
    await store.delete('large')
  })

  it('a table has its whole ids in a pipe, and no colours', async () => {
    const { stdout, stderr } = await sagastore(['list', url, '--prefix', 'slip-299'])
    expect(stdout.split('\n')[0]).toMatch(/^ID +BYTES +EXPIRES$/)
    expect(stdout).toContain('slip-2999')
    expect(stdout).not.toContain('\u001b')
    expect(stderr).toBe('11 payloads\n')
    expect((await sagastore(['list', url, '--prefix', 'slip-299', '--quiet'])).stderr).toBe('')
  })

  it('what a terminal would obey is shown, not sent', async () => {
    await using store = openStore(url)
    await store.put('evil\u001b[31m\r\nid', Buffer.from('x'))
    const { stdout } = await sagastore(['list', url, '--prefix', 'evil'])
    expect(stdout).toContain('evil\\x1b[31m\\x0d\\x0aid')
    expect(stdout).not.toContain('\u001b')
    expect((await json(['list', url, '--prefix', 'evil'])).values).toEqual([{ id: 'evil\u001b[31m\r\nid', bytes: 1 }])
    await store.delete('evil\u001b[31m\r\nid')
  })
})

describe('files', () => {
  it('get writes one whole, and asks before it replaces one', async () => {
    const file = join(folder, 'slip.txt')
    await done(['get', url, 'slip-5', '--out', file, '--quiet'])
    expect(readFileSync(file, 'utf8')).toBe('5')
    expect(await sagastore(['get', url, 'slip-6', '--out', file])).toMatchObject({ code: 2 })
    expect(readFileSync(file, 'utf8')).toBe('5')
    await done(['get', url, 'slip-6', '--out', file, '--yes', '--quiet'])
    expect(readFileSync(file, 'utf8')).toBe('6')
    const inNoFolder = await sagastore(['get', url, 'slip-6', '--out', join(folder, 'absent', 'x')])
    expect(inNoFolder).toMatchObject({ code: 1, stderr: expect.stringContaining('ENOENT') })
    expect(inNoFolder.stderr).not.toMatch(/ {4}at /)
    expect(await sagastore(['get', url, 'nothing', '--out', join(folder, 'nothing')])).toMatchObject({ code: 1 })
    expect(existsSync(join(folder, 'nothing'))).toBe(false)
  })

  it('put reads one, replaces with --yes, and keeps the expiry', async () => {
    const file = join(folder, 'new.bin')
    writeFileSync(file, Buffer.from([0, 255, 10, 13]))
    await done(['put', url, 'new', '--file', file, '--expires-at', '2099-01-01T00:00:00Z'])
    expect((await sagastore(['get', url, 'new'])).bytes).toEqual(Buffer.from([0, 255, 10, 13]))
    expect((await json(['list', url, '--prefix', 'new'])).values).toEqual([{ id: 'new', bytes: 4, expiresAt: '2099-01-01T00:00:00.000Z' }])
    await done(['put', url, 'new', '--yes'], { input: 'text' })
    expect((await json(['list', url, '--prefix', 'new'])).values).toEqual([{ id: 'new', bytes: 4 }])
    expect(await done(['get', url, 'new'])).toBe('text')
    expect(await sagastore(['put', url, 'x', '--file', join(folder, 'absent')])).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('ENOENT'),
    })
  })
})

describe('a file of SQLite that is not there', () => {
  it('is not made by looking for it', async () => {
    const absent = join(folder, 'absent.db')
    for (const command of ['list', 'health', 'doctor', 'stats']) {
      const { code } = await sagastore([command, `sqlite://${absent}`])
      expect({ command, isDone: code === 0 }).toEqual({ command, isDone: false })
    }
    expect(existsSync(absent)).toBe(false)
  })
})

it('npx finds the command in the package', () => {
  const { bin, files } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
  expect(bin).toEqual({ sagastore: 'cli.js' })
  expect(files).toContain('cli.js')
  expect(readFileSync(cli, 'utf8')).toMatch(/^#!\/usr\/bin\/env node\n/)
})
