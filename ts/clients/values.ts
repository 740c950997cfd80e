import type { SqlClient } from './carrier'
import { describeClientError } from './failure'

/** Known to the core, which makes INVALID_ARGUMENT of it. */
const CHANGES_VALUES = 'CLIENT_CHANGES_VALUES'

/**
 * For `pg`: values as the server has written them. It goes before the client's parsers and those of the whole
 * process (`pg.types.setTypeParser`).
 */
export const AS_SENT = {
  getTypeParser: (_oid: number, format?: string) => (format === 'binary' ? refuseBinary : asItIs),
}

const asItIs = (value: string) => value

/** pg makes text of all bytes first, and what is no UTF-8 is lost. What throws here ends its query, and nothing else. */
function refuseBinary(): never {
  throw Object.assign(new Error('this pg client has `binary: true`, with which pg itself loses bytes'), { code: CHANGES_VALUES })
}

/** What a client is asked for once. The spaces and the JSON are for parsers that trim or parse. */
const TEXT = ' {"é": ["\\\\x41", null]} '
const NUMBER = 4_294_967_297
const BYTES = Buffer.from([0, 1, 39, 92, 128, 255])
const SQL = "select $1::text as t, 'sagastore'::varchar as v, $2::bigint as n, encode($3::bytea, 'hex') as b"

/** Whether a client gives back what it is given: being asked, or proven. */
const proofs = new WeakMap<object, Promise<void> | 'proven'>()

/**
 * Looks once at what comes of known values on their way through a client whose parsers, transforms and
 * serializers cannot be kept off. `owner` is what those belong to; transactions share it with their client.
 *
 * @returns nothing to wait for, once it is proven
 */
export function prove(owner: object, { library, query }: Pick<SqlClient, 'library' | 'query'>): Promise<void> | undefined {
  const known = proofs.get(owner)
  if (known !== undefined) return known === 'proven' ? undefined : known
  const asked = ask(library, query).then(
    () => void proofs.set(owner, 'proven'),
    (error) => {
      // It may be the server's fault, or be mended: the next operation asks again.
      proofs.delete(owner)
      throw error
    },
  )
  proofs.set(owner, asked)
  return asked
}

async function ask(library: string, query: SqlClient['query']): Promise<void> {
  let row: unknown[] | undefined
  try {
    row = (await query(SQL, [TEXT, NUMBER, BYTES]))[0]
  } catch (error) {
    // Without a code it is the library that has stumbled, and class 22 is what the server says of values that are
    // none. Anything else is about the server, or the way to it.
    const { code, message } = describeClientError(error)
    throw code === undefined || code.startsWith('22') ? changing(library, message) : error
  }
  const [text, varchar, number, bytes] = row ?? []
  const wrong = [
    text !== TEXT && `text (${JSON.stringify(TEXT)} has become ${shown(text)})`,
    varchar !== 'sagastore' && `varchar ('sagastore' has become ${shown(varchar)})`,
    String(number) !== String(NUMBER) && `bigint (${NUMBER} has become ${shown(number)})`,
    bytes !== BYTES.toString('hex') && `bytea (${BYTES.toString('hex')} has become ${shown(bytes)})`,
  ].filter(Boolean)
  if (wrong.length > 0) throw changing(library, wrong.join(', '))
}

function changing(library: string, what: string): Error {
  const message = `this ${library} client changes values on their way: ${what}; look at its type parsers, serializers, transforms and plugins`
  return Object.assign(new Error(message), { code: CHANGES_VALUES })
}

function shown(value: unknown): string {
  try {
    return (typeof value === 'string' ? JSON.stringify(value) : `${typeof value} ${String(value)}`).slice(0, 60)
  } catch {
    return typeof value
  }
}
