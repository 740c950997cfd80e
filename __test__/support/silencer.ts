import { type AddressInfo, connect, createServer, type Socket } from 'node:net'

/** Stands before the server. Sessions that listen can fall silent, without a word to either end. */
export class Silencer implements AsyncDisposable {
  isSilent = false
  #url: URL
  readonly #sockets = new Set<Socket>()
  readonly #server = createServer((client) => this.#accept(client))

  readonly #port: number
  readonly #word: string

  /** Sessions listen that have sent this word. The port is that of a URL that names none. */
  constructor(url: string, port: number, word: string) {
    this.#url = new URL(url)
    this.#port = port
    this.#word = word
  }

  async url(): Promise<string> {
    await new Promise<void>((listening) => this.#server.listen(0, '127.0.0.1', listening))
    const url = new URL(this.#url)
    url.hostname = '127.0.0.1'
    url.port = String((this.#server.address() as AddressInfo).port)
    return url.href
  }

  #accept(client: Socket): void {
    const server = connect(Number(this.#url.port || this.#port), this.#url.hostname)
    let listens = false
    for (const socket of [client, server]) {
      this.#sockets.add(socket)
      socket.on('error', () => undefined)
      socket.on('close', () => {
        client.destroy()
        server.destroy()
      })
    }
    client.on('data', (data) => {
      listens ||= data.includes(this.#word)
      if (!(listens && this.isSilent)) server.write(data)
    })
    server.on('data', (data) => {
      if (!(listens && this.isSilent)) client.write(data)
    })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy()
    await new Promise((closed) => this.#server.close(closed))
  }
}
