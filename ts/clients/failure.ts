/** What of a client's error the core classifies by. */
export interface ClientFailure {
  /** The error's class. */
  name: string
  message: string
  /** The database's own code, such as an SQLSTATE; else that of the socket, or of the library. */
  code?: string
  /** MongoDB's labels, such as `TransientTransactionError`. */
  labels: string[]
}

type Fields = Record<string, unknown>

/** Causes, and errors that several errors were gathered in, are followed this far. */
const DEPTH = 8

const SQLITE_CODES: Record<number, string> = {
  5: 'SQLITE_BUSY',
  6: 'SQLITE_LOCKED',
  8: 'SQLITE_READONLY',
  11: 'SQLITE_CORRUPT',
  13: 'SQLITE_FULL',
  18: 'SQLITE_TOOBIG',
  19: 'SQLITE_CONSTRAINT',
  26: 'SQLITE_NOTADB',
}

/** What postgres.js calls what Node.js has names for. */
const SOCKET_CODES: Record<string, string> = {
  CONNECT_TIMEOUT: 'ETIMEDOUT',
  CONNECTION_ENDED: 'CONNECTION_CLOSED',
  CONNECTION_DESTROYED: 'CONNECTION_CLOSED',
}

/** What Prisma calls it, where it says no more. */
const PRISMA_SOCKET_CODES: Record<string, string> = {
  DatabaseNotReachable: 'ECONNREFUSED',
  SocketTimeout: 'ETIMEDOUT',
  ConnectionClosed: 'CONNECTION_CLOSED',
  P1001: 'ECONNREFUSED',
  P1002: 'ETIMEDOUT',
  P1008: 'ETIMEDOUT',
  P1017: 'CONNECTION_CLOSED',
  P2024: 'ETIMEDOUT',
}

const WORDS: [RegExp, string][] = [
  // pg, ioredis, node-redis, knex
  [/timeout exceeded when trying to connect|due to connection timeout|^ConnectionTimeoutError|^KnexTimeoutError/, 'ETIMEDOUT'],
  [/^\w+: Connection terminated|is not queryable|after calling end on the pool/, 'CONNECTION_CLOSED'],
  [/^\w+: Connection is closed|^(?:SocketClosedUnexpectedly|ClientClosed|ClientOffline|DisconnectsClient)Error/, 'CONNECTION_CLOSED'],
]

/** Finds the database's own words in what a library has thrown, however it has wrapped them. Never throws. */
export function describeClientError(error: unknown): ClientFailure {
  try {
    return describe(error)
  } catch {
    return { name: 'Error', message: 'the client threw something that cannot be read', labels: [] }
  }
}

function describe(error: unknown): ClientFailure {
  const chain = errorsOf(error)
  const coded = chain.map((fields) => ({ fields, found: codeOf(fields) }))
  const best = coded.find(({ found }) => found?.isOfDatabase) ?? coded.find(({ found }) => found !== undefined)
  const fields = best?.fields ?? chain[0]
  const labels = chain.flatMap(labelsOf)
  if (fields === undefined) return { name: 'Error', message: String(error), labels }
  return {
    name: chain.slice(chain.indexOf(fields)).concat(chain).map(className).find(isTelling) ?? 'Error',
    message: best?.found?.message ?? text(fields.message) ?? chain.map((one) => text(one.message)).find(Boolean) ?? 'no message',
    ...(best?.found && { code: best.found.code }),
    labels: [...new Set(labels)],
  }
}

/** The error, its causes and its parts, the outermost first. */
function errorsOf(error: unknown, depth = 0, seen = new Set<unknown>()): Fields[] {
  if ((typeof error !== 'object' && typeof error !== 'function') || error === null || seen.has(error) || depth > DEPTH) return []
  seen.add(error)
  const fields = error as Fields
  const parts = Array.isArray(fields.errors) ? fields.errors : []
  const inner = [fields.cause, fields.lastNodeError, ...parts].flatMap((part) => errorsOf(part, depth + 1, seen))
  return [fields, ...inner]
}

interface Found {
  code: string
  message?: string | undefined
  /** As opposed to one of the library's own, which stands for many. */
  isOfDatabase: boolean
}

function codeOf(fields: Fields): Found | undefined {
  for (const find of [prismaCode, redisCode, mongoCode, awsCode, nodeSqliteCode, plainCode, codeOfWords]) {
    const found = find(fields)
    if (found !== undefined) return found
  }
  return undefined
}

/** Prisma's own codes say which of its calls failed; what the database said is in `meta`. */
function prismaCode({ name, code, meta, message }: Fields): Found | undefined {
  if (typeof code !== 'string' || !/^P\d{4}$/.test(code) || !String(name).startsWith('Prisma')) return undefined
  const { code: original, message: said, driverAdapterError } = object(meta)
  const cause = object(object(driverAdapterError).cause)
  const found = text(cause.originalCode) ?? text(cause.code) ?? text(original)
  if (found === undefined || found === 'N/A')
    return {
      code: PRISMA_SOCKET_CODES[String(cause.kind)] ?? PRISMA_SOCKET_CODES[code] ?? code,
      message: text(message),
      isOfDatabase: false,
    }
  return {
    code: sqliteName(found),
    message: text(cause.originalMessage) ?? text(said) ?? text(message),
    isOfDatabase: true,
  }
}

/** Redis starts its messages with a code. */
function redisCode(fields: Fields): Found | undefined {
  if (!/^(?:ReplyError|ErrorReply|SimpleError|BlobError|MultiErrorReply)$/.test(className(fields))) return undefined
  const code = /^-?([A-Z][A-Z0-9]*)\b/.exec(text(fields.message) ?? '')?.[1]
  return code === undefined ? undefined : { code, isOfDatabase: true }
}

function mongoCode({ name, code }: Fields): Found | undefined {
  if (typeof name !== 'string' || !name.startsWith('Mongo')) return undefined
  if (typeof code === 'number' || typeof code === 'string') return { code: String(code), isOfDatabase: true }
  return undefined
}

/** The AWS SDK names its errors after the service's codes. */
function awsCode({ name, $metadata, $fault }: Fields): Found | undefined {
  // The SDK adds `$metadata` to errors of the socket, too.
  if (typeof name !== 'string' || name === 'Error' || ($metadata === undefined && $fault === undefined)) return undefined
  return { code: name, isOfDatabase: true }
}

function nodeSqliteCode({ code, errcode }: Fields): Found | undefined {
  if (code !== 'ERR_SQLITE_ERROR') return undefined
  return { code: typeof errcode === 'number' ? sqliteName(errcode) : 'SQLITE_ERROR', isOfDatabase: true }
}

/** SQLSTATEs, SQLite's names, and those of Node.js's sockets, as `code`. */
function plainCode({ code }: Fields): Found | undefined {
  if (typeof code === 'number') return { code: String(code), isOfDatabase: false }
  if (typeof code !== 'string' || code === '') return undefined
  const isOfDatabase = /^(?:[0-9A-Z]{5}|SQLITE_\w+)$/.test(code) && !/^E[A-Z]{4}$/.test(code)
  return { code: SOCKET_CODES[code] ?? code, isOfDatabase }
}

/** Connections that broke, or could not be had, where the library gives no code. */
function codeOfWords(fields: Fields): Found | undefined {
  const words = `${className(fields)}: ${text(fields.message) ?? ''}`
  const code = WORDS.find(([pattern]) => pattern.test(words))?.[1]
  return code === undefined ? undefined : { code, isOfDatabase: false }
}

/** SQLite's name of a result code; the lowest byte of an extended one is the primary one. */
function sqliteName(code: number | string): string {
  if (typeof code === 'string') return code
  return SQLITE_CODES[code & 0xff] ?? 'SQLITE_ERROR'
}

/** Not every library sets `name`. */
function className({ name, constructor: type }: Fields): string {
  if (typeof name === 'string' && isTelling(name)) return name
  return typeof type === 'function' ? type.name : 'Error'
}

function isTelling(name: string): boolean {
  return !['', 'Error', 'error', 'AggregateError', 'Object'].includes(name)
}

function labelsOf({ errorLabels, errorLabelSet }: Fields): string[] {
  const labels = errorLabels ?? errorLabelSet
  const list = Array.isArray(labels) || labels instanceof Set ? [...labels] : []
  return list.filter((label) => typeof label === 'string')
}

function object(value: unknown): Fields {
  return typeof value === 'object' && value !== null ? (value as Fields) : {}
}

function text(value: unknown): string | undefined {
  if (typeof value === 'number') return String(value)
  return typeof value === 'string' && value !== '' ? value : undefined
}
