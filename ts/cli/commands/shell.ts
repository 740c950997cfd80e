import { version } from '../../../package.json'
import { completionOf, SHELLS, type Shell } from '../completion'
import { manualOf, referenceOf } from '../manual'
import type { CommandSpec } from '../spec'

/** These are about the command line itself: they are given all commands, their own among them. */
export function shellCommands(all: () => { commands: readonly CommandSpec[]; summary: string }): readonly CommandSpec[] {
  return [
    {
      name: 'completion',
      about: 'print a script that completes commands and options in a shell',
      urls: 0,
      takes: [{ name: 'shell', about: SHELLS.join(', '), choices: SHELLS }],
      examples: [
        { line: 'completion bash > /etc/bash_completion.d/sagastore', does: 'for all users of bash' },
        { line: 'completion fish > ~/.config/fish/completions/sagastore.fish', does: 'for fish' },
      ],
      run: async ({ given, out }) => await out.write(completionOf(given.argument('shell') as Shell, all().commands)),
    },
    {
      name: 'man',
      about: 'print the manual page',
      urls: 0,
      examples: [{ line: 'man | man -l -', does: 'read it' }],
      options: [{ name: 'table', about: 'the table of commands as Markdown instead, as it stands in docs/cli.md' }],
      async run({ out, given }) {
        const { commands, summary } = all()
        await out.write(given.flag('table') ? `${referenceOf(commands)}\n` : manualOf(commands, version, summary))
      },
    },
  ]
}
