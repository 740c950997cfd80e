/**
 * @typedef {'put' | 'delete' | 'insert' | 'update' | 'remove'} Kind put and delete: payloads; insert, update, remove: saga states
 * @typedef {object} Entry
 * @property {Kind} kind
 * @property {string} key the payload's id, or the saga's
 * @property {string} [value] what a put stores; what an update adds to the saga's `tokens`
 * @typedef {{ number: number } & ({ begun: Entry } | { resolved: true } | { rejected: string, message: string } | { overdue: true })} Message
 * @typedef {{ stored: string | null, open: Set<string | null>, kind: Kind }} Payload what is stored for sure, and what else may be
 * @typedef {{ inserted: boolean, removed: 'no' | 'maybe' | 'yes', tokens: Map<string, boolean> }} Saga tokens: whether acknowledged
 */

const KINDS = /** @type {const} */ (['put', 'delete', 'insert', 'update', 'remove'])
const COLUMNS = /** @type {const} */ (['begun', 'acknowledged', 'refused', 'unsettled', 'lost', 'doubled'])
/** So many faults are shown in words. */
const SHOWN = 20

/**
 * Every write and what came of it. A key has one writer at a time; after a rejection its writer leaves it alone,
 * because a write that was rejected may still arrive. Saga states may have many writers: versions guard them.
 */
export class Ledger {
  /** @type {Map<number, Entry & { isOverdue?: boolean }>} */
  #underWay = new Map()
  /** @type {Map<string, Payload>} */
  #payloads = new Map()
  /** @type {Map<string, Saga>} */
  #sagas = new Map()
  /** @type {Record<Kind, Record<typeof COLUMNS[number], number>>} */
  #counts = Object.fromEntries(KINDS.map((kind) => [kind, Object.fromEntries(COLUMNS.map((column) => [column, 0]))]))
  /** @type {Map<string, number>} */
  #codes = new Map()
  /** @type {string[]} */
  #faults = []
  #faultCount = 0
  #isChecked = false
  #expected
  #next = 0

  /** @param {{ expected: string[] }} options the codes that a write may be rejected with here */
  constructor({ expected }) {
    this.#expected = expected
  }

  /** Whether everything is as promised. False until it has been checked, or when nothing was acknowledged. */
  get holds() {
    return this.#isChecked && this.#faultCount === 0 && KINDS.some((kind) => this.#counts[kind].acknowledged > 0)
  }

  /** @param {Kind} kind */
  counts(kind) {
    return { ...this.#counts[kind] }
  }

  /**
   * Enters what another process says of its writes; `writer` keeps their numbers apart.
   *
   * @param {number} writer
   * @param {Message} message
   */
  record(writer, message) {
    const number = message.number * 4096 + writer
    if ('begun' in message) this.begin(message.begun, number)
    else if ('resolved' in message) this.resolve(number)
    else if ('overdue' in message) this.overdue(number)
    else this.reject(number, message.rejected, message.message)
  }

  /**
   * @param {Entry} entry
   * @param {number} [number]
   */
  begin(entry, number = this.#next++ * 4096) {
    this.#underWay.set(number, entry)
    this.#counts[entry.kind].begun++
    const { kind, key, value } = entry
    if (kind === 'put' || kind === 'delete') {
      const payload = this.#payloads.get(key) ?? { stored: null, open: new Set(), kind }
      payload.open.add(kind === 'put' ? (value ?? '') : null)
      this.#payloads.set(key, payload)
    } else {
      const saga = this.#sagas.get(key) ?? { inserted: false, removed: 'no', tokens: new Map() }
      if (kind === 'update') saga.tokens.set(value ?? '', false)
      if (kind === 'remove') saga.removed = 'maybe'
      this.#sagas.set(key, saga)
    }
    return number
  }

  /** @param {number} number */
  resolve(number) {
    const { kind, key, value = '' } = this.#settle(number)
    this.#counts[kind].acknowledged++
    if (kind === 'put' || kind === 'delete') {
      // One writer at a time: whatever was open before is over.
      this.#payloads.set(key, { stored: kind === 'put' ? value : null, open: new Set(), kind })
      return
    }
    const saga = /** @type {Saga} */ (this.#sagas.get(key))
    if (kind === 'remove') saga.removed = 'yes'
    else saga.inserted = true
    if (kind === 'update') saga.tokens.set(value, true)
  }

  /**
   * @param {number} number
   * @param {string} code
   * @param {string} [message]
   */
  reject(number, code, message = '') {
    const entry = this.#settle(number)
    this.#counts[entry.kind].refused++
    this.#codes.set(code, (this.#codes.get(code) ?? 0) + 1)
    if (!this.#expected.includes(code)) this.fault(`${entry.kind} '${entry.key}' was rejected with ${code}: ${message}`)
  }

  /**
   * The promise of this write has not settled within its time. It stays a fault if it settles later.
   *
   * @param {number} number
   */
  overdue(number) {
    const entry = this.#underWay.get(number)
    if (entry === undefined || entry.isOverdue) return
    entry.isOverdue = true
    this.#counts[entry.kind].unsettled++
    this.fault(`${entry.kind} '${entry.key}' has not settled within its time`)
  }

  /** What is under way in a process that was killed is neither acknowledged nor unsettled. @param {number} writer */
  killed(writer) {
    for (const number of this.#underWay.keys()) if (number % 4096 === writer) this.#underWay.delete(number)
  }

  /**
   * Compares with what is stored, when nothing writes any more.
   *
   * @param {object} read
   * @param {(ids: string[]) => Promise<Map<string, Buffer>>} read.payloads
   * @param {(ids: string[]) => Promise<Map<string, { tokens: string[], version: number }>>} read.sagas
   */
  async check({ payloads, sagas }) {
    for (const [number] of this.#underWay) this.overdue(number)
    for (const ids of batches([...this.#payloads.keys()])) {
      const found = await payloads(ids)
      for (const id of ids) this.#checkPayload(id, found.get(id))
    }
    for (const ids of batches([...this.#sagas.keys()])) {
      const found = await sagas(ids)
      for (const id of ids) this.#checkSaga(id, found.get(id))
    }
    this.#isChecked = true
  }

  /** Anything else that must not be. @param {string} what */
  fault(what) {
    this.#faultCount++
    if (this.#faults.length < SHOWN) this.#faults.push(what)
  }

  /**
   * @param {string} id
   * @param {Buffer | undefined} data
   */
  #checkPayload(id, data) {
    const { stored, open, kind } = /** @type {Payload} */ (this.#payloads.get(id))
    const may = [stored, ...open]
    if (may.some((value) => (value === null ? data === undefined : data?.equals(payloadOf(value))))) return
    this.#counts[kind].lost++
    const is = data === undefined ? 'nothing' : `${data.length} bytes: ${data.subarray(0, 40)}`
    this.fault(`payload '${id}': acknowledged was ${stored ?? 'its absence'}, there is ${is}`)
  }

  /**
   * @param {string} id
   * @param {{ tokens: string[], version: number } | undefined} found
   */
  #checkSaga(id, found) {
    const { inserted, removed, tokens } = /** @type {Saga} */ (this.#sagas.get(id))
    if (found === undefined) {
      if (!inserted || removed !== 'no') return
      this.#counts.insert.lost++
      this.#counts.update.lost += [...tokens.values()].filter(Boolean).length
      return this.fault(`saga '${id}' is gone`)
    }
    if (removed === 'yes') {
      this.#counts.remove.lost++
      return this.fault(`saga '${id}' was deleted and is there`)
    }
    const there = new Set(found.tokens)
    for (const [token, isAcknowledged] of tokens) {
      if (!isAcknowledged || there.has(token)) continue
      this.#counts.update.lost++
      this.fault(`saga '${id}': the acknowledged update ${token} is gone`)
    }
    const stranger = found.tokens.find((token) => !tokens.has(token))
    if (stranger !== undefined) this.fault(`saga '${id}': nobody wrote ${stranger}`)
    const doubled = found.tokens.length - there.size
    this.#counts.update.doubled += doubled
    if (doubled > 0) this.fault(`saga '${id}': ${doubled} of its updates were applied twice`)
    if (found.version !== found.tokens.length + 1) {
      this.fault(`saga '${id}' has version ${found.version} after ${found.tokens.length} updates`)
    }
  }

  /** @param {number} number */
  #settle(number) {
    const entry = this.#underWay.get(number)
    if (entry === undefined) throw new Error(`write ${number} settles, and is not under way`)
    this.#underWay.delete(number)
    return entry
  }

  /** The table, the codes, and the faults in words. */
  toString() {
    const rows = KINDS.filter((kind) => this.#counts[kind].begun > 0).map((kind) => [
      kind,
      ...COLUMNS.map((column) => String(this.#counts[kind][column])),
    ])
    const table = [['', ...COLUMNS], ...rows].map((cells) =>
      cells.map((cell, n) => (n === 0 ? cell.padEnd(8) : cell.padStart(14))).join(''),
    )
    const codes = [...this.#codes].map(([code, count]) => `${code} ${count}`).join(', ')
    const hidden = this.#faultCount - this.#faults.length
    return [
      ...table,
      `refused with: ${codes || 'none'}`,
      ...this.#faults.map((fault) => `FAULT ${fault}`),
      ...(hidden > 0 ? [`and ${hidden} more faults`] : []),
      this.holds ? 'holds: nothing lost, doubled or unsettled' : 'DOES NOT HOLD',
    ].join('\n')
  }
}

/**
 * The bytes of a value: `name:size`, filled up to the size.
 *
 * @param {string} value
 */
export function payloadOf(value) {
  return Buffer.alloc(Number(value.slice(value.lastIndexOf(':') + 1)), `${value} `)
}

/** @param {string[]} ids */
function batches(ids) {
  return Array.from({ length: Math.ceil(ids.length / 200) }, (_, n) => ids.slice(n * 200, n * 200 + 200))
}
