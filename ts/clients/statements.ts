/** A store has a dozen statements; several stores may share a handle. */
const MOST = 200

/** Prepared statements of handles, kept as long as the handle is. */
export class StatementCache<Statement> {
  readonly #prepare: (handle: object, sql: string) => Statement
  readonly #handles = new WeakMap<object, Map<string, Statement>>()

  constructor(prepare: (handle: object, sql: string) => Statement) {
    this.#prepare = prepare
  }

  of(handle: object, sql: string): Statement {
    const known = this.#handles.get(handle) ?? new Map<string, Statement>()
    const found = known.get(sql)
    if (found !== undefined) return found
    const statement = this.#prepare(handle, sql)
    if (known.size >= MOST) known.delete(known.keys().next().value as string)
    known.set(sql, statement)
    this.#handles.set(handle, known)
    return statement
  }

  /** Forgets a handle's statements. */
  forget(handle: object): void {
    this.#handles.delete(handle)
  }
}
