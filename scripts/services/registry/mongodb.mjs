import { startLocalMongo } from '../mongodb.mjs'

/** @type {import('../registry.mjs').Service} */
export const service = {
  name: 'mongodb',
  variable: 'MONGODB_URL',
  start: async (ledger) => (await startLocalMongo({}, ledger)).url,
  compose: {
    services: ['mongo'],
    ports: ['MONGO_PORT'],
    url: ([port]) => `mongodb://127.0.0.1:${port}/?replicaSet=rs0`,
  },
}
