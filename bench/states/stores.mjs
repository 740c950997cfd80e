// Saga state, as a person would write it on each driver, and sagastore's. All of them have the same four methods.

import { openStore } from '../../index.js'

/**
 * @typedef {{ metadata: { sagaId: string, version: number, createdAt: Date, updatedAt: Date, isCompleted: boolean }, [more: string]: any }} State
 *
 * @typedef {object} Sagas
 * @property {(correlationId: string, state: State) => Promise<void>} insert
 * @property {(correlationId: string) => Promise<State | null>} get
 * @property {(correlationId: string, state: State, expected: number) => Promise<boolean>} update false on a conflict
 * @property {() => Promise<void>} close
 *
 * @typedef {(url: string, place: string, concurrency: number) => Promise<Sagas>} Open
 */

const NAME = 'OrderSaga'

/** @param {State} state @param {number} version */
const next = (state, version) => JSON.stringify({ ...state, metadata: { ...state.metadata, version } })

/** @param {string | null | undefined} text @returns {State | null} */
function parse(text) {
  if (text === null || text === undefined) return null
  const state = JSON.parse(text)
  for (const name of ['createdAt', 'updatedAt']) state.metadata[name] = new Date(state.metadata[name])
  return state
}

/** @type {Open} WATCH is for a connection as a whole, so each operation has one to itself. */
async function ioredis(url, place, concurrency) {
  const { Redis } = await import('ioredis')
  const free = Array.from({ length: concurrency }, () => new Redis(url))
  const all = [...free]
  const key = (/** @type {string} */ id) => `${place}saga:${NAME}:${id}`
  const index = (/** @type {string} */ id) => `${place}saga:${NAME}:idx:id:${id}`
  return {
    async insert(correlationId, state) {
      const stored = await all[0].set(key(correlationId), next(state, state.metadata.version), 'NX')
      if (stored === null) throw new Error('it exists already')
      await all[0].set(index(state.metadata.sagaId), correlationId)
    },
    get: async (correlationId) => parse(await all[0].get(key(correlationId))),
    async update(correlationId, state, expected) {
      const redis = /** @type {import('ioredis').Redis} */ (free.pop())
      try {
        await redis.watch(key(correlationId))
        const there = parse(await redis.get(key(correlationId)))
        if (there?.metadata.version !== expected) {
          await redis.unwatch()
          return false
        }
        const text = next(state, expected + 1)
        return (await redis.multi().set(key(correlationId), text).set(index(state.metadata.sagaId), correlationId).exec()) !== null
      } finally {
        free.push(redis)
      }
    },
    close: async () => void (await Promise.all(all.map((one) => one.quit()))),
  }
}

/** @type {Open} */
async function pg(url, place) {
  const { default: driver } = await import('pg')
  const pool = new driver.Pool({ connectionString: url, max: 10 })
  await pool.query(`create schema if not exists ${place}`)
  const t = `${place}.sagas_by_hand`
  await pool.query(
    `create table if not exists ${t} (saga_name text, id text, correlation_id text, version bigint, is_completed boolean, state jsonb, updated_at timestamptz, primary key (saga_name, id))`,
  )
  await pool.query(`create unique index if not exists sagas_by_hand_correlation on ${t} (saga_name, correlation_id)`)
  await pool.query(`create index if not exists sagas_by_hand_updated on ${t} (saga_name, updated_at) where is_completed`)
  return {
    async insert(correlationId, state) {
      const { sagaId, version, isCompleted, updatedAt } = state.metadata
      const values = [NAME, sagaId, correlationId, version, isCompleted, next(state, version), updatedAt]
      await pool.query({ name: 'insert', text: `insert into ${t} values ($1, $2, $3, $4, $5, $6, $7)`, values })
    },
    async get(correlationId) {
      const text = `select state::text as state from ${t} where saga_name = $1 and correlation_id = $2`
      const { rows } = await pool.query({ name: 'get', text, values: [NAME, correlationId] })
      return parse(rows[0]?.state)
    },
    async update(_correlationId, state, expected) {
      const { sagaId, isCompleted, updatedAt } = state.metadata
      const text = `update ${t} set version = $1, is_completed = $2, state = $3, updated_at = $4 where saga_name = $5 and id = $6 and version = $7`
      const values = [expected + 1, isCompleted, next(state, expected + 1), updatedAt, NAME, sagaId, expected]
      return (await pool.query({ name: 'update', text, values })).rowCount === 1
    },
    close: () => pool.end(),
  }
}

/** @type {Open} */
async function mongodb(url, place) {
  const { MongoClient } = await import('mongodb')
  const client = new MongoClient(url)
  /** @type {import('mongodb').Collection<any>} */
  const sagas = client.db().collection(`${place}_by_hand`, { writeConcern: { w: 'majority' } })
  await sagas.createIndex({ sagaName: 1, correlationId: 1 }, { unique: true })
  return {
    async insert(correlationId, state) {
      const { sagaId, version, isCompleted } = state.metadata
      await sagas.insertOne({ _id: `${NAME}:${sagaId}`, sagaName: NAME, sagaId, correlationId, version, isCompleted, state })
    },
    async get(correlationId) {
      const found = await sagas.findOne({ sagaName: NAME, correlationId })
      return found === null ? null : { ...found.state, metadata: { ...found.state.metadata, version: found.version } }
    },
    async update(_correlationId, state, expected) {
      const { sagaId, isCompleted } = state.metadata
      const stored = { ...state, metadata: { ...state.metadata, version: expected + 1 } }
      const filter = { _id: `${NAME}:${sagaId}`, version: expected }
      return (await sagas.updateOne(filter, { $set: { version: expected + 1, isCompleted, state: stored } })).matchedCount === 1
    },
    close: () => client.close(),
  }
}

/** @type {Open} */
async function sagastore(url, place) {
  const names = url.startsWith('postgres') ? { schema: place } : url.startsWith('redis') ? { statesKeyPrefix: place } : {}
  const collections = url.startsWith('mongodb') ? { collectionName: `${place}_payloads`, statesCollectionName: place } : {}
  const store = openStore({ url, ...names, ...collections })
  await store.initialize()
  const { states } = store
  return {
    insert: (correlationId, state) => states.insert(NAME, correlationId, state),
    get: (correlationId) => states.getByCorrelationId(NAME, correlationId),
    async update(_correlationId, state, expected) {
      try {
        await states.update(NAME, state, expected)
        return true
      } catch (/** @type {any} */ error) {
        if (error.code === 'CONCURRENCY_CONFLICT') return false
        throw error
      }
    },
    close: () => store.close(),
  }
}

/** @type {Record<string, Open>} */
export const STORES = { ioredis, pg, mongodb, sagastore }
