import { startLocalPostgres } from '../postgres.mjs'

/** @type {import('../registry.mjs').Service} */
export const service = {
  name: 'postgres',
  variable: 'POSTGRES_URL',
  start: async (ledger) => {
    const settings = { max_connections: '200', fsync: 'off', full_page_writes: 'off' }
    return (await startLocalPostgres({ settings }, ledger)).url
  },
  compose: {
    services: ['postgres'],
    ports: ['POSTGRES_PORT'],
    secrets: ['POSTGRES_PASSWORD'],
    url: ([port], [password]) => `postgres://sagastore:${password}@127.0.0.1:${port}/postgres`,
  },
}
