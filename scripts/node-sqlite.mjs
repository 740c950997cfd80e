// A Node.js that has node:sqlite, for tests: this one, or one that is installed once.
import { spawnSync } from 'node:child_process'
import { programOf } from './runtimes.mjs'

/** The path of its program. */
export function nodeWithSqlite() {
  if (spawnSync(process.execPath, ['-e', 'require("node:sqlite")'], { stdio: 'ignore' }).status === 0) return process.execPath
  return programOf('Node.js 22')
}
