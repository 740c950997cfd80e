import { createHash } from 'node:crypto'
import { existsSync, readFileSync, statSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { PassThrough, Readable } from 'node:stream'
import { describe, expect, it } from 'vitest'
import { exportToFile, importFromFile, type SagaStore, TransferError, verify } from '../../index.js'
import { temporaryDirectory } from '../support/targets'
import { everything, fill, fillPayloads, storeOn } from './stores'

const file = (name: string) => join(temporaryDirectory(), name)

async function reasonOf(moving: PromiseLike<unknown>) {
  return await Promise.resolve(moving).then(
    () => undefined,
    (error) => error,
  )
}

const payloadsIn = async (store: SagaStore) => (await store.count()).payloads?.count

describe.each(['records.jsonl', 'records.jsonl.zst'])('a file %s', (name) => {
  it('has everything, and gives it back', async () => {
    const [source, target] = [await storeOn('memory'), await storeOn('memory')]
    await fill(source)
    const path = file(name)
    expect(await exportToFile(source, path, { batchSize: 7 })).toMatchObject({ transferred: 101, failed: 0 })
    expect(existsSync(`${path}.partial`)).toBe(false)
    if (process.platform !== 'win32') expect(statSync(path).mode & 0o777).toBe(0o600)
    const moving = importFromFile(path, target, { batchSize: 7 })
    const kinds = new Set<string>()
    for await (const { kind } of moving) kinds.add(kind)
    expect(kinds.size).toBe(5)
    expect(await moving).toMatchObject({ transferred: 101, failed: 0, skipped: 0 })
    expect(await everything(target)).toEqual(await everything(source))
    expect(await verify(source, target)).toMatchObject({ equal: true })
    expect(await importFromFile(path, target)).toMatchObject({ transferred: 0, skipped: 101 })
    const some = await storeOn('memory')
    expect(await importFromFile(path, some, { kinds: ['states', 'inbox'] })).toMatchObject({ transferred: 40 })
    expect(await importFromFile(path, await storeOn('memory'), { dryRun: true })).toMatchObject({ transferred: 101, dryRun: true })
  })

  it('is refused if its end is missing, unless that is allowed', async () => {
    const source = await storeOn('memory')
    await fillPayloads(source, 3_000, 200)
    const path = file(name)
    await exportToFile(source, path)
    const whole = readFileSync(path)
    for (const bytes of [whole.byteLength - 1, whole.byteLength - 40, Math.floor(whole.byteLength * 0.7), 10]) {
      writeFileSync(path, whole)
      truncateSync(path, bytes)
      const target = await storeOn('memory')
      const error = await reasonOf(importFromFile(path, target))
      expect(error, String(bytes)).toMatchObject({ code: 'CORRUPT_DATA' })
      expect(await payloadsIn(target)).toBe(0)
      if (bytes === 10) continue
      const { transferred } = await importFromFile(path, target, { allowPartial: true })
      expect(await payloadsIn(target)).toBe(transferred)
      if (bytes > whole.byteLength - 50 && !name.endsWith('.zst')) expect(transferred).toBe(3_000)
      else expect(transferred).toBeLessThanOrEqual(3_000)
    }
  })
})

it('a file whose lines were changed is refused as a whole', async () => {
  const source = await storeOn('memory')
  await fillPayloads(source, 10)
  const path = file('a.jsonl')
  await exportToFile(source, path)
  const lines = readFileSync(path, 'utf8').split('\n')
  expect(lines.length).toBe(13)
  expect(JSON.parse(lines[0] as string)).toMatchObject({ format: 'sagastore', version: 1, source: expect.stringContaining('memory://') })
  const digest = createHash('sha256')
    .update(`${lines.slice(0, 11).join('\n')}\n`)
    .digest('hex')
  expect(JSON.parse(lines[11] as string)).toMatchObject({ end: true, counts: { payloads: 10 }, digest: `sha256:${digest}` })
  const target = await storeOn('memory')
  const changes: [string, (lines: string[]) => string[]][] = [
    ['digest', (all) => all.map((line, index) => (index === 3 ? line.replace('p-00000', 'q-00000') : line))],
    ['digest', (all) => all.filter((_, index) => index !== 4)],
    ['behind', (all) => [...all.slice(0, 12), all[3] as string, '']],
    ['first line', (all) => all.slice(1)],
    ['no JSON', (all) => all.map((line, index) => (index === 3 ? line.slice(0, -2) : line))],
    ['empty', () => []],
  ]
  for (const [why, change] of changes) {
    writeFileSync(path, change(lines).join('\n'))
    for (const allowPartial of [false, true]) {
      const error = await reasonOf(importFromFile(path, target, { allowPartial }))
      expect(error?.message, why).toContain(why)
      expect(error).toMatchObject({ code: 'CORRUPT_DATA' })
    }
    expect(await payloadsIn(target)).toBe(0)
  }
  writeFileSync(path, lines.join('\n').replace('"version":1', '"version":2'))
  expect(await reasonOf(importFromFile(path, target))).toMatchObject({ code: 'UNSUPPORTED' })
})

it.each(['large.jsonl', 'large.jsonl.zst'])('a record of 64 MB passes through %s, in parts', async (name) => {
  const [source, target] = [await storeOn('memory'), await storeOn('memory')]
  const data = Buffer.alloc(64 * 1_024 * 1_024)
  for (let at = 0; at < data.byteLength; at += 4_096) data.writeUInt32LE((at * 2_654_435_761) % 2 ** 32, at)
  await source.put('large', data)
  await source.put('small', Buffer.from('s'))
  const text = '\u{1F600}"'.repeat(1_500_000)
  await source.states.insert('Order', 'c', { metadata: { sagaId: 's' }, text })
  const path = file(name)
  await exportToFile(source, path)
  const longest = name.endsWith('.zst')
    ? 0
    : readFileSync(path)
        .toString('latin1')
        .split('\n')
        .reduce((most, line) => Math.max(most, line.length), 0)
  expect(longest).toBeLessThan(20_000_000)
  expect(await importFromFile(path, target)).toMatchObject({ transferred: 3 })
  expect((await target.get('large')).equals(data)).toBe(true)
  expect((await target.states.getById<{ text: string }>('Order', 's'))?.text).toBe(text)
})

it('a file that exists is not lost', async () => {
  const source = await storeOn('memory')
  await source.put('a', Buffer.from('a'))
  const path = file('a.jsonl')
  writeFileSync(path, 'precious')
  expect(await reasonOf(exportToFile(source, path))).toMatchObject({ code: 'ALREADY_EXISTS' })
  expect(readFileSync(path, 'utf8')).toBe('precious')
  await exportToFile(source, path, { overwrite: true })
  expect(readFileSync(path, 'utf8')).toContain('"format":"sagastore"')
})

it('an export that is stopped leaves no file of its name', async () => {
  const source = await storeOn('memory')
  await fillPayloads(source, 2_000, 2_000)
  const path = file('a.jsonl.zst')
  const stopping = new AbortController()
  const moving = exportToFile(source, path, { batchSize: 100, signal: stopping.signal })
  const looking = (async () => {
    for await (const { transferred } of moving) if (transferred > 500) stopping.abort()
  })().catch(() => undefined)
  const error = await reasonOf(moving)
  await looking
  expect(error).toBeInstanceOf(TransferError)
  expect(error.checkpoint).toBeUndefined()
  expect([existsSync(path), existsSync(`${path}.partial`)]).toEqual([false, true])
})

it('streams do as well as files', async () => {
  const [source, target, damaged] = [await storeOn('memory'), await storeOn('memory'), await storeOn('memory')]
  await fill(source)
  for (const compress of [false, true]) {
    const through = new PassThrough()
    const exporting = Promise.resolve(exportToFile(source, through, { compress })).finally(() => through.end())
    expect(await importFromFile(through, target, { onConflict: 'overwrite' })).toMatchObject({ transferred: 101 })
    await exporting
  }
  expect(await everything(target)).toEqual(await everything(source))
  const cut = new PassThrough()
  const chunks: Buffer[] = []
  cut.on('data', (chunk) => chunks.push(chunk))
  await exportToFile(source, cut)
  const bytes = Buffer.concat(chunks)
  const error = await reasonOf(importFromFile(Readable.from([bytes.subarray(0, -10)]), damaged))
  expect(error).toMatchObject({ code: 'TRANSFER', cause: { code: 'CORRUPT_DATA' } })
  // A reader that goes away is an error of the export, and none of the process.
  const closed = new PassThrough()
  closed.destroy()
  expect(await reasonOf(exportToFile(source, closed))).toMatchObject({ code: expect.stringMatching(/TRANSFER|ERR_STREAM/) })
})

it('what is wrong is refused at the call', async () => {
  const store = await storeOn('memory')
  for (const wrong of [{ level: 0 }, { level: 20 }, { compress: 1 }, { resumeFrom: 'x' }, { overwrite: 'yes' }]) {
    expect(() => exportToFile(store, 'x', wrong as never)).toThrowError(/option/)
  }
  for (const wrong of [{ allowPartial: 1 }, { verify: true }, { level: 1 }]) {
    expect(() => importFromFile('x', store, wrong as never)).toThrowError(/option/)
  }
  expect(() => exportToFile(store, '' as never)).toThrowError(/file/)
  await expect(importFromFile(file('none.jsonl'), store)).rejects.toMatchObject({ code: 'ENOENT' })
})
