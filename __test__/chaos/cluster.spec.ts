import { it } from 'vitest'
import { survivesChaos } from './run'

it('loses, doubles and leaves open nothing while its server breaks in every way', () => survivesChaos('cluster', 12), 300_000)
