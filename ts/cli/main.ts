import type { SagaStore } from '../index'
import { initCommand, wantsInit, withoutCalls } from './advice'
import { ask } from './ask'
import { exitOf, messageOf } from './failures'
import { Given } from './given'
import { NobodyReads, Output } from './output'
import { parse, Shown } from './program'
import { type CommandSpec, EXIT, type Exit, type Run, WrongUse } from './spec'
import { openStore, type Side } from './stores'

/** How long connections may take to be let go of, once the result is there. */
const CLOSE_MS = 2_000

/** Runs a command line; answers how the process ends. */
export async function main(args: readonly string[], version: string): Promise<number> {
  // Of the help as well.
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE' && error.code !== 'EOF') throw error
  })
  let parsed: ReturnType<typeof parse>
  try {
    parsed = parse(args, version)
  } catch (error) {
    if (error instanceof Shown) return EXIT.done
    if (!(error instanceof WrongUse)) throw error
    return complain(error)
  }
  const { command, options, positionals } = parsed
  const isOn = (name: string) => options.get(name) === true
  const out = new Output({ json: isOn('json'), quiet: isOn('quiet'), color: options.get('color') !== false })
  let given: Given
  try {
    given = Given.of(command, options, positionals)
  } catch (error) {
    if (error instanceof WrongUse) return complain(error, command)
    throw error
  }
  return await execute(command, given, out)
}

async function execute(command: CommandSpec, given: Given, out: Output): Promise<number> {
  const stop = new AbortController()
  const interrupted = { by: undefined as NodeJS.Signals | undefined }
  const onSignal = (signal: NodeJS.Signals) => {
    const code = signal === 'SIGINT' ? EXIT.interrupted : 143
    // The second one does not wait for anything.
    if (!command.stops || interrupted.by !== undefined) process.exit(code)
    interrupted.by = signal
    stop.abort()
  }
  process.on('SIGINT', onSignal)
  process.on('SIGTERM', onSignal)
  const stores = new Map<SagaStore, Side>()
  const open = (side: Side, onWarning = (text: string) => out.warn(text)) => {
    const store = openStore(given, side, onWarning)
    stores.set(store, side)
    return store
  }
  const initOf = (side: Side) => {
    const [store] = [...stores].find(([, other]) => other === side) ?? []
    return initCommand(given, side, store)
  }
  const tell = (what: string, error: unknown) => {
    const message = messageOf(error)
    process.stderr.write(`${out.styleOf(process.stderr, 'red', what)} ${withoutCalls(message)}\n`)
    if (!wantsInit(message)) return
    const commands = [...stores.values()].map((side) => `\`${initOf(side)}\``)
    process.stderr.write(`Run ${commands.join(' or ')}.\n`)
  }
  const run: Run = {
    command,
    given,
    out,
    signal: stop.signal,
    open: (onWarning) => open('source', onWarning),
    openTarget: () => open('target'),
    tell,
    initCommand: initOf,
    ask: (question) => ask(question, given.flag('yes'), stop.signal),
  }
  let exit: Exit | 143
  try {
    exit = (await command.run(run)) ?? EXIT.done
  } catch (error) {
    if (error instanceof NobodyReads || out.isClosed) exit = EXIT.done
    else if (error instanceof WrongUse) exit = complain(error, command)
    else {
      tell('error:', error)
      exit = exitOf(error)
    }
  }
  await close([...stores.keys()])
  process.off('SIGINT', onSignal)
  process.off('SIGTERM', onSignal)
  if (interrupted.by === undefined) return exit
  return interrupted.by === 'SIGTERM' ? 143 : EXIT.interrupted
}

/** A server that does not answer does not keep the process. */
async function close(stores: readonly SagaStore[]): Promise<void> {
  const closed = Promise.allSettled(stores.map((store) => store.close()))
  let timer: NodeJS.Timeout | undefined
  const late = new Promise((resolve) => {
    timer = setTimeout(resolve, CLOSE_MS)
  })
  await Promise.race([closed, late])
  clearTimeout(timer)
}

function complain(error: WrongUse, command?: CommandSpec): typeof EXIT.wrongUse {
  if (error.message !== '') {
    const help = command === undefined ? 'sagastore --help' : `sagastore ${command.name} --help`
    process.stderr.write(`error: ${error.message}\nTry \`${help}\`.\n`)
  }
  return EXIT.wrongUse
}
