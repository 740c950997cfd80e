import { readFileSync } from 'node:fs'
import type { SagaStore } from '../index'
import type { Given } from './given'
import { Told, WrongUse } from './spec'

/** The package, loaded when it is needed for the first time: with it the native addon is. */
export function library(): typeof import('../index') {
  return require('../../index.js')
}

/** Which of two stores is meant. */
export type Side = 'source' | 'target'

/** Opens the store that is named by `place`, an argument, `--url-file` or the environment. Nothing is connected yet. */
export function openStore(given: Given, side: Side, onWarning: (text: string) => void, place?: string): SagaStore {
  const prefix = side === 'source' ? '' : 'target-'
  const url = place ?? urlOf(given, side)
  const options = { ...optionsOf(given, prefix), url }
  // What has failed is told by the error; warnings are `sagastore initialize: text`.
  const warn = (message: unknown) => {
    const [, text] = /^sagastore \S+: (.*)$/s.exec(String(message)) ?? []
    if (text !== undefined) onWarning(text)
  }
  const silent = () => undefined
  const logger = { debug: silent, info: silent, warn, error: silent, isLevelEnabled: (level: string) => level === 'warn' }
  const { openStore, SagaStoreError } = library()
  try {
    return openStore(process.env.SAGASTORE_LOG ? options : { ...options, logger })
  } catch (error) {
    throw error instanceof SagaStoreError ? new WrongUse(error.message) : error
  }
}

function urlOf(given: Given, side: Side): string {
  const [file, variable] =
    side === 'source' ? (['url-file', 'SAGASTORE_URL'] as const) : (['target-url-file', 'SAGASTORE_TARGET_URL'] as const)
  const argument = given.urls[side === 'source' ? 0 : 1]
  const path = given.text(file)
  if (argument !== undefined && path !== undefined) throw new WrongUse(`give the URL as an argument or with --${file}, not both`)
  const url = argument ?? (path === undefined ? process.env[variable] : readText(path).trim())
  if (url !== undefined && url !== '') return url
  const what = side === 'source' ? 'URL' : 'URL of a target'
  throw new WrongUse(`no ${what}: give it as an argument, with --${file} or in ${variable}`)
}

function optionsOf(given: Given, prefix: '' | 'target-'): Record<string, unknown> {
  const options: Record<string, unknown> = {}
  const path = given.text(`${prefix}options-file`)
  if (path !== undefined) {
    let read: unknown
    try {
      read = JSON.parse(readText(path))
    } catch (error) {
      if (error instanceof Told) throw error
      throw new WrongUse(`--${prefix}options-file ${path} is not JSON: ${(error as Error).message}`)
    }
    if (typeof read !== 'object' || read === null || Array.isArray(read)) {
      throw new WrongUse(`--${prefix}options-file ${path} must hold an object`)
    }
    Object.assign(options, read)
  }
  for (const text of given.texts(`${prefix}option`)) {
    const at = text.indexOf('=')
    if (at < 1) throw new WrongUse(`option '--${prefix}option' must be name=value`)
    set(options, text.slice(0, at), jsonOr(text.slice(at + 1)))
  }
  const namespace = given.text(`${prefix}namespace`)
  if (namespace !== undefined) options.namespace = namespace
  const timeout = given.number('timeout')
  if (timeout !== undefined) {
    options.operationTimeoutMs = timeout
    options.connectTimeoutMs ??= Math.min(5_000, timeout)
  }
  for (const name of ['url', 'client', 'logger', 'getTransaction', 'requireTransaction']) {
    if (name in options) throw new WrongUse(`the option '${name}' of the store cannot be given here`)
  }
  return options
}

/** `outbox.maxRetries` is a part of `outbox`. */
function set(options: Record<string, unknown>, name: string, value: unknown): void {
  const [first, second, ...more] = name.split('.') as [string, ...string[]]
  if (more.length > 0 || Object.hasOwn(Object.prototype, first)) throw new WrongUse(`the store has no option '${name}'`)
  if (second === undefined) {
    options[first] = value
    return
  }
  const whole = options[first]
  options[first] = { ...(typeof whole === 'object' && whole !== null ? whole : {}), [second]: value }
}

/** Numbers, true, false and objects are JSON; everything else is text. */
function jsonOr(text: string): unknown {
  if (!/^(-?\d|true$|false$|null$|[[{"])/.test(text)) return text
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}

/** A file's text; why it cannot be read is told without a stack. */
export function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    throw new Told((error as Error).message)
  }
}
