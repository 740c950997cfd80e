import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { clockOffset, makeCertificates, startDynamoDB } from '../../../scripts/services/servers.mjs'
import { startProxy } from '../../support/dynamodb-proxy'
import { dynamo, open, withDynamoDB } from '../../support/dynamodb-server'
import { putsInFlight, recovers } from '../../support/faults'
import { freePort } from '../../support/ports'
import { runProgram, startProgram } from '../../support/programs'
import { rejectionOf } from '../../support/promises'
import { randomName, temporaryDirectory } from '../../support/targets'

withDynamoDB()

describe('throttling', () => {
  it.each(['ProvisionedThroughputExceededException', 'ThrottlingException', 'RequestLimitExceeded'])('%s is waited out', async (code) => {
    let isThrottling = false
    await using proxy = await startProxy(dynamo.server.endpoint, { request: () => (isThrottling ? { code } : undefined) })
    const { store } = open({ url: proxy.url, retry: { attempts: 1 } })
    await store.initialize()
    await store.put('before', Buffer.from('before'))
    await store.put('old', Buffer.from('old'))
    isThrottling = true
    setTimeout(() => {
      isThrottling = false
    }, 1200)
    const [, , before, removed] = await Promise.all([
      store.put('a', Buffer.from('a')),
      store.putMany(Array.from({ length: 30 }, (_, n) => ({ id: `many-${n}`, data: Buffer.from('x') }))),
      store.get('before'),
      store.delete('old'),
    ])
    expect([before.toString(), removed]).toEqual(['before', true])
    expect((await store.get('a')).toString()).toBe('a')
    await store.close()
  })

  it('without end is a retryable error within operationTimeoutMs', async () => {
    let isThrottling = false
    const code = 'ProvisionedThroughputExceededException'
    await using proxy = await startProxy(dynamo.server.endpoint, { request: () => (isThrottling ? { code } : undefined) })
    const { store } = open({ url: proxy.url, operationTimeoutMs: 1000 })
    await store.initialize()
    isThrottling = true
    const began = performance.now()
    for (const error of await Promise.all([rejectionOf(store.put('a', Buffer.from('a'))), rejectionOf(store.get('a'))])) {
      expect(error.code).toMatch(/BACKEND|TIMEOUT/)
      expect(error.retryable).toBe(true)
    }
    expect(performance.now() - began).toBeLessThan(1500)
    await store.close()
  })

  it('of a part of a batch delays that part only', async () => {
    let round = 0
    await using proxy = await startProxy(dynamo.server.endpoint, {
      request(operation, body) {
        if (operation !== 'BatchWriteItem') return undefined
        // Every other member is left out, at first.
        const requests = body.RequestItems as unknown as Record<string, unknown[]>
        for (const [table, writes] of Object.entries(requests)) {
          const left = round < 6 ? writes.filter((_, n) => n % 2 === 1) : []
          requests[table] = writes.filter((write) => !left.includes(write))
          ;(body as Record<string, unknown>).left = { [table]: left }
        }
        round++
        return undefined
      },
      response(operation, answer, body) {
        const changed = answer as {
          UnprocessedItems?: object
          UnprocessedKeys?: object
          Responses?: Record<string, { id: { S: string } }[]>
        }
        if (operation === 'BatchWriteItem') {
          const left = Object.entries((body as unknown as { left: Record<string, unknown[]> }).left).filter(
            ([, writes]) => writes.length > 0,
          )
          changed.UnprocessedItems = Object.fromEntries(left)
        }
        if (operation === 'BatchGetItem' && round++ < 14 && changed.Responses) {
          for (const [table, items] of Object.entries(changed.Responses)) {
            const left = items.splice(0, Math.floor(items.length / 2))
            if (left.length > 0) changed.UnprocessedKeys = { [table]: { Keys: left.map(({ id }) => ({ id })) } }
          }
        }
      },
    })
    const { store } = open({ url: proxy.url, retry: { attempts: 1 } })
    await store.initialize()
    const puts: Promise<void>[] = []
    for (let n = 0; n < 100; n++) {
      puts.push(store.put(`id-${n}`, Buffer.from(`first ${n}`)))
      puts.push(store.put(`id-${n}`, Buffer.from(`second ${n}`)))
    }
    await Promise.all(puts)
    const found = await store.getMany(Array.from({ length: 100 }, (_, n) => `id-${n}`))
    for (let n = 0; n < 100; n++) expect(found.get(`id-${n}`)?.toString()).toBe(`second ${n}`)
    await store.close()
  })
})

describe('a bad day', () => {
  it('killed and started again with 64 puts in flight', async () => {
    await using durable = await startDynamoDB({ durable: true })
    const { store } = open({ url: durable.url, operationTimeoutMs: 5000, connectTimeoutMs: 2000 })
    await store.initialize()
    const stored = await putsInFlight(
      store,
      async () => {
        await new Promise((resume) => setTimeout(resume, 500))
        await durable.kill()
        await new Promise((resume) => setTimeout(resume, 500))
        await durable.start()
        await new Promise((resume) => setTimeout(resume, 300))
      },
      7000,
    )
    await recovers(store, 15_000)
    expect(stored.size).toBeGreaterThan(0)
    const found = await store.getMany([...stored.keys()])
    for (const [id, data] of stored) expect(found.get(id)?.equals(data), id).toBe(true)
    await store.close()
  })

  it('frozen, then awake again', async () => {
    await using frozen = await startDynamoDB()
    const { store: patient, table } = open({ url: frozen.url })
    await patient.initialize()
    await patient.close()
    const { store: hasty } = open({ url: frozen.url, tableName: table, operationTimeoutMs: 2500, connectTimeoutMs: 700 })
    await hasty.put('before', Buffer.from('before'))
    await frozen.pause()
    const began = performance.now()
    const results = await Promise.allSettled([hasty.put('a', Buffer.from('a')), hasty.get('before'), hasty.has('before')])
    for (const result of results) expect((result as PromiseRejectedResult).reason.code).toMatch(/TIMEOUT|CONNECTION/)
    expect(performance.now() - began).toBeLessThan(5000)
    expect(await hasty.health()).toMatchObject({ status: 'unhealthy' })
    await frozen.resume()
    await recovers(hasty)
    expect((await hasty.get('before')).toString()).toBe('before')
    await hasty.close()
  })

  it('nobody there: reported within connectTimeoutMs', async () => {
    const { store } = open({ url: `dynamodb://local?endpoint=http://127.0.0.1:${await freePort()}`, connectTimeoutMs: 1000 })
    const began = performance.now()
    expect(await rejectionOf(store.put('id', Buffer.from('x')))).toMatchObject({ code: 'CONNECTION', retryable: true })
    expect(await rejectionOf(store.delete('id'))).toMatchObject({ code: 'CONNECTION', retryable: true })
    expect(performance.now() - began).toBeLessThan(3000)
    await store.close()
  })

  it('TLS: a certificate that is trusted, and one that is not', async () => {
    const { caFile, certFile, keyFile } = await makeCertificates(temporaryDirectory())
    const tls = { cert: readFileSync(certFile), key: readFileSync(keyFile) }
    await using proxy = await startProxy(dynamo.server.endpoint, {}, tls)
    const { store } = open({ url: proxy.url, connectTimeoutMs: 2000 })
    const error = await rejectionOf(store.put('id', Buffer.from('x')))
    expect(error).toMatchObject({ code: 'CONNECTION', retryable: false, message: expect.stringContaining('certificate') })
    await store.close()
    const program = `
      const store = sagastore.openStore(args)
      await store.initialize()
      await store.put('id', Buffer.alloc(100_000, 1))
      console.log((await store.get('id')).length)
      await store.close()`
    const args = { url: proxy.url, tableName: randomName('t'), credentials: dynamo.server.credentials }
    const started = startProgram(program, args, { env: { SSL_CERT_FILE: caFile } })
    expect(await started.done).toMatchObject({ code: 0, stdout: '100000\n' })
  })

  it('something else there', async () => {
    await using proxy = await startProxy(dynamo.server.endpoint, { request: () => ({ code: '', status: 404 }) })
    const { store } = open({ url: proxy.url })
    expect(await rejectionOf(store.get('id'))).toMatchObject({ code: 'BACKEND', retryable: false })
    await store.close()
  })

  it('a signature that our clock has spoilt is corrected', async () => {
    let refused = 0
    await using proxy = await startProxy(dynamo.server.endpoint, {
      request() {
        const message = 'Signature expired: 20260101T000000Z is now earlier than 20260101T005500Z (20260101T010000Z - 5 min.)'
        return refused++ === 0 ? { code: 'InvalidSignatureException', message } : undefined
      },
    })
    const { store } = open({ url: proxy.url })
    await store.initialize()
    await store.put('id', Buffer.from('x'))
    await store.close()
    await using wrong = await startProxy(dynamo.server.endpoint, { request: () => ({ code: 'RequestTimeTooSkewed' }) })
    const { store: hopeless } = open({ url: wrong.url })
    expect(await rejectionOf(hopeless.put('id', Buffer.from('x')))).toMatchObject({
      code: 'CONNECTION',
      message: expect.stringContaining('clock'),
    })
    await hopeless.close()
  })

  // Both wait for DynamoDB Local: they do it together.
  it.concurrent.each([
    ['+1h', -3_600_000],
    ['-1h', 3_600_000],
  ])('keeps and ends payloads on time when our clock is off by %s', async (offset, milliseconds) => {
    // DynamoDB Local removes what has expired within seconds: with a clock an hour behind, everything.
    const program = `
      const store = sagastore.openStore(args)
      await store.initialize()
      await store.put('late', Buffer.from('to compensate'), new Date(Date.now() - 1000))
      await store.put('soon', Buffer.from('x'), new Date(Date.now() + 2500))
      await store.put('in half an hour', Buffer.from('x'), new Date(Date.now() + 1_800_000))
      const all = ['late', 'soon', 'in half an hour']
      const first = [...(await store.getMany(all)).keys()]
      const touched = await store.touch('in half an hour', new Date(Date.now() + 1_700_000))
      await new Promise((resume) => setTimeout(resume, 12_000))
      const second = [...(await store.getMany(all)).keys()]
      console.log(JSON.stringify({ first, touched, second, details: (await store.health()).details }))
      await store.close()`
    const { url, credentials } = dynamo.server
    const args = { url, credentials, tableName: randomName('t'), lateRetentionMs: 1_000_000 }
    const { first, touched, second, details } = JSON.parse(await runProgram(program, args, { env: await clockOffset(offset) }))
    expect({ first, touched, second }).toEqual({
      first: ['late', 'soon', 'in half an hour'],
      touched: true,
      second: ['late', 'in half an hour'],
    })
    expect(Math.abs(details.clockOffsetMs - milliseconds)).toBeLessThan(3000)
  })
})
