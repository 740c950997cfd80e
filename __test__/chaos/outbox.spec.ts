import { survivesChaosOnStores } from './run'

const RULE =
  'publishes each committed event, none of a transaction that was rolled back, and those of a key in order, while relays are killed'

survivesChaosOnStores('outbox', 5, RULE)
