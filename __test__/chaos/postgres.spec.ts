import { it } from 'vitest'
import { survivesChaos } from './run'

it('loses, doubles and leaves open nothing while its server breaks in every way', () => survivesChaos('postgres', 12), 300_000)
