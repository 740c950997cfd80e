import { inspect } from 'node:util'
import type { SagaStore } from '../index'
import type { Given } from './given'
import type { Side } from './stores'

/** What the store's messages tell a program to do. */
const CALL = /:? call initialize\(\)(?: first| again)?/g

/** Whether a text says that tables are to be made. */
export function wantsInit(text: string): boolean {
  return text.search(CALL) >= 0
}

/** A message for people who type commands: what a program should call is left out, or named as a command. */
export function withoutCalls(text: string): string {
  return text.replace(CALL, '').replaceAll('initialize()', '`sagastore init`')
}

/** A message that says the command once, however many tables are missing. */
export function advised(text: string, command: string): string {
  return wantsInit(text) ? `${withoutCalls(text)}: run \`${command}\`` : withoutCalls(text)
}

/** The command line that makes the tables of this store. A URL from the environment is there the next time as well; a password is not shown. */
export function initCommand(given: Given, side: Side, store: SagaStore | undefined): string {
  const prefix = side === 'source' ? '' : 'target-'
  const words = ['npx', 'sagastore', 'init']
  const file = given.text(`${prefix}url-file`)
  if (given.urls[side === 'source' ? 0 : 1] !== undefined) words.push(quoted(shownUrlOf(store)))
  else if (file !== undefined) words.push('--url-file', quoted(file))
  else if (side === 'target') words.push('"$SAGASTORE_TARGET_URL"')
  for (const name of ['namespace', 'options-file']) {
    const value = given.text(`${prefix}${name}`)
    if (value !== undefined) words.push(`--${name}`, quoted(value))
  }
  for (const option of given.texts(`${prefix}option`)) words.push('--option', quoted(withoutSecret(option)))
  return words.join(' ')
}

function shownUrlOf(store: SagaStore | undefined): string {
  return /url: '(.*)'/.exec(inspect(store))?.[1] ?? '<URL>'
}

/** `credentials={"secretAccessKey":…}` is for the store alone. */
function withoutSecret(option: string): string {
  return /secret|token|password|credentials/i.test(option) ? option.replace(/=.*$/s, '=***') : option
}

function quoted(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`
}
