import type { BackendName } from '../backend'
import { prove } from './values'

/** A value, or a promise of one: clients that answer at once (better-sqlite3) keep an operation synchronous. */
export type Awaitable<T> = T | PromiseLike<T>

/** What a transaction of a client is begun with. */
export interface BeginOptions {
  /** As SQL writes it, such as `repeatable read`. */
  isolation?: string
  /** The client may give the transaction up after this long. */
  timeoutMs: number
}

/**
 * How requests reach a client, or a transaction, of the application. All that differs between
 * libraries is here; what is asked, and what an answer means, is decided in Rust.
 */
export interface Carrier {
  readonly backend: BackendName
  /** The library, for messages. */
  readonly library: string
  /** Whether the application can still undo what is done here. */
  readonly isTransaction: boolean
  /** Whether commands are only collected: there are no answers before the end. */
  readonly isBuffered: boolean
  /** Whether it answers before the call returns. */
  readonly isSynchronous?: boolean
  /** Whether one server has all of the database (Redis that is no Cluster). */
  readonly isOneServer?: boolean
  /**
   * Carries one request; throws, or rejects with, the client's own error. `home` is the client that the
   * store was made from, if it was: a transaction that is only collected takes the shape of values from it.
   */
  send(method: string, args: unknown[], home?: Carrier): Awaitable<unknown>
  /** Opens a transaction of the client and runs `work` in it; commits, or rolls back if `work` rejects. */
  begin?<T>(work: (transaction: unknown) => Promise<T>, options: BeginOptions): Promise<T>
  /** Whether a transaction of a store's own is sent to it as a whole, at its end (Redis, DynamoDB). */
  readonly takesUnits?: boolean
  /** Called before each operation; throws an error if it must not run. */
  check?(): void
  /** Called when it is joined as a transaction, also again: from now on it is known whether the session is still the same. */
  join?(): void
  /** Of the transaction that a library has opened for a store: the library must not hear of the end of `working` where this does not. */
  held?<T>(working: Promise<T>): Promise<T>
  /**
   * Of what can be joined without being in a transaction: whether it is in one. A promise where the server has to be
   * asked: once for each `scope`, if the client cannot tell.
   */
  isOpen?(scope: object): boolean | Promise<boolean>
}

/** What can be bound to a statement. */
export type SqlValue = null | string | number | bigint | Uint8Array

/** Two ways to run a statement, for each SQL library. */
export interface SqlClient {
  library: string
  isTransaction: boolean
  isSynchronous?: boolean
  /** Of a client whose parsers cannot be kept off: what they belong to. It is looked at once, before it is believed. */
  owner?: object
  /** Rows, each its cells in the order of the statement's columns. */
  query(sql: string, values: SqlValue[]): Awaitable<unknown[][]>
  /** How many rows a statement without a result has changed. */
  execute(sql: string, values: SqlValue[]): Awaitable<number | bigint>
  /** For `tx.query`: rows as the library gives them. */
  rows(sql: string, values: unknown[]): Awaitable<Record<string, unknown>[]>
  begin?: Carrier['begin']
  check?: Carrier['check']
  join?: Carrier['join']
  held?: Carrier['held']
  isOpen?: Carrier['isOpen']
}

/** A carrier of SQL. PostgreSQL's statements have `$1..$n`, SQLite's `?`, each once and in order. */
export function sqlCarrier(backend: 'postgres' | 'sqlite', client: SqlClient): Carrier {
  const { owner } = client
  const carry = (how: 'query' | 'execute', sql: string, values: SqlValue[]): Awaitable<unknown> => {
    const proof = owner === undefined ? undefined : prove(owner, client)
    return proof === undefined ? client[how](sql, values) : proof.then(() => client[how](sql, values))
  }
  return {
    backend,
    library: client.library,
    isTransaction: client.isTransaction,
    isBuffered: false,
    ...(client.isSynchronous === undefined ? {} : { isSynchronous: client.isSynchronous }),
    send(method, args) {
      const [sql, values] = args as [string, SqlValue[]]
      switch (method) {
        case 'query':
          return carry(method, sql, values)
        case 'execute':
          return carry(method, sql, values)
        case 'rows':
          return client.rows(sql, values)
        default:
          throw new TypeError(`no method ${method}`)
      }
    },
    ...(client.begin === undefined ? {} : { begin: client.begin }),
    ...(client.check === undefined ? {} : { check: client.check }),
    ...(client.join === undefined ? {} : { join: client.join }),
    ...(client.held === undefined ? {} : { held: client.held }),
    ...(client.isOpen === undefined ? {} : { isOpen: client.isOpen }),
  }
}

/** Recognises a client by its shape; `undefined` if it is another one. */
export type Recognizer = (client: unknown) => Carrier | undefined
