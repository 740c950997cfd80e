import { survivesChaosOnStores } from './run'

survivesChaosOnStores('recovery', 4, 'ends each saga, completes each step once, and loses no entry, while its workers are killed')
