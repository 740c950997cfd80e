import { MongoClient } from 'mongodb'
import { describe, expect, it } from 'vitest'
import { MongoSagaStore } from '../../../index.js'
import { startPeer } from '../../support/mongodb-peer'

/** A user who may read everything, and write to no collection but that of payloads. */
const status = {
  ok: 1,
  authInfo: {
    authenticatedUsers: [{ user: 'app', db: 'admin' }],
    authenticatedUserPrivileges: [
      { resource: { db: 'sagas', collection: '' }, actions: ['find', 'listIndexes', 'createIndex'] },
      { resource: { db: 'sagas', collection: 'saga_store' }, actions: ['insert', 'update', 'remove'] },
    ],
  },
}

describe('a MongoDB user', () => {
  it.each(['own', 'client'] as const)('is told which rights are missing, collection by collection (%s)', async (way) => {
    await using peer = await startPeer((name) => {
      if (name === 'connectionStatus') return status
      if (name === 'buildInfo') return { ok: 1, version: '7.0.0' }
      if (name === 'listIndexes') return { ok: 1, cursor: { id: 0, ns: 'x.y', firstBatch: [] } }
      return undefined
    })
    const client = new MongoClient(peer.url)
    const store = new MongoSagaStore(way === 'own' ? { url: peer.url } : { client: client.db('sagas') })
    const missing = /lacks the actions insert, update, remove on collection saga_instances/
    expect(await store.health()).toMatchObject({ status: 'degraded', message: expect.stringMatching(missing) })
    expect((await store.health()).message).not.toMatch(/lacks the actions [a-z, ]* on collection saga_store/)
    expect(peer.commands.filter((command) => 'connectionStatus' in command)[0]).toMatchObject({ showPrivileges: true })
    await store.close()
    await client.close()
  })
})
