import { createServer, type IncomingHttpHeaders, type RequestListener } from 'node:http'
import { createServer as createSecureServer } from 'node:https'
import type { AddressInfo } from 'node:net'

/** What DynamoDB refuses a request with. */
export interface Refusal {
  code: string
  message?: string
  status?: number
}

type Json = Record<string, never>

/** What happens to the requests of one operation, such as `PutItem`. */
export interface Interference {
  /** Called before a request goes on; refuses it, or changes it. */
  request?(operation: string, body: Json): Refusal | undefined
  /** Called with the answer and the request it is for; may change it. */
  response?(operation: string, answer: Json, body: Json): void
}

/** Stands between a store and DynamoDB Local, and does what only the real service does: refuse, throttle, leave out. */
export async function startProxy(endpoint: string, interference: Interference, tls?: { cert: Buffer; key: Buffer }) {
  const seen: string[] = []
  const listener: RequestListener = async (request, response) => {
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk as Buffer)
    const operation = String(request.headers['x-amz-target']).split('.')[1] ?? ''
    seen.push(operation)
    const body = JSON.parse(Buffer.concat(chunks).toString() || '{}')
    const refusal = interference.request?.(operation, body)
    const reply = (status: number, json: unknown) => {
      response.writeHead(status, { 'content-type': 'application/x-amz-json-1.0' }).end(JSON.stringify(json))
    }
    if (refusal !== undefined) {
      const { code, message = '', status = 400 } = refusal
      return reply(status, { __type: `com.amazonaws.dynamodb.v20120810#${code}`, message })
    }
    try {
      const answer = await forward(endpoint, request.headers, body)
      if (answer.status === 200) interference.response?.(operation, answer.json as Json, body)
      reply(answer.status, answer.json)
    } catch {
      response.destroy()
    }
  }
  const server = tls === undefined ? createServer(listener) : createSecureServer(tls, listener)
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening))
  const { port } = server.address() as AddressInfo
  return {
    url: `dynamodb://local?endpoint=${tls === undefined ? 'http' : 'https'}://127.0.0.1:${port}`,
    /** The operations so far, in order. */
    seen,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      await new Promise((closed) => server.close(closed))
    },
  }
}

async function forward(endpoint: string, headers: IncomingHttpHeaders, body: Json) {
  const wanted = ['x-amz-target', 'content-type', 'authorization', 'x-amz-date', 'x-amz-security-token']
  const kept = wanted.flatMap((name) => (headers[name] === undefined ? [] : [[name, String(headers[name])]]))
  const answer = await fetch(endpoint, { method: 'POST', headers: Object.fromEntries(kept), body: JSON.stringify(body) })
  return { status: answer.status, json: await answer.json() }
}
