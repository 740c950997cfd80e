import { doctors } from './commands/doctor'
import { executions } from './commands/executions'
import { inspecting } from './commands/inspect'
import { moving } from './commands/moving'
import { outbox } from './commands/outbox'
import { payloads } from './commands/payloads'
import { setup } from './commands/setup'
import { shellCommands } from './commands/shell'
import { states } from './commands/states'
import type { CommandSpec } from './spec'

export const SUMMARY = 'Looks into stores of sagas, moves and mends what is in them.'

/** All commands, in the order of the help. Help, completion, the man page and docs/cli.md are made from it. */
export const COMMANDS: readonly CommandSpec[] = [
  ...setup.filter(({ name }) => name === 'init' || name === 'schema'),
  ...doctors,
  ...setup.filter(({ name }) => name === 'health' || name === 'stats'),
  ...payloads,
  ...inspecting,
  ...setup.filter(({ name }) => name === 'cleanup'),
  ...moving,
  ...states,
  ...executions,
  ...outbox,
  ...shellCommands(() => ({ commands: COMMANDS, summary: SUMMARY })),
]
