// Generated from src/contract/operations.rs by `npm run build:native`. Do not edit.

/**
 * The operations, under the numbers by which the native side knows them. `writes`: it changes what is stored. `by`: what its first
 * argument says about the record; null: it is about no single one. Those of the kind `store` are no part of a transaction.
 */
export const OPERATIONS = {
  put: { number: 0, name: 'put', kind: 'payloads', writes: true, by: 'id' },
  get: { number: 1, name: 'get', kind: 'payloads', writes: false, by: 'id' },
  find: { number: 2, name: 'find', kind: 'payloads', writes: false, by: 'id' },
  has: { number: 3, name: 'has', kind: 'payloads', writes: false, by: 'id' },
  delete: { number: 4, name: 'delete', kind: 'payloads', writes: true, by: 'id' },
  touch: { number: 5, name: 'touch', kind: 'payloads', writes: true, by: 'id' },
  putMany: { number: 6, name: 'putMany', kind: 'payloads', writes: true, by: 'ids' },
  getMany: { number: 7, name: 'getMany', kind: 'payloads', writes: false, by: 'ids' },
  'states.getById': { number: 8, name: 'states.getById', kind: 'states', writes: false, by: 'name_and_id' },
  'states.getByCorrelationId': { number: 9, name: 'states.getByCorrelationId', kind: 'states', writes: false, by: 'name_and_other_id' },
  'states.insert': { number: 10, name: 'states.insert', kind: 'states', writes: true, by: 'name_and_id' },
  'states.update': { number: 11, name: 'states.update', kind: 'states', writes: true, by: 'name_and_id' },
  'states.delete': { number: 12, name: 'states.delete', kind: 'states', writes: true, by: 'name_and_id' },
  'states.deleteByCorrelationId': {
    number: 13,
    name: 'states.deleteByCorrelationId',
    kind: 'states',
    writes: true,
    by: 'name_and_other_id',
  },
  'states.findByName': { number: 14, name: 'states.findByName', kind: 'states', writes: false, by: null },
  'states.countByName': { number: 15, name: 'states.countByName', kind: 'states', writes: false, by: null },
  'states.deleteCompletedBefore': { number: 16, name: 'states.deleteCompletedBefore', kind: 'states', writes: true, by: null },
  'states.findTimedOut': { number: 17, name: 'states.findTimedOut', kind: 'states', writes: false, by: null },
  'states.claimTimedOut': { number: 18, name: 'states.claimTimedOut', kind: 'states', writes: true, by: null },
  initialize: { number: 1000, name: 'initialize', kind: 'store', writes: true, by: null },
  purgeExpired: { number: 1001, name: 'purgeExpired', kind: 'store', writes: true, by: null },
  health: { number: 1002, name: 'health', kind: 'store', writes: false, by: null },
  statistics: { number: 1003, name: 'statistics', kind: 'store', writes: false, by: null },
  transaction: { number: 1004, name: 'transaction', kind: 'store', writes: true, by: null },
  'states.reindex': { number: 1005, name: 'states.reindex', kind: 'store', writes: true, by: null },
} as const
