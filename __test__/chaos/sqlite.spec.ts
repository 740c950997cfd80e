import { it } from 'vitest'
import { survivesChaos } from './run'

it('loses, doubles and leaves open nothing beside other SQLite libraries, at kill -9 too', () => survivesChaos('sqlite', 10), 300_000)
