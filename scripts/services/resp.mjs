import { readFileSync } from 'node:fs'
import { connect as connectTcp } from 'node:net'
import { connect as connectTls } from 'node:tls'

/**
 * @typedef {object} RedisTarget
 * @property {number} port
 * @property {string} [username]
 * @property {string} [password]
 * @property {string} [caFile] TLS when given
 * @typedef {string | number | null | RedisReply[]} RedisReply
 */

/**
 * One command on a connection of its own: enough to set a server up and to ask whether it is ready,
 * without redis-cli and without passwords on a command line.
 *
 * @param {RedisTarget} target
 * @param {Array<string | number>} command
 * @param {number} [timeoutMs]
 * @returns {Promise<any>} the reply as a {@link RedisReply}
 */
export function redisCommand(target, command, timeoutMs = 2000) {
  const commands = [command]
  if (target.password !== undefined) {
    commands.unshift(['AUTH', ...(target.username === undefined ? [] : [target.username]), target.password])
  }
  return new Promise((resolve, reject) => {
    const address = { host: '127.0.0.1', port: target.port }
    const socket = target.caFile ? connectTls({ ...address, ca: readFileSync(target.caFile) }) : connectTcp(address)
    const settle = (/** @type {() => void} */ how) => {
      clearTimeout(timer)
      socket.destroy()
      how()
    }
    const fail = (/** @type {Error} */ error) => settle(() => reject(error))
    const timer = setTimeout(() => fail(new Error(`${command[0]}: no reply within ${timeoutMs} ms`)), timeoutMs)
    let received = Buffer.alloc(0)
    let outstanding = commands.length
    socket.once('error', fail)
    socket.once('close', () => fail(new Error(`${command[0]}: the server closed the connection`)))
    socket.on('data', (chunk) => {
      received = Buffer.concat([received, chunk])
      for (let reply = parse(received, 0); reply; reply = parse(received, 0)) {
        received = received.subarray(reply.end)
        const { value } = reply
        if (value instanceof Error) return fail(value)
        outstanding -= 1
        if (outstanding === 0) return settle(() => resolve(value))
      }
    })
    socket.write(commands.map(encode).join(''))
  })
}

/** @param {Array<string | number>} command */
function encode(command) {
  return `*${command.length}\r\n${command.map((part) => `$${Buffer.byteLength(String(part))}\r\n${part}\r\n`).join('')}`
}

/**
 * RESP2, https://redis.io/docs/latest/develop/reference/protocol-spec/
 *
 * @param {Buffer} buffer
 * @param {number} start
 * @returns {{ value: any, end: number } | undefined} undefined while the reply is incomplete
 */
function parse(buffer, start) {
  const lineEnd = buffer.indexOf('\r\n', start)
  if (lineEnd < 0) return undefined
  const line = buffer.toString('utf8', start + 1, lineEnd)
  const end = lineEnd + 2
  switch (String.fromCharCode(buffer[start])) {
    case '+':
      return { value: line, end }
    case '-':
      return { value: new Error(line), end }
    case ':':
      return { value: Number(line), end }
    case '$': {
      const length = Number(line)
      if (length < 0) return { value: null, end }
      if (buffer.length < end + length + 2) return undefined
      return { value: buffer.toString('utf8', end, end + length), end: end + length + 2 }
    }
    case '*': {
      if (Number(line) < 0) return { value: null, end }
      const items = []
      let next = end
      for (let i = 0; i < Number(line); i++) {
        const item = parse(buffer, next)
        if (!item) return undefined
        items.push(item.value)
        next = item.end
      }
      return { value: items, end: next }
    }
    default:
      throw new Error(`not a RESP2 reply: ${line}`)
  }
}
