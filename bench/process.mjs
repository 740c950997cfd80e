import { fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'

const TRIAL = fileURLToPath(new URL('trial.mjs', import.meta.url))
const GRACE_MS = 60_000

/**
 * Runs one task in a process of its own.
 *
 * @param {import('./trial.mjs').Task | import('./states/trial.mjs').Task | import('./executions/trial.mjs').Task | import('./outbox/trial.mjs').Task} task
 * @param {string} label for errors
 * @param {string} [program] another one than that of payloads
 * @returns {Promise<any>} what the trial answered
 */
export function runTrial(task, label, program = TRIAL) {
  return new Promise((resolve, reject) => {
    const child = fork(program, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] })
    /** @type {{ result?: unknown, error?: string } | undefined} */
    let answer
    // Ten times the measured time is what `measure` may take by itself.
    const limit = ('limitMs' in task && task.limitMs) || GRACE_MS + (task.pace.warmup + task.pace.seconds * 10) * 1000
    const timer = setTimeout(() => child.kill('SIGKILL'), limit)
    child.once('message', (/** @type {any} */ message) => {
      answer = message
    })
    child.once('error', reject)
    child.once('exit', (code, signal) => {
      clearTimeout(timer)
      if (answer?.error !== undefined) reject(new Error(`${label}: ${answer.error}`))
      else if (answer === undefined || signal !== null || code !== 0) {
        reject(new Error(`${label}: its process ended with ${signal ?? `exit code ${code}`}${answer ? ' after it had answered' : ''}`))
      } else resolve(answer.result)
    })
    child.send(task)
  })
}
