import { spawnSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'

const LINUX = process.platform === 'linux'

/**
 * What tells one process from a later one with the same pid: its start time, and on Linux the boot,
 * because start times there count from boot. Undefined when no such process runs; a zombie does not run.
 *
 * @param {number} pid
 * @returns {string | undefined}
 */
export function identify(pid) {
  if (LINUX) {
    const stat = readStat(pid)
    return stat && !stat.dead ? `${bootId()}/${stat.startTime}` : undefined
  }
  const ps = spawnSync('ps', ['-o', 'stat=,lstart=', '-p', String(pid)], { encoding: 'utf8', env: { ...process.env, LC_ALL: 'C' } })
  const [, state, started] = /^\s*(\S+)\s+(.+?)\s*$/.exec(ps.stdout ?? '') ?? []
  return state && !state.startsWith('Z') ? started : undefined
}

/**
 * @param {number} pid
 * @param {NodeJS.Signals} signal
 * @returns {boolean} false when there was no such process
 */
export function send(pid, signal) {
  try {
    return process.kill(pid, signal)
  } catch (error) {
    if (/** @type {NodeJS.ErrnoException} */ (error).code === 'ESRCH') return false
    throw error
  }
}

/**
 * The children of a process, theirs, and so on. PostgreSQL runs one process per connection, each in
 * a session of its own, so a process group does not reach them.
 *
 * @param {number} pid
 * @returns {number[]}
 */
export function descendants(pid) {
  /** @type {Map<number, number[]>} */
  const children = new Map()
  for (const [child, parent] of everyParent()) {
    children.set(parent, [...(children.get(parent) ?? []), child])
  }
  const found = []
  for (let queue = children.get(pid) ?? []; queue.length > 0; ) {
    found.push(...queue)
    queue = queue.flatMap((child) => children.get(child) ?? [])
  }
  return found
}

/** @returns {Array<[pid: number, parent: number]>} */
function everyParent() {
  if (LINUX) {
    return readdirSync('/proc')
      .filter((name) => /^\d+$/.test(name))
      .flatMap((name) => {
        const stat = readStat(Number(name))
        return stat && !stat.dead ? [/** @type {[number, number]} */ ([Number(name), stat.parent])] : []
      })
  }
  const ps = spawnSync('ps', ['-A', '-o', 'pid=,ppid='], { encoding: 'utf8' })
  return (ps.stdout ?? '')
    .trim()
    .split('\n')
    .map((line) => /** @type {[number, number]} */ (line.trim().split(/\s+/).map(Number)))
}

/** @param {number} pid */
function readStat(pid) {
  let text
  try {
    text = readFileSync(`/proc/${pid}/stat`, 'utf8')
  } catch {
    return undefined
  }
  // proc(5): the second field, the name in parentheses, may itself hold spaces and parentheses.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ')
  return { dead: fields[0] === 'Z' || fields[0] === 'X', parent: Number(fields[1]), startTime: fields[19] }
}

/** @type {string | undefined} */
let boot
function bootId() {
  boot ??= readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()
  return boot
}

/** @type {boolean | undefined} */
let bindable
/** Whether `setpriv --pdeathsig` (util-linux, not busybox) can tie a child's life to its parent's. */
export function canBindToParent() {
  bindable ??= LINUX && spawnSync('setpriv', ['--pdeathsig', 'KILL', '--', 'true']).status === 0
  return bindable
}

/**
 * Blocks the thread: for clean-up in an `exit` handler, where nothing asynchronous runs any more.
 *
 * @param {number} ms
 */
export function sleepSync(ms) {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms)
}

/**
 * Whether every thread of a process has stopped. A signal reaches them one by one: right after SIGSTOP
 * some may still run. Where the system does not tell (no /proc), true.
 *
 * @param {number} pid
 */
export function isStopped(pid) {
  if (!LINUX) return true
  try {
    return readdirSync(`/proc/${pid}/task`).every((thread) => {
      const stat = readFileSync(`/proc/${pid}/task/${thread}/stat`, 'latin1')
      return /^[TtZX]/.test(stat.slice(stat.lastIndexOf(')') + 2))
    })
  } catch {
    // It has ended meanwhile.
    return true
  }
}
