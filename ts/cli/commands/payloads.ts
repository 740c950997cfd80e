import { once } from 'node:events'
import { existsSync, readFileSync } from 'node:fs'
import { open as openFile, rename, rm } from 'node:fs/promises'
import type { SagaStore } from '../../index'
import type { PayloadSize } from '../../moving/records'
import type { Column } from '../output'
import { counted, shownBytes, shownDistance } from '../quantities'
import { payloadRecord, sizesOf } from '../records'
import { type CommandSpec, EXIT, type Run, WrongUse } from '../spec'

async function get({ open, out, given }: Run): Promise<void> {
  const id = given.argument('id')
  const store = open()
  const data = await store.get(id)
  if (out.isJson) {
    const { expiresAt } = (await payloadRecord(store, id)) ?? {}
    await out.json({ id, bytes: data.length, ...(expiresAt && { expiresAt }), data })
    return
  }
  const path = given.text('out')
  if (path !== undefined) {
    await save(path, data)
    out.note(`${shownBytes(data.length)} in ${path}`)
    return
  }
  if (process.stdout.isTTY && data.includes(0))
    throw new WrongUse(`the payload is no text (${shownBytes(data.length)}): write it to a file with --out`)
  await out.write(data)
}

/** A file is whole, or not there. */
async function save(path: string, data: Uint8Array): Promise<void> {
  const partial = `${path}.partial`
  const file = await openFile(partial, 'w')
  try {
    await file.writeFile(data)
    await file.sync()
    await file.close()
    await rename(partial, path)
  } catch (error) {
    await file.close().catch(() => undefined)
    await rm(partial, { force: true })
    throw error
  }
}

async function put({ open, out, given, ask }: Run): Promise<void> {
  const id = given.argument('id')
  const [after, at] = [given.number('expires-in'), given.date('expires-at')]
  if (after !== undefined && at !== undefined) throw new WrongUse('give --expires-in or --expires-at, not both')
  const expiresAt = after === undefined ? at : new Date(Date.now() + after)
  const path = given.text('file')
  const store = open()
  // Nobody types a payload for a question that is answered with no.
  if (await store.has(id)) await ask(`There is a payload '${id}' already. Replace it?`)
  const data = path === undefined ? await readStdin(out.note.bind(out)) : readFileSync(path)
  await store.put(id, data, expiresAt)
  const stored = { id, bytes: data.length, ...(expiresAt && { expiresAt }) }
  const end = expiresAt === undefined ? 'until it is deleted' : `until ${expiresAt.toISOString()}`
  await out.result(stored, () => out.line(`stored '${id}': ${shownBytes(data.length)}, ${end}`))
}

async function readStdin(note: (text: string) => void): Promise<Buffer> {
  if (process.stdin.isTTY) note('Reading from the terminal; Ctrl-D ends.')
  const parts: Buffer[] = []
  process.stdin.on('data', (part: Buffer) => parts.push(part))
  await once(process.stdin, 'end')
  return Buffer.concat(parts)
}

const SIZES: readonly Column<PayloadSize>[] = [
  { title: 'ID', of: ({ id }) => id, shrinks: true },
  { title: 'BYTES', of: ({ bytes }) => bytes.toLocaleString('en-US'), right: true },
  { title: 'EXPIRES', of: ({ expiresAt }) => expiresAt?.toISOString() },
  { title: '', of: ({ expiresAt }) => (expiresAt === undefined ? '' : shownDistance(expiresAt)) },
]

async function list({ open, out, given, signal }: Run): Promise<void> {
  const prefix = given.text('prefix') ?? ''
  const isExpired = ({ expiresAt }: PayloadSize) => expiresAt !== undefined && expiresAt.getTime() <= Date.now()
  const wanted = ({ id }: PayloadSize) => id.startsWith(prefix)
  const most = given.number('limit') ?? Number.POSITIVE_INFINITY
  const sizes = sizesOf(open(), signal, (key, why) => out.warn(`${key} cannot be read: ${why}`))
  async function* matching() {
    let count = 0
    for await (const size of sizes) {
      if (!wanted(size) || isExpired(size) !== given.flag('expired')) continue
      yield size
      count += 1
      if (count >= most) return
    }
  }
  const count = await out.list(matching(), SIZES)
  if (!out.isJson) out.note(counted(count, 'payload'))
}

async function remove({ open, out, given, ask }: Run) {
  const ids = given.arguments('id')
  const store = open()
  await ask(ids.length === 1 ? `Delete the payload '${ids[0]}'?` : `Delete ${ids.length} payloads?`)
  const deleted = await deleteEach(store, ids)
  const columns: readonly Column<{ id: string; deleted: boolean }>[] = [
    { title: 'ID', of: ({ id }) => id, shrinks: true },
    { title: 'DELETED', of: ({ deleted }) => (deleted ? 'yes' : 'was not there') },
  ]
  await out.list(deleted, columns)
  return deleted.every((one) => one.deleted) ? EXIT.done : EXIT.differs
}

async function deleteEach(store: SagaStore, ids: readonly string[]): Promise<{ id: string; deleted: boolean }[]> {
  const deleted: { id: string; deleted: boolean }[] = []
  for (const id of ids) deleted.push({ id, deleted: await store.delete(id) })
  return deleted
}

/** Asks before a file is replaced. */
export async function checkFile(path: string, { ask }: Run): Promise<void> {
  if (existsSync(path)) await ask(`There is a file ${path} already. Replace it?`)
}

const ID = { name: 'id', about: 'the claim id' } as const

export const payloads: readonly CommandSpec[] = [
  {
    name: 'get',
    about: 'print a payload',
    more: 'Its bytes go to stdout as they were put. With --json they are base64.',
    urls: 1,
    takes: [ID],
    options: [{ name: 'out', value: 'file', about: 'write it to a file' }],
    json: 'value',
    asks: true,
    examples: [
      { line: 'get redis://cache:6379 slip-4711-1 | jq .', does: 'look at a routing slip' },
      { line: 'get sqlite:orders.db slip-4711-1 --out slip.json', does: 'into a file' },
    ],
    async run(run) {
      const path = run.given.text('out')
      if (path !== undefined && run.out.isJson) throw new WrongUse('give --out or --json, not both')
      if (path !== undefined) await checkFile(path, run)
      await get(run)
    },
  },
  {
    name: 'put',
    about: 'store a payload',
    more: 'Its bytes come from stdin, or from a file. Without an expiry it is kept until it is deleted. It asks before it replaces one.',
    urls: 1,
    takes: [ID],
    options: [
      { name: 'file', value: 'file', about: 'read it from a file' },
      { name: 'expires-in', value: 'duration', kind: 'duration', about: 'how long it is kept, such as 2h or 7d' },
      { name: 'expires-at', value: 'time', kind: 'date', about: 'until when it is kept, such as 2026-12-31T23:00:00Z' },
    ],
    json: 'value',
    asks: true,
    examples: [
      { line: 'put redis://cache:6379 slip-4711-1 --expires-in 24h < slip.json', does: 'from a file, for a day' },
      { line: 'put sqlite:orders.db slip-4711-1 --file slip.json --yes', does: 'replace what is there, if anything is' },
    ],
    run: put,
  },
  {
    name: 'list',
    about: 'list the ids of payloads with sizes and expiry',
    more: 'In the order of the backend. Sizes are those that are stored: of a compressed payload so many bytes as it has compressed.',
    urls: 1,
    options: [
      { name: 'prefix', value: 'text', about: 'only ids that begin so' },
      { name: 'limit', value: 'count', kind: 'whole', about: 'at most so many' },
      { name: 'expired', about: 'those that have expired and are not removed yet, instead of the others' },
    ],
    json: 'lines',
    stops: true,
    examples: [
      { line: 'list sqlite:orders.db --prefix slip-4711-', does: 'the payloads of one order' },
      { line: "list --json | jq -r 'select(.bytes > 1000000) | .id'", does: 'the large ones; the URL is in SAGASTORE_URL' },
    ],
    run: list,
  },
  {
    name: 'delete',
    about: 'delete payloads',
    more: 'Ends with 3 if one of them was not there.',
    urls: 1,
    takes: [{ ...ID, many: true }],
    json: 'lines',
    asks: true,
    examples: [{ line: 'delete sqlite:orders.db slip-4711-1 slip-4711-2 --yes', does: 'two of them, without a question' }],
    run: remove,
  },
]
