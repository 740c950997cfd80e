import { membersOf } from './common'

type Attributes = Record<string, unknown>

interface Action {
  TableName: string
  Item?: Attributes
  Key?: Attributes
  ExpressionAttributeValues?: Attributes
  [expression: string]: unknown
}

/** An element of `TransactItems`, in either shape of values. */
export type Item = Partial<Record<(typeof ACTIONS)[number], Action>>

/** What the store adds: values are `{ S }`, `{ N }` and `{ B }`. */
export type CollectedItem = Partial<Record<'Put' | 'Delete' | 'Update', Action>>

const ACTIONS = ['Put', 'Delete', 'Update', 'ConditionCheck'] as const

const TYPES = new Set(['S', 'N', 'B', 'SS', 'NS', 'BS', 'M', 'L', 'BOOL', 'NULL'])

/** Whether it can stand in `TransactItems`. */
export function isTransactItem(item: unknown): boolean {
  const members = membersOf(item)
  return members !== undefined && ACTIONS.some((name) => typeof membersOf(members[name])?.TableName === 'string')
}

function actionOf(item: Item): Action | undefined {
  return ACTIONS.map((name) => item[name]).find((action) => action !== undefined)
}

/** The key of each item that is in `table`, and its size as far as it can be told. */
export function summaryOf(items: readonly Item[], table: string): { id: string | null; part: string | null; bytes: number }[] {
  return items.map((item) => {
    const action = actionOf(item)
    const attributes = action?.Item ?? action?.Key ?? {}
    const ofTable = (name: string) => {
      const value = action?.TableName === table ? untyped(attributes[name]) : undefined
      return typeof value === 'string' ? value : null
    }
    const set = item.Update?.ExpressionAttributeValues ?? {}
    return { id: ofTable('id'), part: ofTable('part'), bytes: sizeOf(attributes) + sizeOf(set) }
  })
}

/** Adds an item, in the shape of values that the others have. */
export function addItem(items: Item[], item: CollectedItem, document: { said: boolean | undefined; byDefault: boolean }): void {
  items.push((document.said ?? shapeOf(items) ?? document.byDefault) ? inDocumentShape(item) : item)
}

/** Whether items are in the document shape; a key is a scalar, so that each of them tells. */
function shapeOf(items: readonly Item[]): boolean | undefined {
  const action = items.map(actionOf).find((action) => action !== undefined)
  if (action === undefined) return undefined
  const values = Object.values(action.Item ?? action.Key ?? {})
  return values.some((value) => typeof value !== 'object' || value instanceof Uint8Array)
}

/** What has values in an action. Everything else in it is the same in both shapes. */
const WITH_VALUES = ['Item', 'Key', 'ExpressionAttributeValues'] as const

function inDocumentShape(item: CollectedItem): Item {
  const converted = Object.entries(item).map(([name, action]) => {
    const plain: Action = { ...action }
    for (const member of WITH_VALUES) if (action[member] !== undefined) plain[member] = plainValues(action[member])
    return [name, plain]
  })
  return Object.fromEntries(converted)
}

function plainValues(attributes: Attributes): Attributes {
  return Object.fromEntries(Object.entries(attributes).map(([name, value]) => [name, plainValue(value)]))
}

/** The store's numbers are seconds, milliseconds and versions: a double has them exactly. */
function plainValue(value: unknown): unknown {
  const { S, N, B, L, M } = value as { S?: string; N?: string; B?: Uint8Array; L?: unknown[]; M?: Attributes }
  if (L !== undefined) return L.map(plainValue)
  if (M !== undefined) return plainValues(M)
  // A client with `convertEmptyValues` makes NULL of an array of no bytes; a view stays what it is.
  if (B?.byteLength === 0) return new DataView(new ArrayBuffer(0))
  return N === undefined ? (S ?? B) : Number(N)
}

/** What is in `{ S: value }` and the like; in the document shape a value is itself. */
function untyped(value: unknown): unknown {
  const entries = typeof value === 'object' && value !== null && !(value instanceof Uint8Array) ? Object.entries(value) : []
  const [only, second] = entries
  return only !== undefined && second === undefined && TYPES.has(only[0]) ? only[1] : value
}

function sizeOf(value: unknown): number {
  if (typeof value === 'string') return value.length
  if (value instanceof Uint8Array) return value.byteLength
  if (value instanceof Set || Array.isArray(value)) return [...value].reduce((sum: number, one) => sum + sizeOf(one), 0)
  if (typeof value !== 'object' || value === null) return 1
  return Object.entries(value).reduce((sum, [name, typed]) => sum + name.length + attributeSize(typed), 0)
}

function attributeSize(typed: unknown): number {
  const isNumber = typeof typed === 'number' || typeof (typed as { N?: unknown } | null)?.N === 'string'
  // About a byte for two digits, and one more.
  return isNumber ? 1 + Math.floor(String(untyped(typed)).length / 2) : sizeOf(untyped(typed))
}
