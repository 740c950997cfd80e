import type { SagaStore } from '../index'
import type { Given } from './given'
import type { Output } from './output'
import type { Side } from './stores'

/** How the process ends. */
export const EXIT = {
  done: 0,
  failed: 1,
  wrongUse: 2,
  /** It is done, and something failed or differs. */
  differs: 3,
  unreachable: 4,
  interrupted: 130,
} as const

export type Exit = (typeof EXIT)[keyof typeof EXIT]

/** What an option's text has to be. */
export type OptionKind = 'text' | 'whole' | 'duration' | 'date' | 'bytes'

/** An option of a command. */
export interface OptionSpec {
  /** Such as `expires-in`. */
  name: string
  /** What stands for its value in the help; none: it is a flag. */
  value?: string
  /** Default `text`. */
  kind?: OptionKind
  /** It may be given several times. */
  many?: true
  choices?: readonly string[]
  about: string
}

/** An argument behind the URL. */
export interface ArgumentSpec {
  name: string
  about: string
  optional?: true
  many?: true
  choices?: readonly string[]
}

export interface Example {
  /** What is typed behind `sagastore`. */
  line: string
  does: string
}

/** What a command has of its own while it runs. */
export interface Run {
  readonly command: CommandSpec
  readonly given: Given
  readonly out: Output
  /** Ends with Ctrl-C, and when nobody reads the output any more. */
  readonly signal: AbortSignal
  /** The store of the URL. Its warnings are printed, unless somebody else is told them. It is closed at the end. */
  open(onWarning?: (text: string) => void): SagaStore
  /** The store of the second URL. */
  openTarget(): SagaStore
  /** Says on stderr what has failed, and which command mends it. `what` is such as `error:`. */
  tell(what: string, error: unknown): void
  /** The command line that makes the tables of a store that is open. */
  initCommand(side: Side): string
  /** Goes on after a yes, or with `--yes`. */
  ask(question: string): Promise<void>
}

/** A command: help, completion, the man page and the documents are made from it. */
export interface CommandSpec {
  /** Such as `outbox dead`. */
  name: string
  /** One line, without a full stop. */
  about: string
  /** What else is to be known. */
  more?: string
  /** How many URLs come first. */
  urls: 0 | 1 | 2
  takes?: readonly ArgumentSpec[]
  options?: readonly OptionSpec[]
  /** What `--json` prints: one value, or a value a line. Without it there is no `--json`. */
  json?: 'value' | 'lines'
  /** It asks before it does something, and has `--yes`. */
  asks?: true
  /** It ends by itself after Ctrl-C, and says how to go on. */
  stops?: true
  examples: readonly [Example, ...Example[]]
  run(run: Run): Promise<Exit | undefined> | Promise<void>
}

/** Options of all commands that open a store. */
export const STORE_OPTIONS: readonly OptionSpec[] = [
  { name: 'url-file', value: 'file', about: 'read the URL from a file: a password in an argument can be seen by others' },
  { name: 'namespace', value: 'name', about: "the store's option namespace" },
  {
    name: 'option',
    value: 'name=value',
    many: true,
    about: 'any other option of the store, such as tableName=claims; a part is outbox.maxRetries=5',
  },
  { name: 'options-file', value: 'file', about: 'read options of the store from a JSON file' },
  { name: 'timeout', value: 'duration', kind: 'duration', about: 'how long one operation may take (default 30s)' },
]

/** The same for the second store of a command that has two. */
export const TARGET_OPTIONS: readonly OptionSpec[] = [
  { name: 'target-url-file', value: 'file', about: "read the target's URL from a file" },
  { name: 'target-namespace', value: 'name', about: "the target's option namespace" },
  { name: 'target-option', value: 'name=value', many: true, about: 'any other option of the target' },
  { name: 'target-options-file', value: 'file', about: 'read options of the target from a JSON file' },
]

const JSON_OPTIONS: Record<'value' | 'lines', OptionSpec> = {
  value: { name: 'json', about: 'print JSON and nothing else' },
  lines: { name: 'json', about: 'print JSON and nothing else, one record a line' },
}

/** Options of all commands. */
export const COMMON_OPTIONS: readonly OptionSpec[] = [
  { name: 'quiet', about: 'no progress, no remarks' },
  { name: 'no-color', about: 'no colours; the variable NO_COLOR does the same' },
]

/** All options of a command, in the order of its help. */
export function optionsOf(command: CommandSpec): readonly OptionSpec[] {
  return [
    ...(command.options ?? []),
    ...(command.asks ? [{ name: 'yes', about: 'do not ask' }] : []),
    ...(command.urls > 0 ? STORE_OPTIONS : []),
    ...(command.urls > 1 ? TARGET_OPTIONS : []),
    ...(command.json === undefined ? [] : [JSON_OPTIONS[command.json]]),
    ...COMMON_OPTIONS,
  ]
}

/** The arguments of a command, as its usage shows them. */
export function usageOf({ urls, takes = [] }: CommandSpec): string {
  const given = takes.map(({ name, optional, many }) => {
    const shown = many ? `${name}...` : name
    return optional ? `[${shown}]` : `<${shown}>`
  })
  return [...['[URL]', '[TARGET]'].slice(0, urls), ...given].join(' ')
}

/** The command line is not one. Ends with 2. */
export class WrongUse extends Error {}

/** Something that is told without a stack. Ends with 1, or with what is given. */
export class Told extends Error {
  readonly exit: Exit

  constructor(message: string, exit: Exit = EXIT.failed) {
    super(message)
    this.exit = exit
  }
}
