import { type AddressInfo, connect, createServer, type Socket } from 'node:net'

/** Stands between a store and its server, and cuts connections at the moment when the server answers. */
export class TcpProxy implements AsyncDisposable {
  readonly #server = createServer((client) => this.#accept(client))
  readonly #sockets = new Set<Socket>()
  readonly #host: string
  readonly #port: number
  #answersLeft = Number.POSITIVE_INFINITY
  /** How many connections were cut. */
  cuts = 0

  private constructor(host: string, port: number) {
    this.#host = host
    this.#port = port
  }

  static async to(host: string, port: number): Promise<TcpProxy> {
    const proxy = new TcpProxy(host, port)
    await new Promise<void>((listening) => proxy.#server.listen(0, '127.0.0.1', listening))
    return proxy
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port
  }

  /** Hands so many pieces of the server's answers over; the next one is lost with its connection, once. */
  cutAfter(answers: number): void {
    this.#answersLeft = answers
  }

  #accept(client: Socket): void {
    const server = connect(this.#port, this.#host)
    for (const socket of [client, server]) {
      this.#sockets.add(socket)
      socket.setNoDelay(true)
      socket.on('error', () => undefined)
      socket.on('close', () => {
        this.#sockets.delete(socket)
        client.destroy()
        server.destroy()
      })
    }
    client.on('data', (data) => server.write(data))
    server.on('data', (data) => {
      if (this.#answersLeft > 0) {
        this.#answersLeft -= 1
        client.write(data)
        return
      }
      this.#answersLeft = Number.POSITIVE_INFINITY
      this.cuts += 1
      client.destroy()
      server.destroy()
    })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy()
    await new Promise((closed) => this.#server.close(closed))
  }
}
