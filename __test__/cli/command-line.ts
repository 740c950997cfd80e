import { spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import Ajv from 'ajv'
import { expect } from 'vitest'
import { root } from '../support/programs'

export const cli = join(root, 'cli.js')

interface HowToRun {
  /** On stdin; without it stdin is empty. */
  input?: string | Buffer
  env?: Record<string, string>
  cwd?: string
  /** The user of the operating system that it runs as. */
  uid?: number
}

export interface Ended {
  code: number | null
  signal: string | null
  stdout: string
  bytes: Buffer
  stderr: string
}

/** The environment of a test's command line: nothing of the URLs of whoever runs the tests. */
export function environment(env: Record<string, string> = {}): NodeJS.ProcessEnv {
  const { SAGASTORE_URL, SAGASTORE_TARGET_URL, SAGASTORE_LOG, NO_COLOR, NODE_OPTIONS, ...rest } = process.env
  return { ...rest, ...env }
}

/** Runs the command line as a process of its own, without a terminal. */
export function sagastore(args: readonly string[], { input = '', env = {}, cwd, uid }: HowToRun = {}): Promise<Ended> {
  const child = spawn(process.execPath, [cli, ...args], { env: environment(env), cwd, uid, stdio: 'pipe' })
  const stdout: Buffer[] = []
  let stderr = ''
  child.stdout.on('data', (part: Buffer) => stdout.push(part))
  child.stderr.setEncoding('utf8').on('data', (part: string) => {
    stderr += part
  })
  child.stdin.on('error', () => undefined)
  child.stdin.end(input)
  return new Promise((resolve, reject) => {
    child.on('error', reject)
    child.on('close', (code, signal) => {
      const bytes = Buffer.concat(stdout)
      resolve({ code, signal, bytes, stdout: bytes.toString(), stderr })
    })
  })
}

/** Runs it; it must end with 0 and say nothing on stderr. */
export async function done(args: readonly string[], how?: HowToRun): Promise<string> {
  const { code, stdout, stderr } = await sagastore(args, how)
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
  return stdout
}

const schema = JSON.parse(readFileSync(join(root, 'docs', 'cli-schema.json'), 'utf8'))
const ajv = new Ajv({ allErrors: true, allowUnionTypes: true }).addSchema(schema, 'cli')

/** The values that `--json` has printed; each one fits the schema of the command. */
export function valuesOf(command: string, printed: string): unknown[] {
  const validate = ajv.getSchema(`cli#/definitions/${encodeURIComponent(command)}`)
  if (validate === undefined) throw new Error(`docs/cli-schema.json has nothing for '${command}'`)
  const values = printed === '' ? [] : printed.trimEnd().split('\n').map((line) => JSON.parse(line) as unknown) // biome-ignore format: short
  for (const value of values) {
    validate(value)
    expect(validate.errors ?? [], JSON.stringify(value)).toEqual([])
  }
  return values
}

/** What the command prints with `--json`, checked: the values and the exit code. */
export async function json(args: readonly string[], how?: HowToRun): Promise<{ code: number | null; values: unknown[]; stderr: string }> {
  const { code, stdout, stderr } = await sagastore([...args, '--json'], how)
  const words = args.filter((word) => /^[a-z-]+$/.test(word) && !word.startsWith('-'))
  const command = ['states', 'executions', 'outbox'].includes(words[0] as string) ? `${words[0]} ${words[1]}` : (words[0] as string)
  return { code, values: valuesOf(command, stdout), stderr }
}

interface Terminal {
  columns?: number
  env?: Record<string, string>
  /** What is typed once this has been shown. */
  answers?: readonly { after: string; type: string }[]
}

const PTY = `
import os, pty, select, sys, json, time, fcntl, struct, termios
how = json.loads(sys.argv[1])
pid, fd = pty.fork()
if pid == 0:
    os.environ.update(how['env'])
    os.execvp(how['argv'][0], how['argv'])
fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack('HHHH', 24, how['columns'], 0, 0))
seen = b''
from_here = 0
answers = how['answers']
while True:
    ready, _, _ = select.select([fd], [], [], 30)
    if not ready: os.kill(pid, 9); break
    try: part = os.read(fd, 65536)
    except OSError: break
    if not part: break
    seen += part
    while answers and answers[0]['after'].encode() in seen[from_here:]:
        from_here = len(seen)
        os.write(fd, answers[0]['type'].encode())
        answers = answers[1:]
_, status = os.waitpid(pid, 0)
sys.stdout.buffer.write(seen)
sys.exit(os.waitstatus_to_exitcode(status) & 255)
`

/** Runs it on a pseudo-terminal: stdin, stdout and stderr are one. */
export function onTerminal(args: readonly string[], { columns = 100, env = {}, answers = [] }: Terminal = {}): Promise<Ended> {
  const how = { argv: [process.execPath, cli, ...args], columns, env: { TERM: 'xterm', ...env }, answers }
  const child = spawn('python3', ['-c', PTY, JSON.stringify(how)], { env: environment() })
  const stdout: Buffer[] = []
  let stderr = ''
  child.stdout.on('data', (part: Buffer) => stdout.push(part))
  child.stderr.on('data', (part) => {
    stderr += part
  })
  return new Promise((resolve, reject) => {
    child.on('error', reject)
    child.on('close', (code, signal) => {
      const bytes = Buffer.concat(stdout)
      resolve({ code, signal, bytes, stdout: bytes.toString(), stderr })
    })
  })
}
