import { spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { fileURLToPath } from 'node:url'
import { SagaStoreError } from '../index.js'

/** The package's entry, for programs that run as a process of their own. */
export const entry = fileURLToPath(new URL('../index.js', import.meta.url))

/** A port on which nobody listens. */
export async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening))
  const { port } = server.address() as { port: number }
  await new Promise((closed) => server.close(closed))
  return port
}

interface ProgramOptions {
  uid?: number
  env?: Record<string, string>
  /** Another Node.js than this one. */
  node?: string
  /** false: the program loads the addon by itself, or not at all. */
  loads?: boolean
}

/** A Node.js process that runs `program` (CommonJS; `sagastore`, unless it `loads` nothing, and `args` are defined). */
export function startProgram(program: string, args: unknown = {}, options: ProgramOptions = {}) {
  const loads = options.loads === false ? '' : `const sagastore = require(${JSON.stringify(entry)});`
  const prelude = `${loads} const args = ${JSON.stringify(args)};`
  const child = spawn(
    options.node ?? process.execPath,
    ['-e', `${prelude}\n(async () => {${program}})().catch((e) => { console.error(e); process.exit(1) })`],
    {
      stdio: ['ignore', 'pipe', 'pipe'],
      uid: options.uid,
      env: { ...process.env, ...options.env },
    },
  )
  let stdout = ''
  let stderr = ''
  child.stdout.setEncoding('utf8').on('data', (text) => {
    stdout += text
  })
  child.stderr.setEncoding('utf8').on('data', (text) => {
    stderr += text
  })
  const done = new Promise<{ code: number | null; signal: string | null; stdout: string; stderr: string }>((resolve) => {
    child.on('close', (code, signal) => resolve({ code, signal, stdout, stderr }))
  })
  return { child, done, output: () => stdout }
}

/** Runs `program` to its end; what it printed. */
export async function runProgram(program: string, args: unknown = {}, options: ProgramOptions = {}): Promise<string> {
  const { code, signal, stdout, stderr } = await startProgram(program, args, options).done
  if (code !== 0) throw new Error(`the program ended with ${code ?? signal}: ${stderr}${stdout}`)
  return stdout
}

/** Calls `check` until it answers true. */
export async function eventually(what: string, check: () => Promise<boolean> | boolean, withinMs = 10_000): Promise<void> {
  const deadline = performance.now() + withinMs
  while (!(await check())) {
    if (performance.now() > deadline) throw new Error(`within ${withinMs} ms it never came true: ${what}`)
    await new Promise((resume) => setTimeout(resume, 50))
  }
}

/** Established connections of all processes to a port of 127.0.0.1. Linux tells. */
export function connectionsTo(port: number): number {
  const remote = `0100007F:${port.toString(16).toUpperCase().padStart(4, '0')}`
  const lines = readFileSync('/proc/net/tcp', 'utf8').split('\n')
  return lines.map((line) => line.trim().split(/\s+/)).filter(([, , to, state]) => to === remote && state === '01').length
}

/** The error that `call` is rejected with. */
export function rejectionOf(call: Promise<unknown>): Promise<SagaStoreError> {
  return call.then(
    () => {
      throw new Error('it succeeded')
    },
    (error) => {
      if (!(error instanceof SagaStoreError)) throw error
      return error
    },
  )
}
