import { spawn } from 'node:child_process'
import { join } from 'node:path'

/** The repository. */
export const root = join(import.meta.dirname, '..', '..')

/** The package's entry, for programs that run as a process of their own. */
export const entry = join(root, 'index.js')

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
