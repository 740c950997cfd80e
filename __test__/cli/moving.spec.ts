// transfer, verify, export and import as a process, between files of SQLite.
import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import { openStore } from '../../index.js'
import { temporaryDirectory } from '../support/targets'
import { cli, done, environment, json, onTerminal, sagastore, valuesOf } from './command-line'

const folder = temporaryDirectory()
const file = (name: string) => join(folder, name)
const database = (name: string) => `sqlite://${file(name)}`
const SOURCE = database('source.db')
const PAYLOADS = 2_000

beforeAll(async () => {
  await using store = openStore(SOURCE)
  await store.initialize()
  const expiresAt = new Date(Date.now() + 3_600_000)
  for (let from = 0; from < PAYLOADS; from += 500) {
    await store.putMany(
      Array.from({ length: 500 }, (_, n) => ({
        id: `slip-${from + n}`,
        data: createHash('sha256')
          .update(`${from + n}`)
          .digest(),
        expiresAt,
      })),
    )
  }
  await store.states.insert('OrderSaga', 'order-1', { metadata: { sagaId: 'saga-1' }, total: 1 })
  await store.executions.create('order-1', 'OrderSaga', { total: 1 }, { steps: [{ stepName: 'reserve', status: 'completed' }] })
  await store.outbox.insert({ eventId: 'e-1', eventType: 'OrderPlaced', payload: { total: 1 } })
  await store.inbox.accept('billing', 'm-1')
})

/** A store that is made, and empty. */
async function target(name: string): Promise<string> {
  await done(['init', database(name)])
  return database(name)
}

const ALL = PAYLOADS + 4

describe('transfer', () => {
  it('moves everything; verify finds both sides the same', async () => {
    const to = await target('all.db')
    const { code, values, stderr } = await json(['transfer', SOURCE, to, '--verify'])
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    expect(values).toMatchObject([{ ok: true, transferred: ALL, failed: 0, verification: { equal: true, same: ALL } }])
    expect(await json(['verify', SOURCE, to])).toMatchObject({ code: 0, values: [{ equal: true, same: ALL }] })
    const human = await sagastore(['transfer', SOURCE, to])
    expect(human).toMatchObject({ code: 0, stdout: expect.stringContaining(`${ALL.toLocaleString('en-US')} left alone`) })
  })

  it('takes the URLs from files and from the environment, and only the kinds that are asked for', async () => {
    const to = await target('kinds.db')
    writeFileSync(file('to'), to)
    const { code, values } = await json(['transfer', '--target-url-file', file('to'), '--kind', 'states', '--kind', 'outbox'], {
      env: { SAGASTORE_URL: SOURCE },
    })
    expect([code, values]).toMatchObject([0, [{ transferred: 2, counts: { states: { transferred: 1 }, outbox: { transferred: 1 } } }]])
    const env = { SAGASTORE_URL: SOURCE, SAGASTORE_TARGET_URL: to }
    expect(await json(['verify', '--kind', 'states'], { env })).toMatchObject({ code: 0, values: [{ equal: true, same: 1 }] })
    expect(await json(['verify', to], { env: { SAGASTORE_URL: SOURCE } })).toMatchObject({ code: 3, values: [{ missing: PAYLOADS + 2 }] })
  })

  it('ends with 3 where records could not be moved and are skipped, and lists them', async () => {
    const to = await target('taken.db')
    await using store = openStore(to)
    await store.putMany([1, 2].map((n) => ({ id: `slip-${n}`, data: Buffer.from('taken') })))
    const rejects = file('rejects.jsonl')
    const args = ['transfer', SOURCE, to, '--kind', 'payloads', '--on-conflict', 'fail']
    const skipped = await json([...args, '--on-error', 'skip', '--rejects', rejects])
    expect(skipped).toMatchObject({ code: 3, values: [{ ok: false, transferred: PAYLOADS - 2, failed: 2 }] })
    const lines = readFileSync(rejects, 'utf8')
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line))
    expect(lines.map(({ id, code }) => [id, code]).sort()).toEqual([
      ['slip-1', 'ALREADY_EXISTS'],
      ['slip-2', 'ALREADY_EXISTS'],
    ])
    const dry = await json(['transfer', SOURCE, to, '--target-option', 'maxPayloadBytes=10', '--kind', 'payloads', '--dry-run'])
    expect(dry).toMatchObject({ code: 3, values: [{ failed: PAYLOADS }] })
    const failed = await json(args)
    expect(failed.code).toBe(1)
    expect(failed.stderr).toContain('--resume <file>')
    expect(failed.stderr).not.toMatch(/ {4}at /)
  })

  it('wants --yes before it replaces, and refuses the same store and a foreign checkpoint', async () => {
    const to = await target('replaced.db')
    expect(await sagastore(['transfer', SOURCE, to, '--on-conflict', 'overwrite'])).toMatchObject({ code: 2, stdout: '' })
    expect(await json(['transfer', SOURCE, to, '--on-conflict', 'overwrite', '--yes'])).toMatchObject({ code: 0 })
    expect(await sagastore(['transfer', SOURCE, SOURCE])).toMatchObject({ code: 2, stderr: expect.stringContaining('same store') })
    writeFileSync(file('checkpoint'), 'nonsense')
    expect(await sagastore(['transfer', SOURCE, to, '--resume', file('checkpoint')])).toMatchObject({ code: 2 })
    const stopped = await stopTransfer(['transfer', SOURCE, await target('a.db'), '--resume', file('foreign')], 'SIGINT')
    expect(stopped.code).toBe(130)
    const foreign = await sagastore(['transfer', SOURCE, await target('b.db'), '--resume', file('foreign')])
    expect(foreign).toMatchObject({ code: 1, stderr: expect.stringContaining('another move') })
  })

  /** A slow move that is stopped once it has begun. */
  async function stopTransfer(args: string[], signal: NodeJS.Signals) {
    const child = spawn(process.execPath, [cli, ...args, '--batch-size', '50', '--records-per-second', '500', '--json'], {
      env: environment(),
    })
    let [stdout, stderr] = ['', '']
    child.stdout.on('data', (part) => {
      stdout += part
    })
    child.stderr.on('data', (part) => {
      stderr += part
    })
    setTimeout(() => child.kill(signal), 1_600)
    const code = await new Promise((resolve) => child.on('close', resolve))
    return { code, stdout, stderr }
  }

  it('Ctrl-C ends the batch, tells how to go on, and it goes on', async () => {
    const to = await target('resumed.db')
    const args = ['transfer', SOURCE, to, '--resume', file('move.json')]
    const { code, stdout, stderr } = await stopTransfer(args, 'SIGINT')
    expect(code).toBe(130)
    expect(stderr).toContain('To go on, run the same command again.')
    const [stopped] = valuesOf('transfer', stdout) as [{ transferred: number }]
    expect(stopped.transferred).toBeGreaterThan(0)
    expect(stopped.transferred).toBeLessThan(ALL)
    expect(existsSync(file('move.json'))).toBe(true)
    const resumed = await json([...args, '--verify'])
    expect(resumed).toMatchObject({ code: 0, values: [{ ok: true, transferred: ALL, skipped: 0, verification: { equal: true } }] })
    expect(existsSync(file('move.json'))).toBe(false)
  })

  it('killed with -9, it goes on from its checkpoint', async () => {
    const to = await target('killed.db')
    const args = ['transfer', SOURCE, to, '--resume', file('killed.json')]
    await stopTransfer(args, 'SIGKILL')
    expect(await json([...args, '--verify'])).toMatchObject({ code: 0, values: [{ verification: { equal: true, same: ALL } }] })
  })

  it('draws a bar on a terminal, in a narrow window too, and Ctrl-C leaves the terminal as it was', async () => {
    const slow = ['--batch-size', '50', '--records-per-second', '1000']
    const wide = await onTerminal(['transfer', SOURCE, await target('bar.db'), '--kind', 'payloads', ...slow])
    expect(wide.code).toBe(0)
    expect(wide.stdout).toMatch(/[█░]+ +\d+% payloads [\d,]+ of (about )?2,000/)
    const narrow = await onTerminal(['transfer', SOURCE, await target('narrow.db'), '--kind', 'payloads', ...slow], { columns: 40 })
    expect(narrow.code).toBe(0)
    // biome-ignore lint/suspicious/noControlCharactersInRegex: what moves the cursor is control characters
    const lines = narrow.stdout.replace(/\u001b\[[\d;?]*[A-Za-z]/g, '\r').split(/[\r\n]+/)
    const drawn = lines.filter((line) => line.includes('%'))
    expect(drawn.length).toBeGreaterThan(2)
    for (const line of drawn) expect(line.length).toBeLessThan(40)
    const stopped = await onTerminal(['transfer', SOURCE, await target('stopped.db'), ...slow], {
      answers: [{ after: '% payloads', type: '\u0003' }],
    })
    expect(stopped.code).toBe(130)
    expect(stopped.stdout).toContain('To go on')
    expect(stopped.stdout.lastIndexOf('\u001b[?25l')).toBeLessThanOrEqual(stopped.stdout.lastIndexOf('\u001b[?25h'))
    const quiet = await onTerminal(['transfer', SOURCE, await target('quiet.db'), '--quiet'])
    expect(quiet.stdout).not.toContain('%')
  })

  it('prints a line every five seconds where there is no terminal, and none with --quiet', async () => {
    const slow = ['--kind', 'payloads', '--batch-size', '50', '--records-per-second', '330']
    const [loud, quiet] = await Promise.all([
      sagastore(['transfer', SOURCE, await target('lines.db'), ...slow]),
      sagastore(['transfer', SOURCE, await target('silent.db'), ...slow, '--quiet']),
    ])
    expect(loud.code).toBe(0)
    expect(loud.stderr).toMatch(/^payloads [\d,]+ of (about )?2,000, .*\/s.*\n/)
    expect(quiet.stderr).toBe('')
  }, 60_000)
})

describe('verify', () => {
  it('ends with 3 and names what differs', async () => {
    const to = await target('different.db')
    await done(['transfer', SOURCE, to, '--quiet'])
    await using store = openStore(to)
    await store.delete('slip-1')
    await store.put('slip-2', Buffer.from('other'))
    await store.touch('slip-3', new Date(Date.now() + 7_200_000))
    await store.put('slip-extra', Buffer.from('x'))
    const { code, values } = await json(['verify', SOURCE, to])
    expect(code).toBe(3)
    expect(values).toMatchObject([{ equal: false, missing: 1, extra: 1, different: { bytes: 1, expiry: 1, version: 0 } }])
    const { stdout } = await sagastore(['verify', SOURCE, to])
    expect(stdout).toMatch(/payloads +slip-extra +extra/)
    expect(await json(['verify', SOURCE, await target('nothing.db')])).toMatchObject({ code: 3, values: [{ equal: false, missing: ALL }] })
    expect(await sagastore(['verify', SOURCE, to, '--sample', '0'])).toMatchObject({ code: 2 })
  })
})

describe('export and import', () => {
  it.each(['all.jsonl', 'all.jsonl.zst'])('%s: everything arrives as it was', async (name) => {
    expect(await json(['export', SOURCE, file(name)])).toMatchObject({ code: 0, values: [{ ok: true, transferred: ALL }] })
    const to = await target(`${name}.db`)
    expect(await json(['import', to, file(name)])).toMatchObject({ code: 0, values: [{ ok: true, transferred: ALL }] })
    expect(await json(['verify', SOURCE, to])).toMatchObject({ code: 0, values: [{ equal: true, same: ALL }] })
    expect(await sagastore(['export', SOURCE, file(name)])).toMatchObject({ code: 2 })
    expect(await json(['export', SOURCE, file(name), '--yes'])).toMatchObject({ code: 0 })
  })

  it('a file without its end is refused, unless it is asked for', async () => {
    await done(['export', SOURCE, file('whole.jsonl'), '--quiet', '--yes'])
    const lines = readFileSync(file('whole.jsonl'), 'utf8').split('\n')
    writeFileSync(file('partial.jsonl'), `${lines.slice(0, 100).join('\n')}\n`)
    const to = await target('partial.db')
    const refused = await sagastore(['import', to, file('partial.jsonl')])
    expect(refused.code).toBe(1)
    expect(refused.stderr).not.toMatch(/ {4}at /)
    expect(await done(['list', to, '--quiet'])).toBe('')
    expect(await json(['import', to, file('partial.jsonl'), '--allow-partial'])).toMatchObject({ code: 0, values: [{ transferred: 99 }] })
  })

  it('goes through a pipe, whose reader may have seen enough', async () => {
    const to = await target('piped.db')
    const shell = (script: string) =>
      new Promise<string>((resolve) => {
        const child = spawn('bash', ['-c', `sagastore() { "${process.execPath}" "${cli}" "$@"; }; ${script}`], {
          env: environment(),
          stdio: 'pipe',
        })
        let printed = ''
        for (const stream of [child.stdout, child.stderr]) {
          stream.on('data', (part) => {
            printed += part
          })
        }
        child.on('close', () => resolve(printed))
      })
    expect(await shell(`sagastore export ${SOURCE} - --quiet | sagastore import ${to} - --quiet; echo "$PIPESTATUS"`)).toMatch(/0\n$/)
    expect(await json(['verify', SOURCE, to])).toMatchObject({ code: 0 })
    const head = await shell(`sagastore export ${SOURCE} - --quiet | head -1; echo "$PIPESTATUS"`)
    expect(head).toMatch(/^\{"format":"sagastore".*\}\n0\n$/)
  })
})
