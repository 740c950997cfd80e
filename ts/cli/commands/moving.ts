import type { Difference, Transfer, TransferError, TransferOptions, TransferResult, Verification } from '../../index'
import { ON_CONFLICT, ON_ERROR, RECORD_KINDS, type RecordKind } from '../../moving/records'
import { wantsInit } from '../advice'
import { CheckpointFile } from '../checkpoint-file'
import { exitOf } from '../failures'
import { type Column, NobodyReads } from '../output'
import { ProgressBar } from '../progress'
import { counted, shownBytes, shownDuration } from '../quantities'
import { RejectsFile } from '../rejects-file'
import { type CommandSpec, EXIT, type Exit, type OptionSpec, type Run, Told, WrongUse } from '../spec'
import { library, type Side } from '../stores'
import { checkFile } from './payloads'

const KIND: OptionSpec = {
  name: 'kind',
  value: 'kind',
  many: true,
  choices: RECORD_KINDS,
  about: `only this kind of records: ${RECORD_KINDS.join(', ')}; may be given several times`,
}
const READING: readonly OptionSpec[] = [
  KIND,
  {
    name: 'on-error',
    value: 'what',
    choices: ON_ERROR,
    about:
      'a record that cannot be moved: fail (default) ends the move, skip counts it as failed and goes on, retry tries again for a while',
  },
  { name: 'rejects', value: 'file', about: 'write ids and reasons of what could not be moved into a file, one a line' },
  { name: 'batch-size', value: 'count', kind: 'whole', about: 'records that are moved together (default 500)' },
  { name: 'records-per-second', value: 'count', kind: 'whole', about: 'at most so many records a second' },
  { name: 'bytes-per-second', value: 'size', kind: 'bytes', about: 'at most so many bytes a second, such as 10M' },
]
const WRITING: readonly OptionSpec[] = [
  {
    name: 'on-conflict',
    value: 'what',
    choices: ON_CONFLICT,
    about: 'an id that the target has: skip-existing (default), overwrite, fail, or newer: replaced if the record is newer',
  },
  { name: 'concurrency', value: 'count', kind: 'whole', about: 'batches that are written at once (default 4)' },
  { name: 'dry-run', about: 'write nothing, and tell what the target could not take' },
]

/** The options of the library that the command line has. */
function termsOf({ given, signal }: Run, rejects: RejectsFile) {
  const kinds = given.texts('kind') as RecordKind[]
  const onError = given.text('on-error') as TransferOptions['onError']
  const numbers = { 'batch-size': 'batchSize', 'records-per-second': 'recordsPerSecond', 'bytes-per-second': 'bytesPerSecond' } as const
  const terms: Pick<TransferOptions, 'kinds' | 'onError' | 'batchSize' | 'recordsPerSecond' | 'bytesPerSecond' | 'onRejected' | 'signal'> =
    {
      signal,
      onRejected: (rejected) => rejects.add(rejected),
    }
  if (kinds.length > 0) terms.kinds = kinds
  if (onError !== undefined) terms.onError = onError
  for (const [option, name] of Object.entries(numbers)) {
    const value = given.number(option)
    if (value !== undefined) terms[name] = value
  }
  return terms
}

function writingOf({ given }: Run): Pick<TransferOptions, 'onConflict' | 'concurrency' | 'dryRun'> {
  const onConflict = given.text('on-conflict') as TransferOptions['onConflict']
  const concurrency = given.number('concurrency')
  return {
    ...(onConflict !== undefined && { onConflict }),
    ...(concurrency !== undefined && { concurrency }),
    ...(given.flag('dry-run') && { dryRun: true }),
  }
}

async function askToReplace({ given, ask }: Run): Promise<void> {
  const conflict = given.text('on-conflict')
  if ((conflict === 'overwrite' || conflict === 'newer') && !given.flag('dry-run')) {
    await ask(`Replace records of the target${conflict === 'newer' ? ' that are older' : ''}?`)
  }
}

/** Shows how far a move is, and what it came to. */
async function follow(run: Run, move: Transfer, rejects: RejectsFile, checkpoint?: CheckpointFile): Promise<Exit> {
  const { out } = run
  const bar = new ProgressBar(out)
  try {
    for await (const {
      kind,
      total,
      approximate,
      transferred,
      failed,
      skipped,
      expired,
      bytes,
      recordsPerSecond,
      etaMs,
      checkpoint: place,
    } of move) {
      bar.show({
        what: kind,
        done: transferred + failed + skipped + expired,
        total,
        approximate,
        bytes,
        failed,
        perSecond: recordsPerSecond,
        etaMs,
      })
      checkpoint?.note(place)
    }
    const result = await move
    bar.end()
    checkpoint?.remove()
    await out.result({ ok: true, ...result }, () => showResult(run, result))
    return EXIT.done
  } catch (error) {
    bar.end()
    // Of an export into a pipe whose reader has seen enough.
    if (isClosedPipe(error)) throw new NobodyReads()
    if (!(error instanceof library().TransferError)) throw error
    return await tellFailure(run, error, checkpoint)
  } finally {
    await rejects.close()
  }
}

function isClosedPipe(error: unknown): boolean {
  if (!(error instanceof Error)) return false
  return ('code' in error && error.code === 'EPIPE') || isClosedPipe(error.cause)
}

async function showResult({ out }: Run, result: TransferResult): Promise<void> {
  const { transferred, skipped, expired, bytes, elapsedMs, dryRun, verification } = result
  const parts = [`${counted(transferred, 'record')} ${dryRun ? 'could be moved' : 'moved'} (${shownBytes(bytes)})`]
  if (skipped > 0) parts.push(`${skipped.toLocaleString('en-US')} left alone`)
  if (expired > 0) parts.push(`${expired.toLocaleString('en-US')} expired`)
  await out.line(`${parts.join(', ')} in ${shownDuration(elapsedMs)}`)
  if (verification !== undefined) await out.line(`verified: ${counted(verification.same, 'record is', 'records are')} the same`)
}

async function tellFailure(run: Run, error: TransferError, checkpoint: CheckpointFile | undefined): Promise<Exit> {
  const { out, given, signal } = run
  const { counts, rejected, verification } = error
  const sum = { transferred: 0, failed: 0, skipped: 0, expired: 0, bytes: 0 }
  for (const one of Object.values(counts)) for (const name of Object.keys(sum) as (keyof typeof sum)[]) sum[name] += one[name]
  const isWhole = error.cause === undefined && !signal.aborted
  const isAtEnd =
    isWhole && (verification !== undefined || (sum.failed > 0 && (given.text('on-error') === 'skip' || given.flag('dry-run'))))
  if (isAtEnd) checkpoint?.remove()
  else if (error.checkpoint !== undefined) checkpoint?.keep(error.checkpoint)
  const { checkpoint: place } = error
  const told = { ok: false, ...sum, counts, rejected, error: error.message, ...(place !== undefined && { checkpoint: place }), ...(verification && { verification }) } // biome-ignore format: long
  if (out.isJson) await out.json(told)
  run.tell(signal.aborted ? 'stopped:' : 'error:', error)
  for (const { kind, id, code, message } of given.text('rejects') === undefined ? rejected.slice(0, 10) : []) {
    out.note(`  ${kind} '${id}': ${message} (${code})`)
  }
  if (!isAtEnd) tellHowToGoOn(run, place, checkpoint)
  if (isAtEnd) return EXIT.differs
  const cause = exitOf(error.cause)
  return cause === EXIT.unreachable ? cause : EXIT.failed
}

/** On stderr, also with `--quiet`: without it the move begins again. */
function tellHowToGoOn({ command }: Run, place: string | undefined, checkpoint: CheckpointFile | undefined): void {
  if (command.name !== 'transfer') {
    process.stderr.write(`To go on, run it again${command.name === 'import' ? ': what is there already is left alone' : ''}.\n`)
  } else if (checkpoint !== undefined) process.stderr.write('To go on, run the same command again.\n')
  else if (place !== undefined) process.stderr.write(`To go on, save the next line into a file, and add --resume <file>.\n${place}\n`)
}

async function transfer(run: Run): Promise<Exit> {
  const { given, out } = run
  const path = given.text('resume')
  const [source, target] = [run.open(), run.openTarget()]
  await askToReplace(run)
  const checkpoint = path === undefined ? undefined : new CheckpointFile(path)
  const resumeFrom = checkpoint?.read()
  const rejects = new RejectsFile(given.text('rejects'), resumeFrom !== undefined)
  const options = {
    ...termsOf(run, rejects),
    ...writingOf(run),
    ...(given.flag('verify') && { verify: true }),
    ...(resumeFrom !== undefined && { resumeFrom }),
  }
  const move = library().transfer(source, target, options)
  const { compatible, issues } = await move.validate()
  const uninitialized = new Set<Side>()
  for (const { level, kind, message } of issues) {
    if (wantsInit(message)) {
      uninitialized.add(message.startsWith('the source') ? 'source' : 'target')
      continue
    }
    const text = `${kind === undefined ? '' : `${kind}: `}${message}`
    if (level === 'warning') out.warn(text)
    else process.stderr.write(`${out.styleOf(process.stderr, 'red', 'error:')} ${text}\n`)
  }
  for (const side of uninitialized) {
    const text = `tables of the ${side} are missing: run \`${run.initCommand(side)}\``
    process.stderr.write(`${out.styleOf(process.stderr, 'red', 'error:')} ${text}\n`)
  }
  if (!compatible) {
    await rejects.close()
    throw new Told('nothing was moved')
  }
  return await follow(run, move, rejects, checkpoint)
}

const DIFFERENCES: readonly Column<Difference>[] = [
  { title: 'KIND', of: ({ kind }) => kind },
  { title: 'ID', of: ({ id, name }) => (name === undefined ? id : `${name} ${id}`), shrinks: true },
  { title: 'WHAT', of: ({ what }) => what },
]

async function verify(run: Run): Promise<Exit> {
  const { given, out, signal } = run
  const kinds = given.texts('kind') as RecordKind[]
  const text = given.text('sample')
  const sample = text === undefined ? undefined : Number(text.replace(/%$/, '')) / (text.endsWith('%') ? 100 : 1)
  if (sample !== undefined && !(sample > 0 && sample <= 1)) throw new WrongUse("option '--sample' must be a part such as 0.1 or 10%")
  const options = { signal, ...(kinds.length > 0 && { kinds }), ...(sample !== undefined && { sample }) }
  const found: Verification = await library().verify(run.open(), run.openTarget(), options)
  await out.result(found, async () => {
    const { same, missing, extra, different, unreadable, ids } = found
    await out.facts([
      ['same', same],
      ['missing in the target', missing],
      ['in the target alone', extra],
      ['other bytes', different.bytes],
      ['another expiry', different.expiry],
      ['another version', different.version],
      ['unreadable', unreadable],
    ])
    if (ids.length > 0) await out.list(ids, DIFFERENCES)
  })
  return found.equal ? EXIT.done : EXIT.differs
}

async function exportTo(run: Run): Promise<Exit> {
  const { given, out } = run
  const file = given.argument('file')
  if (file === '-' && out.isJson) throw new WrongUse('give a file, or not --json: both would be on stdout')
  const source = run.open()
  if (file !== '-') await checkFile(file, run)
  const rejects = new RejectsFile(given.text('rejects'), false)
  const level = given.number('level')
  const options = {
    ...termsOf(run, rejects),
    ...(level !== undefined && { level }),
    ...(given.flag('compress') && { compress: true }),
    ...(file !== '-' && { overwrite: true }),
  }
  const move = library().exportToFile(source, file === '-' ? process.stdout : file, options)
  // The result would stand in the file.
  return await follow(file === '-' ? { ...run, out: out.onStderr() } : run, move, rejects)
}

async function importFrom(run: Run): Promise<Exit> {
  const { given } = run
  const file = given.argument('file')
  const target = run.open()
  await askToReplace(run)
  const rejects = new RejectsFile(given.text('rejects'), false)
  const options = { ...termsOf(run, rejects), ...writingOf(run), ...(given.flag('allow-partial') && { allowPartial: true }) }
  return await follow(run, library().importFromFile(file === '-' ? process.stdin : file, target, options), rejects)
}

export const moving: readonly CommandSpec[] = [
  {
    name: 'transfer',
    about: 'move whole records from one store into another',
    more:
      'Bytes, expiries, versions, dates, statuses, leases and logs arrive as they were; what has expired is counted, not moved. The source ' +
      'is only read. Ctrl-C ends the batches that are under way. Ends with 3 if records could not be moved and --on-error is skip.',
    urls: 2,
    options: [
      ...READING,
      ...WRITING,
      { name: 'verify', about: 'compare both sides at the end' },
      { name: 'resume', value: 'file', about: 'keep the place in this file, and go on from there if it exists' },
    ],
    json: 'value',
    asks: true,
    stops: true,
    examples: [
      {
        line: 'transfer redis://cache:6379 postgres://app@db/orders --resume move.json --verify',
        does: 'everything; run it again if it was stopped',
      },
      {
        line: 'transfer sqlite:old.db sqlite:new.db --kind payloads --on-error skip --rejects rejected.jsonl',
        does: 'what can be moved; the rest is in a file',
      },
    ],
    run: transfer,
  },
  {
    name: 'verify',
    about: 'compare two stores, record by record',
    more: 'Ends with 3 if something is missing, extra or different. What changes meanwhile may be told as different.',
    urls: 2,
    options: [KIND, { name: 'sample', value: 'part', about: 'only a part of the records, such as 10% or 0.1' }],
    json: 'value',
    stops: true,
    examples: [{ line: 'verify redis://cache:6379 postgres://app@db/orders --sample 10%', does: 'a tenth of them' }],
    run: verify,
  },
  {
    name: 'export',
    about: 'write whole records into a file, or to stdout (-)',
    more: 'JSON lines, compressed with Zstandard where the name ends in .zst. A file of its name is whole: it is written beside its place first.',
    urls: 1,
    takes: [{ name: 'file', about: 'its name; - is stdout' }],
    options: [
      ...READING,
      { name: 'compress', about: 'also where the name does not end in .zst' },
      { name: 'level', value: 'level', kind: 'whole', about: "Zstandard's level, 1 to 19 (default 3)" },
    ],
    json: 'value',
    asks: true,
    stops: true,
    examples: [
      { line: 'export postgres://app@db/orders orders.jsonl.zst', does: 'a backup of everything' },
      { line: 'export sqlite:orders.db - --kind outbox | jq .', does: 'look at the events' },
    ],
    run: exportTo,
  },
  {
    name: 'import',
    about: 'store the records of a file that export has written, as they were',
    more: 'A file without its end, or with another digest, is refused before anything is stored; of stdin that is known at its end.',
    urls: 1,
    takes: [{ name: 'file', about: 'its name; - is stdin' }],
    options: [...READING, ...WRITING, { name: 'allow-partial', about: 'also a file whose end is missing' }],
    json: 'value',
    asks: true,
    stops: true,
    examples: [{ line: 'import sqlite:copy.db orders.jsonl.zst --on-conflict newer --yes', does: 'what is newer replaces what is there' }],
    run: importFrom,
  },
]
