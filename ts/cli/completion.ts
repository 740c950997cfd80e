import { type CommandSpec, type OptionSpec, optionsOf } from './spec'

export const SHELLS = ['bash', 'zsh', 'fish', 'powershell'] as const
export type Shell = (typeof SHELLS)[number]

/** Options whose value is a file. */
const takesFile = ({ value }: OptionSpec) => value === 'file'

/** What comes first: commands, and groups of them with their commands. */
function firstWords(commands: readonly CommandSpec[]): { word: string; about: string; seconds: { word: string; about: string }[] }[] {
  const words: { word: string; about: string; seconds: { word: string; about: string }[] }[] = []
  for (const { name, about } of commands) {
    const [word, second] = name.split(' ') as [string, string?]
    if (second === undefined) words.push({ word, about, seconds: [] })
    else {
      let group = words.find((one) => one.word === word)
      if (group === undefined) {
        group = { word, about: '', seconds: [] }
        words.push(group)
      }
      group.seconds.push({ word: second, about })
    }
  }
  for (const group of words) group.about ||= group.seconds.map(({ word }) => word).join(', ')
  return words
}

/** Arguments that can only be some words. */
function wordsOf({ takes = [] }: CommandSpec): readonly string[] {
  return takes.flatMap(({ choices = [] }) => choices)
}

/** A script that completes commands and options. */
export function completionOf(shell: Shell, commands: readonly CommandSpec[]): string {
  return { bash, zsh, fish, powershell }[shell](commands)
}

const flags = (command: CommandSpec) => [...optionsOf(command).map(({ name }) => `--${name}`), '--help'].join(' ')

function bash(commands: readonly CommandSpec[]): string {
  const first = firstWords(commands)
  const groups = first.filter(({ seconds }) => seconds.length > 0)
  const choices = commands.flatMap((command) =>
    optionsOf(command)
      .filter((option) => option.choices !== undefined)
      .map(({ name, choices = [] }) => `    "${command.name} --${name}") words="${choices.join(' ')}" ;;`),
  )
  const files = new Set(
    commands.flatMap((command) =>
      optionsOf(command)
        .filter(takesFile)
        .map(({ name }) => `--${name}`),
    ),
  )
  return `# sagastore completion for bash. Put it into ~/.bashrc: source <(sagastore completion bash)
_sagastore() {
  local cur="\${COMP_WORDS[COMP_CWORD]}" prev="\${COMP_WORDS[COMP_CWORD-1]}" command="\${COMP_WORDS[1]}" words=""
  case "$command" in
    ${groups.map(({ word }) => word).join('|')}) [ "$COMP_CWORD" -gt 2 ] && command="$command \${COMP_WORDS[2]}" ;;
  esac
  case "$prev" in
    ${[...files].join('|')}) COMPREPLY=($(compgen -f -- "$cur")); return ;;
  esac
  case "$command $prev" in
${choices.join('\n')}
  esac
  if [ -n "$words" ]; then COMPREPLY=($(compgen -W "$words" -- "$cur")); return; fi
  if [ "$COMP_CWORD" -eq 1 ]; then words="${[...first.map(({ word }) => word), 'help'].join(' ')}"; else
    case "$command" in
${groups.map(({ word, seconds }) => `      ${word}) words="${seconds.map((one) => one.word).join(' ')}" ;;`).join('\n')}
${commands.map((command) => `      "${command.name}") words="${[...wordsOf(command), flags(command)].join(' ')}" ;;`).join('\n')}
    esac
  fi
  COMPREPLY=($(compgen -W "$words" -- "$cur"))
}
complete -o default -F _sagastore sagastore
`
}

const quoted = (text: string) => `'${text.replaceAll("'", "'\\''")}'`

function zsh(commands: readonly CommandSpec[]): string {
  const first = firstWords(commands)
  const described = (words: readonly { word: string; about: string }[]) =>
    words.map(({ word, about }) => quoted(`${word}:${about}`)).join(' ')
  const specOf = ({ name, value, about, many, choices }: OptionSpec) => {
    const escaped = about.replace(/[[\]:\\]/g, '\\$&')
    const action = choices !== undefined ? `(${choices.join(' ')})` : value === 'file' ? '_files' : ' '
    return quoted(`${many ? '*' : ''}--${name}[${escaped}]${value === undefined ? '' : `:${value}:${action}`}`)
  }
  const argumentsOf = (command: CommandSpec) => {
    const words = wordsOf(command)
    return words.length > 0 ? quoted(`*:argument:(${words.join(' ')})`) : quoted('*:argument:_files')
  }
  return `#compdef sagastore
# sagastore completion for zsh. Put it into ~/.zshrc: source <(sagastore completion zsh)
_sagastore() {
  local -a words_here
  if (( CURRENT == 2 )); then
    words_here=(${described(first)})
    _describe command words_here
    return
  fi
  local command=$words[2]
  case $command in
${first
  .filter(({ seconds }) => seconds.length > 0)
  .map(
    ({ word, seconds }) => `    ${word})
      if (( CURRENT == 3 )); then
        words_here=(${described(seconds)})
        _describe command words_here
        return
      fi
      command="$command $words[3]" ;;`,
  )
  .join('\n')}
  esac
  case $command in
${commands.map((command) => `    ${quoted(command.name)}) _arguments ${[...optionsOf(command).map(specOf), argumentsOf(command)].join(' ')} ;;`).join('\n')}
  esac
}
if [ "$funcstack[1]" = "_sagastore" ]; then _sagastore "$@"; else compdef _sagastore sagastore; fi
`
}

function fish(commands: readonly CommandSpec[]): string {
  const first = firstWords(commands)
  const lines = [
    '# sagastore completion for fish. Put it there: sagastore completion fish > ~/.config/fish/completions/sagastore.fish',
    'complete -c sagastore -f',
  ]
  const at = (name: string) => {
    const [word, second] = name.split(' ')
    const seen = `__fish_seen_subcommand_from ${word}`
    return second === undefined ? seen : `${seen}; and __fish_seen_subcommand_from ${second}`
  }
  for (const { word, about, seconds } of first) {
    lines.push(`complete -c sagastore -n __fish_use_subcommand -a ${word} -d ${quoted(about)}`)
    const all = seconds.map((one) => one.word).join(' ')
    for (const second of seconds) {
      const condition = `__fish_seen_subcommand_from ${word}; and not __fish_seen_subcommand_from ${all}`
      lines.push(`complete -c sagastore -n ${quoted(condition)} -a ${second.word} -d ${quoted(second.about)}`)
    }
  }
  for (const command of commands) {
    const words = wordsOf(command)
    if (words.length > 0) lines.push(`complete -c sagastore -n ${quoted(at(command.name))} -a ${quoted(words.join(' '))}`)
    for (const { name, value, about, choices } of optionsOf(command)) {
      const taken =
        value === undefined ? '' : choices !== undefined ? ` -x -a ${quoted(choices.join(' '))}` : value === 'file' ? ' -r -F' : ' -x'
      lines.push(`complete -c sagastore -n ${quoted(at(command.name))} -l ${name}${taken} -d ${quoted(about)}`)
    }
  }
  return `${lines.join('\n')}\n`
}

function powershell(commands: readonly CommandSpec[]): string {
  const doubled = (text: string) => `'${text.replaceAll("'", "''")}'`
  const first = firstWords(commands)
  const list = (words: readonly { word: string; about: string }[]) =>
    words.map(({ word, about }) => `@{ Word = ${doubled(word)}; About = ${doubled(about)} }`).join(', ')
  const entries = commands.map((command) => {
    const options = optionsOf(command).map(({ name, about }) => ({ word: `--${name}`, about }))
    const words = wordsOf(command).map((word) => ({ word, about: word }))
    return `    ${doubled(command.name)} = @(${list([...words, ...options])})`
  })
  const groups = first.filter(({ seconds }) => seconds.length > 0).map(({ word, seconds }) => `    ${doubled(word)} = @(${list(seconds)})`)
  return `# sagastore completion for PowerShell. Put it into $PROFILE: sagastore completion powershell | Out-String | Invoke-Expression
Register-ArgumentCompleter -Native -CommandName sagastore -ScriptBlock {
  param($wordToComplete, $commandAst, $cursorPosition)
  $known = @{
    '' = @(${list(first)})
${[...groups, ...entries].join('\n')}
  }
  $typed = @($commandAst.CommandElements | Select-Object -Skip 1 | ForEach-Object { $_.ToString() })
  if ($wordToComplete -ne '' -and $typed.Count -gt 0) { $typed = @($typed | Select-Object -SkipLast 1) }
  $command = ''
  if ($typed.Count -gt 0 -and $known.ContainsKey($typed[0])) { $command = $typed[0] }
  if ($typed.Count -gt 1 -and $known.ContainsKey("$($typed[0]) $($typed[1])")) { $command = "$($typed[0]) $($typed[1])" }
  $known[$command] | Where-Object { $_.Word -like "$wordToComplete*" } | ForEach-Object {
    [System.Management.Automation.CompletionResult]::new($_.Word, $_.Word, 'ParameterValue', $_.About)
  }
}
`
}
