// Queues that others have written: how they are asked to do what an outbox does.

import { BATCH, drained } from './events.mjs'

/** @typedef {import('./events.mjs').Open} Open @typedef {import('./events.mjs').Event} Event */

const QUEUE = 'events'

/** @type {Open} */
export async function pgBoss(url, place, { keyed }) {
  const { PgBoss } = await import('pg-boss')
  const { default: driver } = await import('pg')
  const pool = new driver.Pool({ connectionString: url, max: 10 })
  const schema = `${place}_boss`
  const boss = new PgBoss({ connectionString: url, schema, max: 10, supervise: false, schedule: false })
  boss.on('error', (error) => process.stderr.write(`pg-boss: ${error.message}\n`))
  await boss.start()
  await boss.createQueue(QUEUE, { policy: keyed ? 'key_strict_fifo' : 'standard', retryLimit: 10, deleteAfterSeconds: 60 })
  await pool.query(`create table if not exists ${schema}.orders (id text primary key)`)
  const job = (/** @type {Event} */ { id, key, payload }) => ({ id, data: payload, ...(keyed && { singletonKey: key }) })
  return {
    insert: (events) => boss.insert(QUEUE, events.map(job)),
    async together(event) {
      const client = await pool.connect()
      try {
        await client.query('begin')
        await client.query({ name: 'order', text: `insert into ${schema}.orders values ($1)`, values: [event.id] })
        const db = { executeSql: (/** @type {string} */ text, /** @type {any[]} */ values) => client.query(text, values) }
        await boss.insert(QUEUE, [job(event)], { db })
        await client.query('commit')
      } finally {
        client.release()
      }
    },
    drain: drained(async () => {
      const jobs = await boss.fetch(QUEUE, { batchSize: BATCH })
      if (jobs.length > 0) {
        await boss.complete(
          QUEUE,
          jobs.map(({ id }) => id),
        )
      }
      return jobs.length
    }),
    async listen(onEvent) {
      // It asks twice a second at most.
      await boss.work(QUEUE, { batchSize: BATCH, pollingIntervalSeconds: 0.5 }, async (jobs) => {
        for (const { id } of jobs) onEvent(id)
      })
      return () => boss.offWork(QUEUE)
    },
    async close() {
      await boss.stop({ graceful: false })
      await pool.end()
    },
  }
}

/** @type {Open} It has no claims that others could ask for: it runs handlers. */
export async function graphileWorker(url, place, { keyed, listens }) {
  const worker = await import('graphile-worker')
  const { default: driver } = await import('pg')
  const pgPool = new driver.Pool({ connectionString: url, max: 10 })
  // It asks for them.
  pgPool.on('error', () => undefined)
  pgPool.on('connect', (client) => client.on('error', () => undefined))
  const schema = `${place}_graphile`
  const logger = new worker.Logger(() => () => undefined)
  const common = { pgPool, schema, logger, noHandleSignals: true }
  const utils = await worker.makeWorkerUtils(common)
  await utils.migrate()
  await pgPool.query(`create table if not exists ${schema}.orders (id text primary key)`)
  const job = (/** @type {Event} */ { id, key, payload }) => ({
    identifier: QUEUE,
    payload: { id, ...payload },
    ...(keyed && key !== undefined && { queueName: key }),
  })
  const run = (/** @type {number} */ concurrentJobs, /** @type {(id: string) => void} */ onEvent) =>
    worker.run({
      ...common,
      pollInterval: 100,
      parsedCronItems: [],
      taskList: { [QUEUE]: async (/** @type {any} */ payload) => onEvent(payload.id) },
      preset: {
        worker: {
          concurrentJobs,
          ...(!listens && { localQueue: { size: BATCH * concurrentJobs }, completeJobBatchDelay: 0, failJobBatchDelay: 0 }),
        },
      },
    })
  return {
    insert: (events) => utils.addJobs(events.map(job)),
    async together(event) {
      const client = await pgPool.connect()
      try {
        await client.query('begin')
        await client.query({ name: 'order', text: `insert into ${schema}.orders values ($1)`, values: [event.id] })
        const { identifier, payload } = job(event)
        const text = `select ${schema}.add_job($1, payload := $2::json)`
        await client.query({ name: 'job', text, values: [identifier, JSON.stringify(payload)] })
        await client.query('commit')
      } finally {
        client.release()
      }
    },
    async drain(count, workers) {
      let done = 0
      /** @type {() => void} */
      let end = () => undefined
      const over = new Promise((resolve) => {
        end = () => resolve(undefined)
      })
      const runner = await run(workers * 24, () => {
        done += 1
        if (done === count) end()
      })
      await over
      // It waits until all are completed.
      await runner.stop()
    },
    async listen(onEvent) {
      const runner = await run(1, onEvent)
      return () => runner.stop()
    },
    async close() {
      await utils.release()
      await pgPool.end()
    },
  }
}

/** @type {Open} It has no part in a transaction of the application. */
export async function bullmq(url, place) {
  const { Queue, Worker } = await import('bullmq')
  const { hostname: host, port } = new URL(url)
  const connection = { host, port: Number(port), maxRetriesPerRequest: null }
  const queue = new Queue(`${place}q`, { connection, defaultJobOptions: { removeOnComplete: true, attempts: 10 } })
  await queue.waitUntilReady()
  const started = async (/** @type {number} */ concurrency, /** @type {(id: string) => void} */ onEvent) => {
    const worker = new Worker(`${place}q`, async ({ id }) => onEvent(/** @type {string} */ (id)), { connection, concurrency })
    worker.on('error', () => undefined)
    await worker.waitUntilReady()
    return worker
  }
  return {
    insert: (events) => queue.addBulk(events.map(({ id, payload }) => ({ name: 'event', data: payload, opts: { jobId: id } }))),
    async drain(count, workers) {
      let done = 0
      /** @type {() => void} */
      let end = () => undefined
      const over = new Promise((resolve) => {
        end = () => resolve(undefined)
      })
      const worker = await started(workers * BATCH, () => undefined)
      worker.on('completed', () => {
        done += 1
        if (done === count) end()
      })
      await over
      await worker.close()
    },
    async listen(onEvent) {
      const worker = await started(1, onEvent)
      return () => worker.close()
    },
    close: () => queue.close(),
  }
}
