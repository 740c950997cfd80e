import { isDate, isUint8Array } from 'node:util/types'
import type { AnyRecord } from './measure'
import type { RecordKind } from './records'

/** Fields that are content. */
const CONTENT: { readonly [Kind in RecordKind]: ReadonlySet<string> } = {
  payloads: new Set(['data']),
  states: new Set(['state']),
  executions: new Set(['context', 'metadata', 'entries']),
  outbox: new Set(['payload', 'headers']),
  inbox: new Set(),
}

/** Fields that are JSON as text: its keys may stand in any order. */
const JSON_TEXT: ReadonlySet<string> = new Set(['state', 'context', 'metadata', 'payload', 'headers'])

/** In what two records of one key differ first; none: they are the same. */
export function differenceOf(kind: RecordKind, one: AnyRecord, other: AnyRecord): 'bytes' | 'expiry' | 'version' | undefined {
  const [a, b] = [one, other] as unknown as [Record<string, unknown>, Record<string, unknown>]
  const names = [...new Set([...Object.keys(a), ...Object.keys(b)])]
  const differing = names.filter((name) => !isSame(name, a[name], b[name]))
  if (differing.length === 0) return undefined
  if (differing.some((name) => CONTENT[kind].has(name))) return 'bytes'
  return differing.includes('expiresAt') ? 'expiry' : 'version'
}

function isSame(name: string, one: unknown, other: unknown): boolean {
  if (one === other) return true
  if (isUint8Array(one)) return isUint8Array(other) && Buffer.compare(one, other) === 0
  if (typeof one === 'string' && typeof other === 'string') return JSON_TEXT.has(name) && isSameJson(one, other)
  if (name === 'entries' && Array.isArray(one) && Array.isArray(other)) {
    return one.length === other.length && one.every((entry, index) => isSameEntry(entry, other[index]))
  }
  return isEqual(one, other)
}

/** The seventh field of an entry is JSON. */
function isSameEntry(one: unknown, other: unknown): boolean {
  if (!Array.isArray(one) || !Array.isArray(other) || one.length !== other.length) return false
  return one.every((field, index) => {
    if (index === 6 && typeof field === 'string' && typeof other[index] === 'string') {
      return field === other[index] || isSameJson(field, other[index])
    }
    return isEqual(field, other[index])
  })
}

function isSameJson(one: string, other: string): boolean {
  try {
    return isEqual(JSON.parse(one), JSON.parse(other))
  } catch {
    return false
  }
}

/** Whether values are the same: Dates by their time, objects without regard to the order of their keys. */
function isEqual(one: unknown, other: unknown): boolean {
  if (one === other) return true
  if (isDate(one)) return isDate(other) && one.getTime() === other.getTime()
  if (typeof one !== 'object' || typeof other !== 'object' || one === null || other === null) return false
  if (Array.isArray(one) !== Array.isArray(other)) return false
  const names = Object.keys(one)
  if (names.length !== Object.keys(other).length) return false
  return names.every((name) => {
    const [a, b] = [one, other] as [Record<string, unknown>, Record<string, unknown>]
    return Object.hasOwn(b, name) && isEqual(a[name], b[name])
  })
}
