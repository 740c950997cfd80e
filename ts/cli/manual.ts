import { COMMON_OPTIONS, type CommandSpec, type OptionSpec, optionsOf, STORE_OPTIONS, TARGET_OPTIONS, usageOf } from './spec'

/** Text as troff takes it. */
function escaped(text: string): string {
  return text
    .replaceAll('\\', '\\e')
    .replaceAll('-', '\\-')
    .replace(/^([.'])/gm, '\\&$1')
    .replaceAll('"', '\\(dq')
}

function optionLines(options: readonly OptionSpec[]): string[] {
  return options.flatMap(({ name, value, about }) => [
    '.TP',
    `\\fB\\-\\-${escaped(name)}\\fR${value === undefined ? '' : ` \\fI${escaped(value)}\\fR`}`,
    escaped(about),
  ])
}

/** Options that are told once, for all commands. */
const SHARED = new Set([...STORE_OPTIONS, ...TARGET_OPTIONS, ...COMMON_OPTIONS].map(({ name }) => name).concat('json', 'yes'))

/** The manual page of the command line, in section 1. */
export function manualOf(commands: readonly CommandSpec[], version: string, summary: string): string {
  const lines = [
    '.\\" Generated from ts/cli/ by `npm run build:ts`. Do not edit.',
    `.TH SAGASTORE 1 "" "sagastore ${escaped(version)}" "User Commands"`,
    '.SH NAME',
    'sagastore \\- look into stores of sagas, move and mend what is in them',
    '.SH SYNOPSIS',
    '.B sagastore',
    '\\fIcommand\\fR [\\fIURL\\fR] [\\fIoption\\fR ...] [\\fIargument\\fR ...]',
    '.SH DESCRIPTION',
    escaped(summary),
    '.PP',
    escaped(
      'The URL comes first among the arguments. It may also stand in SAGASTORE_URL, or in a file (--url-file): a password in an argument can be seen by others. With --url-file no argument is taken for a URL.',
    ),
    '.PP',
    escaped(
      'Durations are 500ms, 30s, 15m, 2h, 7d, also 1h30m. Sizes are 65536, 64k, 10M, 1G. Times are ISO 8601, such as 2026-12-31T23:00:00Z.',
    ),
    '.SH OPTIONS OF ALL COMMANDS',
    ...optionLines([
      ...STORE_OPTIONS,
      { name: 'json', about: 'print JSON and nothing else; lists have one record a line. Bytes are {"base64": "..."}' },
      { name: 'yes', about: 'do not ask: for what destroys something' },
      ...COMMON_OPTIONS,
    ]),
    '.SH COMMANDS',
  ]
  for (const command of commands) {
    const { name, about, more, takes = [], examples } = command
    lines.push(`.SS ${escaped(`${name} ${usageOf(command)}`.trim())}`, `${escaped(about[0]?.toUpperCase() + about.slice(1))}.`)
    if (more !== undefined) lines.push('.PP', escaped(more))
    for (const argument of takes) lines.push('.TP', `\\fI${escaped(argument.name)}\\fR`, escaped(argument.about))
    lines.push(...optionLines(optionsOf(command).filter((option) => !SHARED.has(option.name) || command.options?.includes(option))))
    lines.push(...(command.urls > 1 ? optionLines(TARGET_OPTIONS) : []))
    for (const { line, does } of examples) {
      lines.push(
        '.PP',
        `${escaped(does[0]?.toUpperCase() + does.slice(1))}:`,
        '.PP',
        '.RS 4',
        '.nf',
        escaped(`sagastore ${line}`),
        '.fi',
        '.RE',
      )
    }
  }
  lines.push(
    '.SH EXIT STATUS',
    ...[
      ['0', 'It is done. A reader that closes the pipe is no failure.'],
      ['1', 'It failed.'],
      ['2', 'Wrong use: the message says what is wrong.'],
      ['3', 'It is done, with failures or differences; the doctor has found something.'],
      ['4', 'The server cannot be reached, or has not answered in time.'],
      ['130', 'Ctrl-C.'],
    ].flatMap(([code, text]) => ['.TP', `.B ${code}`, escaped(text as string)]),
    '.SH ENVIRONMENT',
    ...[
      ['SAGASTORE_URL', 'The URL, where no argument and no --url-file names one.'],
      ['SAGASTORE_TARGET_URL', 'The same for the target of transfer and verify.'],
      ['SAGASTORE_LOG', 'debug, info, warn or error: log operations to stderr.'],
      ['NO_COLOR', 'No colours, if it is not empty.'],
    ].flatMap(([name, text]) => ['.TP', `.B ${name}`, escaped(text as string)]),
  )
  return `${lines.join('\n')}\n`
}

/** The table of commands in docs/cli.md. */
export function referenceOf(commands: readonly CommandSpec[]): string {
  const rows = commands.map((command) => {
    const usage = usageOf(command)
      .replace(/^\[URL\] ?/, '')
      .replaceAll('|', '\\|')
    const own = (command.options ?? []).map(({ name }) => `\`--${name}\``).join(' ')
    return `| \`${command.name}${usage === '' ? '' : ` ${usage}`}\` | ${command.about} | ${own} | ${command.asks ? 'yes' : ''} |`
  })
  return ['| command | what it does | options of its own | asks |', '|---|---|---|---|', ...rows].join('\n')
}
