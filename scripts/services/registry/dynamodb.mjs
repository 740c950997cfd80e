import { dynamoDBUrl, startLocalDynamoDB } from '../dynamodb.mjs'

/** @type {import('../registry.mjs').Service} */
export const service = {
  name: 'dynamodb',
  variable: 'DYNAMODB_URL',
  start: async (ledger) => (await startLocalDynamoDB({}, ledger)).url,
  compose: {
    services: ['dynamodb'],
    ports: ['DYNAMODB_PORT'],
    url: ([port]) => dynamoDBUrl(port),
  },
}
