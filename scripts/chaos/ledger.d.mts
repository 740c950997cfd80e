/// <reference types="node" />

/** put and delete: payloads; insert, update, remove: saga states. */
export type Kind = 'put' | 'delete' | 'insert' | 'update' | 'remove'

export interface Entry {
  kind: Kind
  /** The payload's id, or the saga's. */
  key: string
  /** What a put stores, as `name:size`; what an update adds to the saga's `tokens`. */
  value?: string
}

export class Ledger {
  constructor(options: { expected: string[] })
  /** Whether everything is as promised. False until it has been checked, or when nothing was acknowledged. */
  readonly holds: boolean
  counts(kind: Kind): Record<'begun' | 'acknowledged' | 'refused' | 'unsettled' | 'lost' | 'doubled', number>
  begin(entry: Entry): number
  resolve(number: number): void
  reject(number: number, code: string, message?: string): void
  overdue(number: number): void
  killed(writer: number): void
  fault(what: string): void
  check(read: {
    payloads(ids: string[]): Promise<Map<string, Buffer>>
    sagas(ids: string[]): Promise<Map<string, { tokens: string[]; version: number }>>
  }): Promise<void>
}

export function payloadOf(value: string): Buffer
