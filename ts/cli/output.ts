import type { Writable } from 'node:stream'

/** Nobody reads the output any more: the command ends, and it is no failure. */
export class NobodyReads extends Error {}

/** A column of a table. */
export interface Column<Row> {
  title: string
  of(row: Row): string | number | null | undefined
  /** Numbers stand on the right. */
  right?: true
  /** It is the first that is made narrower where the terminal is too narrow. */
  shrinks?: true
}

type Style = 'bold' | 'dim' | 'red' | 'yellow' | 'green'

const CODES: Record<Style, [number, number]> = { bold: [1, 22], dim: [2, 22], red: [31, 39], yellow: [33, 39], green: [32, 39] }

/** Rows by which the widths of a table are found. */
const MEASURED = 200

/** What a command prints: results on stdout, remarks on stderr. */
export class Output {
  readonly isJson: boolean
  readonly isQuiet: boolean
  readonly #colors: boolean
  readonly #stream: NodeJS.WriteStream
  #isClosed = false

  constructor(options: { json: boolean; quiet: boolean; color: boolean }, stream: NodeJS.WriteStream = process.stdout) {
    this.#stream = stream
    this.isJson = options.json
    this.isQuiet = options.quiet
    this.#colors = options.color && !process.env.NO_COLOR && process.env.TERM !== 'dumb'
    this.#stream.on('error', () => {
      this.#isClosed = true
    })
    // Remarks that nobody wants are no failure either.
    process.stderr.on('error', () => undefined)
  }

  /** Whether nobody reads stdout any more. */
  get isClosed(): boolean {
    return this.#isClosed
  }

  /** The same with results on stderr: stdout has something else. With `--quiet` there are none. */
  onStderr(): Output {
    const options = { json: false, quiet: this.isQuiet, color: this.#colors }
    return this.isQuiet ? new SilentOutput(options, process.stderr) : new Output(options, process.stderr)
  }

  /** Prints bytes or text; waits until there is room for more. */
  async write(data: string | Uint8Array): Promise<void> {
    if (this.#isClosed) throw new NobodyReads()
    const written = new Promise<void>((resolve, reject) => {
      this.#stream.write(data, (error) => {
        if (error == null) resolve()
        else reject((error as NodeJS.ErrnoException).code === 'EPIPE' ? new NobodyReads() : error)
      })
    })
    await written
  }

  async line(text = ''): Promise<void> {
    await this.write(`${text}\n`)
  }

  /** A value as JSON: one line. */
  async json(value: unknown): Promise<void> {
    await this.line(JSON.stringify(value, jsonValue))
  }

  /** The result: JSON of the value, or what `human` prints. */
  async result(value: unknown, human: () => Promise<void> | Promise<unknown>): Promise<void> {
    if (this.isJson) await this.json(value)
    else await human()
  }

  /** Names and values, one a line. What is null or undefined is left out. */
  async facts(facts: readonly (readonly [string, unknown])[], indent = ''): Promise<void> {
    const shown = facts.filter(([, value]) => value !== null && value !== undefined)
    const width = Math.max(0, ...shown.map(([name]) => name.length))
    for (const [name, value] of shown) await this.line(`${indent}${this.style('dim', name.padEnd(width))}  ${shownValue(value)}`)
  }

  /** A list: with `--json` a value a line, otherwise a table. Answers how many there were. */
  async list<Row>(
    rows: AsyncIterable<Row> | Iterable<Row>,
    columns: readonly Column<Row>[],
    toJson: (row: Row) => unknown = (row) => row,
  ): Promise<number> {
    let count = 0
    if (this.isJson) {
      for await (const row of rows) {
        count += 1
        await this.json(toJson(row))
      }
      return count
    }
    let widths: number[] | undefined
    let held: string[][] = []
    const flush = async () => {
      const titles = columns.map(({ title }) => title)
      widths ??= this.#widths([titles, ...held], columns)
      if (count === held.length && count > 0) await this.line(this.style('bold', this.#row(titles, columns, widths)))
      for (const cells of held) await this.line(this.#row(cells, columns, widths))
      held = []
    }
    for await (const row of rows) {
      count += 1
      held.push(columns.map(({ of }) => shownText(String(of(row) ?? '-'))))
      if (held.length >= MEASURED) await flush()
    }
    if (held.length > 0) await flush()
    return count
  }

  /** A remark on stderr; none with `--quiet`. */
  note(text: string): void {
    if (!this.isQuiet) process.stderr.write(`${text}\n`)
  }

  /** Something that should not be missed, on stderr. */
  warn(text: string): void {
    process.stderr.write(`${this.styleOf(process.stderr, 'yellow', 'warning:')} ${shownText(text)}\n`)
  }

  /** Text in a colour, where stdout has colours. */
  style(style: Style, text: string): string {
    return this.styleOf(process.stdout, style, text)
  }

  styleOf(stream: Writable & { isTTY?: boolean }, style: Style, text: string): string {
    if (!this.#colors || stream.isTTY !== true) return text
    const [on, off] = CODES[style]
    return `\u001b[${on}m${text}\u001b[${off}m`
  }

  #widths(rows: readonly string[][], columns: readonly Column<never>[] | readonly { shrinks?: true }[]): number[] {
    const widths = columns.map((_, at) => Math.max(...rows.map((row) => (row[at] as string).length)))
    if (!process.stdout.isTTY) return widths
    const room = process.stdout.columns - 2 * (widths.length - 1)
    const over = () => widths.reduce((sum, width) => sum + width, 0) - room
    const widest = (least: number, may: (at: number) => boolean) => {
      const order = columns.map((_, at) => at).filter(may)
      for (const at of order.sort((a, b) => (widths[b] as number) - (widths[a] as number))) {
        const width = widths[at] as number
        if (over() > 0 && width > least) widths[at] = Math.max(least, width - over())
      }
    }
    // Ids and errors first; where that is not enough, everything.
    widest(12, (at) => columns[at]?.shrinks === true)
    widest(6, () => true)
    return widths
  }

  #row<Row>(cells: readonly string[], columns: readonly Column<Row>[], widths: readonly number[]): string {
    const padded = cells.map((cell, at) => {
      const width = widths[at] as number
      // A pipe is given the whole of it.
      const text = process.stdout.isTTY && cell.length > width ? `${cell.slice(0, width - 1)}…` : cell
      return columns[at]?.right ? text.padStart(width) : text.padEnd(width)
    })
    const line = padded.join('  ').trimEnd()
    return process.stdout.isTTY && line.length > process.stdout.columns ? `${line.slice(0, process.stdout.columns - 1)}…` : line
  }
}

/** Bytes as base64; dates are ISO text by themselves. */
function jsonValue(this: unknown, name: string, value: unknown): unknown {
  const given = (this as Record<string, unknown>)[name]
  return given instanceof Uint8Array ? { base64: Buffer.from(given).toString('base64') } : value
}

/** Ids and errors may hold anything, also what a terminal would obey. */
export function shownText(text: string): string {
  return text.replace(/[\p{Cc}\u2028\u2029\u202a-\u202e\u2066-\u2069]/gu, (character) => {
    const code = character.codePointAt(0) as number
    return code < 0x100 ? `\\x${code.toString(16).padStart(2, '0')}` : `\\u${code.toString(16)}`
  })
}

/** A value for people. */
export function shownValue(value: unknown): string {
  if (value instanceof Date) return value.toISOString()
  if (typeof value === 'string') return shownText(value)
  if (typeof value === 'number') return value.toLocaleString('en-US', { maximumFractionDigits: 3 })
  return shownText(JSON.stringify(value, jsonValue) ?? '-')
}

/** Nobody wants results. */
class SilentOutput extends Output {
  override async write(): Promise<void> {}
}
