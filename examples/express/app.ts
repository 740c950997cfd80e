import express, { type Express, type NextFunction, type Request, type Response } from 'express'
import { NotFoundError, type SagaStore, SagaStoreError } from 'sagastore'
import { metricsOf } from './metrics.js'

/** Slips over HTTP, with health for the load balancer and metrics for Prometheus. */
export function createApp(store: SagaStore): Express {
  const app = express()

  app.put('/slips/:id', express.raw({ type: '*/*', limit: '10mb' }), async (request: Request<{ id: string }>, response) => {
    await store.put(request.params.id, request.body as Buffer, new Date(Date.now() + 24 * 3_600_000))
    response.status(204).end()
  })

  app.get('/slips/:id', async (request, response) => {
    response.type('application/octet-stream').send(await store.get(request.params.id))
  })

  // Whether this process is alive: it does not ask the server. A database that is down is no reason to restart processes.
  app.get('/live', (_, response) => void response.send('alive\n'))

  // Whether it can work: health() never rejects, and takes five seconds at most.
  app.get('/ready', async (_, response) => {
    const { status, backend, latencyMs, message } = await store.health()
    response.status(status === 'unhealthy' ? 503 : 200).json({ status, backend, latencyMs, message })
  })

  app.get('/metrics', async (_, response) => {
    response.type('text/plain; version=0.0.4').send(await metricsOf(store))
  })

  app.use((error: unknown, _request: Request, response: Response, next: NextFunction) => {
    if (!(error instanceof SagaStoreError)) return next(error)
    if (error instanceof NotFoundError) response.status(404)
    else if (error.code === 'INVALID_ARGUMENT') response.status(400)
    else if (error.code === 'PAYLOAD_TOO_LARGE') response.status(413)
    // The same request may succeed later.
    else if (error.retryable) response.status(503).set('retry-after', '1')
    else response.status(500)
    response.json({ code: error.code })
  })
  return app
}
