// postgres.js connects again under a `sql` that it has handed out: of a `begin` that has failed meanwhile, or a reserved
// one. What is called on it then runs outside of the transaction, and on a connection that is not there yet it ends the
// process (`socket` is null in a timer of postgres.js). A connection says whom it is reserved for: a function, another
// one for each `begin` and each `reserve`; null from the moment in which it is closed, or the reservation is over. So the
// session is the same as long as that is the same, and nothing has to be asked of the server. A check, and what is called
// right after it, run before the next event of a socket can.

/** An answer of postgres.js. */
export interface Answer extends Array<Record<string, unknown>> {
  count: number | null
}

interface Pending extends Promise<Answer> {
  /** Each cell as the server has sent it: no parsers, no transforms. */
  raw(): Promise<unknown[]>
}

/** What is used of a `sql`. */
export interface Sql {
  unsafe(query: string, values: unknown[], options: { prepare: boolean; onexecute?: (connection: Connection) => true }): Pending
}

interface Connection {
  reserved: unknown
}

const sessions = new WeakMap<object, Session>()

/** The session that a `sql` had when it was joined. */
export class Session {
  readonly #sql: Sql
  #connection: Connection | undefined
  #reserved: unknown
  /** Ready when the connection is known. */
  #known: Promise<void> | undefined

  private constructor(sql: Sql) {
    this.#sql = sql
  }

  /** That of this `sql`: the same one each time. */
  static of(sql: Sql): Session {
    const session = sessions.get(sql) ?? new Session(sql)
    sessions.set(sql, session)
    return session
  }

  /** Begins to look at the connection. */
  join(): void {
    if (this.#known !== undefined) return
    this.#known = this.#look()
    // Whoever asks hears of it.
    this.#known.catch(() => undefined)
  }

  /** Asks, if the session is still the same; if not, throws or rejects with what postgres.js says of a lost connection. */
  run<T>(ask: () => PromiseLike<T>): PromiseLike<T> {
    this.join()
    if (this.#connection === undefined) return (this.#known as Promise<void>).then(() => this.#checked(ask))
    return this.#checked(ask)
  }

  /**
   * What a `begin` has to wait for: `working`, or for ever if the session is gone. The `begin` has rejected then, and
   * would still send its COMMIT or ROLLBACK: into a transaction of somebody else's, or to no connection at all.
   */
  held<T>(working: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      working.then(
        (value) => this.#isThere() && resolve(value),
        (error) => this.#isThere() && reject(error),
      )
    })
  }

  #isThere(): boolean {
    return Boolean(this.#reserved) && this.#connection?.reserved === this.#reserved
  }

  #checked<T>(ask: () => PromiseLike<T>): PromiseLike<T> {
    if (!this.#isThere()) throw lost()
    return ask()
  }

  /** An empty query goes out with the statement behind it, so nobody waits for its answer. */
  #look(): Promise<void> {
    return new Promise((resolve, reject) => {
      const onexecute = (connection: Connection): true => {
        this.#connection = connection
        this.#reserved = connection.reserved
        resolve()
        return true
      }
      const look = (attempts: number) => {
        // It does not show its connection while much has been written and not been taken.
        const answered = () => (attempts > 1 ? look(attempts - 1) : reject(lost()))
        this.#sql.unsafe(';', [], { prepare: false, onexecute }).then(() => this.#connection === undefined && answered(), reject)
      }
      look(ATTEMPTS)
    })
  }
}

const ATTEMPTS = 5

function lost(): Error {
  const message = 'the connection on which the transaction began is gone'
  return Object.assign(new Error(message), { code: 'CONNECTION_CLOSED' })
}
