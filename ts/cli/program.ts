import { Command, CommanderError, Option } from 'commander'
import { type CommandSpec, type OptionSpec, optionsOf, usageOf, WrongUse } from './spec'
import { COMMANDS, SUMMARY } from './table'

/** A command line that has been read. */
export interface Parsed {
  command: CommandSpec
  options: ReadonlyMap<string, unknown>
  positionals: readonly string[]
}

/** The help was shown, or the version. */
export class Shown extends Error {}

/** Groups of commands, as `outbox`. */
const GROUPS: Record<string, string> = {
  states: 'look at the state of sagas',
  executions: 'look at executions, and bring parked ones back',
  outbox: 'look at events, requeue and discard dead letters',
}

export const EPILOG = `The URL comes first: sqlite:orders.db, postgres://app@db/orders, redis://cache:6379, mongodb://db/orders,
dynamodb://eu-west-1/table. A password in an argument can be seen by others: put the URL into SAGASTORE_URL,
or into a file for --url-file.

Exit codes: 0 done, 1 failed, 2 wrong use, 3 done with failures or differences, 4 not reachable, 130 Ctrl-C.`

/** Reads a command line. Throws `Shown` after help, `WrongUse` if it is none. */
export function parse(args: readonly string[], version: string): Parsed {
  const found: { parsed?: Parsed } = {}
  const program = programOf(version, (parsed) => {
    found.parsed = parsed
  })
  try {
    program.parse(args, { from: 'user' })
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error
    if (error.exitCode === 0) throw new Shown()
    // A group or the program without a command has shown its help on stderr.
    throw new WrongUse(error.code === 'commander.help' ? '' : error.message.replace(/^error: /, ''))
  }
  if (found.parsed === undefined) throw new WrongUse('')
  return found.parsed
}

function programOf(version: string, run: (parsed: Parsed) => void): Command {
  const program = new Command('sagastore')
  settle(program)
  program
    .usage('<command> [URL]')
    .description(SUMMARY)
    .version(version, '-V, --version', 'print the version')
    .addHelpText('after', `\n${EPILOG}`)
  program.helpCommand('help [command]', 'show the help of a command')
  const groups = new Map<string, Command>()
  for (const spec of COMMANDS) {
    const words = spec.name.split(' ')
    const [group] = words
    let parent = program
    if (words.length === 2 && group !== undefined) {
      parent =
        groups.get(group) ??
        settle(program.command(group))
          .description(GROUPS[group] ?? '')
          .usage('<command> [URL]')
      groups.set(group, parent)
    }
    add(parent, spec, words.at(-1) as string, run)
  }
  return program
}

function add(parent: Command, spec: CommandSpec, name: string, run: (parsed: Parsed) => void): void {
  const command = settle(parent.command(name))
  const usage = usageOf(spec)
  command.summary(spec.about).description(`${sentence(spec.about)}${spec.more === undefined ? '' : `\n\n${spec.more}`}`)
  command.usage(`[options]${usage === '' ? '' : ` ${usage}`}`).argument('[arguments...]')
  for (const option of optionsOf(spec)) command.addOption(optionOf(option))
  command.addHelpText('after', () => `${argumentsOf(spec)}\nExamples:\n${examplesOf(spec)}`)
  command.action((positionals: string[], given: Record<string, unknown>) => {
    run({ command: spec, options: new Map(Object.entries(given).map(([key, value]) => [dashed(key), value])), positionals })
  })
}

function settle(command: Command): Command {
  return (
    command
      .exitOverride()
      .allowExcessArguments(true)
      .showSuggestionAfterError(true)
      .configureHelp({
        visibleArguments: () => [],
        subcommandTerm: (sub) => `${sub.name()}`,
        helpWidth: Math.min(process.stdout.columns ?? 100, 110),
      })
      // What is wrong is told by whoever catches it.
      .configureOutput({ outputError: () => undefined })
  )
}

function optionOf({ name, value, many, about }: OptionSpec): Option {
  // `--no-color` would be an option `color` that is on.
  if (name === 'no-color') return new Option('--no-color', about)
  const option = new Option(value === undefined ? `--${name}` : `--${name} <${value}>`, about)
  return many ? option.argParser((text: string, before: unknown) => [...(Array.isArray(before) ? before : []), text]) : option
}

function argumentsOf({ takes = [] }: CommandSpec): string {
  if (takes.length === 0) return ''
  const width = Math.max(...takes.map(({ name }) => name.length))
  return `\nArguments:\n${takes.map(({ name, about }) => `  ${name.padEnd(width)}  ${about}\n`).join('')}`
}

function examplesOf({ examples }: CommandSpec): string {
  return examples.map(({ line, does }) => `  # ${does}\n  sagastore ${line}`).join('\n')
}

function sentence(about: string): string {
  return `${about[0]?.toUpperCase()}${about.slice(1)}.`
}

function dashed(key: string): string {
  return key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)
}
