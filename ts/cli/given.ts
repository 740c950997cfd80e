import { bytesOf, dateOf, millisecondsOf } from './quantities'
import { type CommandSpec, type OptionSpec, optionsOf, WrongUse } from './spec'

/** What was given to a command: its options and arguments, checked. */
export class Given {
  readonly #options: ReadonlyMap<string, unknown>
  readonly #arguments: ReadonlyMap<string, readonly string[]>
  /** The URLs that were given as arguments. */
  readonly urls: readonly (string | undefined)[]

  private constructor(
    options: ReadonlyMap<string, unknown>,
    taken: ReadonlyMap<string, readonly string[]>,
    urls: readonly (string | undefined)[],
  ) {
    this.#options = options
    this.#arguments = taken
    this.urls = urls
  }

  /** `options`: texts, lists of texts, and true for flags, by the names of the options. */
  static of(command: CommandSpec, options: ReadonlyMap<string, unknown>, positionals: readonly string[]): Given {
    const read = new Map<string, unknown>()
    for (const spec of optionsOf(command)) {
      const given = options.get(spec.name)
      if (given !== undefined) read.set(spec.name, readOption(spec, given))
    }
    const [urls, rest] = splitUrls(command, read, positionals)
    return new Given(read, bind(command, rest), urls)
  }

  flag(name: string): boolean {
    return this.#options.get(name) === true
  }

  text(name: string): string | undefined {
    const value = this.#options.get(name)
    return typeof value === 'string' ? value : undefined
  }

  /** Of a whole number, a duration in ms, or bytes. */
  number(name: string): number | undefined {
    const value = this.#options.get(name)
    return typeof value === 'number' ? value : undefined
  }

  date(name: string): Date | undefined {
    const value = this.#options.get(name)
    return value instanceof Date ? value : undefined
  }

  /** Of an option that may be given several times. */
  texts(name: string): readonly string[] {
    const value = this.#options.get(name)
    return Array.isArray(value) ? value : []
  }

  /** An argument that must be there. */
  argument(name: string): string {
    return this.#arguments.get(name)?.[0] ?? ''
  }

  /** An argument of which there may be none or several. */
  arguments(name: string): readonly string[] {
    return this.#arguments.get(name) ?? []
  }
}

function readOption(spec: OptionSpec, given: unknown): unknown {
  if (spec.value === undefined) return given === true
  if (spec.many) return (Array.isArray(given) ? given : [given]).map((one) => readText(spec, String(one)))
  return readText(spec, String(given))
}

function readText({ name, kind, choices }: OptionSpec, text: string): string | number | Date {
  if (choices !== undefined && !choices.includes(text)) {
    throw new WrongUse(`option '--${name}' must be one of ${choices.join(', ')}; it is '${text}'`)
  }
  const readers = { whole: wholeOf, duration: millisecondsOf, bytes: bytesOf, date: dateOf }
  if (kind === undefined || kind === 'text') return text
  const value = readers[kind](text)
  if (value !== undefined) return value
  const wanted = {
    whole: 'a whole number above 0',
    duration: 'a duration such as 500ms, 30s, 15m, 2h or 7d',
    bytes: 'a number of bytes such as 65536, 64k, 10M or 1G',
    date: 'a time such as 2026-12-31T23:00:00Z',
  }
  throw new WrongUse(`option '--${name}' must be ${wanted[kind]}; it is '${text}'`)
}

function wholeOf(text: string): number | undefined {
  const value = /^\d+$/.test(text) ? Number(text) : Number.NaN
  return Number.isSafeInteger(value) && value > 0 ? value : undefined
}

/** What is known to be a URL, or would be one of something else. */
const URL_LIKE =
  /^(memory|sqlite|postgres|postgresql|redis|rediss|redis-cluster|rediss-cluster|redis-sentinel|rediss-sentinel|mongodb|mongodb\+srv|dynamodb):|^[a-z][a-z0-9+.-]*:\/\//

/** The URLs come first. Where `--url-file` names one, no argument is taken for it. */
function splitUrls(
  { urls, takes = [] }: CommandSpec,
  options: ReadonlyMap<string, unknown>,
  positionals: readonly string[],
): [(string | undefined)[], readonly string[]] {
  if (urls === 0) return [[], positionals]
  if (urls === 2) {
    const hasSource = options.has('url-file')
    const [first, second] = positionals
    if (options.has('target-url-file')) return [[hasSource ? undefined : first, undefined], positionals.slice(hasSource ? 0 : 1)]
    if (hasSource || positionals.length < 2) return [[undefined, first], positionals.slice(1)]
    return [[first, second], positionals.slice(2)]
  }
  const [first] = positionals
  if (first === undefined || options.has('url-file')) return [[undefined], positionals]
  // Without arguments of its own a command can be given nothing but a URL.
  return URL_LIKE.test(first) || takes.length === 0 ? [[first], positionals.slice(1)] : [[undefined], positionals]
}

function bind({ takes = [], urls }: CommandSpec, positionals: readonly string[]): Map<string, readonly string[]> {
  const bound = new Map<string, readonly string[]>()
  let at = 0
  for (const { name, optional, many, choices } of takes) {
    const taken = positionals.slice(at, many ? undefined : at + 1)
    if (taken.length === 0 && !optional) throw new WrongUse(`the argument <${name}> is missing`)
    const wrong = choices === undefined ? undefined : taken.find((one) => !choices.includes(one))
    if (wrong !== undefined) throw new WrongUse(`the argument <${name}> must be one of ${choices?.join(', ')}; it is '${wrong}'`)
    bound.set(name, taken)
    at += taken.length
  }
  // One too many may be a URL with a password.
  if (at < positionals.length) {
    const first = urls === 1 && takes.length > 0 ? ': the URL comes first' : ''
    throw new WrongUse(`${positionals.length - at} argument${positionals.length - at > 1 ? 's' : ''} too many${first}`)
  }
  return bound
}
